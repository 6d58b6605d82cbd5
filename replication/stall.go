package replication

import (
	"cmp"
	"context"
	"slices"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// stallWatch knows since when a write is under way. A leader whose disk hangs must stop its heartbeats, or it would lead for ever (trap 6).
type stallWatch struct {
	since     atomic.Int64 // nanoseconds since 1970, 0: no write under way
	suspended atomic.Bool  // leadership was given up; raft has not noticed yet
}

func (w *stallWatch) begin() { w.since.Store(time.Now().UnixNano()) }
func (w *stallWatch) end()   { w.since.Store(0) }

// stalled says whether a write has hung for longer than limit on the node that leads, or did in this leadership; the first time it says so as well. From then on the
// machine has resigned, as far as h is concerned.
func (w *stallWatch) stalled(h *herald, limit time.Duration) (stalled, first bool) {
	if w.suspended.Load() {
		return true, false
	}
	since := w.since.Load()
	if since == 0 || time.Since(time.Unix(0, since)) < limit {
		return false, false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.leading || w.suspended.Load() {
		return w.suspended.Load(), false
	}
	w.suspended.Store(true)
	h.won = 0
	h.lost()
	h.wake()
	return true, true
}

// stalled says whether this node should not lead any more, because a write hangs. It is asked with every heartbeat that raft wants to send, and by the detector. From the first time on
// the machine has resigned, and heartbeats stay away until raft has given up its leadership as well, for want of contact. A sole voter has nobody to give it to.
func (g *Group) stalled() bool {
	if g.watch.since.Load() == 0 && !g.watch.suspended.Load() || len(g.voters()) < 2 {
		return false
	}
	stalled, first := g.watch.stalled(&g.herald, g.node.opts.Timing.Stall)
	if first {
		g.logger.Error("a write hangs: leadership given up", zap.Duration("stall", g.node.opts.Timing.Stall))
		g.node.network.spawn(g.abdicate)
	}
	return stalled
}

// stalled is asked with every heartbeat, as a partition's group is. The others elect by themselves when heartbeats stay away.
func (m *Metadata) stalled() bool {
	stalled, first := m.watch.stalled(&m.herald, m.node.opts.Timing.Stall)
	if first {
		m.logger.Error("a write of metadata hangs: leadership given up", zap.Duration("stall", m.node.opts.Timing.Stall))
	}
	return stalled
}

// abdicate tells a follower that can be reached to stand, the one that has most first: the others follow this node's leader for as long as the node lives.
func (g *Group) abdicate() {
	heirs := slices.DeleteFunc(g.voters(), func(v int32) bool { return v == g.self || g.node.network.peer(v).lost.Load() })
	slices.SortStableFunc(heirs, func(a, b int32) int {
		has, _ := g.endpoint.matches.get(a)
		other, _ := g.endpoint.matches.get(b)
		return cmp.Compare(other, has)
	})
	for _, v := range heirs {
		ctx, cancel := context.WithTimeout(g.node.network.ctx, g.node.opts.Timing.Silence)
		err := g.node.network.peer(v).tellToStand(ctx, nil, g.id)
		cancel()
		if err == nil {
			return
		}
	}
}
