package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

func newPartitions(o *options) *cobra.Command {
	var first, many int32
	var idle time.Duration
	c := &cobra.Command{
		Use:   "partitions",
		Short: "Three brokers with many partitions: how soon a new topic is writable, what idle ones cost, a node's death, a restart",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return benchPartitions(cmd.Context(), o, first, many, idle)
		},
	}
	c.Flags().Int32Var(&first, "new", 100, "partitions of the topic whose creation is timed")
	c.Flags().Int32Var(&many, "many", 1000, "partitions in all, for what follows")
	c.Flags().DurationVar(&idle, "idle", 30*time.Second, "how long they idle before processor time is read")
	return c
}

func benchPartitions(ctx context.Context, o *options, first, many int32, idle time.Duration) error {
	c, end, err := o.startCluster(3)
	if err != nil {
		return err
	}
	defer end()
	if err := c.timeCreation(ctx, "new", first); err != nil {
		return err
	}
	if many <= first {
		return nil
	}
	if err := c.timeCreation(ctx, "many", many-first); err != nil {
		return err
	}
	if err := c.reportIdle(idle); err != nil {
		return err
	}
	if err := c.timeDeath(ctx, many, "new", "many"); err != nil {
		return err
	}
	return c.timeRestart(ctx, many, "new", "many")
}

// timeCreation makes a topic and times until each partition has acknowledged a record.
func (c *cluster) timeCreation(ctx context.Context, topic string, partitions int32) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	if err := c.awaitLeaders(ctx); err != nil {
		return err
	}
	client, err := c.kafka(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0), kgo.UnknownTopicRetries(-1))
	if err != nil {
		return err
	}
	defer client.Close()
	if err := client.Ping(ctx); err != nil {
		return err
	}
	begun := time.Now()
	if _, err := kadm.NewClient(client).CreateTopic(ctx, partitions, 3, nil, topic); err != nil {
		return fmt.Errorf("create topic: %w", err)
	}
	created := time.Since(begun)
	records := make([]*kgo.Record, partitions)
	for i := range records {
		records[i] = &kgo.Record{Topic: topic, Partition: int32(i), Value: []byte("first")}
	}
	if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return err
	}
	fmt.Printf("%d partitions × 3: CreateTopics answered after %v, every partition had acknowledged a record after %v\n", partitions,
		created.Round(time.Millisecond), time.Since(begun).Round(time.Millisecond))
	return nil
}

// reportIdle prints what nodes that have nothing to do cost.
func (c *cluster) reportIdle(idle time.Duration) error {
	time.Sleep(10 * time.Second) // leaders find their places, garbage is collected
	before := make([]time.Duration, len(c.nodes))
	for i, m := range c.nodes {
		var err error
		if before[i], err = m.running().cpu(); err != nil {
			return err
		}
	}
	time.Sleep(idle)
	var total time.Duration
	for i, m := range c.nodes {
		after, err := m.running().cpu()
		if err != nil {
			return err
		}
		rss, peak, err := m.running().memory()
		if err != nil {
			return err
		}
		used := after - before[i]
		total += used
		fmt.Printf("node %d, idle for %v: %.1f%% of a core, %.0f MiB resident, %.0f at its peak\n", m.number, idle, 100*used.Seconds()/idle.Seconds(), mib(rss), mib(peak))
	}
	fmt.Printf("all nodes together: %.1f%% of a core\n", 100*total.Seconds()/idle.Seconds())
	return nil
}

// allLed asks node m until it names a leader other than except for every partition.
func (m *member) allLed(ctx context.Context, partitions int32, except int32, topics ...string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(m.address()), kgo.RequestRetries(0), kgo.DialTimeout(time.Second),
		kgo.MetadataMinAge(10*time.Millisecond)) // or the client answers from what it was told up to 5 s ago
	if err != nil {
		return err
	}
	defer client.Close()
	last := errors.New("never asked")
	for ; ctx.Err() == nil; time.Sleep(10 * time.Millisecond) {
		once, cancel := context.WithTimeout(ctx, 3*time.Second)
		found, err := kadm.NewClient(client).Metadata(once, topics...)
		cancel()
		if err != nil {
			last = err
			continue
		}
		led := int32(0)
		found.Topics.EachPartition(func(p kadm.PartitionDetail) {
			if p.Leader > 0 && p.Leader != except {
				led++
			}
		})
		if led == partitions {
			return nil
		}
		last = fmt.Errorf("node %d knows the leaders of %d of %d partitions", m.number, led, partitions)
	}
	return errors.Join(ctx.Err(), last)
}

// timeDeath kills a node and times until the others name living leaders for all partitions.
func (c *cluster) timeDeath(ctx context.Context, partitions int32, topics ...string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	begun := time.Now()
	c.nodes[2].end(syscall.SIGKILL)
	for _, m := range c.nodes[:2] {
		if err := m.allLed(ctx, partitions, 3, topics...); err != nil {
			return err
		}
		fmt.Printf("a node was killed: node %d names living leaders for all %d partitions after %v\n", m.number, partitions, time.Since(begun).Round(time.Millisecond))
	}
	return nil
}

// timeRestart stops and starts all nodes and times until each of them names a leader for every partition.
func (c *cluster) timeRestart(ctx context.Context, partitions int32, topics ...string) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	begun := time.Now()
	c.stopAll()
	fmt.Printf("the nodes stopped in %v\n", time.Since(begun).Round(time.Millisecond))
	begun = time.Now()
	if err := c.startAll(); err != nil {
		return err
	}
	for _, m := range c.nodes {
		if err := m.allLed(ctx, partitions, -1, topics...); err != nil {
			return err
		}
	}
	fmt.Printf("full restart: every node names a leader for all %d partitions after %v\n", partitions, time.Since(begun).Round(time.Millisecond))
	for _, m := range c.nodes {
		for _, d := range m.unexpected() {
			fmt.Println(d)
		}
	}
	return nil
}
