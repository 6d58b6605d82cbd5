package replication

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/barnabas-log/barnabas/log"
	"github.com/hashicorp/raft"
)

func TestSoleVoterLeadsAtOnceAndAppliesInOrder(t *testing.T) {
	n, m := testNode(t), newToy()
	begin := time.Now()
	g := solo(t, n, "a", &memory{}, m)
	term := m.waitLead(t)
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("led after %v", took)
	}
	if node, at := g.Leader(); node != 1 || at != term {
		t.Errorf("leader %d in term %d", node, at)
	}
	for i := uint64(1); i <= 2000; i++ {
		if err := g.Propose(batch(100), i); err != nil {
			t.Fatal(err)
		}
	}
	m.waitApplied(t, 2000)
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.applied) != 2000 {
		t.Fatalf("%d applied", len(m.applied))
	}
	for i, e := range m.applied {
		if e.Token != uint64(i+1) || e.BaseOffset != log.Offset(i) || e.NextOffset != log.Offset(i+1) || e.Kind != log.KindBatch || e.Term != term {
			t.Fatalf("applied %d: %+v", i, e)
		}
	}
	for i := 1; i < len(m.stored); i++ {
		if m.stored[i].Index != m.stored[i-1].Index+1 {
			t.Fatalf("stored %d after %d", m.stored[i].Index, m.stored[i-1].Index)
		}
	}
}

func TestCommandsKeepTheirBytes(t *testing.T) {
	n, m := testNode(t), newToy()
	g := solo(t, n, "a", &memory{}, m)
	m.waitLead(t)
	if err := g.Propose([]byte("\xfftrim"), 7); err != nil {
		t.Fatal(err)
	}
	e := m.waitApplied(t, 7)
	if e.Kind != log.KindCommand || m.data[e.Index] != "\xfftrim" {
		t.Errorf("applied %+v with %q", e, m.data[e.Index])
	}
}

// A proposal that nobody waits for any more becomes a no-op everywhere: in the log, for raft, for the machine.
func TestRefusedProposalBecomesNoop(t *testing.T) {
	n, m, s := testNode(t), newToy(), &memory{}
	m.refuse[2] = true
	g := solo(t, n, "a", s, m)
	m.waitLead(t)
	for i := uint64(1); i <= 3; i++ {
		if err := g.Propose(batch(100), i); err != nil {
			t.Fatal(err)
		}
	}
	third := m.waitApplied(t, 3)
	if third.BaseOffset != 1 {
		t.Errorf("the third batch has offset %d: the second left a hole", third.BaseOffset)
	}
	m.mu.Lock()
	if len(m.applied) != 2 {
		t.Errorf("%d applied", len(m.applied))
	}
	m.mu.Unlock()
	meta, _ := s.Meta(third.Index - 1)
	if meta.Kind != log.KindNoop {
		t.Errorf("stored as kind %d", meta.Kind)
	}
	var l raft.Log
	if err := g.store.GetLog(uint64(third.Index-1), &l); err != nil || l.Type != raft.LogNoop || l.Data != nil {
		t.Errorf("raft reads %+v, %v", l, err)
	}
	for _, e := range m.stored {
		if e.Index == third.Index-1 && (e.Token != 0 || e.Kind != log.KindNoop) {
			t.Errorf("reported as %+v", e)
		}
	}
}

func TestRestartReplaysOnlyWhatIsNewerThanTheCheckpoint(t *testing.T) {
	n, m, s := testNode(t), newToy(), &memory{}
	g := solo(t, n, "a", s, m)
	first := m.waitLead(t)
	for i := uint64(1); i <= 50; i++ {
		if err := g.Propose(batch(100), i); err != nil {
			t.Fatal(err)
		}
	}
	m.waitApplied(t, 50)
	closeGroup(t, g)
	at := m.applied[39]
	s.checkpoint = log.Checkpoint{Index: at.Index, Term: at.Term, HighWatermark: at.NextOffset}

	m = newToy()
	g = solo(t, n, "a", s, m)
	if term := m.waitLead(t); term <= first {
		t.Errorf("term %d after %d", term, first)
	}
	m.mu.Lock()
	if len(m.applied) != 10 || m.applied[0].Index != at.Index+1 {
		t.Errorf("%d applied, the first is %+v", len(m.applied), m.applied[0])
	}
	if len(m.events) != 1 {
		t.Errorf("events %q", m.events)
	}
	m.mu.Unlock()
	closeGroup(t, g)
}

