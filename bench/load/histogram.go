package load

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// Histogram counts durations in buckets whose width is at most 1/128 of their value, from 1 ns to hours, so that a percentile is wrong by less than 1%. Any goroutine may
// record. The zero value is ready.
type Histogram struct {
	counts [64 << subBits]atomic.Int64
	most   atomic.Int64
}

const subBits = 7 // 128 buckets for each power of two

// bucket of a duration: durations below 128 have their own; then the position of the highest bit and the 7 bits after it.
func bucket(ns uint64) int {
	if ns < 1<<subBits {
		return int(ns)
	}
	shift := bits.Len64(ns) - subBits - 1
	return (shift+1)<<subBits + int(ns>>shift)&(1<<subBits-1)
}

// ceiling is the largest duration of a bucket.
func ceiling(bucket int) uint64 {
	if bucket < 1<<subBits {
		return uint64(bucket)
	}
	shift := bucket>>subBits - 1
	return (1<<subBits+uint64(bucket)&(1<<subBits-1)+1)<<shift - 1
}

// Record counts d. Negative durations count as 0.
func (h *Histogram) Record(d time.Duration) {
	ns := max(int64(d), 0)
	h.counts[bucket(uint64(ns))].Add(1)
	for {
		most := h.most.Load()
		if ns <= most || h.most.CompareAndSwap(most, ns) {
			return
		}
	}
}

// Percentiles of a histogram, in microseconds.
type Percentiles struct {
	Count int64   `json:"count"`
	P50   float64 `json:"p50_us"`
	P90   float64 `json:"p90_us"`
	P99   float64 `json:"p99_us"`
	P999  float64 `json:"p99.9_us"`
	Max   float64 `json:"max_us"`
}

// Percentiles sums up; nil when nothing was recorded.
func (h *Histogram) Percentiles() *Percentiles {
	var total int64
	for i := range h.counts {
		total += h.counts[i].Load()
	}
	if total == 0 {
		return nil
	}
	at := func(share float64) float64 {
		rank, seen := int64(share*float64(total-1))+1, int64(0)
		for i := range h.counts {
			if seen += h.counts[i].Load(); seen >= rank {
				return float64(min(ceiling(i), uint64(h.most.Load()))) / 1e3
			}
		}
		return float64(h.most.Load()) / 1e3
	}
	return &Percentiles{Count: total, P50: at(0.5), P90: at(0.9), P99: at(0.99), P999: at(0.999), Max: float64(h.most.Load()) / 1e3}
}
