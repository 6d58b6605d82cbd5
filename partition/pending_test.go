package partition

import (
	"sync"
	"testing"

	"github.com/barnabas-log/barnabas/log"
)

func undecided() *Pending { return &Pending{done: make(chan struct{})} }

// A countdown is over, and says so once, when all of its appends are resolved and no more are to come, in whatever order.
func TestCountdown(t *testing.T) {
	ready := make(chan struct{}, 1)
	said := func() bool {
		select {
		case <-ready:
			return true
		default:
			return false
		}
	}
	var c Countdown
	for round := range 3 { // it is used again
		first, second, third := undecided(), undecided(), undecided()
		first.resolveLocked(0, nil)
		c.Begin(ready)
		for _, d := range []*Pending{first, second, third} {
			c.Add(d)
		}
		second.resolveLocked(0, nil)
		c.End()
		if c.Over() || said() {
			t.Fatalf("round %d: it is over although an append is not", round)
		}
		third.resolveLocked(log.Offset(7), nil)
		if !c.Over() || !said() {
			t.Fatalf("round %d: it is not over", round)
		}
		third.resolveLocked(0, nil)
		if !c.Over() || said() {
			t.Fatalf("round %d: it says so twice", round)
		}
	}
	c.Begin(ready)
	if c.End(); !c.Over() || !said() {
		t.Fatal("without an append it is not over")
	}
}

// Appends are resolved while they are added.
func TestCountdownBesideTheResolving(t *testing.T) {
	ready := make(chan struct{}, 1)
	var c Countdown
	for range 2000 {
		c.Begin(ready)
		var resolving sync.WaitGroup
		for range 3 {
			d := undecided()
			resolving.Go(func() { d.resolveLocked(0, nil) })
			c.Add(d)
		}
		c.End()
		<-ready
		if !c.Over() {
			t.Fatal("it said so, and is not over")
		}
		resolving.Wait()
	}
}
