package replication

import "sync"

// arrivals lets appends reach raft in the order in which they came over the wire: two of a leader's may be under way, and the second is nothing without the first.
type arrivals struct {
	mu   sync.Mutex
	last <-chan struct{} // guarded by mu; closed when the one that came last has reached raft, nil: none came
}

// turn is a place in that order. It belongs to one goroutine; nil waits for nobody.
type turn struct {
	before <-chan struct{}
	mine   chan struct{} // nil: over
}

// next is the place behind all that came before.
func (a *arrivals) next() *turn {
	a.mu.Lock()
	defer a.mu.Unlock()
	t := &turn{before: a.last, mine: make(chan struct{})}
	a.last = t.mine
	return t
}

// await waits for those before. It reports whether they are through before done is closed.
func (t *turn) await(done <-chan struct{}) bool {
	if t == nil || t.before == nil {
		return true
	}
	select {
	case <-t.before:
		return true
	case <-done:
		return false
	}
}

// over lets the next one through. Further calls do nothing.
func (t *turn) over() {
	if t != nil && t.mine != nil {
		close(t.mine)
		t.mine = nil
	}
}
