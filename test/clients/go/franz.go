package main

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// franzClient drives franz-go.
type franzClient struct{ settings }

func (c *franzClient) errorCode(err error) (int, bool) {
	var known *kerr.Error
	if errors.As(err, &known) {
		return int(known.Code), true
	}
	return 0, false
}

func (c *franzClient) client(options ...kgo.Opt) (*kgo.Client, error) {
	options = append(options,
		kgo.SeedBrokers(c.brokers...),
		kgo.ClientID("e2e-franz-go"),
		kgo.AllowAutoTopicCreation(),
		kgo.AlwaysRetryEOF(), // Docker's proxy takes connections for a container that is stopping, and closes them
		kgo.MetadataMinAge(250*time.Millisecond),
		kgo.UnknownTopicRetries(4))
	return kgo.NewClient(options...)
}

func (c *franzClient) produce(ctx context.Context, records <-chan record) error {
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	options := []kgo.Opt{
		kgo.DefaultProduceTopic(c.topic),
		kgo.ProducerBatchCompression(codecs[c.text("codec", "none")]),
		kgo.ProducerBatchMaxBytes(20_000_000),
		kgo.RecordDeliveryTimeout(c.timeout()),
		kgo.RecordPartitioner(orPinned{kgo.StickyKeyPartitioner(nil)}),
	}
	if !c.idempotent() {
		options = append(options, kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(1))
	}
	switch c.text("acks", "-1") {
	case "0":
		options = append(options, kgo.RequiredAcks(kgo.NoAck()))
	case "1":
		options = append(options, kgo.RequiredAcks(kgo.LeaderAck()))
	}
	client, err := c.client(options...)
	if err != nil {
		return err
	}
	defer client.Close()
	var failure atomic.Pointer[error]
	var acked atomic.Int64
	for next := range records {
		client.Produce(ctx, franzRecord(next), func(_ *kgo.Record, err error) {
			if err != nil {
				failure.CompareAndSwap(nil, &err)
				return
			}
			emit(ackLine{int(acked.Add(1))})
		})
	}
	if err := client.Flush(ctx); err != nil {
		return err
	}
	if err := failure.Load(); err != nil {
		return *err
	}
	return nil
}

func franzRecord(from record) *kgo.Record {
	to := &kgo.Record{Key: from.Key, Value: from.Value, Timestamp: from.time(), Partition: -1}
	if from.Partition != nil {
		to.Partition = int32(*from.Partition)
	}
	for _, header := range from.Headers {
		to.Headers = append(to.Headers, kgo.RecordHeader{Key: header.Key, Value: header.Value})
	}
	return to
}

// orPinned partitions as the one inside does, but a record that names its partition goes there.
type orPinned struct{ kgo.Partitioner }

func (p orPinned) ForTopic(topic string) kgo.TopicPartitioner {
	return pinnedTopic{p.Partitioner.ForTopic(topic)}
}

type pinnedTopic struct{ kgo.TopicPartitioner }

func (p pinnedTopic) Partition(r *kgo.Record, n int) int {
	if r.Partition >= 0 {
		return int(r.Partition)
	}
	return p.TopicPartitioner.Partition(r, n)
}

func (c *franzClient) consume(ctx context.Context, from position, partition, count int) error {
	offset := kgo.NewOffset()
	switch from.kind {
	case "start":
		offset = offset.AtStart()
	case "end":
		offset = offset.AtEnd()
	case "offset":
		offset = offset.At(from.number)
	case "time":
		offset = offset.AfterMilli(from.number)
	}
	source := []kgo.Opt{kgo.ConsumeTopics(c.topic), kgo.ConsumeResetOffset(offset)}
	if partition >= 0 {
		source = []kgo.Opt{kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{c.topic: {int32(partition): offset}})}
	}
	client, err := c.client(append(source, kgo.KeepRetryableFetchErrors())...)
	if err != nil {
		return err
	}
	defer client.Close()
	for seen := 0; seen < count; {
		fetches := client.PollFetches(ctx)
		for _, failed := range fetches.Errors() {
			if !kerr.IsRetriable(failed.Err) || errors.Is(failed.Err, kerr.UnknownTopicOrPartition) {
				return failed.Err
			}
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if seen++; seen <= count {
				emitFranz(r)
			}
		})
	}
	return nil
}

func emitFranz(r *kgo.Record) {
	var headers []header
	for _, pair := range r.Headers {
		headers = append(headers, header{pair.Key, pair.Value})
	}
	emitRecord(int(r.Partition), r.Offset, r.Timestamp, r.Key, r.Value, headers)
}

func (c *franzClient) group(ctx context.Context, name string, leave <-chan struct{}) error {
	held := map[int32]bool{}
	announce := func(change []int32, holds bool) {
		for _, partition := range change {
			held[partition] = holds
		}
		line := assignedLine{Assigned: []int32{}}
		for partition, holds := range held {
			if holds {
				line.Assigned = append(line.Assigned, partition)
			}
		}
		emit(line)
	}
	client, err := c.client(
		kgo.ConsumeTopics(c.topic),
		kgo.ConsumerGroup(name),
		kgo.Balancers(kgo.RangeBalancer()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.SessionTimeout(time.Duration(c.number("session", 10000))*time.Millisecond),
		kgo.HeartbeatInterval(500*time.Millisecond),
		kgo.AutoCommitInterval(500*time.Millisecond),
		kgo.MetadataMaxAge(time.Second),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, added map[string][]int32) { announce(added[c.topic], true) }),
		kgo.OnPartitionsRevoked(func(ctx context.Context, client *kgo.Client, lost map[string][]int32) {
			_ = client.CommitUncommittedOffsets(ctx)
			announce(lost[c.topic], false)
		}))
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { <-leave; cancel() }()
	for ctx.Err() == nil {
		client.PollFetches(ctx).EachRecord(emitFranz)
	}
	return client.CommitUncommittedOffsets(context.Background())
}
