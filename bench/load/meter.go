package load

import (
	"context"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Meter counts while a workload runs. Any goroutine may count.
type Meter struct {
	mu             sync.Mutex // guards following: a mark has both as of one moment
	records, bytes int64

	failed        atomic.Int64
	failure       atomic.Pointer[string]
	Ack, EndToEnd Histogram
	counting      atomic.Bool // latencies count only then
}

// Count counts records and the bytes of their values.
func (m *Meter) Count(records, bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.records += records
	m.bytes += bytes
}

// counted is what was counted so far.
func (m *Meter) counted() (records, bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.records, m.bytes
}

// Fail counts a record that was refused.
func (m *Meter) Fail(err error) {
	m.failed.Add(1)
	text := err.Error()
	m.failure.CompareAndSwap(nil, &text)
}

// Broken says whether so much has failed, with nothing done, that going on is no use.
func (m *Meter) Broken() bool {
	if m.failed.Load() <= 100 { // asked before each record: without the lock
		return false
	}
	records, _ := m.counted()
	return records == 0
}

// mark is the state at a point in time.
type mark struct {
	at             time.Time
	records, bytes int64
	server, client Usage
}

func (m *Meter) mark(target Target) (mark, error) {
	server, err := UsageOf(target.Processes)
	if err != nil {
		return mark{}, err
	}
	client, err := UsageOf([]int{os.Getpid()})
	records, bytes := m.counted()
	return mark{at: time.Now(), records: records, bytes: bytes, server: server, client: client}, err
}

// between says what happened from one mark to another.
func (m *Meter) between(from, to mark) *Outcome {
	o := &Outcome{
		Seconds:   to.at.Sub(from.at).Seconds(),
		Records:   to.records - from.records,
		Bytes:     to.bytes - from.bytes,
		CPU:       (to.server.CPU - from.server.CPU).Seconds(),
		ClientCPU: (to.client.CPU - from.client.CPU).Seconds(),
		Peak:      to.server.Peak,
		Ack:       m.Ack.Percentiles(),
		EndToEnd:  m.EndToEnd.Percentiles(),
		Failed:    m.failed.Load(),
	}
	o.Throughput = float64(o.Bytes) / 1e6 / o.Seconds
	o.RecordRate = float64(o.Records) / o.Seconds
	if o.Bytes > 0 {
		o.CPUPerGB = o.CPU / (float64(o.Bytes) / 1e9)
	}
	if f := m.failure.Load(); f != nil {
		o.Failure = *f
	}
	return o
}

// Window lets the clients warm up, counts for as long as the order says or until done is closed, and says what happened meanwhile. The clients run before and go on behind it.
func (m *Meter) Window(ctx context.Context, order Order, done <-chan struct{}) (*Outcome, error) {
	wait(ctx, order.Spec.Warm, done)
	from, err := m.mark(order.Target)
	if err != nil {
		return nil, err
	}
	m.counting.Store(true)
	wait(ctx, order.Spec.For, done)
	m.counting.Store(false)
	to, err := m.mark(order.Target)
	if err != nil {
		return nil, err
	}
	return m.between(from, to), ctx.Err()
}

func wait(ctx context.Context, d time.Duration, done <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-done:
	case <-timer.C:
	}
}
