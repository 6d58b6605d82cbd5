package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// inflict carries the faults out, each at its time, and returns when all are healed.
func (c *cluster) inflict(ctx context.Context, faults []fault, length time.Duration) []string {
	begun := time.Now()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var problems []string
	for _, f := range faults {
		if sleep(ctx, time.Until(begun.Add(f.at))); ctx.Err() != nil {
			break
		}
		wg.Go(func() {
			fmt.Println(f)
			heal, err := c.begin(ctx, f)
			sleep(ctx, f.length)
			if heal != nil {
				err = errors.Join(err, heal())
			}
			if err != nil {
				mu.Lock()
				problems = append(problems, fmt.Sprintf("%v: %v", f, err))
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if ctx.Err() == nil {
		sleep(ctx, time.Until(begun.Add(length)))
	}
	return problems
}

// sleep returns early when ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// begin makes a fault happen, and returns what makes it good.
func (c *cluster) begin(ctx context.Context, f fault) (heal func() error, err error) {
	switch f.kind {
	case "kill", "kill2", "killall":
		return f.process(c, func(m *member) error { m.end(syscall.SIGKILL); c.done.kills.Add(1); return nil }, (*member).start)
	case "restart":
		return f.process(c, func(m *member) error { m.end(syscall.SIGTERM); return nil }, (*member).start)
	case "pause":
		return f.process(c, func(m *member) error { return m.signal(syscall.SIGSTOP) }, func(m *member) error { return m.signal(syscall.SIGCONT) })
	case "slow":
		return f.process(c, func(m *member) error { return c.disks.limit(m, 40) }, func(m *member) error { return c.disks.limit(m, 0) })
	case "full":
		return f.process(c, c.disks.fill, c.disks.free)
	case "clock":
		return f.process(c, func(m *member) error { return m.jump(f.jump()) }, func(m *member) error { return m.jump(0) })
	case "elect":
		c.electPreferred(ctx)
		return nil, nil
	case "transfer":
		c.transfer(ctx, f)
		return nil, nil
	case "move":
		c.moveAway(ctx, f)
		return func() error { c.moveBack(ctx, f); return nil }, nil
	}
	c.done.cuts.Add(1)
	ways := f.ways(len(c.nodes))
	for _, w := range ways {
		err = errors.Join(err, c.network.cut(w[0], w[1]))
	}
	return func() error {
		var err error
		for _, w := range ways {
			err = errors.Join(err, c.network.heal(w[0], w[1]))
		}
		return err
	}, err
}

// jump makes the clock of a running node wrong.
func (m *member) jump(by time.Duration) error {
	p := m.running()
	if p == nil {
		return nil
	}
	return jumpClock(p.cmd.Process.Pid, by)
}

// process does something to the processes of all nodes that suffer, and returns what undoes it. A node that still suffers from an earlier fault, because that took longer
// than was planned, is left alone.
func (f fault) process(c *cluster, do, undo func(*member) error) (heal func() error, err error) {
	var victims []*member
	for _, n := range f.nodes {
		if m := c.nodes[n-1]; m.suffering.TryLock() {
			victims = append(victims, m)
		} else {
			fmt.Printf("         %-8s leaves node %d alone, it still suffers\n", f.kind, n)
		}
	}
	each := func(do func(*member) error) error {
		var all errgroup.Group
		for _, m := range victims {
			all.Go(func() error { return do(m) })
		}
		return all.Wait()
	}
	err = each(do)
	return func() error {
		defer func() {
			for _, m := range victims {
				m.suffering.Unlock()
			}
		}()
		return each(undo)
	}, err
}

// ways are the directions in which nothing goes during a fault of the network. Node 0 is where the clients are.
func (f fault) ways(size int) (ways [][2]int) {
	first := f.nodes[0]
	switch f.kind {
	case "cut":
		return [][2]int{{first, f.nodes[1]}, {f.nodes[1], first}}
	case "oneway":
		return [][2]int{{first, f.nodes[1]}}
	}
	for n := range size + 1 {
		if n == first || n == 0 && !f.clients {
			continue
		}
		if f.kind != "deaf" {
			ways = append(ways, [2]int{first, n})
		}
		if f.kind != "mute" {
			ways = append(ways, [2]int{n, first})
		}
	}
	return ways
}
