package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/barnabas-log/barnabas/bench/load"
)

// report is all that a command measured; it is written as JSON.
type report struct {
	Name     string    `json:"name"`
	At       time.Time `json:"at"`
	Took     string    `json:"took"`
	Command  string    `json:"command"`
	Commit   string    `json:"commit"` // with + when the sources had changes that were not committed
	Machine  machine   `json:"machine"`
	LoadFrom string    `json:"load_average_before"` // a busy machine makes throughput and latency worthless
	LoadTo   string    `json:"load_average_after"`
	Systems  []aSystem `json:"systems"`
	Missing  []string  `json:"missing,omitempty"` // systems that did not start
	Results  []*result `json:"results"`
}

// aSystem is what a reader has to know of a system.
type aSystem struct {
	Name       string `json:"name"`
	Title      string `json:"title"`
	Durability string `json:"durability"`
	Nodes      int    `json:"nodes"`
}

// result is one workload on one system.
type result struct {
	Workload string          `json:"workload"`
	System   string          `json:"system"`
	Spec     load.Spec       `json:"spec"`
	Median   *load.Outcome   `json:"median,omitempty"` // each figure's own median over the runs
	Ratio    float64         `json:"throughput_ratio,omitempty"`
	CPURatio float64         `json:"cpu_per_gb_ratio,omitempty"` // both to the first system of the workload
	Runs     []*load.Outcome `json:"runs"`
	Errors   []string        `json:"errors,omitempty"`
}

func newReport(p plan, dir string) *report {
	return &report{Name: p.name, At: time.Now().UTC(), Command: command(os.Args[1:]), Commit: commit(),
		Machine: describeMachine(dir), LoadFrom: loadAverage()}
}

// add makes room for a workload.
func (r *report) add(spec load.Spec, systems []system) {
	for _, s := range systems {
		known := func(a aSystem) bool { return a.Name == s.name }
		if !slices.ContainsFunc(r.Systems, known) {
			r.Systems = append(r.Systems, aSystem{s.name, s.title, s.durability, s.nodes})
		}
		r.Results = append(r.Results, &result{Workload: spec.Name, System: s.name, Spec: spec})
	}
}

// leaveOut notes why a system is not measured.
func (r *report) leaveOut(err error) {
	fmt.Fprintln(os.Stderr, "left out:", err)
	r.Missing = append(r.Missing, err.Error())
}

func (r *report) find(workload, system string) *result {
	for _, one := range slices.Backward(r.Results) {
		if one.Workload == workload && one.System == system {
			return one
		}
	}
	return nil
}

// record keeps what a run measured, or why it did not.
func (r *report) record(workload, system string, repetition int, o *load.Outcome, err error) {
	one := r.find(workload, system)
	if err != nil {
		one.Errors = append(one.Errors, fmt.Sprintf("repetition %d: %v", repetition+1, err))
		return
	}
	one.Runs = append(one.Runs, o)
}

// hopeless says that a system failed at a workload twice and never did it.
func (r *report) hopeless(workload, system string) bool {
	one := r.find(workload, system)
	return len(one.Runs) == 0 && len(one.Errors) > 1
}

// finish computes medians and ratios.
func (r *report) finish() {
	r.Took, r.LoadTo = time.Since(r.At).Round(time.Second).String(), loadAverage()
	first := map[string]*load.Outcome{}
	for _, one := range r.Results {
		if len(one.Runs) == 0 {
			continue
		}
		one.Median = median(one.Runs)
		base := first[one.Workload]
		if base == nil {
			first[one.Workload], base = one.Median, one.Median
		}
		if base.Throughput > 0 {
			one.Ratio = one.Median.Throughput / base.Throughput
		}
		if base.CPUPerGB > 0 {
			one.CPURatio = one.Median.CPUPerGB / base.CPUPerGB
		}
	}
}

// medianOf is the median of one figure.
func medianOf[T any](from []T, figure func(T) float64) float64 {
	var all []float64
	for _, one := range from {
		all = append(all, figure(one))
	}
	slices.Sort(all)
	n := len(all)
	return (all[(n-1)/2] + all[n/2]) / 2
}

