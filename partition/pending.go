package partition

import (
	"context"
	"fmt"

	"github.com/barnabas-log/barnabas/log"
)

// AppendResult tells where a batch went. AppendTime is -1 unless the topic stamps log append time.
type AppendResult struct {
	BaseOffset log.Offset
	AppendTime int64 // milliseconds
	LogStart   log.Offset
}

// Pending is an append under way.
type Pending struct {
	done   chan struct{} // closed when resolved
	result AppendResult  // written before done is closed, as is err
	err    error

	// constant once registered
	token    uint64
	term     log.Term
	acks     Acks
	size     int // bytes
	sequence sequence
	original *Pending // the batch under way of which this is a duplicate

	// Partition.mu guards the following.
	resolved bool
	admitted bool
	stored   bool
	index    log.Index  // where it is stored
	next     log.Offset // the offset behind it

	queued         bool // on its producer's list
	earlier, later *Pending
}

// alreadyDone is the done of what is resolved from the start.
var alreadyDone = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// Wait blocks until the append is acknowledged as asked, fails, or ctx ends (ErrTimeout; the write goes on). May be called more than once.
func (d *Pending) Wait(ctx context.Context) (AppendResult, error) {
	select {
	case <-d.done:
		return d.result, d.err
	default:
	}
	select {
	case <-d.done:
		return d.result, d.err
	case <-ctx.Done():
		return AppendResult{BaseOffset: -1, AppendTime: -1, LogStart: -1}, fmt.Errorf("%w: %w", ErrTimeout, ctx.Err())
	}
}

// Done is closed when Wait would not block.
func (d *Pending) Done() <-chan struct{} { return d.done }

// resolveLocked ends the wait. Partition.mu is held, or nobody else knows d yet.
func (d *Pending) resolveLocked(logStart log.Offset, err error) {
	if d.resolved {
		return
	}
	d.resolved = true
	d.result.LogStart, d.err = logStart, err
	close(d.done)
}

// queue holds the pendings by token. Tokens are given out one by one, so the ring needs no search.
type queue struct {
	ring  []*Pending // length a power of two
	first uint64     // token of the oldest slot
	next  uint64     // token that the next one gets
	admit uint64     // all tokens below it were asked about
}

func newQueue() queue { return queue{ring: make([]*Pending, 16), first: 1, next: 1, admit: 1} }

func (q *queue) slot(token uint64) **Pending { return &q.ring[token&uint64(len(q.ring)-1)] }

// add gives d its token.
func (q *queue) add(d *Pending) {
	if q.next-q.first == uint64(len(q.ring)) {
		q.grow()
	}
	d.token = q.next
	*q.slot(d.token) = d
	q.next++
}

func (q *queue) grow() {
	old := *q
	q.ring = make([]*Pending, 2*len(old.ring))
	for token := old.first; token < old.next; token++ {
		*q.slot(token) = *old.slot(token)
	}
}

// get is the pending with the token, or nil.
func (q *queue) get(token uint64) *Pending {
	if token < q.first || token >= q.next {
		return nil
	}
	return *q.slot(token)
}

// drop forgets the pending with the token.
func (q *queue) drop(token uint64) {
	if token < q.first || token >= q.next {
		return
	}
	*q.slot(token) = nil
	for q.first < q.next && *q.slot(q.first) == nil {
		q.first++
	}
	q.admit = max(q.admit, q.first)
}

// clear forgets all of them.
func (q *queue) clear() {
	clear(q.ring)
	q.first, q.admit = q.next, q.next
}
