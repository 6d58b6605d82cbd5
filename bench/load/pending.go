package load

import "context"

// Pending are sends whose answers come in order: one goroutine waits for each in turn. Add and Close are called by one goroutine.
type Pending[T any] struct {
	queue chan answer[T]
	ended chan struct{}
}

type answer[T any] struct {
	value T
	done  func(error)
}

// NewPending lets at most limit sends be under way. wait waits for the answer of one, and is called by one goroutine, until Close.
func NewPending[T any](limit int, wait func(T) error) *Pending[T] {
	p := &Pending[T]{queue: make(chan answer[T], limit), ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		for a := range p.queue {
			a.done(wait(a.value))
		}
	}()
	return p
}

// Add has done called with what becomes of a send. It waits while too many are under way.
func (p *Pending[T]) Add(value T, done func(error)) { p.queue <- answer[T]{value, done} }

// Close waits until everything is answered or ctx ends.
func (p *Pending[T]) Close(ctx context.Context) {
	close(p.queue)
	select {
	case <-p.ended:
	case <-ctx.Done():
	}
}
