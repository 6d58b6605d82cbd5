package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/barnabas-log/barnabas/internal/history"
)

// crowd is everybody who uses the cluster while it suffers.
type crowd struct {
	cluster    *cluster
	recorder   *history.Recorder
	topics     []string
	partitions int32
	rate       int // records a second, all producers together

	producers atomic.Int32 // numbers given out
	readers   atomic.Int32
	acked     atomic.Int64
	waits     waits

	ackedByKafkajs atomic.Int64 // of acked

	mu      sync.Mutex       // guards following
	oddness map[string]int   // what clients complained about and should not have
	reached map[string]int64 // the offset behind the last one that each group got, by group and partition
}

func newCrowd(c *cluster, r *history.Recorder, topics []string, partitions int32, rate int) *crowd {
	return &crowd{cluster: c, recorder: r, topics: topics, partitions: partitions, rate: rate, oddness: map[string]int{}, reached: map[string]int64{}}
}

func (c *crowd) odd(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.oddness[fmt.Sprintf(format, args...)]++
}

// stuckBuffer is how many records a producer lets wait before it makes no more.
const stuckBuffer = 4000

// produce makes records until stop ends, then waits until all are answered or give up ends. The client is thrown away and replaced every life, if that is not 0: what
// it had not heard of by then is unknown.
func (c *crowd) produce(stop, giveUp context.Context, seed uint64, share float64, life time.Duration) error {
	r := rand.New(rand.NewPCG(seed, 1))
	for {
		ctx, cancel := stop, context.CancelFunc(func() {})
		if life > 0 {
			ctx, cancel = context.WithTimeout(stop, life/2+time.Duration(r.Int64N(int64(life))))
		}
		err := c.produceOnce(ctx, stop, giveUp, r, share)
		cancel()
		if err != nil || stop.Err() != nil {
			return err
		}
	}
}

func (c *crowd) produceOnce(ctx, stop, giveUp context.Context, r *rand.Rand, share float64) error {
	number := c.producers.Add(1)
	client, err := c.cluster.kafka(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(time.Duration(r.IntN(3))*5*time.Millisecond),
		kgo.MaxBufferedRecords(10*stuckBuffer), kgo.ProduceRequestTimeout(3*time.Second), kgo.ClientID(fmt.Sprintf("chaos-producer-%d", number)),
		kgo.UnknownTopicRetries(-1),
		kgo.ProducerOnDataLossDetected(func(topic string, partition int32) { c.odd("a producer detected data loss in %s-%d", topic, partition) }))
	if err != nil {
		return err
	}
	defer client.Close()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	var sent int64
	due := 0.0
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
			due = min(due+float64(c.rate)*share/100, float64(c.rate))
			if client.BufferedProduceRecords() > stuckBuffer {
				due = 0
			}
			for ; due >= 1; due-- {
				c.send(client, history.ID{Producer: number, Number: sent}, r)
				sent++
			}
		}
	}
	if stop.Err() == nil {
		return nil // thrown away with whatever is under way
	}
	if err := client.Flush(giveUp); err != nil {
		return fmt.Errorf("producer %d: %d records were never answered: %w", number, client.BufferedProduceRecords(), err)
	}
	return nil
}

func (c *crowd) send(client *kgo.Client, id history.ID, r *rand.Rand) {
	p := history.Partition{Topic: c.topics[r.IntN(len(c.topics))], Number: r.Int32N(c.partitions)}
	size := 40 + r.IntN(400)
	if r.IntN(200) == 0 {
		size = 20_000
	}
	c.recorder.Record(history.Event{Kind: history.Invoked, Partition: p, ID: id})
	begun := time.Now()
	client.Produce(context.Background(), &kgo.Record{Topic: p.Topic, Partition: p.Number, Value: history.NewPayload(id, size)}, func(record *kgo.Record, err error) {
		if err != nil {
			c.recorder.Record(history.Event{Kind: history.Unknown, Partition: p, ID: id})
			if !errors.Is(err, kgo.ErrClientClosed) && !errors.Is(err, context.Canceled) {
				c.odd("produce: %v", err)
			}
			return
		}
		c.recorder.Record(history.Event{Kind: history.Acknowledged, Partition: p, ID: id, Offset: record.Offset})
		c.reach(producersReach, p, record.Offset+1)
		c.acked.Add(1)
		c.waits.add(time.Since(begun))
	})
}

