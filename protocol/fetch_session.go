package protocol

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/barnabas-log/barnabas/internal/metadata"
)

// evictAfter is how long a session must have been idle before any other may take its place (Kafka's min.incremental.fetch.session.eviction.ms).
const evictAfter = 2 * time.Minute

// maxSessionPartitions bounds the partitions that all sessions remember together.
const maxSessionPartitions = 1 << 20

// session is what the server remembers between the fetches of one client (KIP-227): which partitions it fetches, and what it was told of each.
type session struct {
	id   int32
	byID bool // topics are named by id

	busy bool // a fetch is using it; guarded by sessions.mu, as are the next three
	used time.Time
	size int
	gone bool

	// The following belong to the fetch that uses the session.
	epoch int32 // that the next fetch must name
	order []*sessionPart
	index map[partKey]*sessionPart
}

// partKey names a partition within a session: by id or by name.
type partKey struct {
	topic  string
	id     metadata.TopicID
	number int32
}

// sessionPart is one partition in a session.
type sessionPart struct {
	key              partKey
	offset           int64
	maxBytes         int32
	leaderEpoch      int32
	lastFetchedEpoch int32

	told                bool // the client was told of the following
	high, stable, start int64
	forgotten           bool
}

// sessions are all sessions of a server.
type sessions struct {
	slots int
	now   func() time.Time

	evicted atomic.Int64

	mu sync.Mutex
	// mu guards following.
	byID  map[int32]*session
	parts int // over all sessions
}

func newSessions(slots int) *sessions {
	return &sessions{slots: slots, now: time.Now, byID: map[int32]*session{}}
}

// add makes a session for a fetch of n partitions, or nil when there is no room.
func (c *sessions) add(byID bool, n int) *session {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.slots <= 0 || n == 0 {
		return nil
	}
	for len(c.byID) >= c.slots || c.parts+n > maxSessionPartitions {
		if !c.evictLocked(n) {
			return nil
		}
	}
	s := &session{byID: byID, busy: true, used: c.now(), epoch: 1, index: make(map[partKey]*sessionPart, n)}
	for s.id == 0 || c.byID[s.id] != nil {
		s.id = rand.Int32N(1<<31-1) + 1
	}
	c.byID[s.id] = s
	return s
}

// evictLocked removes the session that was idle longest, if it was idle long enough, and otherwise the smallest one that is smaller than n
// partitions: a large session saves more. It says whether it found one.
func (c *sessions) evictLocked(n int) bool {
	var oldest, smallest *session
	for _, s := range c.byID {
		if s.busy {
			continue
		}
		if oldest == nil || s.used.Before(oldest.used) {
			oldest = s
		}
		if s.size < n && (smallest == nil || s.size < smallest.size) {
			smallest = s
		}
	}
	switch {
	case oldest != nil && c.now().Sub(oldest.used) >= evictAfter:
		c.evicted.Add(1)
		c.removeLocked(oldest)
	case smallest != nil:
		c.evicted.Add(1)
		c.removeLocked(smallest)
	default:
		return false
	}
	return true
}

func (c *sessions) removeLocked(s *session) {
	delete(c.byID, s.id)
	c.parts -= s.size
	s.gone = true
}

// take finds the session with an id for a fetch that names an epoch. The session is the caller's until done.
func (c *sessions) take(id, epoch int32, byID bool) (*session, int16) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.byID[id]
	switch {
	case s == nil:
		return nil, codeFetchSessionIDNotFound
	case s.busy || s.epoch != epoch:
		return nil, codeInvalidFetchSessionEpoch
	case s.byID != byID:
		return nil, codeFetchSessionTopicIDError
	}
	s.busy = true
	s.epoch = nextEpoch(epoch)
	return s, codeNone
}

// nextEpoch follows epoch: 0 opens a session and -1 closes one, so neither comes again.
func nextEpoch(epoch int32) int32 {
	if epoch == 1<<31-1 {
		return 1
	}
	return epoch + 1
}

// done gives a session back.
func (c *sessions) done(s *session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.busy = false
	s.used = c.now()
	if !s.gone {
		c.parts += len(s.index) - s.size
		s.size = len(s.index)
		if c.parts > maxSessionPartitions { // its client starts over with a full fetch
			c.removeLocked(s)
		}
	}
}

// drop removes a session, if there is one with that id.
func (c *sessions) drop(id int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.byID[id]; s != nil {
		c.removeLocked(s)
	}
}

// count is how many sessions and partitions are remembered.
func (c *sessions) count() (sessions, partitions int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.byID), c.parts
}

