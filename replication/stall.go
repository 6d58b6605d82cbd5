package replication

import (
	"context"
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

// stalled says whether this node should not lead any more, because a write hangs. It is asked with every heartbeat that raft wants to send, and by the detector. From the first time on
// the machine has resigned, and heartbeats stay away until raft has given up its leadership as well, for want of contact.
func (g *Group) stalled() bool {
	if g.watch.suspended.Load() {
		return true
	}
	since := g.watch.since.Load()
	if since == 0 || time.Since(time.Unix(0, since)) < g.node.opts.Timing.Stall {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.leading {
		return false
	}
	g.logger.Error("a write hangs: leadership given up", zap.Duration("stall", g.node.opts.Timing.Stall))
	g.watch.suspended.Store(true)
	g.won = 0
	g.dropLocked()
	g.wake()
	g.node.network.spawn(g.abdicate)
	return true
}

// abdicate tells the first follower that can be reached to stand: the others follow its node's leader for as long as that node lives.
func (g *Group) abdicate() {
	for _, v := range g.voters() {
		if v == g.self || g.node.network.peer(v).lost.Load() {
			continue
		}
		ctx, cancel := context.WithTimeout(g.node.network.ctx, g.node.opts.Timing.Silence)
		_, err := g.node.network.peer(v).lines[laneControl].call(ctx, nil, kindStand, g.id, func(b []byte) []byte { return b })
		cancel()
		if err == nil {
			return
		}
	}
}