// member reads as a member of a group until ctx ends. With a life it leaves and comes back.
func (c *crowd) member(ctx context.Context, group string, seed uint64, life time.Duration) error {
	r := rand.New(rand.NewPCG(seed, 2))
	for ctx.Err() == nil {
		once, cancel := ctx, context.CancelFunc(func() {})
		if life > 0 {
			once, cancel = context.WithTimeout(ctx, life/2+time.Duration(r.Int64N(int64(life))))
		}
		err := c.memberOnce(once, group)
		cancel()
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *crowd) memberOnce(ctx context.Context, group string) error {
	var mu sync.Mutex // the callbacks come from the client's goroutine
	readers := map[history.Partition]int32{}
	client, err := c.cluster.kafka(kgo.ConsumerGroup(group), kgo.ConsumeTopics(c.topics...), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.SessionTimeout(6*time.Second), kgo.HeartbeatInterval(time.Second), kgo.FetchMaxWait(500*time.Millisecond),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, assigned map[string][]int32) {
			mu.Lock()
			defer mu.Unlock()
			for topic, numbers := range assigned {
				for _, n := range numbers {
					readers[history.Partition{Topic: topic, Number: n}] = c.assign(history.Partition{Topic: topic, Number: n}, group)
				}
			}
		}))
	if err != nil {
		return err
	}
	defer client.CloseAllowingRebalance()
	for ctx.Err() == nil {
		fetches := client.PollRecords(ctx, 2000)
		c.fetchErrors(group, fetches)
		mu.Lock()
		c.got(fetches, readers, group)
		mu.Unlock()
		c.commit(client, group)
		client.AllowRebalance()
	}
	return nil
}

func (c *crowd) assign(p history.Partition, group string) int32 {
	n := c.readers.Add(1)
	c.recorder.Record(history.Event{Kind: history.Assigned, Partition: p, Reader: n, Group: group})
	return n
}

func (c *crowd) got(fetches kgo.Fetches, readers map[history.Partition]int32, group string) {
	fetches.EachPartition(func(f kgo.FetchTopicPartition) {
		p := history.Partition{Topic: f.Topic, Number: f.Partition}
		for _, record := range f.Records {
			c.gotOne(p, readers[p], record.Offset, record.Value)
		}
		if n := len(f.Records); n > 0 {
			c.reach(group, p, f.Records[n-1].Offset+1)
		}
	})
}

// gotOne notes that a reader got a record.
func (c *crowd) gotOne(p history.Partition, reader int32, offset int64, value []byte) {
	id, err := history.ParsePayload(value)
	if err != nil {
		c.odd("%v offset %d: %v", p, offset, err)
		return
	}
	c.recorder.Record(history.Event{Kind: history.Consumed, Partition: p, Reader: reader, ID: id, Offset: offset})
}

// producersReach stands for the producers where reach is told of a group.
const producersReach = "producers"

// reach notes that a group has got everything below an offset.
func (c *crowd) reach(group string, p history.Partition, offset int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := group + "/" + p.String()
	c.reached[key] = max(c.reached[key], offset)
}

func (c *crowd) fetchErrors(who string, fetches kgo.Fetches) {
	for _, e := range fetches.Errors() {
		var loss *kgo.ErrDataLoss
		var waiting *kgo.ErrGroupSession
		switch {
		case errors.Is(e.Err, context.Canceled), errors.Is(e.Err, context.DeadlineExceeded), errors.Is(e.Err, kgo.ErrClientClosed):
		case errors.As(e.Err, &waiting): // it goes on by itself
		case errors.As(e.Err, &loss):
			c.odd("%s: %v", who, e.Err)
		default:
			c.odd("%s: fetch: %v", who, e.Err)
		}
	}
}