// median of each figure by itself. Failures are summed up: one is enough to look for its reason.
func median(runs []*load.Outcome) *load.Outcome {
	of := func(figure func(*load.Outcome) float64) float64 { return medianOf(runs, figure) }
	m := &load.Outcome{
		Seconds:    of(func(o *load.Outcome) float64 { return o.Seconds }),
		Records:    int64(of(func(o *load.Outcome) float64 { return float64(o.Records) })),
		Bytes:      int64(of(func(o *load.Outcome) float64 { return float64(o.Bytes) })),
		Throughput: of(func(o *load.Outcome) float64 { return o.Throughput }),
		RecordRate: of(func(o *load.Outcome) float64 { return o.RecordRate }),
		CPU:        of(func(o *load.Outcome) float64 { return o.CPU }),
		CPUPerGB:   of(func(o *load.Outcome) float64 { return o.CPUPerGB }),
		ClientCPU:  of(func(o *load.Outcome) float64 { return o.ClientCPU }),
		Before:     int64(of(func(o *load.Outcome) float64 { return float64(o.Before) })),
		Peak:       int64(of(func(o *load.Outcome) float64 { return float64(o.Peak) })),
	}
	percentiles := func(pick func(*load.Outcome) *load.Percentiles) *load.Percentiles {
		if slices.ContainsFunc(runs, func(o *load.Outcome) bool { return pick(o) == nil }) {
			return nil
		}
		at := func(figure func(*load.Percentiles) float64) float64 {
			return of(func(o *load.Outcome) float64 { return figure(pick(o)) })
		}
		return &load.Percentiles{
			Count: int64(at(func(p *load.Percentiles) float64 { return float64(p.Count) })),
			P50:   at(func(p *load.Percentiles) float64 { return p.P50 }), P90: at(func(p *load.Percentiles) float64 { return p.P90 }),
			P99: at(func(p *load.Percentiles) float64 { return p.P99 }), P999: at(func(p *load.Percentiles) float64 { return p.P999 }),
			Max: at(func(p *load.Percentiles) float64 { return p.Max }),
		}
	}
	m.Ack = percentiles(func(o *load.Outcome) *load.Percentiles { return o.Ack })
	m.EndToEnd = percentiles(func(o *load.Outcome) *load.Percentiles { return o.EndToEnd })
	for _, o := range runs {
		if m.Failed += o.Failed; m.Failure == "" {
			m.Failure = o.Failure
		}
	}
	return m
}

// print writes the table.
func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "\n%s, %s, commit %s, %s\nload average before %s, after %s; server and clients on this machine; figures are medians\n", r.At.Format(time.DateTime), r.Machine, r.Commit,
		r.Took, r.LoadFrom, r.LoadTo)
	if m := r.Machine; m.Sendfile > 0 {
		fmt.Fprintf(w, "the machine itself, MB/s: disk written %.0f, sendfile over loopback %.0f; fdatasync of 4 KiB %.2f ms; medians of %d\n", m.Disk, m.Sendfile, m.Fdatasync, len(m.Measured))
	}
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "workload\tsystem\tMB/s\tratio\trecords/s\tCPU s/GB\t% of a core\tack p50 ms\tp99\tp99.9\tread p50 ms\tp99\tp99.9\tRSS before MiB\tpeak\tdurability\t")
	last := ""
	for _, one := range r.Results {
		name := one.Workload
		if name == last {
			name = ""
		}
		last = one.Workload
		fmt.Fprintf(t, "%s\t%s\t%s%s\t\n", name, one.System, one.cells(), r.durability(one.System))
	}
	_ = t.Flush()
	for _, m := range r.Missing {
		fmt.Fprintln(w, "left out:", m)
	}
	for _, one := range r.Results {
		for _, e := range one.Errors {
			fmt.Fprintf(w, "%s, %s, %s\n", one.Workload, one.System, e)
		}
		if one.Median != nil && one.Median.Failed > 0 {
			fmt.Fprintf(w, "%s, %s: %d failed: %s\n", one.Workload, one.System, one.Median.Failed, one.Median.Failure)
		}
	}
}

func (r *report) durability(system string) string {
	for _, s := range r.Systems {
		if s.Name == system {
			return s.Durability
		}
	}
	return ""
}

func (one *result) cells() string {
	m := one.Median
	if m == nil {
		return strings.Repeat("-\t", 13)
	}
	latency := func(p *load.Percentiles) string {
		if p == nil {
			return "\t\t\t"
		}
		return fmt.Sprintf("%.2f\t%.2f\t%.2f\t", p.P50/1e3, p.P99/1e3, p.P999/1e3)
	}
	perGB := fmt.Sprintf("%.2f", m.CPUPerGB)
	if one.Spec.Rate > 0 || m.Bytes == 0 {
		perGB = "" // the rate was given: the processor time is mostly that of waking up
	}
	return fmt.Sprintf("%.1f\t%.2f\t%.0f\t%s\t%.0f\t%s%s%.0f\t%.0f\t", m.Throughput, one.Ratio, m.RecordRate, perGB, 100*m.CPU/m.Seconds, latency(m.Ack), latency(m.EndToEnd),
		mib(m.Before), mib(m.Peak))
}

// save writes the JSON and the charts.
func (r *report) save(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	path := resultPath(dir, r.At, r.Name)
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetIndent("", " ")
	if err := e.Encode(r); err != nil {
		return err
	}
	if err := os.WriteFile(path+".json", text.Bytes(), 0o644); err != nil {
		return err
	}
	var table bytes.Buffer
	r.print(&table)
	if err := os.WriteFile(path+".txt", table.Bytes(), 0o644); err != nil {
		return err
	}
	fmt.Println("\nwritten:", path+".json", path+".txt")
	for name, chart := range r.charts() {
		file := fmt.Sprintf("%s-%s.svg", path, name)
		if err := os.WriteFile(filepath.Clean(file), chart, 0o644); err != nil {
			return err
		}
		fmt.Println("written:", file)
	}
	return nil
}

// command is how to run this again: with the arguments, except for where data lay on this machine.
func command(args []string) string {
	words := []string{"go run ./bench"}
	for i := 0; i < len(args); i++ {
		if args[i] == "--dir" {
			i++
		} else if !strings.HasPrefix(args[i], "--dir=") {
			words = append(words, args[i])
		}
	}
	return strings.Join(words, " ")
}
