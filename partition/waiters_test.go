package partition

import (
	"sync"
	"sync/atomic"
	"testing"
)

func woken(w *Waiter) bool {
	select {
	case <-w.C():
		return true
	default:
		return false
	}
}

func TestWaiterIsWokenByAnyPartition(t *testing.T) {
	parts := make([]Partition, 3)
	w, other := NewWaiter(), NewWaiter()
	defer other.Close()
	for i := range parts {
		parts[i].Watch(w)
	}
	parts[2].Watch(other)
	if woken(w) {
		t.Fatal("woken by nothing")
	}
	parts[1].watchers.wake()
	if !woken(w) || woken(other) {
		t.Fatalf("woken: %t, %t", woken(w), woken(other))
	}
	parts[1].watchers.wake()
	w.Close()
	for i := range parts {
		if n := parts[i].watchers.count.Load(); (n == 0) == (i == 2) {
			t.Errorf("partition %d has %d waiters", i, n)
		}
	}
	parts[2].watchers.wake()
	if !woken(other) {
		t.Error("the other one sleeps on")
	}
}

func TestWaitersLeaveInAnyOrder(t *testing.T) {
	var p Partition
	var all []*Waiter
	for range 5 {
		w := NewWaiter()
		p.Watch(w)
		p.Watch(w) // twice does no harm
		all = append(all, w)
	}
	for _, i := range []int{2, 0, 4} {
		all[i].Close()
	}
	p.watchers.wake()
	for i, w := range all {
		if want := i == 1 || i == 3; woken(w) != want {
			t.Errorf("waiter %d woken: %t, want %t", i, woken(w), want)
		}
		w.Close()
	}
	if p.watchers.head != nil || p.watchers.count.Load() != 0 {
		t.Error("somebody is left")
	}
}

// Register, read again, wait: whoever does that sees every change.
func TestNoWakeUpIsLost(t *testing.T) {
	const changes = 20000
	var p Partition
	var value atomic.Int64
	var group sync.WaitGroup
	for range 3 {
		group.Go(func() {
			for seen := int64(0); seen < changes; {
				w := NewWaiter()
				p.Watch(w)
				if now := value.Load(); now > seen {
					seen = now
				} else {
					<-w.C()
				}
				w.Close()
			}
		})
	}
	for range changes {
		value.Add(1)
		p.watchers.wake()
	}
	group.Wait()
}

func TestNobodyWaitingCostsNothing(t *testing.T) {
	var p Partition
	if n := testing.AllocsPerRun(100, p.watchers.wake); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkWakeNobody(b *testing.B) {
	var p Partition
	for b.Loop() {
		p.watchers.wake()
	}
}

func BenchmarkWatchHundredPartitions(b *testing.B) {
	parts := make([]Partition, 100)
	b.ReportAllocs()
	for b.Loop() {
		w := NewWaiter()
		for i := range parts {
			parts[i].Watch(w)
		}
		w.Close()
	}
}
