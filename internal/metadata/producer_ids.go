package metadata

import (
	"context"
	"sync"
)

// producerIDs hands out ids of the block that this node has taken. One caller at a time fetches a new block, the others wait for it.
type producerIDs struct {
	fetching chan struct{} // capacity 1: holds a token while a block is being fetched

	mu        sync.Mutex // guards following
	next, end int64
}

func newProducerIDs() producerIDs { return producerIDs{fetching: make(chan struct{}, 1)} }

// take is the next id of the block, if there is one.
func (p *producerIDs) take() (int64, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next == p.end {
		return 0, false
	}
	p.next++
	return p.next - 1, true
}

func (p *producerIDs) refill(block ProducerIDs) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next, p.end = block.First, block.First+block.Count
}

// NextProducerID hands out an id that no producer has had. Ids come from durable blocks of 1000, so that one command serves 1000 producers; what is left of a
// block when the node stops, or when the outcome of taking it is unknown, is never used.
func (c *Controller) NextProducerID(ctx context.Context) (int64, error) {
	for {
		if id, ok := c.ids.take(); ok {
			return id, nil
		}
		if err := c.fetchProducerIDs(ctx); err != nil {
			return 0, err
		}
	}
}

func (c *Controller) fetchProducerIDs(ctx context.Context) error {
	select {
	case c.ids.fetching <- struct{}{}:
		defer func() { <-c.ids.fetching }()
	case <-ctx.Done():
		return proposalError("wait for a block of producer ids", ctx.Err())
	}
	c.ids.mu.Lock()
	filled := c.ids.next < c.ids.end
	c.ids.mu.Unlock()
	if filled { // by whoever we waited for
		return nil
	}
	result, err := c.propose(ctx, AllocateProducerIDs{Count: producerIDBlockSize})
	if err != nil {
		return err
	}
	block, ok := result.(ProducerIDs)
	if !ok {
		return refuse(CodeUnknownServerError, "The answer to a request for producer ids is a %T.", result)
	}
	c.ids.refill(block)
	return nil
}
