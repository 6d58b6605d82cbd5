package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// Run carries the order out through the driver. It makes the topic and removes it again.
func Run(ctx context.Context, driver Driver, order Order) (o *Outcome, err error) {
	before, err := UsageOf(order.Target.Processes)
	if err != nil {
		return nil, err
	}
	ResetPeak(order.Target.Processes)
	if err := driver.Prepare(ctx); err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
		defer cancel()
		err = errors.Join(err, driver.Remove(ctx))
	}()
	r := run{driver: driver, order: order, spec: order.Spec, values: values(order.Spec)}
	switch r.spec.Kind {
	case Produce:
		o, err = r.produce(ctx)
	case Consume:
		o, err = r.consume(ctx)
	case Latency, RawLatency:
		o, err = r.latency(ctx)
	case Mixed:
		o, err = r.mixed(ctx)
	case Rebalance:
		o, err = r.rebalance(ctx)
	case Idle:
		o, err = r.meter.Window(ctx, order, nil)
	default:
		return nil, fmt.Errorf("workload %q: %w", r.spec.Kind, ErrUnsupported)
	}
	if o != nil {
		o.Before = before.RSS
	}
	return o, err
}

// run is a workload under way.
type run struct {
	driver Driver
	order  Order
	spec   Spec
	values [][]byte
	meter  Meter
}

// values are what is sent, in turn: noise, or text when it is to be compressed.
func values(s Spec) [][]byte {
	words := []string{"request", "order", "customer", "accepted", "shipped", "warehouse", "invoice", "payment", "declined", "retry", "{\"id\":", "\"status\":", "2026-"}
	r := rand.New(rand.NewPCG(1, 2))
	all := make([][]byte, 64)
	for i := range all {
		value := make([]byte, 0, s.Size+16)
		for len(value) < s.Size {
			if s.Compression != "" && s.Compression != "none" && r.IntN(3) > 0 {
				value = append(value, words[r.IntN(len(words))]...)
			} else {
				value = append(value, byte('!'+r.IntN(90)), byte('!'+r.IntN(90)))
			}
		}
		all[i] = value[:s.Size]
	}
	return all
}

// producers runs spec.Clients producers until ctx ends, then waits until they are done.
func (r *run) producers(ctx context.Context, count *Meter, clients int, single bool) (wait func(), err error) {
	var all sync.WaitGroup
	var open []Producer
	for range clients {
		p, err := r.driver.Producer(ctx)
		if err != nil {
			for _, p := range open {
				p.Close(ctx)
			}
			return nil, fmt.Errorf("connect a producer: %w", err)
		}
		open = append(open, p)
	}
	for _, p := range open {
		all.Go(func() {
			if single {
				r.oneByOne(ctx, p, count)
			} else {
				r.flood(ctx, p, count)
			}
			ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			p.Close(ending)
		})
	}
	return all.Wait, nil
}

func (r *run) flood(ctx context.Context, p Producer, count *Meter) {
	size := int64(r.spec.Size)
	done := func(err error) {
		if err == nil {
			count.Count(1, size)
		} else if ctx.Err() == nil {
			count.Fail(err)
		}
	}
	for i := 0; ctx.Err() == nil && !count.Broken(); i++ {
		p.Send(ctx, r.values[i%len(r.values)], done)
	}
}

func (r *run) oneByOne(ctx context.Context, p Producer, count *Meter) {
	answered := make(chan error, 1)
	done := func(err error) { answered <- err }
	for i := 0; ctx.Err() == nil && !count.Broken(); i++ {
		p.Send(ctx, r.values[i%len(r.values)], done)
		if err := <-answered; err == nil {
			count.Count(1, int64(r.spec.Size))
		} else if ctx.Err() == nil {
			count.Fail(err)
		}
	}
}

func (r *run) produce(ctx context.Context) (*Outcome, error) {
	working, stop := context.WithCancel(ctx)
	defer stop()
	wait, err := r.producers(working, &r.meter, r.spec.Clients, r.spec.Single)
	if err != nil {
		return nil, err
	}
	o, err := r.meter.Window(ctx, r.order, nil)
	stop()
	wait()
	return o, err
}

// preloadLimit bounds how long filling a topic may take: a slow system gets less to read.
const preloadLimit = 8 * time.Second

// preload fills the topic and says how many records are there.
func (r *run) preload(ctx context.Context) (int64, error) {
	filling, stop := context.WithTimeout(ctx, preloadLimit)
	defer stop()
	var count Meter
	wait, err := r.producers(filling, &count, 1, false)
	if err != nil {
		return 0, err
	}
	for filling.Err() == nil && !count.Broken() {
		if _, bytes := count.counted(); bytes >= r.spec.Preload {
			break
		}
		time.Sleep(time.Millisecond)
	}
	stop()
	wait()
	records, _ := count.counted()
	if records == 0 {
		return 0, fmt.Errorf("fill the topic: nothing was accepted: %v", *cmpText(count.failure.Load()))
	}
	return records, nil
}

func cmpText(s *string) *string {
	if s == nil {
		none := "no answer"
		return &none
	}
	return s
}

// consume reads what is there, again and again where that is possible.
func (r *run) consume(ctx context.Context) (*Outcome, error) {
	there, err := r.preload(ctx)
	if err != nil {
		return nil, err
	}
	if r.spec.Readers > 1 && !r.driver.Repeatable() {
		return nil, fmt.Errorf("%d readers of everything: %w", r.spec.Readers, ErrUnsupported)
	}
	if r.spec.Cold {
		if err := evict(r.order.Target.Data); err != nil {
			return nil, fmt.Errorf("evict the page cache: %w", err)
		}
	}
	once := r.spec.Cold || !r.driver.Repeatable()
	order := r.order
	if once {
		order.Spec.Warm = 0
		order.Spec.For = max(order.Spec.For, 30*time.Second) // all of it, then it is done
	}
	reading, stop := context.WithCancel(ctx)
	defer stop()
	var readers sync.WaitGroup
	done := make(chan struct{})
	for range r.spec.Readers {
		readers.Go(func() {
			for pass := 0; reading.Err() == nil && (pass == 0 || !once); pass++ {
				if err := r.readOnce(reading, there); err != nil && reading.Err() == nil {
					r.meter.Fail(err)
					time.Sleep(10 * time.Millisecond)
				}
			}
		})
	}
	go func() { // ends with the readers
		readers.Wait()
		close(done)
	}()
	o, err := r.meter.Window(ctx, order, done)
	stop()
	<-done
	return o, err
}

// readOnce reads until as many records came as there are.
func (r *run) readOnce(ctx context.Context, there int64) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var count atomic.Int64
	return r.driver.Consume(ctx, func(value []byte) {
		r.meter.Count(1, int64(len(value)))
		if count.Add(1) >= there {
			stop()
		}
	})
}