// openSession finds or makes the session that a fetch names, and takes the fetch's partitions from it.
func (q *fetchRun) openSession() int16 {
	c := q.server.sessions
	id, epoch := q.req.SessionID, q.req.SessionEpoch
	if epoch == 0 || epoch == -1 { // a full fetch, that opens a session or has none
		if id != 0 {
			c.drop(id)
		}
		q.addRequested()
		if epoch == 0 {
			if q.session = c.add(q.byID(), len(q.parts)); q.session != nil {
				q.id = q.session.id
				q.session.enrol(q.parts, q.byID())
			}
		}
		return codeNone
	}
	s, code := c.take(id, epoch, q.byID())
	if code != codeNone {
		return code
	}
	q.session, q.id, q.full = s, id, false
	q.update()
	return codeNone
}

// enrol remembers the partitions of a full fetch.
func (s *session) enrol(parts []fetchPart, byID bool) {
	for i := range parts {
		part := &parts[i]
		part.cached = s.remember(part.key(byID), part)
	}
}

// key names the partition in a session.
func (part *fetchPart) key(byID bool) partKey {
	if byID {
		return partKey{id: part.id, number: part.number}
	}
	return partKey{topic: part.topic, number: part.number}
}

// remember adds or updates a partition.
func (s *session) remember(key partKey, part *fetchPart) *sessionPart {
	p := s.index[key]
	if p == nil {
		p = &sessionPart{key: key}
		s.index[key] = p
		s.order = append(s.order, p)
	}
	p.offset, p.maxBytes, p.leaderEpoch, p.lastFetchedEpoch = part.offset, part.maxBytes, part.leaderEpoch, part.lastFetchedEpoch
	return p
}

// update applies an incremental fetch to its session, and takes the partitions from there.
func (q *fetchRun) update() {
	s := q.session
	q.addRequested()
	s.enrol(q.parts, q.byID())
	q.forget()
	q.parts = q.parts[:0]
	for _, p := range s.order {
		q.parts = append(q.parts, fetchPart{topic: p.key.topic, id: p.key.id, number: p.key.number, offset: p.offset, maxBytes: p.maxBytes,
			leaderEpoch: p.leaderEpoch, lastFetchedEpoch: p.lastFetchedEpoch, cached: p})
		part := &q.parts[len(q.parts)-1]
		topic, code := topicFor(q.image, s.byID, part.topic, part.id)
		q.locate(part, topic, code)
	}
}

// forget removes what the client no longer wants.
func (q *fetchRun) forget() {
	s, found := q.session, false
	for _, t := range q.req.ForgottenTopics {
		for _, number := range t.Partitions {
			key := partKey{number: number}
			if s.byID {
				key.id = t.TopicID
			} else {
				key.topic = t.Topic
			}
			if p := s.index[key]; p != nil {
				p.forgotten, found = true, true
				delete(s.index, key)
			}
		}
	}
	if !found {
		return
	}
	kept := s.order[:0]
	for _, p := range s.order {
		if !p.forgotten {
			kept = append(kept, p)
		}
	}
	clear(s.order[len(kept):])
	s.order = kept
}

// settleSession remembers what the client is told. An incremental reply leaves out the partitions of which there is no news.
func (q *fetchRun) settleSession() {
	q.session.rotate(q.parts)
	kept := q.parts[:0]
	for _, part := range q.parts {
		if part.cached.news(&part) || q.full {
			kept = append(kept, part)
		}
	}
	clear(q.parts[len(kept):]) // what is left out has no chunk to release
	q.parts = kept
}

// news says whether the reply must name the partition, and remembers what it says.
func (p *sessionPart) news(part *fetchPart) bool {
	known := p.told && p.high == part.high && p.stable == part.stable && p.start == part.start
	p.high, p.stable, p.start, p.told = part.high, part.stable, part.start, part.code == codeNone
	return !known || part.chunk != nil || part.code != codeNone || part.diverging != nil || part.nearby >= 0
}

// rotate puts the partitions that gave records behind the others, so that a busy partition cannot starve the rest.
func (s *session) rotate(parts []fetchPart) {
	gave := make(map[*sessionPart]struct{})
	for i := range parts {
		if parts[i].chunk != nil {
			gave[parts[i].cached] = struct{}{}
		}
	}
	if len(gave) == 0 || len(gave) == len(s.order) {
		return
	}
	order := make([]*sessionPart, 0, len(s.order))
	for _, p := range s.order {
		if _, ok := gave[p]; !ok {
			order = append(order, p)
		}
	}
	for _, p := range s.order {
		if _, ok := gave[p]; ok {
			order = append(order, p)
		}
	}
	s.order = order
}
