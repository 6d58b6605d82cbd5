package replication

import (
	"context"
	"time"

	"github.com/hashicorp/raft"
)

// Quorum is how the metadata group stands, as its leader sees it.
type Quorum struct {
	Leader  int32
	Term    uint64
	Commit  uint64 // the last entry that a majority has
	Members []Progress
}

// Progress is what the leader knows of one member.
type Progress struct {
	Node  int32
	Voter bool
	Last  uint64    // the last entry that it has confirmed; 0: none in this term
	Heard time.Time // when it answered last; zero for the leader itself, and when never
}

// Quorum describes the group. ErrNotLeader on other nodes.
func (m *Metadata) Quorum() (Quorum, error) {
	r := m.raft.Load()
	m.mu.Lock()
	ready, term := m.readyLocked(), m.term
	m.mu.Unlock()
	if r == nil || !ready {
		return Quorum{}, ErrNotLeader
	}
	q := Quorum{Leader: m.self, Term: uint64(term), Commit: r.CommitIndex()}
	for _, s := range r.GetConfiguration().Configuration().Servers {
		p := Progress{Node: nodeOf(s.ID), Voter: s.Suffrage == raft.Voter}
		if p.Node == m.self {
			p.Last = r.LastIndex()
		} else {
			last, _ := m.endpoint.matches.get(p.Node)
			p.Last = uint64(last)
			if at := m.node.network.peer(p.Node).answered.Load(); at > 0 {
				p.Heard = m.node.network.begun.Add(time.Duration(at))
			}
		}
		q.Members = append(q.Members, p)
	}
	return q, nil
}

// RemoveNonvoter ends what AddNonvoter began. A voter stays. Only on the leader (ErrNotLeader elsewhere).
func (m *Metadata) RemoveNonvoter(ctx context.Context, node int32) error {
	r := m.raft.Load()
	if r == nil || r.State() != raft.Leader {
		return ErrNotLeader
	}
	for _, s := range r.GetConfiguration().Configuration().Servers {
		if s.ID == serverID(node) && s.Suffrage == raft.Voter {
			return nil
		}
	}
	if !m.has(r, node) {
		return nil
	}
	r.RemoveServer(serverID(node), 0, time.Second) // its future is not waited for (trap 5)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for m.has(r, node) {
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
