package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/barnabas-log/barnabas/bench/load"
)

// runOptions are the flags of run and of the plans.
type runOptions struct {
	*options
	name    string
	systems []string
	repeat  int
	results string
	changes load.Spec // what the flags say instead of the workload
}

func newRun(o *options) *cobra.Command {
	r := runOptions{options: o}
	cmd := &cobra.Command{
		Use:   "run WORKLOAD...",
		Short: "Run workloads on one or more systems, in turn, and compare them",
		Long: `Starts every system, lets each do the workload for a few seconds while the others are stopped where they are, and begins again with the first, --repeat times. Clusters are
started anew for each repetition instead. What is printed, written to --results as JSON and drawn is the median of the repetitions, and its ratio to the first system. "bench list" names workloads and systems;
the flags change the workloads. kafka:HOST:PORT is any server that speaks Kafka's protocol.`,
		Example: `  go run ./bench run produce latency
  go run ./bench run produce --size 100 --partitions 100 --systems barnabas,kafka,nats --repeat 5
  go run ./bench run consume --systems kafka:10.0.0.1:9092`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p := plan{name: r.name, repeat: r.repeat, length: r.changes.For, rounds: []round{{args, r.systems}}}
			return r.carryOut(cmd, p)
		},
	}
	r.commonFlags(cmd, "run")
	f := cmd.Flags()
	f.StringSliceVar(&r.systems, "systems", []string{"barnabas"}, "systems, the one that the others are compared with first")
	f.IntVar(&r.changes.Size, "size", 0, "bytes of a record's value")
	f.IntVar(&r.changes.Partitions, "partitions", 0, "partitions of the topic")
	f.IntVar(&r.changes.Clients, "clients", 0, "producers, or connections in raw mode")
	f.IntVar(&r.changes.Readers, "readers", 0, "consumers, each of everything")
	f.IntVar(&r.changes.Rate, "rate", 0, "records a second, where the workload has a rate")
	f.StringVar(&r.changes.Acks, "acks", "", "all or 1")
	f.StringVar(&r.changes.Compression, "compression", "", "gzip, snappy, lz4 or zstd")
	f.Int64Var(&r.changes.Preload, "preload", 0, "bytes to read")
	return cmd
}

func (r *runOptions) commonFlags(cmd *cobra.Command, name string) {
	f := cmd.Flags()
	f.StringVar(&r.name, "name", name, "what the results are called")
	f.StringVar(&r.results, "results", "bench/results", "directory for the results; empty: only print them")
	f.IntVar(&r.repeat, "repeat", 3, "repetitions")
	f.DurationVar(&r.changes.For, "for", 4*time.Second, "how long each run is measured")
}

// newPlan makes the command of a plan.
func newPlan(o *options, p plan) *cobra.Command {
	r := runOptions{options: o}
	cmd := &cobra.Command{
		Use:   p.name,
		Short: "Run a set of workloads: " + p.about,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p.name, p.repeat, p.length = r.name, r.repeat, r.changes.For
			return r.carryOut(cmd, p)
		},
	}
	r.commonFlags(cmd, p.name)
	for name, value := range map[string]string{"repeat": fmt.Sprint(p.repeat), "for": p.length.String()} {
		_ = cmd.Flags().Set(name, value)
		cmd.Flags().Lookup(name).DefValue = value
	}
	return cmd
}

func newList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "Name the workloads and systems",
		Args:  cobra.NoArgs,
		Run: func(*cobra.Command, []string) {
			for _, w := range workloads() {
				w.EnsureDefaults()
				fmt.Printf("%-15s %s\n", w.Name, describe(w))
			}
			fmt.Println()
			for _, s := range systems() {
				fmt.Printf("%-16s %s\n", s.name, s.durability)
			}
		},
	}
}

// describe says what a workload is, in a line.
func describe(s load.Spec) string {
	words := []string{s.Kind, fmt.Sprintf("%d bytes, %d partitions", s.Size, s.Partitions)}
	add := func(when bool, format string, args ...any) {
		if when {
			words = append(words, fmt.Sprintf(format, args...))
		}
	}
	add(s.Clients > 1, "%d clients", s.Clients)
	add(s.Readers > 1, "%d readers", s.Readers)
	add(s.Single, "one record at a time")
	add(s.Rate > 0, "%d records a second", s.Rate)
	add(s.Acks != "all", "acks=%s", s.Acks)
	add(s.Compression != "", "%s", s.Compression)
	add(s.Cold, "not in the page cache")
	return strings.Join(words, ", ")
}

// change overrides a workload with what the flags say.
func (r *runOptions) change(s load.Spec) (load.Spec, error) {
	c := r.changes
	for _, f := range []struct{ to, from *int }{{&s.Size, &c.Size}, {&s.Partitions, &c.Partitions}, {&s.Clients, &c.Clients}, {&s.Readers, &c.Readers}, {&s.Rate, &c.Rate}} {
		if *f.from != 0 {
			*f.to = *f.from
		}
	}
	for _, f := range []struct{ to, from *string }{{&s.Acks, &c.Acks}, {&s.Compression, &c.Compression}} {
		if *f.from != "" {
			*f.to = *f.from
		}
	}
	if c.Preload != 0 {
		s.Preload = c.Preload
	}
	s.For = c.For
	s.EnsureDefaults()
	return s, s.Validate()
}

// carryOut runs the plan, prints its table, and writes JSON and charts.
func (r *runOptions) carryOut(cmd *cobra.Command, p plan) error {
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	dir, remove, err := r.workdir()
	if err != nil {
		return err
	}
	defer remove()
	report := newReport(p, dir)
	if p.machine {
		if err := report.Machine.measure(dir); err != nil {
			return err
		}
	}
	var failed error
	for _, round := range p.rounds {
		failed = errors.Join(failed, r.carryOutRound(ctx, round, p.repeat, dir, report))
	}
	report.finish() // what there is, even if it was interrupted
	report.print(os.Stdout)
	if r.results == "" || len(report.Results) == 0 {
		return failed
	}
	return errors.Join(failed, report.save(r.results))
}

