package replication

import (
	"time"

	"github.com/barnabas-log/barnabas/log"
)

// lagWindow is how far back in time a follower may be and still count as in sync.
const lagWindow = time.Second

// lag remembers where the leader's log ended a while ago. Guarded by Group.mu.
type lag struct {
	sampled       time.Time
	recent, older log.Index
}

// InSync are the voters that have, on the leader, confirmed everything that the log held a second ago, and whose node answers; this one is among them. nil when
// this node does not lead. Meant to be asked every second or so. Safe from any goroutine.
func (g *Group) InSync() []int32 {
	g.mu.Lock()
	if !g.readyLocked() {
		g.mu.Unlock()
		return nil
	}
	if now := time.Now(); now.Sub(g.lag.sampled) >= lagWindow {
		g.lag = lag{sampled: now, recent: log.Index(g.raft.Load().LastIndex()), older: g.lag.recent}
	}
	needed := g.lag.older
	g.mu.Unlock()
	var in []int32
	for _, m := range g.Members() {
		if m.Voter && (m.Node == g.self || g.endpoint.caughtUp(m.Node, needed)) {
			in = append(in, m.Node)
		}
	}
	return in
}

// caughtUp says whether a follower has confirmed the log up to index and has been heard of lately.
func (e *endpoint) caughtUp(node int32, index log.Index) bool {
	match, _ := e.matches.get(node)
	return match >= index && match > 0 && e.node.network.peer(node).heard(3*e.node.opts.Timing.Silence)
}

// heard says whether the peer has answered anything in the last while.
func (p *peer) heard(within time.Duration) bool {
	last := p.answered.Load()
	return last != 0 && time.Duration(p.network.now()-last) <= within
}
