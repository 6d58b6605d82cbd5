package replication

import (
	"errors"
	"fmt"
	"time"

	"github.com/barnabas-log/barnabas/log"
	"github.com/hashicorp/raft"
)

// A replica that has lost its log, but was a voter, has forgotten what it confirmed. If it voted, it could help a candidate to win that lacks committed records. So it comes back barred:
// it stores and confirms what a leader sends, which is as good as ever, but neither votes nor stands, until it holds everything that a leader of a term that no earlier promise of its own
// can exceed held after it came back. docs/decisions/0013 has the argument.

// errBarred refuses votes.
var errBarred = errors.New("this replica has lost its log and has not caught up yet")

// Recovering says whether this replica is barred from elections.
func (g *Group) Recovering() bool { return g.stable.barred.Load() }

// Recovered lets a replica that was started as recovering vote and stand again. The caller has compared its log with a leader's Tail and made it durable.
func (g *Group) Recovered() { g.stable.barred.Store(false) }

// barredFrom says whether this replica must not vote for a candidate.
func (s *stable) barredFrom(candidate []byte) bool {
	return s.barred.Load() && (string(candidate) == s.self || !s.mayVote)
}

// Term is raft's current term on this node: what it has promised, and every term that it has heard of.
func (g *Group) Term() log.Term { return log.Term(g.raftTerm()) }

// Tail is the end of a leader's log.
type Tail struct {
	Leading log.Term  // the leader's term
	Index   log.Index // of its last entry
	Term    log.Term  // of that entry
}

// Tail is asked on the leader by a replica that has lost its log. The leader forgets what that replica has confirmed, and sends to it even if there is nothing new: first says that this is
// the first time that it asks. ErrNotLeader when this node does not lead.
func (g *Group) Tail(follower int32, first bool) (Tail, error) {
	g.mu.Lock()
	ready, term := g.readyLocked(), g.won
	g.mu.Unlock()
	if !ready {
		return Tail{}, ErrNotLeader
	}
	if first {
		g.endpoint.matches.lost(follower)
		g.raft.Load().Barrier(time.Second) // an entry of its own, so that raft sends at once; not waited for
	}
	last := g.store.log.LastIndex()
	of, err := g.termOf(last)
	if err != nil {
		return Tail{}, fmt.Errorf("find the last term: %w", err)
	}
	return Tail{Leading: term, Index: last, Term: of}, nil
}

// Holds says whether this replica's log holds the entry at the end of a leader's, and with it everything before that; passed, whether it goes that far, if with another entry.
func (g *Group) Holds(t Tail) (holds, passed bool) {
	if g.store.log.Floor().Index > t.Index {
		return true, true
	}
	term, err := g.termOf(t.Index)
	return err == nil && term == t.Term, err == nil
}

// lost takes note that a follower has nothing any more.
func (m *matches) lost(node int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f := m.followers[node]; f != nil {
		f.index, f.commit, f.connection, f.heard = 0, 0, nil, time.Time{}
	}
}

// barred refuses, before raft sees it, what would make a replica stand that must not.
func (e *endpoint) barred(command any) error {
	g, ok := e.owner.(*Group)
	if !ok || !g.Recovering() {
		return nil
	}
	switch c := command.(type) {
	case *raft.TimeoutNowRequest:
		return errBarred
	case *raft.RequestVoteRequest:
		if g.stable.barredFrom(c.Addr) {
			return errBarred
		}
	case *raft.RequestPreVoteRequest:
		if g.stable.barredFrom(c.Addr) {
			return errBarred
		}
	}
	return nil
}

// Promised says whether this node has ever voted in a group, or stored a term of it: then it had a log of the group as well.
func (n *Node) Promised(group string) bool {
	n.votes.mu.Lock()
	defer n.votes.mu.Unlock()
	_, ok := n.votes.votes[group]
	return ok
}
