package replication

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/barnabas-log/barnabas/internal/vfs"
	"github.com/barnabas-log/barnabas/log"
	"github.com/hashicorp/raft"
	"go.uber.org/zap"
)

// cluster is three nodes over loopback connections that can be cut.
type cluster struct {
	t      testing.TB
	timing Timing
	dirs   map[int32]string
	disks  map[int32]*vfs.Memory
	nodes  map[int32]*Node

	mu        sync.Mutex
	addresses map[int32]string
	cut       map[[2]int32]bool
	conns     map[[2]int32][]net.Conn
}

var quick = Timing{Heartbeat: 150 * time.Millisecond, Election: 150 * time.Millisecond, Lease: 100 * time.Millisecond, Commit: 20 * time.Millisecond, Stall: 300 * time.Millisecond}

func newCluster(t testing.TB, timing Timing) *cluster {
	c := &cluster{
		t: t, timing: timing, dirs: map[int32]string{}, disks: map[int32]*vfs.Memory{}, nodes: map[int32]*Node{},
		addresses: map[int32]string{}, cut: map[[2]int32]bool{}, conns: map[[2]int32][]net.Conn{},
	}
	for id := int32(1); id <= 3; id++ {
		c.dirs[id], c.disks[id] = filepath.Join(t.TempDir(), "node"), vfs.NewMemory()
		c.open(id)
	}
	t.Cleanup(func() {
		for _, n := range c.nodes {
			if err := n.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	return c
}

// open starts a node at the address that it had before, if any.
func (c *cluster) open(id int32) {
	c.t.Helper()
	c.mu.Lock()
	address := c.addresses[id]
	c.mu.Unlock()
	if address == "" {
		address = "127.0.0.1:0"
	}
	n, err := OpenNode(NodeOptions{
		NodeID: id, Dir: c.dirs[id], Listen: address, Timing: c.timing, Logger: zap.NewNop(),
		Peers: func(to int32) (string, bool) {
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.cut[[2]int32{id, to}] {
				return "", false
			}
			return c.addresses[to], c.addresses[to] != ""
		},
		Dial: func(ctx context.Context, address string) (net.Conn, error) {
			conn, err := dialTCP(ctx, address, nil)
			if err != nil {
				return nil, err
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			for to, a := range c.addresses {
				if a == address {
					c.conns[[2]int32{id, to}] = append(c.conns[[2]int32{id, to}], conn)
				}
			}
			return conn, nil
		},
	})
	if err != nil {
		c.t.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nodes[id], c.addresses[id] = n, n.Addr().String()
}

// isolate cuts a node off, both ways; heal undoes it.
func (c *cluster) isolate(id int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for other := int32(1); other <= 3; other++ {
		for _, way := range [][2]int32{{id, other}, {other, id}} {
			c.cut[way] = true
			for _, conn := range c.conns[way] {
				_ = conn.Close()
			}
			c.conns[way] = nil
		}
	}
}

func (c *cluster) heal() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.cut)
}

// replica is one member of a group.
type replica struct {
	*Group
	toy *toy
	log *log.Log
}

func (c *cluster) start(id int32, group string, voters []int32, preferred bool) *replica {
	c.t.Helper()
	l, m := testLog(c.t, c.disks[id], group), newToy()
	g, err := c.nodes[id].StartGroup(GroupOptions{ID: group, Log: l, Machine: m, Voters: voters, Preferred: preferred})
	if err != nil {
		c.t.Fatal(err)
	}
	return &replica{g, m, l}
}

func (r *replica) close(t testing.TB) {
	t.Helper()
	closeGroup(t, r.Group)
	if err := r.log.Close(); err != nil {
		t.Fatal(err)
	}
}

var three = []int32{1, 2, 3}

// startAll starts a group of three in which node 1 is preferred.
func (c *cluster) startAll(group string) map[int32]*replica {
	c.t.Helper()
	replicas := map[int32]*replica{}
	for _, id := range three {
		replicas[id] = c.start(id, group, three, id == 1)
	}
	return replicas
}

// leader waits until one of the replicas leads.
func (c *cluster) leader(replicas map[int32]*replica, but ...int32) (int32, *replica) {
	c.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
	next:
		for id, r := range replicas {
			for _, b := range but {
				if id == b {
					continue next
				}
			}
			r.toy.mu.Lock()
			leads := r.toy.term != 0
			r.toy.mu.Unlock()
			if leads {
				return id, r
			}
		}
		time.Sleep(2 * time.Millisecond)
	}
	c.t.Fatal("nobody leads")
	return 0, nil
}

// propose proposes until some leader has applied it, as a client with retries does.
func (c *cluster) propose(replicas map[int32]*replica, token uint64, value []byte) {
	c.t.Helper()
	for range 200 {
		_, r := c.leader(replicas)
		if r.Propose(recordBatch(value), token) != nil {
			time.Sleep(2 * time.Millisecond)
			continue
		}
		resigns := 0
		r.toy.mu.Lock()
		resigns = r.toy.resigns
		r.toy.mu.Unlock()
		applied := false
		r.toy.wait(c.t, "apply or resignation", func(m *toy) bool {
			for _, e := range m.applied {
				applied = applied || e.Token == token
			}
			return applied || m.resigns > resigns || m.term == 0
		})
		if applied {
			return
		}
	}
	c.t.Fatal("never applied")
}

// same waits until all replicas have applied up to the same entry, and compares the bytes of their logs.
func (c *cluster) same(replicas map[int32]*replica) {
	c.t.Helper()
	_, leader := c.leader(replicas)
	end := leader.log.EndOffset()
	last := leader.log.LastIndex()
	for id, r := range replicas {
		r.toy.wait(c.t, fmt.Sprintf("node %d to apply up to offset %d", id, end), func(m *toy) bool {
			return len(m.applied) > 0 && m.applied[len(m.applied)-1].NextOffset >= end
		})
		for i := r.log.FirstIndex(); i <= last; i++ {
			if i < leader.log.FirstIndex() {
				continue
			}
			want, err := leader.log.Meta(i)
			if err != nil {
				c.t.Fatal(err)
			}
			got, err := r.log.Meta(i)
			if err != nil || got != want {
				c.t.Fatalf("node %d, entry %d: %+v is %+v, %v", id, i, want, got, err)
			}
			a, err1 := leader.log.Data(nil, want)
			b, err2 := r.log.Data(nil, got)
			if err1 != nil || err2 != nil || !bytes.Equal(a, b) {
				c.t.Fatalf("node %d, entry %d differs: %v, %v", id, i, err1, err2)
			}
		}
	}
}

func TestThreeNodesReplicate(t *testing.T) {
	c := newCluster(t, Timing{Heartbeat: 5 * time.Second, Commit: 20 * time.Millisecond})
	begin := time.Now()
	replicas := c.startAll("p")
	id, leader := c.leader(replicas)
	t.Logf("node %d leads after %v", id, time.Since(begin))
	for i := uint64(1); i <= 500; i++ {
		if err := leader.Propose(recordBatch(fmt.Appendf(nil, "value %d", i)), i); err != nil {
			t.Fatal(err)
		}
	}
	leader.toy.waitApplied(t, 500)
	c.same(replicas)
	for other, r := range replicas {
		r.toy.wait(t, "knowledge of the leader", func(m *toy) bool { return m.leader == id || other == id })
		r.toy.mu.Lock()
		for _, e := range r.toy.applied {
			if other != id && e.Token != 0 {
				t.Fatalf("node %d saw token %d", other, e.Token)
			}
		}
		r.toy.mu.Unlock()
	}
	for _, r := range replicas {
		r.close(t)
	}
}

func TestPreferredReplicaOfANewGroupLeadsAtOnce(t *testing.T) {
	c := newCluster(t, Timing{Heartbeat: 10 * time.Second})
	begin := time.Now()
	var groups []map[int32]*replica
	for i := range 20 {
		groups = append(groups, c.startAll(fmt.Sprint("p", i)))
	}
	for _, replicas := range groups {
		if id, _ := c.leader(replicas); id != 1 {
			t.Errorf("node %d leads", id)
		}
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestLeaderDiesAndComesBack(t *testing.T) {
	c := newCluster(t, quick)
	replicas := c.startAll("p")
	token := uint64(0)
	for range 3 {
		for range 20 {
			token++
			c.propose(replicas, token, fmt.Appendf(nil, "value %d", token))
		}
		id, old := c.leader(replicas)
		old.close(t)
		if err := c.nodes[id].Close(); err != nil {
			t.Fatal(err)
		}
		delete(replicas, id)
		for range 20 {
			token++
			c.propose(replicas, token, fmt.Appendf(nil, "value %d", token))
		}
		c.open(id)
		replicas[id] = c.start(id, "p", nil, false)
		c.same(replicas)
	}
	for _, r := range replicas {
		r.close(t)
	}
}

// The leader is cut off with proposals in its log that nobody else has: they are truncated when it comes back, and the others' stay.
func TestIsolatedLeaderTruncatesItsTail(t *testing.T) {
	c := newCluster(t, quick)
	replicas := c.startAll("p")
	c.propose(replicas, 1, []byte("first"))
	id, old := c.leader(replicas)
	c.isolate(id)
	for i := uint64(100); i < 150; i++ {
		if err := old.Propose(recordBatch([]byte("lost")), i); err != nil {
			break
		}
	}
	old.toy.wait(t, "resignation", func(m *toy) bool { return m.term == 0 })
	delete(replicas, id)
	for i := uint64(2); i < 40; i++ {
		c.propose(replicas, i, fmt.Appendf(nil, "kept %d", i))
	}
	c.heal()
	replicas[id] = old
	c.same(replicas)
	truncated := false
	for _, e := range old.toy.history() {
		truncated = truncated || len(e) > 9 && e[:9] == "truncated"
	}
	if !truncated {
		t.Error("nothing was truncated: this tests nothing")
	}
	for _, r := range replicas {
		r.close(t)
	}
}

func TestTransfer(t *testing.T) {
	c := newCluster(t, Timing{Heartbeat: 2 * time.Second, Commit: 50 * time.Millisecond})
	replicas := c.startAll("p")
	stop := make(chan struct{})
	var producer sync.WaitGroup
	var token uint64
	producer.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			token++
			c.propose(replicas, token, fmt.Appendf(nil, "%d", token))
		}
	})
	for round := range 9 {
		id, leader := c.leader(replicas)
		to := id%3 + 1
		begin := time.Now()
		if err := leader.Transfer(context.Background(), to); err != nil {
			t.Errorf("round %d: %v", round, err)
			break
		}
		replicas[to].toy.waitLead(t)
		if took := time.Since(begin); took > time.Second {
			t.Errorf("round %d took %v", round, took)
		}
		replicas[id].toy.wait(t, "resignation", func(m *toy) bool { return m.term == 0 })
	}
	close(stop)
	producer.Wait()
	c.same(replicas)
	id, leader := c.leader(replicas)
	if err := leader.Transfer(context.Background(), id); !errors.Is(err, ErrTransfer) {
		t.Errorf("to itself: %v", err)
	}
	if err := leader.Transfer(context.Background(), 9); !errors.Is(err, ErrNotVoter) {
		t.Errorf("to a stranger: %v", err)
	}
	if err := replicas[id%3+1].Transfer(context.Background(), id); !errors.Is(err, ErrNotLeader) {
		t.Errorf("from a follower: %v", err)
	}
	for _, r := range replicas {
		r.close(t)
	}
}

func TestFailedTransferLetsProposalsGoOn(t *testing.T) {
	c := newCluster(t, Timing{Heartbeat: 5 * time.Second, Commit: 50 * time.Millisecond})
	replicas := c.startAll("p")
	c.propose(replicas, 1, []byte("x"))
	id, leader := c.leader(replicas)
	to := id%3 + 1
	c.isolate(to)
	if err := leader.Propose(recordBatch([]byte("what the other lacks")), 1000); err != nil {
		t.Fatal(err)
	}
	leader.toy.waitApplied(t, 1000)
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- leader.Transfer(ctx, to) }()
	for held := false; !held; time.Sleep(time.Millisecond) {
		leader.mu.Lock()
		held = leader.held > 0
		leader.mu.Unlock()
	}
	for i := uint64(2); i < 50; i++ {
		if err := leader.Propose(recordBatch([]byte("held")), i); err != nil {
			t.Fatal(err)
		}
	}
	leader.mu.Lock()
	if leader.held > 0 && len(leader.queue) != 48 {
		t.Errorf("%d of 48 proposals are held back", len(leader.queue))
	}
	leader.mu.Unlock()
	if err := <-done; !errors.Is(err, ErrTransfer) {
		t.Errorf("transfer: %v", err)
	}
	leader.toy.waitApplied(t, 49)
	c.heal()
	for _, r := range replicas {
		r.close(t)
	}
}

