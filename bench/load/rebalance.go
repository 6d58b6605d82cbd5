package load

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"
)

// Grouper is a driver of a system with consumer groups.
type Grouper interface {
	// Member joins the group, and calls assigned with everything the member has whenever that changes. leave ends it.
	Member(ctx context.Context, assigned func(partitions []int32)) (leave func(), err error)
}

// group is who has what.
type group struct {
	mu      sync.Mutex // guards following
	has     map[int][]int32
	changed chan struct{} // closed at the next change
}

func (g *group) set(member int, partitions []int32) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if partitions == nil {
		delete(g.has, member)
	} else {
		g.has[member] = partitions
	}
	close(g.changed)
	g.changed = make(chan struct{})
}

// look is who has what now, and when to look again.
func (g *group) look() (has map[int][]int32, changed <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return maps.Clone(g.has), g.changed
}

// await waits until each of the members has its share of the partitions, and none is in two hands or in nobody's.
func (g *group) await(ctx context.Context, members, partitions int) error {
	for {
		has, changed := g.look()
		if shared(has, members, partitions) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%d members do not share %d partitions: %w", members, partitions, ctx.Err())
		}
	}
}

func shared(has map[int][]int32, members, partitions int) bool {
	seen := map[int32]bool{}
	for _, list := range has {
		if len(list) < partitions/members {
			return false
		}
		for _, p := range list {
			if seen[p] {
				return false
			}
			seen[p] = true
		}
	}
	return len(has) == members && len(seen) == partitions
}

// rebalance lets a member of a group leave and another one join, again and again. Each counts, with the time until everybody has his share.
func (r *run) rebalance(ctx context.Context) (*Outcome, error) {
	driver, ok := r.driver.(Grouper)
	if !ok {
		return nil, fmt.Errorf("consumer groups: %w", ErrUnsupported)
	}
	g := &group{has: map[int][]int32{}, changed: make(chan struct{})}
	leave := map[int]func(){}
	defer func() {
		for _, end := range leave {
			end()
		}
	}()
	join := func(member int) error {
		end, err := driver.Member(ctx, func(p []int32) { g.set(member, append([]int32{}, p...)) })
		if err == nil {
			leave[member] = end
		}
		return err
	}
	for member := range r.spec.Readers {
		if err := join(member); err != nil {
			return nil, err
		}
	}
	if err := g.await(ctx, r.spec.Readers, r.spec.Partitions); err != nil {
		return nil, err
	}
	working, stop := context.WithCancel(ctx)
	defer stop()
	var changing sync.WaitGroup
	changing.Go(func() {
		for next := r.spec.Readers; working.Err() == nil; next++ {
			oldest := next - r.spec.Readers
			err := r.timed(working, g, r.spec.Readers-1, func() error {
				leave[oldest]()
				delete(leave, oldest)
				g.set(oldest, nil)
				return nil
			})
			if err == nil {
				err = r.timed(working, g, r.spec.Readers, func() error { return join(next) })
			}
			if err != nil && working.Err() == nil {
				r.meter.Fail(err)
				return
			}
		}
	})
	o, err := r.meter.Window(ctx, r.order, nil)
	stop()
	changing.Wait()
	return o, err
}

// timed changes the group and counts how long it takes until all members share again.
func (r *run) timed(ctx context.Context, g *group, members int, change func() error) error {
	counts, began := r.meter.counting.Load(), time.Now()
	if err := change(); err != nil {
		return err
	}
	if err := g.await(ctx, members, r.spec.Partitions); err != nil {
		return err
	}
	if counts {
		r.meter.Count(1, 0)
		r.meter.EndToEnd.Record(time.Since(began))
	}
	return nil
}
