package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// moving is a fourth broker that joins three, takes its share under load, and one of the three that leaves.
type moving struct {
	cluster    *cluster
	topic      string
	partitions int32
	clients    int
	bytes      int64 // produced before anything moves
	rate       int64 // bytes a second that are produced, 0: as fast as it goes
	window     time.Duration
}

func newMove(o *options) *cobra.Command {
	m := moving{topic: "move"}
	var gb, rate float64
	c := &cobra.Command{
		Use:   "move",
		Short: "Three brokers under load: a fourth joins and takes its share, another is emptied, loses its vote and leaves",
		RunE: func(cmd *cobra.Command, _ []string) error {
			m.bytes, m.rate = int64(gb*1e9), int64(rate*1e6)
			return m.bench(cmd.Context(), o)
		},
	}
	c.Flags().Float64Var(&gb, "gb", 2, "GB that are there before anything moves")
	c.Flags().Int32Var(&m.partitions, "partitions", 12, "partitions of the topic")
	c.Flags().IntVar(&m.clients, "clients", 2, "producers; there is a group of two consumers besides")
	c.Flags().Float64Var(&rate, "rate", 0, "MB/s that producers send, all together (0: as fast as it goes)")
	c.Flags().DurationVar(&m.window, "window", 8*time.Second, "how long producers are measured before and afterwards")
	return c
}

func (m *moving) bench(ctx context.Context, o *options) (err error) {
	var end func()
	if m.cluster, end, err = o.startCluster(3, "broker.session.timeout.ms=3000", "broker.heartbeat.interval.ms=500", "offsets.topic.num.partitions=4"); err != nil {
		return err
	}
	defer end()
	if err := m.cluster.makeTopic(ctx, m.topic, m.partitions); err != nil {
		return err
	}
	fmt.Printf("load average %s\n", loadAverage())
	readers, err := m.consume(ctx)
	if err != nil {
		return err
	}
	producers, err := m.cluster.produceTo(m.topic, m.partitions, m.clients, m.rate)
	if err != nil {
		return err
	}
	err = m.underLoad(ctx, producers)
	ending, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	err = errors.Join(err, producers.end(ending))
	acked := producers.acked.Load() / recordSize
	err = errors.Join(err, readers.end(ending, acked))
	if err == nil {
		fmt.Printf("clients saw no error; %d records were acknowledged and read by the group\n", acked)
	}
	return err
}

// underLoad does what an operator does.
func (m *moving) underLoad(ctx context.Context, producers *stream) error {
	if _, err := producers.until(ctx, m.bytes); err != nil {
		return err
	}
	before := producers.window(ctx, m.window)
	fmt.Printf("producers on three nodes: %.1f MB/s\n", before/1e6)
	four, err := m.cluster.join()
	if err != nil {
		return err
	}
	if err := four.start(); err != nil {
		return err
	}
	if err := m.cluster.awaitLeaders(ctx, m.topic); err != nil {
		return err
	}
	steps := []struct {
		what string
		args []string
	}{
		{"a fourth takes its share", []string{"cluster", "balance", "--execute"}},
		{"the fourth gets a vote", []string{"cluster", "voter", "add", "4"}},
		{"node 3 is emptied", []string{"cluster", "drain", "3", "--execute"}},
		{"node 3 loses its vote", []string{"cluster", "voter", "remove", "3"}},
	}
	for _, s := range steps {
		if err := m.step(ctx, producers, before, s.what, s.args...); err != nil {
			return err
		}
	}
	three := m.cluster.nodes[2]
	three.end(syscall.SIGTERM)
	if err := m.unregister(ctx, 3); err != nil {
		return err
	}
	m.cluster.nodes = slices.Delete(m.cluster.nodes, 2, 3)
	if err := m.cluster.awaitLeaders(ctx, m.topic); err != nil {
		return err
	}
	after := producers.window(ctx, m.window)
	fmt.Printf("node 3 has left; producers: %.1f MB/s, %.0f%% of before\n", after/1e6, 100*after/before)
	for _, member := range m.cluster.nodes {
		if lines := append(member.unexpected(), complaints(member.log())...); len(lines) > 0 {
			return fmt.Errorf("nodes complained: %s", strings.Join(lines, "; "))
		}
	}
	return nil
}

