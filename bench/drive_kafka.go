package main

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/barnabas-log/barnabas/bench/load"
)

// kafkaDriver uses any server that speaks Kafka's protocol, through franz-go.
type kafkaDriver struct {
	order  load.Order
	topic  string
	client *kgo.Client // for everything but the records
	admin  *kadm.Client
}

func newKafkaDriver(order load.Order) (*kafkaDriver, error) {
	d := &kafkaDriver{order: order, topic: fmt.Sprintf("bench-%08x", rand.Uint32())}
	var err error
	if d.client, err = d.connect(); err != nil {
		return nil, err
	}
	d.admin = kadm.NewClient(d.client)
	d.admin.SetTimeoutMillis(30_000)
	return d, nil
}

func (d *kafkaDriver) connect(opts ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(d.order.Target.Addresses...), kgo.MetadataMinAge(100 * time.Millisecond),
		kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }), kgo.UnknownTopicRetries(100)}, opts...)...)
}

// Prepare makes the topic and waits until each partition has a leader. A server that was paused may take a while to answer.
func (d *kafkaDriver) Prepare(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var last error
	for ctx.Err() == nil {
		made, err := d.admin.CreateTopic(ctx, int32(d.order.Spec.Partitions), int16(d.order.Target.Replicas), nil, d.topic)
		if err == nil {
			err = made.Err
		}
		if last = err; err == nil {
			break
		}
		time.Sleep(200 * time.Millisecond)
	}
	for ctx.Err() == nil {
		if last = d.led(ctx); last == nil {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return fmt.Errorf("topic %s: %w", d.topic, last)
}

func (d *kafkaDriver) led(ctx context.Context) error {
	found, err := d.admin.Metadata(ctx, d.topic)
	if err != nil {
		return err
	}
	topic := found.Topics[d.topic]
	if topic.Err != nil {
		return topic.Err
	}
	if len(topic.Partitions) != d.order.Spec.Partitions {
		return fmt.Errorf("%d partitions of %d", len(topic.Partitions), d.order.Spec.Partitions)
	}
	for _, p := range topic.Partitions {
		if p.Leader < 0 || p.Err != nil {
			return fmt.Errorf("partition %d has no leader: %v", p.Partition, p.Err)
		}
	}
	return nil
}

// Remove deletes the topic.
func (d *kafkaDriver) Remove(ctx context.Context) error {
	_, err := d.admin.DeleteTopic(ctx, d.topic)
	return err
}

// Repeatable is true: a log can be read again.
func (d *kafkaDriver) Repeatable() bool { return true }

// Close ends the connections.
func (d *kafkaDriver) Close() { d.client.Close() }

// Producer is franz-go as it is, idempotent with acks=all; it waits 5 ms for a batch to fill, or not at all for single records.
func (d *kafkaDriver) Producer(ctx context.Context) (load.Producer, error) {
	spec := d.order.Spec
	opts := []kgo.Opt{kgo.DefaultProduceTopic(d.topic), kgo.ProducerBatchMaxBytes(1_000_000), kgo.MaxBufferedRecords(1 << 20), kgo.MaxBufferedBytes(max(2, 32/spec.Clients) << 20),
		kgo.ProducerLinger(5 * time.Millisecond), kgo.RecordDeliveryTimeout(20 * time.Second)}
	if spec.Single || spec.Kind == load.Latency {
		opts = append(opts, kgo.ProducerLinger(0))
	}
	if spec.Acks == "1" {
		opts = append(opts, kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite())
	}
	codecs := map[string]kgo.CompressionCodec{"": kgo.NoCompression(), "none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()}
	codec, ok := codecs[spec.Compression]
	if !ok {
		return nil, fmt.Errorf("codec %q is unknown", spec.Compression)
	}
	client, err := d.connect(append(opts, kgo.ProducerBatchCompression(codec))...)
	if err != nil {
		return nil, err
	}
	return &kafkaProducer{client}, client.Ping(ctx)
}

type kafkaProducer struct{ client *kgo.Client }

// Send hands the record to the client's buffer and waits while that is full.
func (p *kafkaProducer) Send(ctx context.Context, value []byte, done func(error)) {
	p.client.Produce(ctx, &kgo.Record{Value: value}, func(_ *kgo.Record, err error) { done(err) })
}

// Close flushes.
func (p *kafkaProducer) Close(ctx context.Context) {
	_ = p.client.Flush(ctx)
	p.client.Close()
}

// Consume reads without a group.
func (d *kafkaDriver) Consume(ctx context.Context, each func([]byte)) error {
	client, err := d.connect(kgo.ConsumeTopics(d.topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(500*time.Millisecond))
	if err != nil {
		return err
	}
	defer client.Close()
	for ctx.Err() == nil {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err := fetches.Err(); err != nil {
			return err
		}
		fetches.EachRecord(func(r *kgo.Record) { each(r.Value) })
	}
	return nil
}

// Member joins a group with the topic's name. It hears of a rebalance with its next heartbeat, ten times a second.
func (d *kafkaDriver) Member(_ context.Context, assigned func([]int32)) (leave func(), err error) {
	var mu sync.Mutex
	has := map[int32]bool{}
	change := func(parts map[string][]int32, have bool) {
		mu.Lock()
		defer mu.Unlock()
		for _, p := range parts[d.topic] {
			if have {
				has[p] = true
			} else {
				delete(has, p)
			}
		}
		assigned(slices.Collect(maps.Keys(has)))
	}
	client, err := d.connect(kgo.ConsumerGroup(d.topic), kgo.ConsumeTopics(d.topic), kgo.DisableAutoCommit(), kgo.HeartbeatInterval(100*time.Millisecond),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, parts map[string][]int32) { change(parts, true) }),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, parts map[string][]int32) { change(parts, false) }),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, parts map[string][]int32) { change(parts, false) }))
	if err != nil {
		return nil, err
	}
	return client.Close, nil
}
