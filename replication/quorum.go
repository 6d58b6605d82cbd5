package replication

import (
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
