package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
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
	kafkajs    string
	goals      goals
}

func newChaos(o *options) *cobra.Command {
	c := chaosOptions{options: o}
	cmd := &cobra.Command{
		Use:   "chaos",
		Short: "Let three brokers suffer while clients use them, then check what the clients saw",
		Long: `Three brokers, processes of their own, are killed, paused, cut off and slowed down, their disks fill up, their clocks jump, their partitions change leaders
and replicas, as drawn from --seed, while producers (idempotent, acks=all) and consumers (groups and without) use them, through franz-go and, where it is installed
(make clients), kafkajs. What the clients saw is kept in DIR/history; when the faults are over everything is read once more and judged, and the segment files of
all replicas are compared byte by byte. As root the brokers live in network namespaces and have file systems of their own; else they share the loopback interface and
the disk, and are not cut off from each other. A run ends with an error if a promise was broken, or a goal was not reached. The same seed and flags draw the same faults.`,
		Example: `  bench chaos --for 30m --pace 1.4 --goals kills=200,cuts=100,acked=1000000
  bench chaos --for 3m --faults move,kill --seed 7 --keep --dir /tmp/chaos`,
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
	f.StringVar(&c.kafkajs, "kafkajs", "test/clients/kafkajs/chaos.js", "the program that uses kafkajs; empty: without")
	f.StringToInt64Var((*map[string]int64)(&c.goals), "goals", nil, "how much there must have been in the end: kills, cuts, transfers, moves, acked=number")
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
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	signal.Ignore(syscall.SIGPIPE) // whoever reads what is printed may go away: mounts and namespaces have to be removed all the same
	if err := o.goals.validate(); err != nil {
		return err
	}
	dir, remove, err := o.workdir()
	if err != nil {
		return err
	}
	err = o.runIn(ctx, dir)
	if !o.dry && (err != nil || o.keep) {
		fmt.Printf("kept: %s (a node's disk, if it has one of its own: mount -o loop node1.disk node1/disk)\n", dir)
		return err
	}
	remove()
	return err
}

// runIn does everything, and leaves nothing behind but the files in dir.
func (o *chaosOptions) runIn(ctx context.Context, dir string) error {
	isolated := !o.loopback && os.Geteuid() == 0
	c, err := newCluster(o.options, dir, 3, isolated, "offsets.topic.num.partitions="+strconv.Itoa(int(o.partitions)), "group.initial.rebalance.delay.ms=500")
	if err != nil {
		return err
	}
	defer c.close()
	if len(o.kinds) == 0 {
		o.kinds = faultNames(c.capabilities(isolated))
	} else if err := c.require(isolated, o.kinds); err != nil {
		return err
	}
	faults := schedule(o.seed, o.length, len(c.nodes), o.pace, o.kinds)
	fmt.Printf("seed %d, %v, %d faults (%s), namespaces %v, directory %s\n", o.seed, o.length, len(faults), tallyFaults(faults), isolated, dir)
	if o.dry {
		for _, f := range faults {
			fmt.Println(f)
		}
		return nil
	}
	return o.suffer(ctx, c, faults)
}

// capabilities finds out what kinds of faults this machine allows, and prepares for them.
func (c *cluster) capabilities(isolated bool) map[need]bool {
	have := map[need]bool{namespaces: isolated}
	if isolated {
		var err error
		if c.disks, err = newDisks(c.nodes); err != nil {
			fmt.Printf("nodes have no disks of their own here: %v\n", err)
		}
	}
	have[volumes], have[throttle] = c.disks != nil, c.disks.canSlow()
	err := canJumpClocks()
	if err != nil {
		fmt.Printf("clocks do not jump here: %v\n", err)
	}
	have[clocks] = err == nil
	return have
}

// require fails if this machine does not allow one of the kinds that were asked for.
func (c *cluster) require(isolated bool, kinds []string) error {
	have := c.capabilities(isolated)
	for _, name := range kinds {
		at := slices.IndexFunc(faultKinds, func(k faultKind) bool { return k.name == name })
		if at < 0 {
			return fmt.Errorf("there are no faults of the kind %q", name)
		}
		if needs := faultKinds[at].needs; needs != nothing && !have[needs] {
			return fmt.Errorf("this machine does not allow faults of the kind %q", name)
		}
	}
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
	c.moving, c.partitions = topics, o.partitions
	people := newCrowd(c, history.NewRecorder(file), topics, o.partitions, o.rate)
	problems := o.live(ctx, c, people, faults)
	if ctx.Err() != nil {
		return errors.Join(errors.New("interrupted: not judged"), people.recorder.Flush())
	}
	if err := c.makeWhole(ctx); err != nil {
		problems = append(problems, err.Error())
	}
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
		problems = append(problems, complaints(m.log(), c.expected(o.kinds)...)...)
	}
	people.report()
	if said := c.done.refused.String(); said != "" {
		fmt.Println(said)
	}
	if _, err := file.Seek(0, 0); err != nil {
		return err
	}
	verdict := errors.Join(judge(file), o.goals.judge(c.done.counts(people.acked.Load())))
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
	groups := []string{"steady", "restless"}
	if foreign := o.findKafkajs(people); foreign != nil {
		producers.Go(func() error { return foreign.produce(producing, giveUp, o.seed, 0.1) })
		readers.Go(func() error { return foreign.member(reading, "kafkajs", o.seed, 0) })
		readers.Go(func() error { return foreign.member(reading, "kafkajs", o.seed+1, 20*time.Second) })
		groups = append(groups, "kafkajs")
	}
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
	producers.Go(func() error { return c.awaitAllLed(giveUp, healed) })
	if err := producers.Wait(); err != nil {
		problems = append(problems, err.Error())
		c.dump()
	}
	fmt.Printf("all producers answered %v after the last fault\n", time.Since(healed).Round(time.Millisecond))
	problems = append(problems, people.awaitGroups(ctx, groups...)...)
	endReading()
	if err := readers.Wait(); err != nil {
		problems = append(problems, err.Error())
	}
	return problems
}

// awaitAllLed waits until every node names leaders of everything, and says how long that took after the last fault.
func (c *cluster) awaitAllLed(ctx context.Context, healed time.Time) error {
	err := c.awaitLeaders(ctx, append([]string{"__consumer_offsets"}, c.moving...)...)
	if err == nil {
		fmt.Printf("all partitions had leaders %v after the last fault\n", time.Since(healed).Round(time.Millisecond))
	}
	return err
}

// findKafkajs returns nil, and says why, where it cannot be used.
func (o *chaosOptions) findKafkajs(people *crowd) *kafkajs {
	if o.kafkajs == "" {
		return nil
	}
	foreign, err := findKafkajs(people, o.kafkajs)
	if err != nil {
		fmt.Printf("without kafkajs: %v\n", err)
	}
	return foreign
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
	fmt.Printf("acknowledged through kafkajs: %d\n", c.ackedByKafkajs.Load())
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
