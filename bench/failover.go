package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

func newFailover(o *options) *cobra.Command {
	var rounds, rate int
	c := &cobra.Command{
		Use:   "failover",
		Short: "Three brokers under load: kill the leader of a partition, and time until a produce to it is acknowledged again; then with SIGTERM",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return benchFailover(cmd.Context(), o, rounds, rate)
		},
	}
	c.Flags().IntVar(&rounds, "rounds", 20, "times that a leader is killed, and times that it is stopped")
	c.Flags().IntVar(&rate, "rate", 500, "records a second meanwhile")
	return c
}

func benchFailover(ctx context.Context, o *options, rounds, rate int) error {
	c, end, err := o.startCluster(3)
	if err != nil {
		return err
	}
	defer end()
	if err := c.makeTopic(ctx, "failover", 3); err != nil {
		return err
	}
	for _, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		f := failover{cluster: c, topic: "failover", partitions: 3, rate: rate}
		var pauses []time.Duration
		for range rounds {
			pause, err := f.round(ctx, sig)
			if err != nil {
				return err
			}
			pauses = append(pauses, pause)
		}
		slices.Sort(pauses)
		fmt.Printf("%v of the leader under %d records/s, time until its partition acknowledged again: median %v, worst %v over %d rounds (%v)\n", sig, rate,
			pauses[len(pauses)/2].Round(time.Millisecond), pauses[len(pauses)-1].Round(time.Millisecond), rounds, rounded(pauses))
	}
	return nil
}

func rounded(all []time.Duration) string {
	var s []string
	for _, d := range all {
		s = append(s, fmt.Sprint(d.Milliseconds()))
	}
	return strings.Join(s, " ") + " ms"
}

// makeTopic makes a topic with three replicas as soon as the cluster is there, and waits until it is led.
func (c *cluster) makeTopic(ctx context.Context, topic string, partitions int32) error {
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
	if _, err := kadm.NewClient(client).CreateTopic(ctx, partitions, 3, nil, topic); err != nil {
		return fmt.Errorf("create topic: %w", err)
	}
	return c.awaitLeaders(ctx, topic)
}

// failover measures how long partitions are not written to.
type failover struct {
	cluster    *cluster
	topic      string
	partitions int32
	rate       int
}

// settled waits until all three nodes lead what they should again, and returns the leader of a partition.
func (f *failover) settled(ctx context.Context, partition int32) (*member, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	client, err := f.cluster.kafka()
	if err != nil {
		return nil, err
	}
	defer client.Close()
	for ctx.Err() == nil {
		if err := f.cluster.awaitLeaders(ctx, f.topic); err != nil {
			return nil, err
		}
		found, err := kadm.NewClient(client).Metadata(ctx, f.topic)
		if err != nil {
			return nil, err
		}
		good := true
		for _, p := range found.Topics[f.topic].Partitions {
			good = good && p.Leader == p.Replicas[0] && len(p.ISR) == len(p.Replicas)
		}
		if leader := found.Topics[f.topic].Partitions[partition].Leader; good && leader > 0 {
			return f.cluster.nodes[leader-1], nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return nil, fmt.Errorf("the preferred leaders do not come back: %w", ctx.Err())
}

// acknowledgement of one record.
type acknowledgement struct{ sent, at time.Time }

// round ends the leader of partition 0 while records are produced, and returns how long that partition acknowledged nothing that was sent afterwards. The node is started
// again.
func (f *failover) round(ctx context.Context, sig syscall.Signal) (time.Duration, error) {
	leader, err := f.settled(ctx, 0)
	if err != nil {
		return 0, err
	}
	client, err := f.cluster.kafka(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))
	if err != nil {
		return 0, err
	}
	defer client.Close()
	var mu sync.Mutex
	var acks []acknowledgement // of partition 0
	producing, stop := context.WithCancel(ctx)
	defer stop()
	var work sync.WaitGroup
	work.Go(func() {
		tick := time.NewTicker(time.Second / time.Duration(f.rate))
		defer tick.Stop()
		for n := int32(0); producing.Err() == nil; n++ {
			<-tick.C
			sent := time.Now()
			client.Produce(ctx, &kgo.Record{Topic: f.topic, Partition: n % f.partitions, Value: make([]byte, 200)}, func(r *kgo.Record, err error) {
				if err == nil && r.Partition == 0 {
					mu.Lock()
					acks = append(acks, acknowledgement{sent, time.Now()})
					mu.Unlock()
				}
			})
		}
	})
	time.Sleep(time.Second)
	begun := time.Now()
	ended := make(chan struct{})
	go func() { leader.end(sig); close(ended) }()
	pause, err := f.await(ctx, &mu, &acks, begun, ended)
	stop()
	work.Wait()
	<-ended
	return pause, errors.Join(err, leader.start())
}

// await returns the longest time without an acknowledgement from begun until a record was acknowledged that was sent after the process had ended.
func (f *failover) await(ctx context.Context, mu *sync.Mutex, acks *[]acknowledgement, begun time.Time, ended <-chan struct{}) (time.Duration, error) {
	select {
	case <-ended:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	dead := time.Now()
	for limit := dead.Add(30 * time.Second); time.Now().Before(limit); time.Sleep(5 * time.Millisecond) {
		mu.Lock()
		all := slices.Clone(*acks)
		mu.Unlock()
		longest, last := time.Duration(0), begun
		for _, a := range all {
			if a.at.Before(begun) {
				continue
			}
			longest, last = max(longest, a.at.Sub(last)), a.at
			if a.sent.After(dead) {
				return longest, nil
			}
		}
	}
	return 0, errors.New("no produce was acknowledged within 30 s")
}
