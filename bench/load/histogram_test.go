package load

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestBucketsCoverEveryDurationOnceAndInOrder(t *testing.T) {
	last := bucket(0)
	for ns := uint64(1); ns < 1<<20; ns++ {
		b := bucket(ns)
		if b < last || b > last+1 {
			t.Fatalf("%d ns is in bucket %d, %d ns in %d", ns, b, ns-1, last)
		}
		if b != last && ceiling(last) != ns-1 {
			t.Fatalf("bucket %d ends at %d ns, but %d ns is in the next", last, ceiling(last), ns)
		}
		last = b
	}
}

func TestBucketsAreNarrow(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 100_000 {
		ns := r.Uint64() >> (1 + r.IntN(62))
		if c := ceiling(bucket(ns)); c < ns || float64(c-ns) > float64(ns)/128 {
			t.Fatalf("%d ns is counted as %d", ns, c)
		}
	}
}

func TestPercentilesAreThoseOfTheSortedDurations(t *testing.T) {
	var h Histogram
	r := rand.New(rand.NewPCG(1, 2))
	var all []time.Duration
	for range 10_000 {
		d := time.Duration(r.ExpFloat64() * float64(time.Millisecond))
		all = append(all, d)
		h.Record(d)
	}
	slices.Sort(all)
	p := h.Percentiles()
	for _, c := range []struct {
		share float64
		got   float64
	}{{0.5, p.P50}, {0.9, p.P90}, {0.99, p.P99}, {0.999, p.P999}, {1, p.Max}} {
		want := float64(all[int(c.share*float64(len(all)-1))]) / 1e3
		if c.got < want || c.got > want*1.01 {
			t.Errorf("at %v: %v µs, want %v", c.share, c.got, want)
		}
	}
}
