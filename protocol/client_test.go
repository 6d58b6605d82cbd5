package protocol

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/barnabas-log/barnabas/partition"
	"github.com/twmb/franz-go/pkg/kgo"
)

func newClient(tb testing.TB, s *served, opts ...kgo.Opt) *kgo.Client {
	tb.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(s.address), kgo.AllowAutoTopicCreation()}, opts...)...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(client.Close)
	return client
}

func testContext(tb testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	tb.Cleanup(cancel)
	return ctx
}

// What a real client produces, with every codec and acks, a real client reads back, in order and byte for byte.
func TestAClientReadsWhatAClientProduced(t *testing.T) {
	s := serve(t, Options{AutoCreate: true})
	codecs := map[string]kgo.CompressionCodec{"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()}
	acks := map[string]kgo.Acks{"all": kgo.AllISRAcks(), "one": kgo.LeaderAck(), "none": kgo.NoAck()}
	for codec, compression := range codecs {
		for name, acks := range acks {
			t.Run(codec+" acks "+name, func(t *testing.T) {
				ctx := testContext(t)
				topic := codec + "-" + name
				opts := []kgo.Opt{kgo.DefaultProduceTopic(topic), kgo.ProducerBatchCompression(compression), kgo.RequiredAcks(acks)}
				if name != "all" {
					opts = append(opts, kgo.DisableIdempotentWrite())
				}
				producer := newClient(t, s, opts...)
				const n = 500
				for i := range n {
					value := fmt.Sprintf("%d %s", i, strings.Repeat("value ", i%50))
					producer.Produce(ctx, &kgo.Record{Key: fmt.Append(nil, i), Value: []byte(value)}, func(_ *kgo.Record, err error) {
						if err != nil {
							t.Error(err)
						}
					})
				}
				if err := producer.Flush(ctx); err != nil {
					t.Fatal(err)
				}
				consumer := newClient(t, s, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
				for i := 0; i < n; {
					fetches := consumer.PollFetches(ctx)
					if err := fetches.Err(); err != nil {
						t.Fatal(err)
					}
					fetches.EachRecord(func(r *kgo.Record) {
						want := fmt.Sprintf("%d %s", i, strings.Repeat("value ", i%50))
						if r.Offset != int64(i) || string(r.Value) != want {
							t.Fatalf("record %d: offset %d, %q, want %q", i, r.Offset, r.Value, want)
						}
						i++
					})
				}
			})
		}
	}
}

// Large batches travel from the file; a slow reader must not lose or reorder anything.
func TestLargeRecordsOverManySegments(t *testing.T) {
	s := serve(t, Options{})
	config := partition.Config{}
	config.Log.SegmentBytes = 3 << 20
	s.create("big", 3, config)
	ctx := testContext(t)
	producer := newClient(t, s, kgo.DefaultProduceTopic("big"), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()), kgo.ProducerBatchMaxBytes(1000<<10))
	const n = 60
	for i := range n {
		value := strings.Repeat(fmt.Sprintf("%09d ", i), 90_000/10*10)
		producer.Produce(ctx, &kgo.Record{Value: []byte(value)}, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	if err := producer.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	consumer := newClient(t, s, kgo.ConsumeTopics("big"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	next := map[int32]int64{}
	for got := 0; got < n; {
		fetches := consumer.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset != next[r.Partition] || len(r.Value) != 900_000 {
				t.Fatalf("partition %d: offset %d of %d bytes, want offset %d", r.Partition, r.Offset, len(r.Value), next[r.Partition])
			}
			next[r.Partition]++
			got++
		})
	}
}
