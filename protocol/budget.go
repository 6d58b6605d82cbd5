package protocol

import (
	"context"
	"sync/atomic"

	"golang.org/x/sync/semaphore"
)

// budget bounds the bytes of all requests in hand. Whoever holds a part of it never asks for more while waiting, so it cannot deadlock: a
// frame takes its whole charge in one step.
type budget struct {
	capacity int64
	free     *semaphore.Weighted
	used     atomic.Int64 // for those who look; what counts is free
}

func newBudget(capacity int64) *budget {
	return &budget{capacity: capacity, free: semaphore.NewWeighted(capacity)}
}

// take waits, first come first served, until n bytes are free, and returns what was taken: n, or everything when n is more than there is.
func (b *budget) take(ctx context.Context, n int64) (int64, error) {
	n = min(n, b.capacity)
	err := b.free.Acquire(ctx, n)
	if err == nil {
		b.used.Add(n)
	}
	return n, err
}

func (b *budget) give(n int64) {
	b.used.Add(-n)
	b.free.Release(n)
}
