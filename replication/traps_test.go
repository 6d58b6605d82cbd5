package replication

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/barnabas-log/barnabas/log"
	"github.com/hashicorp/raft"
)

// The traps of docs/design.md that need more than one node, or raft's own messages, to be shown. Each fails without its remedy.

// follower starts a replica of a group of three whose others do not exist.
func follower(t *testing.T) (*Group, *toy, *memory) {
	t.Helper()
	n, m, s := timedNode(t, Timing{Heartbeat: time.Hour, Election: time.Hour, Lease: time.Hour, Commit: time.Hour, Stall: time.Hour}), newToy(), &memory{}
	g, err := n.startGroup(GroupOptions{ID: "a", Machine: m, Voters: three}, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeGroup(t, g) })
	return g, m, s
}

// deliver hands the endpoint an append as if it had come over the wire.
func deliver(t *testing.T, g *Group, a *raft.AppendEntriesRequest) *raft.AppendEntriesResponse {
	t.Helper()
	a.RPCHeader = headerOf(2)
	got, err := g.endpoint.deliver(a, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return got.(*raft.AppendEntriesResponse)
}

func noops(from, to, term uint64) (logs []*raft.Log) {
	for i := from; i <= to; i++ {
		logs = append(logs, &raft.Log{Index: i, Term: term, Type: raft.LogNoop})
	}
	return logs
}

// Trap 2: where the logs part, the leader steps back by whole terms, not by single entries.
func TestConflictStepsBackByTerm(t *testing.T) {
	g, _, _ := follower(t)
	if r := deliver(t, g, &raft.AppendEntriesRequest{Term: 2, PrevLogEntry: 1, PrevLogTerm: 1, Entries: noops(2, 100, 2)}); !r.Success {
		t.Fatal("refused")
	}
	if r := deliver(t, g, &raft.AppendEntriesRequest{Term: 3, PrevLogEntry: 100, PrevLogTerm: 2, Entries: noops(101, 400, 3)}); !r.Success {
		t.Fatal("refused")
	}
	// A leader of term 5 has entries of term 2 up to 100, and others behind them.
	r := deliver(t, g, &raft.AppendEntriesRequest{Term: 5, PrevLogEntry: 350, PrevLogTerm: 4})
	if r.Success || r.LastLog != 100 {
		t.Errorf("answer %+v: the next attempt should be behind entry 100", r)
	}
	if r := deliver(t, g, &raft.AppendEntriesRequest{Term: 5, PrevLogEntry: r.LastLog, PrevLogTerm: 2, Entries: noops(101, 101, 5)}); !r.Success {
		t.Errorf("refused at the hint: %+v", r)
	}
}

// A follower commits no further than what its leader has confirmed: a conflicting tail behind it stays uncommitted (raft itself would take it).
func TestUnconfirmedTailIsNotCommitted(t *testing.T) {
	g, m, _ := follower(t)
	var tail []*raft.Log
	for i := uint64(2); i <= 20; i++ {
		tail = append(tail, &raft.Log{Index: i, Term: 2, Data: stampedBatch(log.Offset(i-2), 2)})
	}
	if r := deliver(t, g, &raft.AppendEntriesRequest{Term: 2, PrevLogEntry: 1, PrevLogTerm: 1, Entries: tail}); !r.Success {
		t.Fatal("refused")
	}
	// The leader of term 3 agrees up to 5 and has committed 30. It begins low, with entries 4 and 5 only: as decoded from the wire.
	a := &raft.AppendEntriesRequest{Term: 3, PrevLogEntry: 3, PrevLogTerm: 2, LeaderCommitIndex: 30}
	b := encodeAppend(nil, a, 2)
	binary.BigEndian.PutUint64(b[24:], 30) // a leader that does not know better
	for _, i := range []log.Offset{2, 3} {
		at := len(b)
		b = append(beginEntry(b, 2, log.KindBatch), stampedBatch(i, 2)...)
		endEntry(b, at, 0)
	}
	got, err := decodeAppend(b, 2)
	if err != nil {
		t.Fatal(err)
	}
	if r := deliver(t, g, got); !r.Success {
		t.Fatal("refused")
	}
	if commit := g.raft.Load().CommitIndex(); commit != 5 {
		t.Errorf("committed up to %d, the leader confirmed up to 5", commit)
	}
	m.wait(t, "applies", func(m *toy) bool { return len(m.applied) == 4 })
}

// stampedBatch is a real batch as a leader has stored it.
func stampedBatch(offset log.Offset, epoch uint32) []byte {
	b := recordBatch([]byte("value"))
	copy(b, stamped(0, offset, epoch)[:8])
	copy(b[12:16], stamped(0, offset, epoch)[12:16])
	return b
}

// What a leader sends is checked before raft sees it, and refused softly: the replica goes on.
func TestWrongEntriesAreRefusedSoftly(t *testing.T) {
	g, m, s := follower(t)
	good := func() *raft.Log { return &raft.Log{Index: 2, Term: 2, Data: stampedBatch(0, 2)} }
	flipped, epoch, offset := good(), good(), good()
	flipped.Data[len(flipped.Data)-1] ^= 1
	epoch.Data = stampedBatch(0, 1)
	offset.Data = stampedBatch(7, 2)
	for name, l := range map[string]*raft.Log{"checksum": flipped, "epoch": epoch, "offset": offset, "short": {Index: 2, Term: 2, Data: []byte("x")}} {
		a := &raft.AppendEntriesRequest{RPCHeader: headerOf(2), Term: 2, PrevLogEntry: 1, PrevLogTerm: 1, Entries: []*raft.Log{l}}
		if got, err := g.endpoint.deliver(a, nil, nil); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if s.LastIndex() != 1 || g.Err() != nil || m.failed != nil {
		t.Errorf("last index %d, %v", s.LastIndex(), g.Err())
	}
	if r := deliver(t, g, &raft.AppendEntriesRequest{Term: 2, PrevLogEntry: 1, PrevLogTerm: 1, Entries: []*raft.Log{good()}}); !r.Success {
		t.Error("a good one was refused afterwards")
	}
}

// Trap 9: a request is bounded by bytes, and raft goes on behind what was sent.
func TestRequestsAreBoundedByBytes(t *testing.T) {
	n, m, s := testNode(t), newToy(), &memory{}
	g := solo(t, n, "a", s, m)
	m.waitLead(t)
	const size = 1 << 20
	for i := uint64(1); i <= 20; i++ {
		if err := g.Propose(batch(size), i); err != nil {
			t.Fatal(err)
		}
	}
	m.waitApplied(t, 20)
	a := &raft.AppendEntriesRequest{PrevLogEntry: 2}
	for i := uint64(3); i <= 22; i++ {
		l := new(raft.Log)
		if err := g.store.GetLog(i, l); err != nil {
			t.Fatal(err)
		}
		if l.Data != nil {
			t.Fatal("raft was given the bytes of a batch")
		}
		a.Entries = append(a.Entries, l)
	}
	var f frame
	count, err := g.endpoint.entries(&f, a, true)
	if err != nil || count < 2 || count > 5 || len(f.b) > maxAppend+size+100 {
		t.Errorf("%d entries, %d bytes, %v", count, len(f.b), err)
	}
	// an entry that was truncated meanwhile ends the request
	a.Entries[2].Term++
	if count, err := g.endpoint.entries(new(frame), a, true); err != nil || count != 2 {
		t.Errorf("%d entries, %v", count, err)
	}
}

// Traps 6 and 10: a follower whose disk hangs in one group answers heartbeats all the same, keeps its leader, and the other groups on the same connection go on.
func TestStalledFollowerHoldsNobody(t *testing.T) {
	timing := quick
	timing.Heartbeat, timing.Election, timing.Lease = 800*time.Millisecond, 800*time.Millisecond, 800*time.Millisecond
	c := newCluster(t, timing)
	stuck := c.startAll("stuck")
	c.propose(stuck, 1, []byte("x"))
	id, leader := c.leader(stuck)
	_, term := leader.Leader()
	gates := map[int32]chan struct{}{}
	var once sync.Once
	release := func() {
		once.Do(func() {
			for _, gate := range gates {
				close(gate)
			}
		})
	}
	defer release()
	for other := range stuck {
		if other != id {
			gate := make(chan struct{})
			gates[other] = gate
			c.disks[other].OnSync(func(name string, _ bool) {
				if len(name) > 5 && name[:5] == "stuck" {
					<-gate
				}
			})
		}
	}
	if err := leader.Propose(recordBatch([]byte("hangs")), 2); err != nil {
		t.Fatal(err)
	}
	free := c.startAll("free")
	until := time.Now().Add(4 * timing.Heartbeat)
	for i := uint64(1); time.Now().Before(until); i++ {
		c.propose(free, i, []byte("on"))
	}
	if node, at := leader.Leader(); node != id || at != term {
		t.Errorf("node %d leads in term %d: the leader was lost because of its followers' disks", node, at)
	}
	release()
	leader.toy.waitApplied(t, 2)
	for _, replicas := range []map[int32]*replica{stuck, free} {
		for _, r := range replicas {
			r.close(t)
		}
	}
}

// Trap 11: a node that was cut off and comes back does not depose a leader that a majority follows.
func TestReturningNodeDoesNotDisturb(t *testing.T) {
	timing := quick
	timing.Heartbeat, timing.Election, timing.Lease = 300*time.Millisecond, 300*time.Millisecond, 250*time.Millisecond
	c := newCluster(t, timing)
	replicas := c.startAll("p")
	c.propose(replicas, 1, []byte("x"))
	id, leader := c.leader(replicas)
	_, term := leader.Leader()
	away := id%3 + 1
	c.isolate(away)
	replicas[away].toy.wait(t, "loss of the leader", func(m *toy) bool { return m.leader == -1 })
	time.Sleep(3 * timing.Election) // elections that it cannot win
	c.heal()
	replicas[away].toy.wait(t, "the leader", func(m *toy) bool { return m.leader == id })
	c.propose(replicas, 2, []byte("y"))
	if node, at := leader.Leader(); node != id || at != term {
		t.Errorf("node %d leads in term %d, before it was node %d in term %d", node, at, id, term)
	}
	for _, r := range replicas {
		r.close(t)
	}
}

// Heartbeats of many groups share a request.
func TestHeartbeatsAreGathered(t *testing.T) {
	c := newCluster(t, Timing{Heartbeat: time.Second})
	p := c.nodes[1].network.peer(2)
	var wg sync.WaitGroup
	begin := time.Now()
	for i := range 200 {
		wg.Go(func() {
			var resp raft.AppendEntriesResponse
			err := p.beats.call(nil, nil, fmt.Sprint(i), &raft.AppendEntriesRequest{Term: 1}, &resp)
			if err == nil {
				t.Error("a group that does not exist answered")
			}
		})
	}
	wg.Wait()
	p.lines[laneControl].mu.Lock()
	conn := p.lines[laneControl].conn
	p.lines[laneControl].mu.Unlock()
	conn.mu.Lock()
	defer conn.mu.Unlock()
	if conn.next > 5 {
		t.Errorf("200 heartbeats took %d requests in %v", conn.next, time.Since(begin))
	}
}

// The metadata group runs over the same wire.
func TestMetadataOnThreeNodes(t *testing.T) {
	c := newCluster(t, Timing{Heartbeat: 500 * time.Millisecond})
	machines := map[int32]*list{}
	groups := map[int32]*Metadata{}
	for _, id := range three {
		machines[id] = newList()
		m, err := c.nodes[id].StartMetadata(MetadataOptions{Machine: machines[id], Voters: three})
		if err != nil {
			t.Fatal(err)
		}
		groups[id] = m
	}
	for i := range 50 {
		done := false
		for attempt := 0; !done && attempt < 2000; attempt++ {
			for _, m := range groups {
				if got, err := m.Propose(context.Background(), fmt.Appendf(nil, "%d", i)); err == nil {
					if got.(int) != i+1 {
						t.Fatalf("command %d returned %v", i, got)
					}
					done = true
					break
				}
			}
			if !done {
				time.Sleep(5 * time.Millisecond)
			}
		}
		if !done {
			t.Fatal("nobody leads")
		}
	}
	for id, l := range machines {
		l.wait(t, fmt.Sprintf("node %d to have everything", id), func(*toy) bool { return len(l.items) == 50 })
	}
}

// An idle group's requests that say nothing new stay at home, but only while the follower's heartbeats show that it is there.
func TestIdleAppendsStayAtHome(t *testing.T) {
	var m matches
	open := new(wireConn)
	a := &raft.AppendEntriesRequest{Term: 3, PrevLogEntry: 7, LeaderCommitIndex: 9}
	m.set(2, open, a, 2)
	idle := &raft.AppendEntriesRequest{Term: 3, PrevLogEntry: 9, LeaderCommitIndex: 9}
	if m.knows(2, open, idle, time.Hour) {
		t.Error("a follower that was never heard")
	}
	m.heard(2)
	if !m.knows(2, open, idle, time.Hour) {
		t.Error("nothing new, and yet it is sent")
	}
	for name, b := range map[string]raft.AppendEntriesRequest{
		"term":   {Term: 4, PrevLogEntry: 9, LeaderCommitIndex: 9},
		"index":  {Term: 3, PrevLogEntry: 8, LeaderCommitIndex: 8},
		"commit": {Term: 3, PrevLogEntry: 9, LeaderCommitIndex: 8},
	} {
		if m.knows(2, open, &b, time.Hour) {
			t.Errorf("another %s stays at home", name)
		}
	}
	if m.knows(2, new(wireConn), idle, time.Hour) || m.knows(2, nil, idle, time.Hour) {
		t.Error("a follower that was started anew has forgotten what is committed")
	}
	if m.knows(2, open, idle, 0) {
		t.Error("a follower that was heard long ago")
	}
	if m.doubt(2); m.knows(2, open, idle, time.Hour) {
		t.Error("a follower whose group was started anew")
	}
	m.set(2, open, a, 2)
	m.heard(2)
	if m.clear(); m.knows(2, open, idle, time.Hour) {
		t.Error("knowledge of an earlier leadership")
	}
}