func TestLeadComesAfterEverythingCommittedBefore(t *testing.T) {
	n, m, s := testNode(t), newToy(), &memory{}
	g := solo(t, n, "a", s, m)
	m.waitLead(t)
	for i := uint64(1); i <= 500; i++ {
		if err := g.Propose(batch(100), i); err != nil {
			t.Fatal(err)
		}
	}
	m.waitApplied(t, 500)
	closeGroup(t, g)
	m = newToy()
	at := -1
	m.onLead = func(log.Term) { at = len(m.applied) }
	g = solo(t, n, "a", s, m)
	m.waitLead(t)
	closeGroup(t, g)
	if at != 500 {
		t.Errorf("led with %d of 500 applied", at)
	}
}

// Close resolves everything: the machine resigns after the last apply, and nothing hangs however much is queued.
func TestCloseWithProposalsUnderWay(t *testing.T) {
	for range 20 {
		n, m := testNode(t), newToy()
		g := solo(t, n, "a", &memory{}, m)
		m.waitLead(t)
		var producers sync.WaitGroup
		for range 4 {
			producers.Go(func() {
				for i := uint64(1); ; i++ {
					if err := g.Propose(batch(100), i); err != nil {
						if !errors.Is(err, ErrClosed) && !errors.Is(err, ErrNotLeader) {
							t.Error(err)
						}
						return
					}
				}
			})
		}
		m.wait(t, "some applies", func(m *toy) bool { return len(m.applied) > 100 })
		closeGroup(t, g)
		producers.Wait()
		events := m.history()
		if last := events[len(events)-1]; !strings.HasPrefix(last, "resign") {
			t.Fatalf("last event %q", last)
		}
		closeGroup(t, g)
	}
}

func TestFailedAppendStopsThisReplicaOnly(t *testing.T) {
	n, m, other, s := testNode(t), newToy(), newToy(), &memory{}
	g := solo(t, n, "a", s, m)
	h := solo(t, n, "b", &memory{}, other)
	m.waitLead(t)
	other.waitLead(t)
	if err := g.Propose(batch(100), 1); err != nil {
		t.Fatal(err)
	}
	m.waitApplied(t, 1)
	s.set(func(s *memory) { s.appendErr = errDisk })
	if err := g.Propose(batch(100), 2); err != nil {
		t.Fatal(err)
	}
	m.wait(t, "resignation", func(m *toy) bool { return m.failed != nil && m.term == 0 })
	if !errors.Is(m.failed, errDisk) || !errors.Is(m.failed, ErrStopped) || !errors.Is(g.Err(), errDisk) {
		t.Errorf("failed with %v, group says %v", m.failed, g.Err())
	}
	if err := g.Propose(batch(100), 3); !errors.Is(err, ErrStopped) {
		t.Errorf("propose: %v", err)
	}
	s.set(func(s *memory) { s.appendErr = nil })
	if err := h.Propose(batch(100), 1); err != nil {
		t.Fatal(err)
	}
	other.waitApplied(t, 1)
	closeGroup(t, g)
	if n := strings.Count(fmt.Sprint(m.history()), "failed"); n != 1 {
		t.Errorf("failed %d times: %q", n, m.history())
	}
	if last := s.LastIndex(); last != 3 {
		t.Errorf("%d entries: something was stored after the failure", last)
	}
}

func TestUnreadableEntryStopsInsteadOfPanicking(t *testing.T) {
	n, m, s := testNode(t), newToy(), &memory{}
	g := solo(t, n, "a", s, m)
	m.waitLead(t)
	if err := g.Propose(batch(100), 1); err != nil {
		t.Fatal(err)
	}
	m.waitApplied(t, 1)
	s.set(func(s *memory) { s.metaErr = errDisk })
	var l raft.Log
	if err := g.store.GetLog(3, &l); err != nil || l.Type != raft.LogNoop || l.Term != 0 {
		t.Errorf("reads %+v, %v", l, err)
	}
	m.wait(t, "failure", func(m *toy) bool { return m.failed != nil })
	closeGroup(t, g)
	if _, err := n.startGroup(GroupOptions{ID: "a", Machine: newToy(), Voters: []int32{1}}, s); !errors.Is(err, errDisk) {
		t.Errorf("start: %v", err)
	}
}

