package load

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Behind the time at which a record was due, its value says whether the record counts: only those that were due while we counted do, however late they came.
const counted = 8

// latency sends at a fixed rate and measures each record from the time when it was due.
func (r *run) latency(ctx context.Context) (*Outcome, error) {
	reading, endReading := context.WithCancel(ctx)
	defer endReading()
	base := time.Now()
	var readers, sender sync.WaitGroup
	ready := make(chan struct{})
	var once sync.Once
	var received atomic.Int64
	count, connect := r.spec.Readers, r.driver.Producer
	if r.spec.Kind == RawLatency {
		raw, ok := r.driver.(RawDriver)
		if !ok {
			return nil, fmt.Errorf("prepared requests: %w", ErrUnsupported)
		}
		count, connect = 0, raw.RawProducer
	}
	for range count {
		readers.Go(func() {
			err := r.driver.Consume(reading, func(value []byte) {
				now := time.Since(base)
				once.Do(func() { close(ready) })
				if value[counted] == 1 {
					r.meter.EndToEnd.Record(now - time.Duration(binary.BigEndian.Uint64(value)))
					received.Add(1)
				}
			})
			if err != nil && reading.Err() == nil {
				r.meter.Fail(err)
			}
		})
	}
	defer readers.Wait()
	defer endReading()
	p, err := connect(ctx)
	if err != nil {
		return nil, err
	}
	sending, endSending := context.WithCancel(ctx)
	defer endSending()
	if count > 0 {
		r.awaitReader(sending, p, ready)
	}
	var sent int64
	sender.Go(func() {
		sent = r.paced(sending, ctx, p, base)
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		p.Close(ending)
	})
	o, err := r.meter.Window(ctx, r.order, nil)
	endSending()
	sender.Wait()
	if err != nil {
		return nil, err
	}
	want := sent * int64(count)
	for limit := time.Now().Add(5 * time.Second); received.Load() < want && time.Now().Before(limit); {
		time.Sleep(time.Millisecond)
	}
	o.Ack, o.EndToEnd = r.meter.Ack.Percentiles(), r.meter.EndToEnd.Percentiles()
	o.Failed = r.meter.failed.Load()
	if lost := want - received.Load(); lost > 0 {
		o.Failed += lost
		o.Failure = "records did not come through within 5 s"
	}
	return o, nil
}

// awaitReader sends records that nobody measures until one has come through, so that no record pays for a reader that still connects.
func (r *run) awaitReader(ctx context.Context, p Producer, ready <-chan struct{}) {
	value := make([]byte, r.spec.Size)
	for range 500 {
		p.Send(ctx, value, func(error) {})
		select {
		case <-ready:
			return
		case <-ctx.Done():
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// paced sends record i at start + i/rate, whatever became of the ones before it, and says how many of them count.
func (r *run) paced(ctx, giveUp context.Context, p Producer, base time.Time) (sent int64) {
	gap := time.Second / time.Duration(r.spec.Rate)
	for due := time.Since(base) + gap; ctx.Err() == nil; due += gap {
		sleepUntil(base.Add(due))
		value := append([]byte(nil), r.values[0]...)
		binary.BigEndian.PutUint64(value, uint64(due))
		counts := r.meter.counting.Load()
		value[counted] = 0
		if counts {
			value[counted] = 1
			sent++
		}
		p.Send(giveUp, value, func(err error) {
			late := time.Since(base) - due
			if err != nil {
				r.meter.Fail(err)
				return
			}
			r.meter.Count(1, int64(r.spec.Size))
			if counts {
				r.meter.Ack.Record(late)
			}
		})
	}
	return sent
}

// sleepUntil sleeps most of the way and looks at the clock for the rest: sleeping alone is late by some 0.1 ms. What the sender is late counts as the server's latency.
func sleepUntil(t time.Time) {
	if d := time.Until(t) - 120*time.Microsecond; d > 0 {
		doze(d)
	}
	for time.Until(t) > 0 {
	}
}

// mixed floods and reads at the same time. What is read is counted; what is produced only has to be as much.
func (r *run) mixed(ctx context.Context) (*Outcome, error) {
	working, stop := context.WithCancel(ctx)
	defer stop()
	var produced Meter
	wait, err := r.producers(working, &produced, r.spec.Clients, r.spec.Single)
	if err != nil {
		return nil, err
	}
	var readers sync.WaitGroup
	for range r.spec.Readers {
		readers.Go(func() {
			err := r.driver.Consume(working, func(value []byte) { r.meter.Count(1, int64(len(value))) })
			if err != nil && working.Err() == nil {
				r.meter.Fail(err)
			}
		})
	}
	o, err := r.meter.Window(ctx, r.order, nil)
	stop()
	readers.Wait()
	wait()
	return o, err
}
