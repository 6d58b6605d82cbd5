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
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"golang.org/x/sync/errgroup"

	"github.com/barnabas-log/barnabas/internal/history"
)

// chaosOptions say what a run does.
type chaosOptions struct {
	*options
	seed       uint64
	length     time.Duration
	rate       int
	topics     int
	partitions int32
	pace       float64
	kinds      []string
	loopback   bool
	keep       bool
	dry        bool
}

func newChaos(o *options) *cobra.Command {
	c := chaosOptions{options: o}
	cmd := &cobra.Command{
		Use:   "chaos",
		Short: "Let three brokers suffer while clients use them, then check what the clients saw",
		Long: `Three brokers, processes of their own, are killed, paused, cut off and slowed down, as drawn from --seed, while producers (idempotent, acks=all) and consumers
(groups and without) use them. What the clients saw is kept in DIR/history; when the faults are over everything is read once more and judged, and the
segment files of all replicas are compared byte by byte. As root the brokers live in network namespaces; else they share the loopback interface and
are not cut off from each other. A run ends with an error if a promise was broken. The same seed and flags draw the same faults.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if c.seed == 0 {
				c.seed = uint64(time.Now().UnixNano()) % 1_000_000
			}
			return c.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.Uint64Var(&c.seed, "seed", 0, "what the faults are drawn from (default: some number, printed)")
	f.DurationVar(&c.length, "for", time.Minute, "how long the faults go on")
	f.IntVar(&c.rate, "rate", 1500, "records a second, all producers together")
	f.IntVar(&c.topics, "topics", 2, "topics")
	f.Int32Var(&c.partitions, "partitions", 4, "partitions of each topic")
	f.Float64Var(&c.pace, "pace", 1, "how dense the faults are: at 2 the pauses between them are half as long")
	f.StringSliceVar(&c.kinds, "faults", nil, "kinds of faults to draw from (default: all that this machine allows)")
	f.BoolVar(&c.loopback, "loopback", false, "share the loopback interface even as root")
	f.BoolVar(&c.keep, "keep", false, "keep the directory even if all is well")
	f.BoolVar(&c.dry, "dry", false, "print the faults and do nothing")
	cmd.AddCommand(newCheck())
	return cmd
}

// newCheck judges the history of an earlier run again.
func newCheck() *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE",
		Short: "Judge the history of an earlier run",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			f, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			return judge(f)
		},
	}
}

var errBroken = errors.New("promises were broken")

func judge(f *os.File) error {
	verdict, err := history.CheckFile(f)
	if err != nil {
		return err
	}
	fmt.Println(verdict)
	if !verdict.Sound() {
		return errBroken
	}
	return nil
}

func (o *chaosOptions) run(ctx context.Context) (err error) {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	dir, remove, err := o.workdir()
	if err != nil {
		return err
	}
	isolated := !o.loopback && os.Geteuid() == 0
	c, err := newCluster(o.options, dir, 3, isolated, "offsets.topic.num.partitions=8", "group.initial.rebalance.delay.ms=500")
	if err != nil {
		return err
	}
	defer c.close()
	if c.disks, err = newDisks(dir, len(c.nodes)); err != nil {
		fmt.Printf("disks cannot be slowed down here: %v\n", err)
	}
	if len(o.kinds) == 0 {
		o.kinds = faultNames(isolated, c.disks != nil)
	}
	faults := schedule(o.seed, o.length, len(c.nodes), o.pace, o.kinds)
	fmt.Printf("seed %d, %v, %d faults (%s), namespaces %v, directory %s\n", o.seed, o.length, len(faults), tallyFaults(faults), isolated, dir)
	if o.dry {
		for _, f := range faults {
			fmt.Println(f)
		}
		return nil
	}
	err = o.suffer(ctx, c, faults)
	if err != nil || o.keep {
		fmt.Printf("kept: %s\n", dir)
		return err
	}
	remove()
	return nil
}

// settleLimit is how long the cluster may take, after the last fault, to answer all that was asked of it, and to have equal replicas.
const settleLimit = time.Minute

// suffer runs the whole of it on a cluster that has not been started.
func (o *chaosOptions) suffer(ctx context.Context, c *cluster, faults []fault) error {
	file, err := os.Create(filepath.Join(c.dir, "history"))
	if err != nil {
		return err
	}
	defer file.Close()
	topics := make([]string, o.topics)
	for i := range topics {
		topics[i] = fmt.Sprintf("chaos%d", i)
	}
	if err := c.startAll(); err != nil {
		return err
	}
	if err := o.createTopics(ctx, c, topics); err != nil {
		return err
	}
	people := newCrowd(c, history.NewRecorder(file), topics, o.partitions, o.rate)
	problems := o.live(ctx, c, people, faults)
	problems = append(problems, people.finalReading(ctx)...)
	if err := people.recorder.Flush(); err != nil {
		return err
	}
	problems = append(problems, c.compareReplicas(ctx, topics)...)
	for _, m := range c.nodes {
		problems = append(problems, m.unexpected()...)
	}
	c.stopAll()
	problems = append(problems, c.inspect(topics)...)
	for _, m := range c.nodes {
		problems = append(problems, complaints(m.log())...)
	}
	people.report()
	if _, err := file.Seek(0, 0); err != nil {
		return err
	}
	verdict := judge(file)
	for _, p := range problems {
		fmt.Println("PROBLEM", p)
	}
	if len(problems) > 0 {
		return errors.Join(verdict, fmt.Errorf("%d problems", len(problems)))
	}
	return verdict
}

func (o *chaosOptions) createTopics(ctx context.Context, c *cluster, topics []string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := c.awaitLeaders(ctx); err != nil {
		return err
	}
	client, err := c.kafka()
	if err != nil {
		return err
	}
	defer client.Close()
	two := "2"
	created, err := kadm.NewClient(client).CreateTopics(ctx, o.partitions, 3, map[string]*string{"min.insync.replicas": &two}, topics...)
	if err != nil {
		return err
	}
	for _, t := range created.Sorted() {
		if t.Err != nil && !errors.Is(t.Err, kerr.TopicAlreadyExists) {
			return fmt.Errorf("create topic %s: %w", t.Topic, t.Err)
		}
	}
	return c.awaitLeaders(ctx, topics...)
}

// live runs clients and faults, heals everything, and lets the clients finish.
func (o *chaosOptions) live(ctx context.Context, c *cluster, people *crowd, faults []fault) (problems []string) {
	producing, endProducing := context.WithCancel(ctx)
	reading, endReading := context.WithCancel(ctx)
	giveUp, end := context.WithCancel(ctx)
	defer end()
	defer endReading()
	defer endProducing()
	var producers, readers errgroup.Group
	for i := range uint64(4) {
		life := time.Duration(0)
		if i == 3 {
			life = 10 * time.Second
		}
		producers.Go(func() error { return people.produce(producing, giveUp, o.seed+i, 0.25, life) })
	}
	readers.Go(func() error { return people.member(reading, "steady", o.seed, 0) })
	readers.Go(func() error { return people.member(reading, "steady", o.seed+1, 0) })
	readers.Go(func() error { return people.member(reading, "restless", o.seed+2, 0) })
	readers.Go(func() error { return people.member(reading, "restless", o.seed+3, 12*time.Second) })
	readers.Go(func() error { return people.watch(reading, o.seed, 0) })
	readers.Go(func() error { return people.watch(reading, o.seed+1, 15*time.Second) })

	problems = append(problems, c.inflict(ctx, faults, o.length)...)
	healed := time.Now()
	fmt.Printf("faults are over: %d acknowledged\n", people.acked.Load())
	endProducing()
	time.AfterFunc(settleLimit, end)
	if err := producers.Wait(); err != nil {
		problems = append(problems, err.Error())
		c.dump()
	}
	fmt.Printf("all producers answered %v after the last fault\n", time.Since(healed).Round(time.Millisecond))
	problems = append(problems, people.awaitGroups(ctx, "steady", "restless")...)
	endReading()
	if err := readers.Wait(); err != nil {
		problems = append(problems, err.Error())
	}
	return problems
}

// inflict carries the faults out, each at its time, and returns when all are healed.
func (c *cluster) inflict(ctx context.Context, faults []fault, length time.Duration) []string {
	begun := time.Now()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var problems []string
	sleep := func(d time.Duration) {
		select {
		case <-ctx.Done():
		case <-time.After(d):
		}
	}
	for _, f := range faults {
		if sleep(time.Until(begun.Add(f.at))); ctx.Err() != nil {
			break
		}
		wg.Go(func() {
			fmt.Println(f)
			heal, err := c.begin(f)
			sleep(f.length)
			if heal != nil {
				err = errors.Join(err, heal())
			}
			if err != nil {
				mu.Lock()
				problems = append(problems, fmt.Sprintf("%v: %v", f, err))
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if ctx.Err() == nil {
		sleep(time.Until(begun.Add(length)))
	}
	return problems
}

// begin makes a fault happen, and returns what makes it good.
func (c *cluster) begin(f fault) (heal func() error, err error) {
	switch f.kind {
	case "kill", "kill2", "killall":
		return f.process(c, func(m *member) error { m.end(syscall.SIGKILL); return nil }, (*member).start)
	case "restart":
		return f.process(c, func(m *member) error { m.end(syscall.SIGTERM); return nil }, (*member).start)
	case "pause":
		return f.process(c, func(m *member) error { return m.signal(syscall.SIGSTOP) }, func(m *member) error { return m.signal(syscall.SIGCONT) })
	case "slow":
		return f.process(c, func(m *member) error { return c.disks.limit(m.number, 40) }, func(m *member) error { return c.disks.limit(m.number, 0) })
	case "elect":
		return nil, c.electPreferred()
	}
	ways := f.ways(len(c.nodes))
	for _, w := range ways {
		err = errors.Join(err, c.network.cut(w[0], w[1]))
	}
	return func() error {
		var err error
		for _, w := range ways {
			err = errors.Join(err, c.network.heal(w[0], w[1]))
		}
		return err
	}, err
}

// process does something to the processes of all nodes that suffer, and returns what undoes it. A node that still suffers from an earlier fault, because that took longer
// than was planned, is left alone.
func (f fault) process(c *cluster, do, undo func(*member) error) (heal func() error, err error) {
	var victims []*member
	for _, n := range f.nodes {
		if m := c.nodes[n-1]; m.suffering.TryLock() {
			victims = append(victims, m)
		} else {
			fmt.Printf("         %-8s leaves node %d alone, it still suffers\n", f.kind, n)
		}
	}
	each := func(do func(*member) error) error {
		var all errgroup.Group
		for _, m := range victims {
			all.Go(func() error { return do(m) })
		}
		return all.Wait()
	}
	err = each(do)
	return func() error {
		defer func() {
			for _, m := range victims {
				m.suffering.Unlock()
			}
		}()
		return each(undo)
	}, err
}

// ways are the directions in which nothing goes during a fault of the network. Node 0 is where the clients are.
func (f fault) ways(size int) (ways [][2]int) {
	first := f.nodes[0]
	switch f.kind {
	case "cut":
		return [][2]int{{first, f.nodes[1]}, {f.nodes[1], first}}
	case "oneway":
		return [][2]int{{first, f.nodes[1]}}
	}
	for n := range size + 1 {
		if n == first || n == 0 && !f.clients {
			continue
		}
		if f.kind != "deaf" {
			ways = append(ways, [2]int{first, n})
		}
		if f.kind != "mute" {
			ways = append(ways, [2]int{n, first})
		}
	}
	return ways
}

// electPreferred asks for the preferred leaders. Whether it works out is not judged: the cluster suffers. A broker that does not know the request is fine as well.
func (c *cluster) electPreferred() error {
	client, err := c.kafka()
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_, _ = kadm.NewClient(client).ElectLeaders(ctx, kadm.ElectPreferredReplica, nil)
	return nil
}

// dump makes the nodes write their goroutines to their logs. It ends them.
func (c *cluster) dump() {
	fmt.Println("stuck: the goroutines of all nodes go to their logs")
	for _, m := range c.nodes {
		m.mu.Lock()
		m.wanted = false
		m.mu.Unlock()
		_ = m.signal(syscall.SIGQUIT)
	}
	time.Sleep(2 * time.Second)
	for _, m := range c.nodes {
		m.end(syscall.SIGKILL)
		if err := m.start(); err != nil {
			fmt.Println(err)
		}
	}
}

func (c *crowd) report() {
	fmt.Printf("acknowledged after: median %v, 99%% %v, 99.9%% %v, worst %v\n", c.waits.at(0.5), c.waits.at(0.99), c.waits.at(0.999), c.waits.worst.Round(time.Millisecond))
	c.mu.Lock()
	defer c.mu.Unlock()
	var lines []string
	for what, times := range c.oddness {
		lines = append(lines, fmt.Sprintf("client: %d × %s", times, what))
	}
	slices.Sort(lines)
	if len(lines) > 0 {
		fmt.Println(strings.Join(lines, "\n"))
	}
}
