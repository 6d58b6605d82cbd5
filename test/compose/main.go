package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// options of a run.
type options struct {
	brokers string
	fault   string // shell command
	heal    string // shell command
	limit   time.Duration
	rate    int
	before  time.Duration // of the fault, between fault and healing, and after
	between time.Duration
	after   time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.brokers, "brokers", "127.0.0.1:9092,127.0.0.1:9093,127.0.0.1:9094", "host:port of brokers")
	flag.StringVar(&o.fault, "fault", "true", "the command that takes a node away")
	flag.StringVar(&o.heal, "heal", "true", "the command that brings it back")
	flag.DurationVar(&o.limit, "limit", 3*time.Second, "how long a producer may go without an acknowledgement")
	flag.IntVar(&o.rate, "rate", 200, "records a second of each producer")
	flag.DurationVar(&o.before, "before", 3*time.Second, "time before the fault")
	flag.DurationVar(&o.between, "between", 5*time.Second, "time between the fault and the healing")
	flag.DurationVar(&o.after, "after", 5*time.Second, "time after the healing")
	flag.Parse()
	if flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "usage: compose [flags] NAME=COMMAND ...: each command is a client of test/clients without its arguments; NAME/N=COMMAND writes to partition N only")
		os.Exit(2)
	}
	if err := run(context.Background(), o, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options, clients []string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(o.brokers, ",")...), kgo.MetadataMinAge(100*time.Millisecond))
	if err != nil {
		return err
	}
	defer client.Close()
	var producers []*producer
	defer func() {
		for _, p := range producers {
			_ = p.command.Process.Kill() // for the one that fails; the others are gone
		}
	}()
	for _, named := range clients {
		name, command, _ := strings.Cut(named, "=")
		name, pinned, _ := strings.Cut(name, "/")
		topic := fmt.Sprintf("pause-%s%s-%d", name, pinned, time.Now().UnixNano())
		if _, err := kadm.NewClient(client).CreateTopic(ctx, 6, 3, nil, topic); err != nil {
			return fmt.Errorf("create %s: %w", topic, err)
		}
		p, err := startProducer(name, pinned, append(strings.Fields(command), o.brokers, "produce", topic, "idempotent=true", "timeout=60000"), topic, o.rate)
		if err != nil {
			return err
		}
		producers = append(producers, p)
	}
	failed := suffer(o, producers)
	var slow error
	for _, p := range producers {
		if err := p.finish(); err != nil {
			return err
		}
		gap, at := p.longestGap()
		counted, err := verify(ctx, client, p)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		fmt.Printf("    %-9s longest pause %5d ms (%.1f s after the fault); %d records acknowledged, all there, once, in order\n",
			p.name, gap.Milliseconds(), at.Sub(failed).Seconds(), counted)
		if gap > o.limit {
			slow = fmt.Errorf("%s paused for %s, allowed are %s", p.name, gap, o.limit)
		}
	}
	return slow
}

// suffer runs the fault and the healing while the producers go on, and says when the fault began.
func suffer(o options, producers []*producer) time.Time {
	for _, p := range producers {
		p.awaitFirst()
	}
	time.Sleep(o.before)
	failed := time.Now()
	shell(o.fault)
	time.Sleep(o.between)
	shell(o.heal)
	time.Sleep(o.after)
	return failed
}

func shell(command string) {
	if out, err := exec.Command("sh", "-c", command).CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n%s", command, err, out)
	}
}

// verify reads what p wrote, from the start to the end.
func verify(ctx context.Context, client *kgo.Client, p *producer) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	client.AddConsumeTopics(p.topic)
	seen := make([]bool, p.sent)
	last := map[int32]int{}
	count := 0
	for count < p.sent {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return count, fmt.Errorf("%d of %d records are there", count, p.sent)
		}
		var problem error
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Topic != p.topic {
				return
			}
			var number int
			if _, err := fmt.Sscanf(string(r.Value), "%d", &number); err != nil || number < 0 || number >= p.sent {
				problem = fmt.Errorf("partition %d offset %d: a record that nobody wrote: %q", r.Partition, r.Offset, r.Value)
				return
			}
			if before, ok := last[r.Partition]; seen[number] || ok && before > number {
				problem = fmt.Errorf("partition %d offset %d: record %d is a duplicate or out of order", r.Partition, r.Offset, number)
			}
			seen[number], last[r.Partition] = true, number
			count++
		})
		if problem != nil {
			return count, problem
		}
	}
	return count, nil
}

// gauge is when acknowledgements came.
type gauge struct {
	mu    sync.Mutex // guards following
	times []time.Time
	acked int
	first chan struct{} // closed with the first acknowledgement
}

func (g *gauge) mark(acked int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.times) == 0 {
		close(g.first)
	}
	g.times, g.acked = append(g.times, time.Now()), acked
}

// longestGap between two acknowledgements, and when it began.
func (g *gauge) longestGap() (longest time.Duration, at time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := 1; i < len(g.times); i++ {
		if gap := g.times[i].Sub(g.times[i-1]); gap > longest {
			longest, at = gap, g.times[i-1]
		}
	}
	return longest, at
}
