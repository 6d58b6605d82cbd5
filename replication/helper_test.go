package replication

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/barnabas-log/barnabas/log"
	"go.uber.org/goleak"
	"go.uber.org/zap"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is a storage without files, which fails on demand. Each batch counts as one record.
type memory struct {
	mu         sync.Mutex
	entries    []log.Entry
	metas      []log.Meta
	floor      log.Floor
	checkpoint log.Checkpoint
	appendErr  error
	metaErr    error
	gate       chan struct{} // when not nil, Append waits for it
	appends    int
}

func (s *memory) FirstIndex() log.Index { s.mu.Lock(); defer s.mu.Unlock(); return s.floor.Index + 1 }
func (s *memory) LastIndex() log.Index  { s.mu.Lock(); defer s.mu.Unlock(); return s.lastLocked() }
func (s *memory) lastLocked() log.Index { return s.floor.Index + log.Index(len(s.metas)) }
func (s *memory) Floor() log.Floor      { s.mu.Lock(); defer s.mu.Unlock(); return s.floor }
func (s *memory) EndOffset() log.Offset { s.mu.Lock(); defer s.mu.Unlock(); return s.endLocked() }
func (s *memory) endLocked() log.Offset {
	if len(s.metas) == 0 {
		return s.floor.Offset
	}
	return s.metas[len(s.metas)-1].NextOffset
}
func (s *memory) Checkpoint() log.Checkpoint { s.mu.Lock(); defer s.mu.Unlock(); return s.checkpoint }

func (s *memory) Append(entries []log.Entry) ([]log.Meta, error) {
	s.mu.Lock()
	gate := s.gate
	s.mu.Unlock()
	if gate != nil {
		<-gate
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.appendErr != nil {
		return nil, s.appendErr
	}
	s.appends++
	var added []log.Meta
	for _, e := range entries {
		if e.Index != s.lastLocked()+1 {
			return nil, fmt.Errorf("%w: entry %d after %d", log.ErrInvalid, e.Index, s.lastLocked())
		}
		m := log.Meta{Index: e.Index, Term: e.Term, Kind: e.Kind, BaseOffset: s.endLocked(), NextOffset: s.endLocked(), Size: len(e.Data)}
		if e.Kind == log.KindBatch {
			m.NextOffset++
			binary.BigEndian.PutUint64(e.Data, uint64(m.BaseOffset))
		}
		e.Data = slices.Clone(e.Data)
		s.entries, s.metas, added = append(s.entries, e), append(s.metas, m), append(added, m)
	}
	return added, nil
}

func (s *memory) Meta(i log.Index) (log.Meta, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.metaErr != nil {
		return log.Meta{}, s.metaErr
	}
	if i <= s.floor.Index || i > s.lastLocked() {
		return log.Meta{}, log.ErrNotFound
	}
	return s.metas[i-s.floor.Index-1], nil
}

func (s *memory) Data(dst []byte, m log.Meta) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.Index <= s.floor.Index || m.Index > s.lastLocked() || s.metas[m.Index-s.floor.Index-1].Term != m.Term {
		return nil, log.ErrNotFound
	}
	return append(dst, s.entries[m.Index-s.floor.Index-1].Data...), nil
}

func (s *memory) ChunkOf(log.Meta) (*log.Chunk, error) { return nil, nil }

func (s *memory) TruncateSuffix(i log.Index) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := i - s.floor.Index - 1
	s.entries, s.metas = s.entries[:n], s.metas[:n]
	return nil
}

func (s *memory) Reset(f log.Floor) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entries, s.metas, s.floor = nil, nil, f
	return nil
}

func (s *memory) Configuration(i log.Index) ([]byte, log.Index, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k := min(int(i-s.floor.Index), len(s.metas)) - 1; k >= 0; k-- {
		if s.metas[k].Kind == log.KindConfiguration {
			return s.entries[k].Data, s.metas[k].Index, nil
		}
	}
	return s.floor.Configuration, s.floor.ConfigurationIndex, nil
}

func (s *memory) set(f func(*memory)) { s.mu.Lock(); defer s.mu.Unlock(); f(s) }