func TestFollowerThatIsTooFarBehindGetsTheFloor(t *testing.T) {
	c := newCluster(t, quick)
	replicas := c.startAll("p")
	c.propose(replicas, 1, []byte("x"))
	id, _ := c.leader(replicas)
	away := id%3 + 1
	replicas[away].close(t)
	delete(replicas, away)
	for i := uint64(2); i < 60; i++ {
		c.propose(replicas, i, bytes.Repeat([]byte{byte(i)}, 2000))
	}
	id, leader := c.leader(replicas)
	leader.toy.mu.Lock()
	at := leader.toy.applied[len(leader.toy.applied)-5]
	leader.toy.mu.Unlock()
	for _, r := range replicas {
		r.toy.wait(t, "applies", func(m *toy) bool { return len(m.applied) > 0 && m.applied[len(m.applied)-1].Index >= at.Index })
		if err := r.log.WriteCheckpoint(log.Checkpoint{Index: at.Index, Term: at.Term, HighWatermark: at.NextOffset}); err != nil {
			t.Fatal(err)
		}
		if err := r.log.Trim(at.BaseOffset, at.Index, []byte("producers")); err != nil {
			t.Fatal(err)
		}
	}
	if leader.log.FirstIndex() < 10 {
		t.Fatalf("the log of node %d begins at %d: nothing was trimmed", id, leader.log.FirstIndex())
	}
	replicas[away] = c.start(away, "p", nil, false)
	c.same(replicas)
	if got := string(replicas[away].toy.restored); got != "producers" {
		t.Errorf("restored %q", got)
	}
	if got := replicas[away].log.Floor(); got.Index < 10 || got.Start != leader.log.Floor().Start {
		t.Errorf("floor %+v, the leader's %+v", got, leader.log.Floor())
	}
	for _, r := range replicas {
		r.close(t)
	}
}

