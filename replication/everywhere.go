package replication

import "github.com/barnabas-log/barnabas/log"

// Everywhere is the offset below which every member, learners included, has confirmed everything to this leader. 0 when this node does not lead, or when it has not
// heard of all of them. Safe from any goroutine.
func (g *Group) Everywhere() log.Offset {
	g.mu.Lock()
	ready := g.readyLocked()
	g.mu.Unlock()
	members := g.Members()
	if !ready || len(members) == 0 {
		return 0
	}
	least := g.store.log.LastIndex()
	for _, m := range members {
		if m.Node != g.self {
			match, _ := g.endpoint.matches.get(m.Node)
			least = min(least, match)
		}
	}
	if least == 0 {
		return 0
	}
	if m, err := g.store.meta(least); err == nil {
		return m.NextOffset
	}
	return 0 // before the log begins, or the group was closed
}
