package partition

import (
	"sync"
	"sync/atomic"
)

// Waiter is woken once by any of the partitions that it watches: the way a fetch waits for many partitions without a goroutine for each.
//
// To lose no wake-up: Watch every partition first, then Read each once more, and only then wait for C. Watch and Close belong to one goroutine.
type Waiter struct {
	c       chan struct{}
	woken   atomic.Bool
	watches []*watch
}

// watch is one waiter in the list of one partition.
type watch struct {
	waiter         *Waiter
	list           *watchers
	previous, next *watch // guarded by list.mu; both nil and not the head: unlinked
}

// watchers are the waiters of one partition. Nobody waiting costs wake one atomic load.
type watchers struct {
	count atomic.Int32
	mu    sync.Mutex
	head  *watch // mu guards it
}

// NewWaiter makes a waiter. Close it when it is no longer needed.
func NewWaiter() *Waiter { return &Waiter{c: make(chan struct{})} }

// C is closed at the first wake-up.
func (w *Waiter) C() <-chan struct{} { return w.c }

// Close unregisters the waiter everywhere. A waiter that was not woken never will be.
func (w *Waiter) Close() {
	for _, each := range w.watches {
		each.list.remove(each)
	}
	w.watches = nil
}

// Watch makes the partition wake w when there are new visible records, leadership changed, the log start moved, the partition failed or was closed.
func (p *Partition) Watch(w *Waiter) {
	each := &watch{waiter: w, list: &p.watchers}
	w.watches = append(w.watches, each)
	p.watchers.add(each)
	if p.closed.Load() { // nothing will happen here any more
		p.watchers.wake()
	}
}

func (w *Waiter) wake() {
	if w.woken.CompareAndSwap(false, true) {
		close(w.c)
	}
}

func (l *watchers) add(w *watch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w.next = l.head
	if l.head != nil {
		l.head.previous = w
	}
	l.head = w
	l.count.Add(1)
}

func (l *watchers) remove(w *watch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w.previous == nil && l.head != w {
		return // woken, and unlinked then
	}
	if w.previous != nil {
		w.previous.next = w.next
	} else {
		l.head = w.next
	}
	if w.next != nil {
		w.next.previous = w.previous
	}
	w.previous, w.next = nil, nil
	l.count.Add(-1)
}

// wake wakes everyone on the list and empties it. What they wait for must be visible to readers before the call.
func (l *watchers) wake() {
	if l.count.Load() == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for w := l.head; w != nil; {
		next := w.next
		w.previous, w.next = nil, nil
		w.waiter.wake()
		w = next
	}
	l.head = nil
	l.count.Store(0)
}