// Leadership is taken away and given back as fast as raft can: the machine never leads twice without resigning, terms only grow, and every proposal that was
// accepted is applied or followed by a resignation.
func TestLeadershipFlapping(t *testing.T) {
	n, m := testNode(t), newToy()
	g := solo(t, n, "a", &memory{}, m)
	m.waitLead(t)
	stop := make(chan struct{})
	var producer sync.WaitGroup
	producer.Go(func() {
		for i := uint64(1); ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := g.Propose(batch(100), i); err != nil && !errors.Is(err, ErrNotLeader) {
				t.Error(err)
			}
			time.Sleep(10 * time.Microsecond)
		}
	})
	for i := range 300 {
		if g.endpoint.stand() == nil {
			time.Sleep(time.Millisecond)
		}
		if i%20 == 0 { // now and then a leadership that has come to its end
			m.waitLead(t)
		}
		time.Sleep(100 * time.Microsecond)
	}
	close(stop)
	producer.Wait()
	m.waitLead(t)
	closeGroup(t, g)
	leading, last := false, 0
	leads := 0
	for _, e := range m.history() {
		var term, leader int
		if _, err := fmt.Sscanf(e, "lead %d", &term); err == nil {
			if leading || term <= last {
				t.Fatalf("%s after term %d, leading %v", e, last, leading)
			}
			leading, last = true, term
			leads++
		} else if _, err := fmt.Sscanf(e, "resign %d %d", &term, &leader); err == nil {
			leading = false
		}
	}
	if leads < 10 {
		t.Errorf("only %d leaderships: this tests nothing", leads)
	}
	t.Logf("%d leaderships, last term %d", leads, last)
	// what was stored twice or out of order would show here
	tokens := map[uint64]bool{}
	for _, e := range m.applied {
		if tokens[e.Token] && e.Token != 0 {
			t.Fatalf("token %d applied twice", e.Token)
		}
		tokens[e.Token] = true
	}
}

// Raft's heartbeat path may move the term on while its main goroutine still believes to lead, and would then write entries in a term that belongs to
// another leader. The store refuses them.
func TestEntriesOfATermNotWonAreRefused(t *testing.T) {
	n, m, s := testNode(t), newToy(), &memory{}
	g := solo(t, n, "a", s, m)
	term := m.waitLead(t)
	last := s.LastIndex()
	err := g.store.StoreLogs([]*raft.Log{{Index: uint64(last) + 1, Term: uint64(term) + 1, Data: batch(100), AppendedAt: time.Now()}})
	if !errors.Is(err, errTerm) || s.LastIndex() != last || g.Err() != nil {
		t.Errorf("stored: %v, last index %d, group %v", err, s.LastIndex(), g.Err())
	}
}

func TestPrefixIsNeverDeleted(t *testing.T) {
	n, m, s := testNode(t), newToy(), &memory{}
	g := solo(t, n, "a", s, m)
	m.waitLead(t)
	for i := uint64(1); i <= 5; i++ {
		if err := g.Propose(batch(100), i); err != nil {
			t.Fatal(err)
		}
	}
	m.waitApplied(t, 5)
	if err := g.store.DeleteRange(1, 3); err == nil || s.LastIndex() != 7 {
		t.Errorf("deleted: %v, last index %d", err, s.LastIndex())
	}
}

func TestStartTwiceAndAfterClose(t *testing.T) {
	n := testNode(t)
	g := solo(t, n, "a", &memory{}, newToy())
	if _, err := n.startGroup(GroupOptions{ID: "a", Machine: newToy(), Voters: []int32{1}}, &memory{}); !errors.Is(err, ErrExists) {
		t.Errorf("second start: %v", err)
	}
	if err := n.Forget("a"); !errors.Is(err, ErrExists) {
		t.Errorf("forget of a running group: %v", err)
	}
	closeGroup(t, g)
	if err := n.Forget("a"); err != nil {
		t.Error(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := n.startGroup(GroupOptions{ID: "b", Machine: newToy(), Voters: []int32{1}}, &memory{}); !errors.Is(err, ErrClosed) {
		t.Errorf("start after close: %v", err)
	}
}

func TestCheckpointAheadOfTheLogIsRefused(t *testing.T) {
	n, m, s := testNode(t), newToy(), &memory{}
	g := solo(t, n, "a", s, m)
	m.waitLead(t)
	closeGroup(t, g)
	s.checkpoint = log.Checkpoint{Index: 99, Term: 1}
	if _, err := n.startGroup(GroupOptions{ID: "a", Machine: newToy()}, s); err == nil || !strings.Contains(err.Error(), "ahead of the log") {
		t.Errorf("start: %v", err)
	}
}

// A machine proposes under its own lock, the same that Admit and Stored take, while the disk hangs: Propose must not wait.
func TestProposeNeverWaitsForTheDisk(t *testing.T) {
	n, m, s := testNode(t), newToy(), &memory{}
	g := solo(t, n, "a", s, m)
	m.waitLead(t)
	gate := make(chan struct{})
	s.set(func(s *memory) { s.gate = gate })
	m.mu.Lock()
	for i := uint64(1); i <= 5*maxEntries; i++ {
		if err := g.Propose(batch(100), i); err != nil {
			t.Error(err)
		}
	}
	m.mu.Unlock()
	close(gate)
	m.waitApplied(t, 5*maxEntries)
	m.mu.Lock()
	defer m.mu.Unlock()
	if !slices.IsSortedFunc(m.applied, func(a, b Entry) int { return int(a.Token) - int(b.Token) }) {
		t.Error("out of order")
	}
}
