package replication

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/barnabas-log/barnabas/internal/vfs"
	"github.com/barnabas-log/barnabas/log"
	"github.com/barnabas-log/barnabas/log/record"
)

func testLog(t testing.TB, fs vfs.FS, dir string) *log.Log {
	t.Helper()
	l, err := log.Open(dir, log.Options{FS: fs, Config: log.Config{SyncOnAppend: true, SegmentBytes: 16 << 10}})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// recordBatch is a real batch of one record.
func recordBatch(value []byte) []byte {
	b := record.New()
	b.Add(record.Record{Timestamp: 1_700_000_000_000, Value: value})
	return bytes.Clone(b.Batch())
}

func start(t testing.TB, n *Node, id string, l *log.Log, m StateMachine) *Group {
	t.Helper()
	g, err := n.StartGroup(GroupOptions{ID: id, Log: l, Machine: m, Voters: []int32{1}})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestOnARealLog(t *testing.T) {
	n, fs := testNode(t), vfs.NewMemory()
	for round := range 3 {
		l, m := testLog(t, fs, "p"), newToy()
		g := start(t, n, "p", l, m)
		m.waitLead(t)
		for i := uint64(1); i <= 300; i++ {
			command := recordBatch(fmt.Appendf(nil, "%d-%d", round, i))
			if i%100 == 0 {
				command = fmt.Appendf(nil, "\xff%d-%d", round, i)
			}
			if err := g.Propose(command, i); err != nil {
				t.Fatal(err)
			}
		}
		last := m.waitApplied(t, 300)
		if end := l.EndOffset(); end != log.Offset(297*(round+1)) || last.NextOffset != end {
			t.Fatalf("round %d: the log ends at %d, last applied %+v", round, end, last)
		}
		closeGroup(t, g)
		if round == 1 {
			if err := l.WriteCheckpoint(log.Checkpoint{Index: last.Index, Term: last.Term, HighWatermark: last.NextOffset}); err != nil {
				t.Fatal(err)
			}
		}
		if round == 2 && m.applied[0].Index <= last.Index-400 {
			t.Errorf("replayed from %d on", m.applied[0].Index)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// The power is cut at every sync: what the machine had been told to be committed is there again, at the same offsets, with the same bytes.
func TestPowerCutAtEverySync(t *testing.T) {
	n, fs := testNode(t), vfs.NewMemory()
	m := newToy()
	type cut struct {
		fs    *vfs.Memory
		acked []Entry
	}
	var mu sync.Mutex
	var cuts []cut
	r := rand.New(rand.NewPCG(1, 2))
	fs.OnSync(func(string, bool) {
		m.mu.Lock()
		acked := append([]Entry(nil), m.applied...)
		m.mu.Unlock()
		mu.Lock()
		defer mu.Unlock()
		cuts = append(cuts, cut{fs.CrashClone(r), acked})
	})
	l := testLog(t, fs, "p")
	g := start(t, n, "p", l, m)
	m.waitLead(t)
	value := func(i uint64) []byte { return bytes.Repeat([]byte{byte(i)}, 500) }
	for i := uint64(1); i <= 60; i++ {
		if err := g.Propose(recordBatch(value(i)), i); err != nil {
			t.Fatal(err)
		}
		if i%3 == 0 {
			m.waitApplied(t, i)
		}
	}
	m.waitApplied(t, 60)
	closeGroup(t, g)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	fs.OnSync(nil)
	t.Logf("%d cuts", len(cuts))
	for k, c := range cuts {
		l, again := testLog(t, c.fs, "p"), newToy()
		g := start(t, n, fmt.Sprintf("after cut %d", k), l, again)
		again.waitLead(t)
		if len(again.applied) < len(c.acked) {
			t.Fatalf("cut %d: %d of %d acknowledged entries are there", k, len(again.applied), len(c.acked))
		}
		for i, e := range c.acked {
			got := again.applied[i]
			want := recordBatch(value(e.Token))
			data, err := l.Data(nil, got.Meta)
			if err != nil || got.Meta != e.Meta || !bytes.Equal(data[log.HeaderSize:], want[log.HeaderSize:]) {
				t.Fatalf("cut %d, entry %d: %+v is %+v, %v", k, i, e, got, err)
			}
		}
		if err := g.Propose(recordBatch([]byte("on")), 1); err != nil {
			t.Fatal(err)
		}
		again.waitApplied(t, 1)
		closeGroup(t, g)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A file system that fails once, at any of its calls: the replica stops or goes on, and what it acknowledged is there when it is opened again.
func TestDiskFailsOnce(t *testing.T) {
	n := testNode(t)
	stopped := 0
	for nth := 1; nth < 60; nth++ {
		fs := vfs.NewMemory()
		failing := vfs.NewFailing(fs)
		l, m := testLog(t, failing, "p"), newToy()
		g := start(t, n, fmt.Sprintf("p%d", nth), l, m)
		m.waitLead(t)
		failing.FailNth(vfs.Changes, nth)
		for i := uint64(1); i <= 20; i++ {
			if g.Propose(recordBatch(make([]byte, 3000)), i) != nil {
				break
			}
			m.wait(t, "outcome", func(m *toy) bool {
				return m.failed != nil && m.term == 0 || len(m.applied) > 0 && m.applied[len(m.applied)-1].Token == i
			})
		}
		if m.failed != nil {
			stopped++
		}
		closeGroup(t, g)
		_ = l.Close()
		again := newToy()
		l = testLog(t, fs, "p")
		g = start(t, n, fmt.Sprintf("p%d", nth), l, again)
		again.waitLead(t)
		if len(again.applied) < len(m.applied) {
			t.Fatalf("call %d: %d of %d are there", nth, len(again.applied), len(m.applied))
		}
		closeGroup(t, g)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if stopped == 0 {
		t.Error("nothing ever failed")
	}
	t.Logf("%d of 59 stopped", stopped)
}
