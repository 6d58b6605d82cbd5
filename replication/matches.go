package replication

import (
	"sync"
	"time"

	"github.com/barnabas-log/barnabas/log"
	"github.com/hashicorp/raft"
)

// matches remembers what each follower has confirmed of this node's log.
type matches struct {
	mu        sync.Mutex
	followers map[int32]*match // guarded by mu
	changed   chan struct{}    // guarded by mu; closed and replaced at a change, nil when nobody waits
}

// match is what one follower has confirmed, over which connection, and when it answered a heartbeat last. A follower that was started anew has a new connection, and has
// forgotten what is committed.
type match struct {
	index, term, commit uint64
	connection          *wireConn // nil: not known
	heard               time.Time
	busy                bool // a request is under way
}

func (m *matches) atLocked(node int32) *match {
	f := m.followers[node]
	if f == nil {
		if m.followers == nil {
			m.followers = map[int32]*match{}
		}
		f = new(match)
		m.followers[node] = f
	}
	return f
}

// set takes note that the follower has taken a request with its first count entries.
func (m *matches) set(node int32, connection *wireConn, a *raft.AppendEntriesRequest, count int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.atLocked(node)
	f.index, f.term = a.PrevLogEntry+uint64(count), a.Term
	f.commit, f.connection = min(a.LeaderCommitIndex, f.index), connection
	if m.changed != nil {
		close(m.changed)
		m.changed = nil
	}
}

// busy takes note that a request is under way or was answered.
func (m *matches) busy(node int32, now bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.atLocked(node).busy = now
}

// any says whether any follower has confirmed anything.
func (m *matches) any() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.followers) > 0
}

// doubt takes note that the follower may have forgotten what is committed.
func (m *matches) doubt(node int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f := m.followers[node]; f != nil {
		f.connection = nil
	}
}

// heard takes note that the follower has answered a heartbeat.
func (m *matches) heard(node int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.atLocked(node).heard = time.Now()
}

// knows says whether an append without entries would tell the follower nothing new: it has confirmed the same index and commit index in this term, and it was heard not longer
// than within ago, all over the connection that is open now. Raft sends such requests for as long as a group is idle, and takes the answer for a sign of life; so that one must be fresh.
func (m *matches) knows(node int32, connection *wireConn, a *raft.AppendEntriesRequest, within time.Duration) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.followers[node]
	return f != nil && connection != nil && f.connection == connection && f.term == a.Term && f.index == a.PrevLogEntry && f.commit == min(a.LeaderCommitIndex, f.index) && time.Since(f.heard) < within
}

// get is a follower's match, and a channel that is closed when any changes.
func (m *matches) get(node int32) (log.Index, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.changed == nil {
		m.changed = make(chan struct{})
	}
	if f := m.followers[node]; f != nil {
		return log.Index(f.index), m.changed
	}
	return 0, m.changed
}

// clear forgets what an earlier leadership learned.
func (m *matches) clear() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.followers = nil
}
