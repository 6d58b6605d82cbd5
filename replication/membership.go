package replication

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/raft"
	"go.uber.org/zap"
)

// Member is a node that has a replica of a group.
type Member struct {
	Node  int32
	Voter bool // else it learns only
}

// changeTimeout bounds a change of membership whose context has no deadline.
const changeTimeout = 30 * time.Second

// members is what the group knows of its configuration. Guarded by Group.mu.
type members struct {
	committed raft.Configuration
	changed   chan struct{} // closed and replaced when committed changes
}

// Members are the nodes of the newest configuration that this node has heard of, in no order. Safe from any goroutine.
func (g *Group) Members() []Member {
	r := g.raft.Load()
	if r == nil {
		return nil
	}
	return membersOf(r.GetConfiguration().Configuration())
}

func membersOf(c raft.Configuration) []Member {
	var m []Member
	for _, s := range c.Servers {
		m = append(m, Member{nodeOf(s.ID), s.Suffrage == raft.Voter})
	}
	return m
}

// AddNonvoter adds a node that learns only, the first step of adding a voter. The node must have started the group with no voters. Only on the
// leader; returns when the change is committed. Changes are made one after another. ErrNotLeader: nothing was changed; ErrLeadershipLost or ctx's error: it may be.
func (g *Group) AddNonvoter(ctx context.Context, node int32) error {
	return g.change(ctx, "add learner", node, func(m []Member) bool { return slices.ContainsFunc(m, func(m Member) bool { return m.Node == node }) },
		func(r *raft.Raft, timeout time.Duration) {
			r.AddNonvoter(serverID(node), serverAddress(node), 0, timeout)
		})
}

// AddVoter waits until a learner has everything that the log held at the time of the call, and makes it a voter. Otherwise like AddNonvoter.
func (g *Group) AddVoter(ctx context.Context, node int32) error {
	return g.change(ctx, "add voter", node, func(m []Member) bool { return slices.Contains(m, Member{node, true}) },
		func(r *raft.Raft, timeout time.Duration) {
			r.AddVoter(serverID(node), serverAddress(node), 0, timeout)
		})
}

// Remove takes a node out of the group. The leader does not remove itself: Transfer first. Otherwise like AddNonvoter.
func (g *Group) Remove(ctx context.Context, node int32) error {
	if node == g.self {
		return fmt.Errorf("remove node %d from group %s: it leads, transfer first", node, g.id)
	}
	return g.change(ctx, "remove", node, func(m []Member) bool { return !slices.ContainsFunc(m, func(m Member) bool { return m.Node == node }) },
		func(r *raft.Raft, timeout time.Duration) {
			r.RemoveServer(serverID(node), 0, timeout)
		})
}

// change makes one change. Raft's future is not waited for (trap 5): done is asked about every configuration that is committed.
func (g *Group) change(ctx context.Context, what string, node int32, done func([]Member) bool, ask func(*raft.Raft, time.Duration)) error {
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	already := done(g.Members())
	err := g.changeOne(ctx, node, done, ask)
	if err != nil {
		return fmt.Errorf("%s node %d, group %s: %w", what, node, g.id, err)
	}
	if already {
		return nil
	}
	g.logger.Info("membership changed", zap.String("change", what), zap.Int32("node", node))
	return nil
}

func (g *Group) changeOne(ctx context.Context, node int32, done func([]Member) bool, ask func(*raft.Raft, time.Duration)) error {
	select {
	case g.changing <- struct{}{}:
		defer func() { <-g.changing }()
	case <-ctx.Done():
		return ctx.Err()
	}
	over, err := g.watchLeadership()
	if err != nil {
		return err
	}
	r := g.raft.Load()
	if done(g.Members()) {
		return g.awaitConfiguration(ctx, over, done)
	}
	if err := usualTimers(r, g.node.opts.Timing); err != nil {
		return err
	}
	if slices.Contains(g.Members(), Member{node, false}) && !done([]Member{{node, false}}) && done([]Member{{node, true}}) {
		if err := g.awaitMatch(ctx, over, node, r.LastIndex()); err != nil {
			return err
		}
	}
	deadline, _ := ctx.Deadline()
	ask(r, max(time.Until(deadline), time.Nanosecond))
	return g.awaitConfiguration(ctx, over, done)
}

// watchLeadership gives a channel that is closed when the leadership is lost.
func (g *Group) watchLeadership() (<-chan struct{}, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closing {
		return nil, ErrClosed
	}
	if !g.readyLocked() {
		return nil, ErrNotLeader
	}
	if g.over == nil {
		g.over = make(chan struct{})
	}
	return g.over, nil
}

// usualTimers gives raft the timers of a group with several voters that knows its leader.
func usualTimers(r *raft.Raft, t Timing) error {
	c := r.ReloadableConfig()
	if c.HeartbeatTimeout == t.Heartbeat && c.ElectionTimeout == t.Election {
		return nil
	}
	c.HeartbeatTimeout, c.ElectionTimeout = t.Heartbeat, t.Election
	if err := r.ReloadConfig(c); err != nil {
		return fmt.Errorf("set timers: %w", err)
	}
	return nil
}

func (g *Group) awaitConfiguration(ctx context.Context, over <-chan struct{}, done func([]Member) bool) error {
	for {
		g.mu.Lock()
		if g.changed == nil {
			g.changed = make(chan struct{})
		}
		finished, changed := done(membersOf(g.committed)), g.changed
		g.mu.Unlock()
		if finished {
			return nil
		}
		select {
		case <-changed:
		case <-over:
			return ErrLeadershipLost
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// configured takes note of a configuration that was committed.
func (g *Group) configured(c raft.Configuration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.committed = c
	if g.changed != nil {
		close(g.changed)
		g.changed = nil
	}
}

// awaitMatch waits until a follower has the log up to index.
func (g *Group) awaitMatch(ctx context.Context, over <-chan struct{}, node int32, index uint64) error {
	for {
		match, changed := g.endpoint.matches.get(node)
		if uint64(match) >= index {
			return nil
		}
		select {
		case <-changed:
		case <-over:
			return ErrNotLeader
		case <-ctx.Done():
			return fmt.Errorf("node %d has entries up to %d of %d: %w", node, match, index, ctx.Err())
		}
	}
}
