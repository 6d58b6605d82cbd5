package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// stream is producers that go on until they are stopped, with acks=all, as fast as they may. Clients are franz-go's and retry; what they report all the same is kept.
type stream struct {
	clients []*kgo.Client
	stop    context.CancelFunc
	work    sync.WaitGroup
	acked   atomic.Int64 // bytes of values

	mu     sync.Mutex // guards following
	errors map[string]int
}

// recordSize is how large the values are.
const recordSize = 1024

// produceTo starts clients that together send rate bytes a second to the topic's partitions in turn, 0: as fast as it goes.
func (c *cluster) produceTo(topic string, partitions int32, clients int, rate int64) (*stream, error) {
	ctx, cancel := context.WithCancel(context.Background())
	s := &stream{stop: cancel, errors: map[string]int{}}
	for n := range clients {
		client, err := c.kafka(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(5*time.Millisecond), kgo.ProducerBatchMaxBytes(1_000_000),
			kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.MaxBufferedRecords(1<<20), kgo.MaxBufferedBytes(32<<20/clients), kgo.ProduceRequestTimeout(10*time.Second),
			kgo.UnknownTopicRetries(-1), kgo.RecordRetries(1<<30))
		if err != nil {
			s.end(context.Background())
			return nil, err
		}
		s.clients = append(s.clients, client)
		s.work.Go(func() { s.produce(ctx, client, topic, partitions, uint64(n), rate/int64(clients)) })
	}
	return s, nil
}

// produce keeps one partition for some records on end, so that batches fill.
func (s *stream) produce(ctx context.Context, client *kgo.Client, topic string, partitions int32, seed uint64, rate int64) {
	r := rand.New(rand.NewPCG(seed, 3))
	values := make([][]byte, 64)
	for i := range values {
		values[i] = make([]byte, recordSize)
		for at := range values[i] {
			values[i][at] = byte(r.Uint32())
		}
	}
	begun, sent := time.Now(), int64(0)
	for n := int64(0); ctx.Err() == nil; n++ {
		if ahead := sent - int64(time.Since(begun).Seconds()*float64(rate)); rate > 0 && ahead > 0 {
			select {
			case <-ctx.Done():
			case <-time.After(time.Duration(float64(ahead) / float64(rate) * 1e9)):
			}
			continue
		}
		client.Produce(ctx, &kgo.Record{Topic: topic, Partition: int32((n/512 + int64(seed)) % int64(partitions)), Value: values[n%64]}, func(_ *kgo.Record, err error) {
			switch {
			case err == nil:
				s.acked.Add(recordSize)
			case !errors.Is(err, context.Canceled) && !errors.Is(err, kgo.ErrClientClosed):
				s.mu.Lock()
				s.errors[err.Error()]++
				s.mu.Unlock()
			}
		})
		sent += recordSize
	}
}

// window counts for a while, and returns bytes a second.
func (s *stream) window(ctx context.Context, length time.Duration) float64 {
	before, begun := s.acked.Load(), time.Now()
	select {
	case <-time.After(length):
	case <-ctx.Done():
	}
	return float64(s.acked.Load()-before) / time.Since(begun).Seconds()
}

// until waits until that many more bytes are acknowledged, and returns bytes a second.
func (s *stream) until(ctx context.Context, bytes int64) (float64, error) {
	before, begun := s.acked.Load(), time.Now()
	for s.acked.Load() < before+bytes {
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return 0, fmt.Errorf("%d of %d bytes were acknowledged: %w", s.acked.Load()-before, bytes, ctx.Err())
		}
	}
	return float64(s.acked.Load()-before) / time.Since(begun).Seconds(), nil
}

// end stops producing, waits for what is under way, and returns what clients complained of.
func (s *stream) end(ctx context.Context) error {
	s.stop()
	s.work.Wait()
	var errs []error
	for _, client := range s.clients {
		if err := client.Flush(ctx); err != nil {
			errs = append(errs, err)
		}
		client.Close()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for text, count := range s.errors {
		errs = append(errs, fmt.Errorf("%d records: %s", count, text))
	}
	return errors.Join(errs...)
}
