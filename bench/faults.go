package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"golang.org/x/sync/errgroup"

	"github.com/barnabas-log/barnabas/internal/history"
)

// faultsOptions say what a run does.
type faultsOptions struct {
	*options
	seed   uint64
	nodes  int
	kills  int
	rate   int
	damage []string
	keep   bool
}

func newFaults(o *options) *cobra.Command {
	f := faultsOptions{options: o}
	cmd := &cobra.Command{
		Use:   "faults",
		Short: "kill -9 at random moments, and files damaged on a running node, under load; then check what the clients saw",
		Long: `Brokers, processes of their own on the loopback interface, are used by idempotent producers (acks=all), a group and a reader. First one of them is killed with
SIGKILL again and again, at random moments; in the end everything is read and judged. Then, for every kind of damage, on a cluster of its own: a file of a partition is changed,
cut or removed under the running node, which scrubs fast and is read from the start; it is killed and started; and with one node whatever is offline afterwards is
repaired with the command line. With three nodes nothing may be lost and all replicas must end up the same byte by byte; with one, only what the damaged bytes held.`,
		Example: `  bench faults --kills 1000 --damage none
  bench faults --kills 0 --nodes 3
  bench faults --kills 0 --damage flip-sealed,cut-sealed --keep --dir /tmp/faults`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.seed == 0 {
				f.seed = uint64(time.Now().UnixNano()) % 1_000_000
			}
			return f.run(cmd.Context())
		},
	}
	flags := cmd.Flags()
	flags.Uint64Var(&f.seed, "seed", 0, "what moments, files and bits are drawn from (default: some number, printed)")
	flags.IntVar(&f.nodes, "nodes", 1, "brokers: 1 or 3")
	flags.IntVar(&f.kills, "kills", 1000, "how often a broker is killed; 0: not at all")
	flags.IntVar(&f.rate, "rate", 2000, "records a second, all producers together")
	flags.StringSliceVar(&f.damage, "damage", nil, "kinds of damage (default: all; none: none)")
	flags.BoolVar(&f.keep, "keep", false, "keep the directory even if all is well")
	return cmd
}

func (o *faultsOptions) run(ctx context.Context) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if o.nodes != 1 && o.nodes != 3 {
		return errors.New("--nodes is 1 or 3")
	}
	kinds, err := damagesNamed(o.damage)
	if err != nil {
		return err
	}
	dir, remove, err := o.workdir()
	if err != nil {
		return err
	}
	fmt.Printf("seed %d, %d nodes, directory %s\n", o.seed, o.nodes, dir)
	if o.kills > 0 {
		err = o.killOften(ctx, filepath.Join(dir, "kills"))
	}
	if len(kinds) > 0 && ctx.Err() == nil {
		err = errors.Join(err, o.damageAll(ctx, dir, kinds))
	}
	if err = errors.Join(err, ctx.Err()); err != nil || o.keep {
		fmt.Println("kept:", dir)
		return err
	}
	remove()
	return nil
}

// faultsTopic is the topic that suffers, and is judged.
const faultsTopic = "faults"

// trial is a cluster under load, and the history of its clients.
type trial struct {
	cluster *cluster
	people  *crowd
	file    *os.File

	endProducing, endReading, end context.CancelFunc
	giveUp                        context.Context
	producers, readers            errgroup.Group
}

// begin starts a cluster in dir with small segments, makes the topic, and lets clients use it.
func (o *faultsOptions) begin(ctx context.Context, dir string, partitions int32, extra ...string) (*trial, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	c, err := newCluster(o.options, dir, o.nodes, false, append(o.replicas(), extra...)...)
	if err != nil {
		return nil, err
	}
	file, err := os.Create(filepath.Join(dir, "history"))
	if err != nil {
		return nil, err
	}
	t := &trial{cluster: c, file: file, people: newCrowd(c, history.NewRecorder(file), []string{faultsTopic}, partitions, o.rate)}
	if err := t.prepare(ctx, o.nodes, partitions); err != nil {
		t.close()
		return nil, err
	}
	var producing, reading context.Context
	t.giveUp, t.end = context.WithCancel(ctx)
	producing, t.endProducing = context.WithCancel(ctx)
	reading, t.endReading = context.WithCancel(ctx)
	for i := range uint64(2) {
		t.producers.Go(func() error { return t.people.produce(producing, t.giveUp, o.seed+i, 0.5, 0) })
	}
	t.readers.Go(func() error { return t.people.member(reading, "steady", o.seed, 0) })
	t.readers.Go(func() error { return t.people.watch(reading, o.seed, 0) })
	return t, nil
}

// replicas are settings about how many of everything there are.
func (o *faultsOptions) replicas() []string {
	min := (o.nodes + 1) / 2
	return []string{fmt.Sprintf("default.replication.factor=%d", o.nodes), fmt.Sprintf("min.insync.replicas=%d", min), fmt.Sprintf("offsets.topic.replication.factor=%d", o.nodes),
		"offsets.topic.num.partitions=2", "group.initial.rebalance.delay.ms=100"}
}

func (t *trial) prepare(ctx context.Context, replicas int, partitions int32) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := t.cluster.startAll(); err != nil {
		return err
	}
	if err := t.cluster.awaitLeaders(ctx); err != nil {
		return err
	}
	client, err := t.cluster.kafka()
	if err != nil {
		return err
	}
	defer client.Close()
	size := "1048576"
	if _, err := kadm.NewClient(client).CreateTopic(ctx, partitions, int16(replicas), map[string]*string{"segment.bytes": &size}, faultsTopic); err != nil {
		return fmt.Errorf("create topic: %w", err)
	}
	return t.cluster.awaitLeaders(ctx, faultsTopic)
}

// finish lets the clients come to an end, reads everything once more, stops the cluster, and names what is wrong so far. The history can be judged afterwards.
func (t *trial) finish(ctx context.Context) (problems []string) {
	t.endProducing()
	time.AfterFunc(settleLimit, t.end)
	if err := t.producers.Wait(); err != nil {
		problems = append(problems, err.Error())
	}
	problems = append(problems, t.people.awaitGroups(ctx, "steady")...)
	t.endReading()
	if err := t.readers.Wait(); err != nil {
		problems = append(problems, err.Error())
	}
	problems = append(problems, t.people.finalReading(ctx)...)
	if err := t.people.recorder.Flush(); err != nil {
		problems = append(problems, err.Error())
	}
	problems = append(problems, t.cluster.compareReplicas(ctx, t.people.topics)...)
	for _, m := range t.cluster.nodes {
		problems = append(problems, m.unexpected()...)
	}
	t.cluster.stopAll()
	return append(problems, t.cluster.inspect(t.people.topics)...)
}

// verdict judges the history.
func (t *trial) verdict() (*history.Verdict, error) {
	if _, err := t.file.Seek(0, 0); err != nil {
		return nil, err
	}
	return history.CheckFile(t.file)
}

// close ends whatever still runs. May be called after finish.
func (t *trial) close() {
	if t.end != nil {
		t.endProducing()
		t.endReading()
		t.end()
		_ = t.producers.Wait() // it was interrupted, or has said what was wrong before
		_ = t.readers.Wait()
	}
	t.cluster.close()
	_ = t.file.Close() // what it holds was flushed, or nobody wants it
}

// failed prints problems and makes an error of them, nil if there are none.
func failed(problems []string) error {
	for _, p := range problems {
		fmt.Println("PROBLEM", p)
	}
	if len(problems) == 0 {
		return nil
	}
	return fmt.Errorf("%d problems, first: %s", len(problems), strings.SplitN(problems[0], "\n", 2)[0])
}