// toy is a state machine that writes down what it is told.
type toy struct {
	mu       sync.Mutex
	changed  chan struct{} // closed and replaced at every call
	events   []string      // Lead, Resign, Truncated, Failed
	stored   []Entry
	applied  []Entry
	data     map[log.Index]string // of applied commands
	refuse   map[uint64]bool
	term     log.Term // leading, 0: no
	leader   int32
	failed   error
	restored []byte
	resigns  int
	onLead   func(log.Term)
}

func newToy() *toy {
	return &toy{changed: make(chan struct{}), refuse: map[uint64]bool{}, leader: -1, data: map[log.Index]string{}}
}

func (m *toy) note(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
	close(m.changed)
	m.changed = make(chan struct{})
}

func (m *toy) Admit(token uint64, _ log.Term) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !m.refuse[token]
}
func (m *toy) Stored(entries []Entry) {
	m.note(func() {
		for _, e := range entries {
			e.Data = nil
			m.stored = append(m.stored, e)
		}
	})
}
func (m *toy) Truncated(from log.Index, end log.Offset) {
	m.note(func() { m.events = append(m.events, fmt.Sprintf("truncated %d %d", from, end)) })
}
func (m *toy) Apply(entries []Entry) {
	m.note(func() {
		for _, e := range entries {
			m.data[e.Index] = string(e.Data)
			e.Data = nil
			m.applied = append(m.applied, e)
		}
	})
}
func (m *toy) Lead(term log.Term) {
	m.note(func() { m.term, m.leader = term, 0; m.events = append(m.events, fmt.Sprintf("lead %d", term)) })
	if m.onLead != nil {
		m.onLead(term)
	}
}
func (m *toy) Resign(term log.Term, leader int32) {
	m.note(func() {
		m.term, m.leader = 0, leader
		m.resigns++
		m.events = append(m.events, fmt.Sprintf("resign %d %d", term, leader))
	})
}
func (m *toy) State() ([]byte, error) { return []byte("state"), nil }
func (m *toy) Restore(state []byte) error {
	m.note(func() { m.restored = slices.Clone(state) })
	return nil
}
func (m *toy) Failed(err error) {
	m.note(func() { m.failed = err; m.events = append(m.events, "failed") })
}

// wait blocks until ok, asked under the lock, is true.
func (m *toy) wait(t testing.TB, what string, ok func(*toy) bool) {
	t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	for {
		m.mu.Lock()
		done, changed := ok(m), m.changed
		m.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-deadline.C:
			m.mu.Lock()
			defer m.mu.Unlock()
			t.Fatalf("waited too long for %s; events %q", what, m.events)
		}
	}
}

func (m *toy) waitLead(t testing.TB) log.Term {
	t.Helper()
	var term log.Term
	m.wait(t, "leadership", func(m *toy) bool { term = m.term; return term != 0 })
	return term
}

func (m *toy) waitApplied(t testing.TB, token uint64) Entry {
	t.Helper()
	var found Entry
	m.wait(t, fmt.Sprintf("apply of token %d", token), func(m *toy) bool {
		for _, e := range m.applied {
			if e.Token == token {
				found = e
				return true
			}
		}
		return false
	})
	return found
}

func (m *toy) history() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.events)
}

func testNode(t testing.TB) *Node {
	t.Helper()
	return timedNode(t, Timing{})
}

func timedNode(t testing.TB, timing Timing) *Node {
	t.Helper()
	n, err := OpenNode(NodeOptions{NodeID: 1, Dir: t.TempDir(), Logger: testLogger(t), Timing: timing})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func testLogger(testing.TB) *zap.Logger { return zap.NewNop() }

// solo starts a group with node 1 as its only voter.
func solo(t testing.TB, n *Node, id string, s storage, m StateMachine) *Group {
	t.Helper()
	g, err := n.startGroup(GroupOptions{ID: id, Machine: m, Voters: []int32{1}}, s)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func closeGroup(t testing.TB, g *Group) {
	t.Helper()
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
}

// batch is bytes that begin like a record batch.
func batch(size int) []byte { return make([]byte, max(size, 61)) }

// stamped is one as a leader has stored it. Its last offset is its first.
func stamped(size int, offset log.Offset, epoch uint32) []byte {
	b := batch(size)
	binary.BigEndian.PutUint64(b, uint64(offset))
	binary.BigEndian.PutUint32(b[12:], epoch)
	return b
}

var errDisk = errors.New("disk on fire")