// Raft takes the leader's commit index for everything that it holds. An append that ends before a conflicting tail must not commit that tail.
func TestCommitStopsAtWhatTheLeaderSent(t *testing.T) {
	a := &raft.AppendEntriesRequest{Term: 5, PrevLogEntry: 3, PrevLogTerm: 1, LeaderCommitIndex: 90}
	b := encodeAppend(nil, a, 1)
	if sent := binary.BigEndian.Uint64(b[24:]); sent != 4 {
		t.Errorf("commit index %d is sent", sent)
	}
	binary.BigEndian.PutUint64(b[24:], 90) // a leader that does not know better
	got, err := decodeAppend(beginEntry(b, 2, log.KindNoop), 1)
	if err != nil || got.LeaderCommitIndex != 4 {
		t.Errorf("%+v, %v", got, err)
	}
}

// A leader whose disk hangs resigns and is replaced; when the disk is back it follows (trap 6).
func TestStalledLeaderIsReplaced(t *testing.T) {
	c := newCluster(t, quick)
	replicas := c.startAll("p")
	c.propose(replicas, 1, []byte("x"))
	id, leader := c.leader(replicas)
	gate := make(chan struct{})
	var once sync.Once
	release := func() { once.Do(func() { close(gate) }) }
	defer release()
	c.disks[id].OnSync(func(string, bool) { <-gate })
	if err := leader.Propose(recordBatch([]byte("stuck")), 99); err != nil {
		t.Fatal(err)
	}
	leader.toy.wait(t, "resignation", func(m *toy) bool { return m.term == 0 })
	delete(replicas, id)
	for i := uint64(2); i < 10; i++ {
		c.propose(replicas, i, []byte("on"))
	}
	c.disks[id].OnSync(nil)
	release()
	replicas[id] = leader
	c.same(replicas)
	for _, r := range replicas {
		r.close(t)
	}
}