func (r *runOptions) carryOutRound(ctx context.Context, round round, repeat int, dir string, report *report) (err error) {
	var specs []load.Spec
	for _, name := range round.workloads {
		spec, err := findWorkload(name)
		if err != nil {
			return err
		}
		if spec, err = r.change(spec); err != nil {
			return err
		}
		specs = append(specs, spec)
	}
	var alone, clusters []system
	for _, name := range round.systems {
		s, err := findSystem(name)
		if err != nil {
			return err
		}
		if s.nodes > 1 && s.launch != nil {
			clusters = append(clusters, s)
		} else {
			alone = append(alone, s)
		}
	}
	for _, spec := range specs {
		report.add(spec, slices.Concat(alone, clusters))
	}
	return errors.Join(r.inTurn(ctx, specs, alone, repeat, dir, report), r.oneByOne(ctx, specs, clusters, repeat, dir, report))
}

// inTurn starts all systems, stops them where they are, and lets one at a time go on: A B C, A B C, and so on for each workload.
func (r *runOptions) inTurn(ctx context.Context, specs []load.Spec, systems []system, repeat int, dir string, report *report) (err error) {
	var all []*running
	defer func() {
		for _, s := range slices.Backward(all) {
			err = errors.Join(err, s.stop())
		}
	}()
	for _, s := range systems {
		started, err := s.start(ctx, r.options, dir)
		if err != nil {
			report.leaveOut(err)
			continue
		}
		all = append(all, started)
		started.pause()
	}
	for _, spec := range specs {
		for repetition := range repeat {
			if m := &report.Machine; m.Measured != nil && (spec.Kind == load.RawProduce || spec.Kind == load.RawFetch) { // what is compared with the machine is measured in turn with it
				if err := m.measure(dir); err != nil {
					return err
				}
			}
			for _, s := range all {
				if err := ctx.Err(); err != nil {
					return err
				}
				s.resume()
				r.runOnce(ctx, spec, s, repetition, dir, report)
				s.pause()
			}
		}
	}
	return nil
}

// oneByOne starts one system, lets it do all workloads, stops it, and goes on with the next; and so on for each repetition. This is for clusters, whose nodes would hold
// elections if they were stopped for a while and went on. So that a just-in-time compiler is not measured at its start, each is produced to for some seconds first.
func (r *runOptions) oneByOne(ctx context.Context, specs []load.Spec, systems []system, repeat int, dir string, report *report) error {
	for repetition := range repeat {
		for _, s := range systems {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := r.wholeSeries(ctx, specs, s, repetition, dir, report); err != nil {
				report.leaveOut(err)
			}
		}
	}
	return nil
}

func (r *runOptions) wholeSeries(ctx context.Context, specs []load.Spec, s system, repetition int, dir string, report *report) (err error) {
	started, err := s.start(ctx, r.options, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, started.stop()) }()
	warm := load.Spec{Kind: load.Produce, For: 4 * time.Second}
	warm.EnsureDefaults()
	if _, err := r.driveAlone(ctx, warm, started, dir); err != nil {
		return fmt.Errorf("warm %s up: %w", s.name, err)
	}
	for _, spec := range specs {
		r.runOnce(ctx, spec, started, repetition, dir, report)
	}
	return nil
}

// runOnce lets one system do the workload once. That it cannot is a result as well.
func (r *runOptions) runOnce(ctx context.Context, spec load.Spec, s *running, repetition int, dir string, report *report) {
	if report.hopeless(spec.Name, s.system.name) {
		return
	}
	err := fillPageCache(dir)
	var outcome *load.Outcome
	if err == nil {
		outcome, err = r.driveAlone(ctx, spec, s, dir)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%-14s %-16s %v\n", spec.Name, s.system.name, err)
	} else {
		fmt.Fprintf(os.Stderr, "%-14s %-16s %s\n", spec.Name, s.system.name, inOneLine(outcome))
	}
	report.record(spec.Name, s.system.name, repetition, outcome, err)
}

// driveAlone lets one system do the workload, and waits until the disk is rid of it.
func (r *runOptions) driveAlone(ctx context.Context, spec load.Spec, s *running, dir string) (*load.Outcome, error) {
	outcome, err := r.drive(ctx, load.Order{Spec: spec, Target: s.target()})
	return outcome, errors.Join(err, awaitDeleted(ctx, dir))
}

func inOneLine(o *load.Outcome) string {
	line := fmt.Sprintf("%7.1f MB/s %8.0f/s %6.2f s CPU/GB %4.0f%% of a core", o.Throughput, o.RecordRate, o.CPUPerGB, 100*o.CPU/o.Seconds)
	if o.Ack != nil {
		line += fmt.Sprintf("  ack p50 %.2f p99 %.2f p99.9 %.2f ms", o.Ack.P50/1e3, o.Ack.P99/1e3, o.Ack.P999/1e3)
	}
	if o.EndToEnd != nil {
		line += fmt.Sprintf("  read p50 %.2f p99 %.2f ms", o.EndToEnd.P50/1e3, o.EndToEnd.P99/1e3)
	}
	if o.Failed > 0 {
		line += fmt.Sprintf("  %d failed: %s", o.Failed, o.Failure)
	}
	return line
}

// resultPath is where a report goes: DIR/DATE-NAME, without an extension.
func resultPath(dir string, at time.Time, name string) string {
	return filepath.Join(dir, at.Format("2006-01-02")+"-"+name)
}
