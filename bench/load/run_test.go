package load

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// fake is a system in memory that can stall and refuse.
type fake struct {
	mu      sync.Mutex // guards following
	records [][]byte
	grown   chan struct{} // closed when records grow

	stall   func(since time.Duration) time.Duration // how long a send that arrives now takes
	refuse  error
	begun   time.Time
	removed bool
}

func newFake() *fake {
	return &fake{grown: make(chan struct{}), begun: time.Now(), stall: func(time.Duration) time.Duration { return time.Microsecond }}
}

func (f *fake) Prepare(context.Context) error              { return nil }
func (f *fake) Remove(context.Context) error               { f.removed = true; return nil }
func (f *fake) Repeatable() bool                           { return true }
func (f *fake) Close()                                     {}
func (f *fake) Producer(context.Context) (Producer, error) { return &fakeProducer{fake: f}, nil }

type fakeProducer struct {
	fake *fake
	all  sync.WaitGroup
}

func (p *fakeProducer) Send(_ context.Context, value []byte, done func(error)) {
	f := p.fake
	takes := f.stall(time.Since(f.begun))
	if takes < 10*time.Microsecond { // no room for more meanwhile
		time.Sleep(takes)
		f.store(value, done)
		return
	}
	p.all.Go(func() {
		time.Sleep(takes)
		f.store(value, done)
	})
}

func (p *fakeProducer) Close(context.Context) { p.all.Wait() }

func (f *fake) store(value []byte, done func(error)) {
	f.mu.Lock()
	if f.refuse == nil {
		f.records = append(f.records, value)
		close(f.grown)
		f.grown = make(chan struct{})
	}
	f.mu.Unlock()
	done(f.refuse)
}

func (f *fake) Consume(ctx context.Context, each func([]byte)) error {
	for next := 0; ; {
		f.mu.Lock()
		there, grown := f.records, f.grown
		f.mu.Unlock()
		for ; next < len(there) && ctx.Err() == nil; next++ {
			each(there[next])
		}
		select {
		case <-ctx.Done():
			return nil
		case <-grown:
		}
	}
}

func order(kind string) Order {
	s := Spec{Kind: kind, Size: 100, Warm: 100 * time.Millisecond, For: time.Second, Rate: 1000}
	s.EnsureDefaults()
	return Order{Spec: s}
}

func TestProduceCountsWhatIsAcknowledgedWhileItCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		o, err := Run(t.Context(), f, order(Produce))
		if err != nil {
			t.Fatal(err)
		}
		if want := int64(1_000_000); o.Records < want*99/100 || o.Records > want*101/100 {
			t.Errorf("%d records in a second, each of which takes 1 µs", o.Records)
		}
		if o.Bytes != o.Records*100 || !f.removed {
			t.Errorf("%d bytes, removed %v", o.Bytes, f.removed)
		}
	})
}

func TestProduceThatIsRefusedEndsAndSaysWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.refuse = errors.New("disk full")
		o, err := Run(t.Context(), f, order(Produce))
		if err != nil {
			t.Fatal(err)
		}
		if o.Records != 0 || o.Failed == 0 || o.Failure != "disk full" {
			t.Errorf("%+v", o)
		}
	})
}

func TestConsumeReadsAgainAndAgain(t *testing.T) {
	f := newFake()
	one := order(Consume)
	one.Spec.Preload, one.Spec.For, one.Spec.Warm = 1000*100, 50*time.Millisecond, 0
	o, err := Run(t.Context(), f, one)
	if err != nil {
		t.Fatal(err)
	}
	if o.Records <= int64(len(f.records)) {
		t.Errorf("%d records read of %d", o.Records, len(f.records))
	}
}

// A server that stalls for half a second, once, delays the 500 records that were due then by 250 ms on average: half of all records. Measured from when they
// were sent, one record alone would be slow.
func TestLatencyChargesAStallToEveryRecordThatWasDue(t *testing.T) {
	f := newFake()
	f.stall = func(since time.Duration) time.Duration {
		if since > 600*time.Millisecond && since < 1100*time.Millisecond {
			return 1100*time.Millisecond - since
		}
		return 20 * time.Microsecond
	}
	one := order(Latency)
	one.Spec.For = 1500 * time.Millisecond
	o, err := Run(t.Context(), f, one)
	if err != nil {
		t.Fatal(err)
	}
	if o.Failed != 0 {
		t.Fatalf("%d failed: %s", o.Failed, o.Failure)
	}
	for name, p := range map[string]*Percentiles{"ack": o.Ack, "end to end": o.EndToEnd} {
		if p.P90 < 200_000 || p.P99 < 400_000 {
			t.Errorf("%s: p90 %v µs, p99 %v µs", name, p.P90, p.P99)
		}
		if p.Count < 1300 || p.Count > 1600 {
			t.Errorf("%s: %d records were due in 1.5 s at 1000 a second", name, p.Count)
		}
	}
}

// A record that was due while we counted counts, even if its answer comes when we no longer do.
func TestLatencyCountsAnswersThatComeBehindTheEnd(t *testing.T) {
	f := newFake()
	f.stall = func(time.Duration) time.Duration { return 300 * time.Millisecond }
	one := order(Latency)
	one.Spec.Warm, one.Spec.For = 10*time.Millisecond, 100*time.Millisecond
	o, err := Run(t.Context(), f, one)
	if err != nil {
		t.Fatal(err)
	}
	if o.Ack == nil || o.EndToEnd == nil || o.Ack.Count < 50 || o.Ack.Count != o.EndToEnd.Count || o.Ack.P50 < 290_000 {
		t.Errorf("ack %+v, end to end %+v, failed %d", o.Ack, o.EndToEnd, o.Failed)
	}
}
