package replication

import (
	"context"
	"time"

	"github.com/hashicorp/raft"
)

// AddNonvoter lets a node follow the metadata group without a vote. The node must have started the group with no voters. Only on the leader (ErrNotLeader elsewhere). It
// returns when the configuration has the node, which raft then brings up to date.
func (m *Metadata) AddNonvoter(ctx context.Context, node int32) error {
	r := m.raft.Load()
	if r == nil || r.State() != raft.Leader {
		return ErrNotLeader
	}
	if m.has(r, node) {
		return nil
	}
	r.AddNonvoter(serverID(node), serverAddress(node), 0, time.Second) // its future is not waited for (trap 5)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !m.has(r, node) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-m.quit:
			return ErrClosed
		case <-tick.C:
			if r.State() != raft.Leader {
				return ErrNotLeader
			}
		}
	}
	return nil
}

// has says whether the newest configuration has the node.
func (m *Metadata) has(r *raft.Raft, node int32) bool {
	for _, s := range r.GetConfiguration().Configuration().Servers {
		if s.ID == serverID(node) {
			return true
		}
	}
	return false
}