// join prepares one more node, which does not vote.
func (c *cluster) join() (*member, error) {
	added, err := newCluster(c.o, c.dir, len(c.nodes)+1, false)
	if err != nil {
		return nil, err
	}
	m := added.nodes[len(c.nodes)]
	m.cluster, m.joins = c, true
	c.nodes = append(c.nodes, m)
	return m, nil
}

// step runs one command of the CLI, which waits until it is done, and says what was copied and what it cost.
func (m *moving) step(ctx context.Context, producers *stream, before float64, what string, args ...string) error {
	four := m.cluster.nodes[3]
	k := catchup{cluster: m.cluster, topic: m.topic}
	had, acked, begun := k.stored(four), producers.acked.Load(), time.Now()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, m.cluster.o.binary, append(args, "-b", m.cluster.nodes[0].address())...)
	out, err := command.CombinedOutput()
	if err != nil {
		return fmt.Errorf("barnabas %s: %w: %s", strings.Join(args, " "), err, out)
	}
	took := time.Since(begun)
	rate := float64(producers.acked.Load()-acked) / took.Seconds()
	gained := float64(max(0, k.stored(four)-had))
	fmt.Printf("%s: %v; node 4 wrote %.2f GB more, %.0f MB/s; producers meanwhile %.1f MB/s, %.0f%% of before\n", what, took.Round(time.Millisecond), gained/1e9,
		gained/1e6/took.Seconds(), rate/1e6, 100*rate/before)
	return nil
}

// unregister makes the cluster forget a node that has stopped, once it is fenced.
func (m *moving) unregister(ctx context.Context, id int32) error {
	client, err := m.cluster.kafka()
	if err != nil {
		return err
	}
	defer client.Close()
	for limit := time.Now().Add(30 * time.Second); time.Now().Before(limit); time.Sleep(100 * time.Millisecond) {
		found, err := kadm.NewClient(client).Metadata(ctx)
		if err == nil && !slices.Contains(found.Brokers.NodeIDs(), id) {
			answer, err := (&kmsg.UnregisterBrokerRequest{BrokerID: id}).RequestWith(ctx, client)
			if err != nil {
				return err
			}
			return kerr.ErrorForCode(answer.ErrorCode)
		}
	}
	return fmt.Errorf("node %d does not go", id)
}

// readers are a group of consumers.
type readers struct {
	stop  context.CancelFunc
	work  sync.WaitGroup
	count atomic.Int64

	mu     sync.Mutex // guards following
	errors []error
}

func (m *moving) consume(ctx context.Context) (*readers, error) {
	ctx, cancel := context.WithCancel(ctx)
	r := &readers{stop: cancel}
	for range 2 {
		client, err := m.cluster.kafka(kgo.ConsumerGroup("movers"), kgo.ConsumeTopics(m.topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		if err != nil {
			cancel()
			return nil, err
		}
		r.work.Go(func() {
			defer client.Close()
			for ctx.Err() == nil {
				fetches := client.PollRecords(ctx, 50_000)
				r.count.Add(int64(fetches.NumRecords()))
				fetches.EachError(func(topic string, partition int32, err error) {
					if ctx.Err() == nil {
						r.mu.Lock()
						r.errors = append(r.errors, fmt.Errorf("read %s-%d: %w", topic, partition, err))
						r.mu.Unlock()
					}
				})
			}
		})
	}
	return r, nil
}

// end waits until the group has read that many records, and returns what its members saw. A record may be read twice, when the group moves.
func (r *readers) end(ctx context.Context, records int64) error {
	var late error
	for r.count.Load() < records && late == nil {
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			late = fmt.Errorf("the group has read %d of %d records", r.count.Load(), records)
		}
	}
	r.stop()
	r.work.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	return errors.Join(append(r.errors, late)...)
}
