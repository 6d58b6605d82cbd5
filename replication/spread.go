package replication

import (
	"context"
	"sync"
	"time"

	"github.com/barnabas-log/barnabas/log"
	"github.com/hashicorp/raft"
)

// spreadPause is how long followers may be behind in what they know to be committed. Raft tells them with the next entries, or after its commit timeout.
const spreadPause = 40 * time.Millisecond

// spreader tells followers the commit index when no entry comes that would carry it. Groups that are idle cost nothing.
type spreader struct {
	node *Node

	mu      sync.Mutex
	dirty   map[*Group]bool // guarded by mu; groups with news
	running bool            // guarded by mu
}

// add takes note that a group that this node leads may have news for its followers.
func (s *spreader) add(g *Group) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dirty == nil {
		s.dirty = map[*Group]bool{}
	}
	s.dirty[g] = true
	if !s.running {
		s.running = s.node.network.spawn(s.run)
	}
}

// run lives as long as there are news.
func (s *spreader) run() {
	pause := time.NewTicker(spreadPause)
	defer pause.Stop()
	for {
		select {
		case <-pause.C:
		case <-s.node.network.ctx.Done():
			return
		}
		s.mu.Lock()
		all := s.dirty
		s.dirty, s.running = nil, len(all) > 0
		running := s.running
		s.mu.Unlock()
		if !running {
			return
		}
		var work sync.WaitGroup
		slots := make(chan struct{}, 64)
		for g := range all {
			r := g.raft.Load()
			if r == nil || r.State() != raft.Leader {
				continue
			}
			for _, a := range g.endpoint.matches.behind(r.CurrentTerm(), r.CommitIndex()) {
				slots <- struct{}{}
				work.Go(func() {
					g.endpoint.tellCommit(a)
					<-slots
				})
			}
		}
		work.Wait()
	}
}

// behind is what one follower has to be told.
type behind struct {
	node                int32
	term, index, commit uint64
}

// behind lists the followers that do not know that what they have confirmed is committed up to commit.
func (m *matches) behind(term, commit uint64) []behind {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []behind
	for node, f := range m.followers {
		if target := min(commit, f.index); f.term == term && f.commit < target && !f.busy {
			all = append(all, behind{node, term, f.index, target})
		}
	}
	return all
}

// forgetCommit takes note that a follower's process was started again: it knows what it stored, but not what is committed. It reports whether there is such a follower.
func (m *matches) forgetCommit(node int32) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.followers[node]
	if f != nil {
		f.commit, f.heard = 0, time.Time{}
	}
	return f != nil
}

// tellCommit sends an append without entries for a place that the follower has confirmed. It is what raft's leader of that term would send: true for ever, whoever leads
// when it arrives.
func (e *endpoint) tellCommit(b behind) {
	term, err := e.owner.termOf(log.Index(b.index))
	p := e.node.network.peer(b.node)
	if err != nil || p.lost.Load() {
		return
	}
	a := &raft.AppendEntriesRequest{Term: b.term, PrevLogEntry: b.index, PrevLogTerm: uint64(term), LeaderCommitIndex: b.commit}
	ctx, cancel := context.WithTimeout(e.node.network.ctx, e.node.opts.Timing.Silence)
	defer cancel()
	body, err := p.lines[laneData].call(ctx, e.done, kindAppend, e.group, func(to []byte) []byte { return encodeAppend(to, a, 0) })
	if err != nil {
		return
	}
	var resp raft.AppendEntriesResponse
	r := reader{b: body}
	if r.taken(&resp); r.done() == nil && resp.Success {
		e.matches.told(b)
	}
}

// told takes note of a commit index that a follower knows now.
func (m *matches) told(b behind) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f := m.followers[b.node]; f != nil && f.term == b.term {
		f.commit = max(f.commit, b.commit)
	}
}