func (c *crowd) commit(client *kgo.Client, group string) {
	offsets := client.UncommittedOffsets()
	if len(offsets) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	client.CommitOffsetsSync(ctx, offsets, func(_ *kgo.Client, request *kmsg.OffsetCommitRequest, response *kmsg.OffsetCommitResponse, err error) {
		settled := map[history.Partition]bool{}
		if err == nil {
			for _, t := range response.Topics {
				for _, p := range t.Partitions {
					settled[history.Partition{Topic: t.Topic, Number: p.Partition}] = p.ErrorCode == 0
				}
			}
		}
		for topic, partitions := range offsets {
			for n, to := range partitions {
				e := history.Event{Kind: history.Unsettled, Partition: history.Partition{Topic: topic, Number: n}, Group: group, Offset: to.Offset}
				if settled[e.Partition] {
					e.Kind = history.Committed
				}
				c.recorder.Record(e)
			}
		}
	})
}

// watch reads all partitions without a group, until ctx ends. With a life it begins again, somewhere before the end.
func (c *crowd) watch(ctx context.Context, seed uint64, life time.Duration) error {
	r := rand.New(rand.NewPCG(seed, 3))
	for ctx.Err() == nil {
		once, cancel := ctx, context.CancelFunc(func() {})
		if life > 0 {
			once, cancel = context.WithTimeout(ctx, life/2+time.Duration(r.Int64N(int64(life))))
		}
		err := c.watchOnce(once, r)
		cancel()
		if err != nil {
			return err
		}
	}
	return nil
}

// rereads is how far before the known end a new watcher begins at most.
const rereads = 3000

func (c *crowd) watchOnce(ctx context.Context, r *rand.Rand) error {
	readers := map[history.Partition]int32{}
	from := map[string]map[int32]kgo.Offset{}
	for _, t := range c.topics {
		from[t] = map[int32]kgo.Offset{}
		for n := range c.partitions {
			p := history.Partition{Topic: t, Number: n}
			c.mu.Lock()
			known := c.reached["/"+p.String()]
			c.mu.Unlock()
			from[t][n] = kgo.NewOffset().At(max(0, known-r.Int64N(rereads)))
			readers[p] = c.assign(p, "")
		}
	}
	client, err := c.cluster.kafka(kgo.ConsumePartitions(from), kgo.ConsumeResetOffset(kgo.NoResetOffset()), kgo.FetchMaxWait(500*time.Millisecond))
	if err != nil {
		return err
	}
	defer client.Close()
	for ctx.Err() == nil {
		fetches := client.PollRecords(ctx, 5000)
		c.fetchErrors("watcher", fetches)
		c.got(fetches, readers, "")
	}
	return nil
}

// waits collects how long acknowledgements took, in steps of a tenth.
type waits struct {
	mu     sync.Mutex // guards following
	counts map[int]int64
	worst  time.Duration
}

func (w *waits) add(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.counts == nil {
		w.counts = map[int]int64{}
	}
	step := 0
	for x := 100 * time.Microsecond; x < d; x += x / 10 {
		step++
	}
	w.counts[step]++
	w.worst = max(w.worst, d)
}

// at is the duration that a share of all stayed below.
func (w *waits) at(share float64) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	var total, sum int64
	for _, n := range w.counts {
		total += n
	}
	steps := make([]int, 0, len(w.counts))
	for s := range w.counts {
		steps = append(steps, s)
	}
	slices.Sort(steps)
	for _, s := range steps {
		if sum += w.counts[s]; float64(sum) >= share*float64(total) {
			x := 100 * time.Microsecond
			for range s {
				x += x / 10
			}
			return x
		}
	}
	return 0
}
