package replication

import (
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// slow are raft timers that never fire within a test: what happens is the detector's work.
var slow = Timing{Silence: 400 * time.Millisecond, Heartbeat: time.Minute, Commit: time.Minute}

func (c *cluster) closeAll(replicas map[int32]*replica) {
	c.t.Helper()
	for _, r := range replicas {
		r.close(c.t)
	}
}

// sever cuts the connections between two nodes, both ways.
func (c *cluster) sever(a, b int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, way := range [][2]int32{{a, b}, {b, a}} {
		c.cut[way] = true
		for _, conn := range c.conns[way] {
			_ = conn.Close()
		}
		c.conns[way] = nil
	}
}

// until waits for a condition that nobody announces.
func until(t testing.TB, what string, met func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !met(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited too long for %s", what)
		}
	}
}

func TestDeadNodeIsReplacedAndComesBack(t *testing.T) {
	c := newCluster(t, slow)
	replicas := c.startAll("p")
	c.propose(replicas, 1, []byte("before"))
	id, old := c.leader(replicas)
	old.close(t)
	if err := c.nodes[id].Close(); err != nil {
		t.Fatal(err)
	}
	delete(replicas, id)
	c.propose(replicas, 2, []byte("after"))
	_, leader := c.leader(replicas)
	_, term := leader.Leader()
	c.open(id)
	replicas[id] = c.start(id, "p", nil, id == 1)
	c.same(replicas)
	if _, now := leader.Leader(); now != term {
		t.Errorf("term %d became %d: a node that came back disturbed", term, now)
	}
	c.closeAll(replicas)
}

// A leader that is heard but hears nobody, or reaches nobody but is reached, is replaced.
func TestLeaderCutOffInOneDirectionIsReplaced(t *testing.T) {
	for _, outgoing := range []bool{true, false} {
		c := newCluster(t, slow)
		replicas := c.startAll("p")
		c.propose(replicas, 1, []byte("x"))
		id, old := c.leader(replicas)
		for _, other := range three {
			if other != id {
				c.cutWay(id, other, outgoing)
			}
		}
		delete(replicas, id)
		if outgoing { // what the others send it and it answers is not enough to lead
			c.propose(replicas, 2, []byte("y"))
			old.toy.wait(t, "resignation", func(m *toy) bool { return m.term == 0 })
		}
		c.heal()
		replicas[id] = old
		c.propose(replicas, 3, []byte("z"))
		c.same(replicas)
		c.closeAll(replicas)
	}
}

// cutWay cuts the connections that a opens to b, or those that b opens to a.
func (c *cluster) cutWay(a, b int32, outgoing bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	way := [2]int32{a, b}
	if !outgoing {
		way = [2]int32{b, a}
	}
	c.cut[way] = true
	for _, conn := range c.conns[way] {
		_ = conn.Close()
	}
	c.conns[way] = nil
}

// still is a node whose detector looks only when the test does, and whose clock the test moves.
func still(t *testing.T) (n *Node, pass func(time.Duration)) {
	n = &Node{opts: NodeOptions{NodeID: 1}, groups: map[string]*Group{}}
	n.opts.EnsureDefaults()
	n.logger = n.opts.Logger
	n.detector = newDetector(n)
	n.spreader.node = n
	var err error
	if n.network, err = openNetwork(n); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.network.close)
	return n, func(d time.Duration) { n.network.begun = n.network.begun.Add(-d) }
}

// A process that was stopped finds everybody silent when it goes on, and takes nobody for dead before they had time to speak.
func TestStoppedProcessDeposesNobodyWhenItWakesUp(t *testing.T) {
	n, pass := still(t)
	d, p := n.detector, n.network.peer(2)
	speak := func() { p.answered.Store(n.network.now()); p.received.Store(n.network.now()) }
	lost := func() [3]bool { return [3]bool{p.lost.Load(), p.silent.Load(), p.mute.Load()} }
	speak()
	d.look()
	if lost() != [3]bool{} {
		t.Fatalf("a node that speaks is lost: %v", lost())
	}
	pass(time.Minute) // stopped
	d.look()
	if lost() != [3]bool{} {
		t.Errorf("after a pause: %v", lost())
	}
	for range 2 {
		pass(d.silence() * 2 / 5)
		if d.look(); lost() != [3]bool{} {
			t.Errorf("it had no time to speak: %v", lost())
		}
	}
	speak()
	for range 2 {
		pass(d.silence() * 2 / 5)
		if d.look(); lost() != [3]bool{} {
			t.Errorf("it has spoken: %v", lost())
		}
	}
	pass(d.silence() * 2 / 5)
	if d.look(); lost() != [3]bool{true, true, true} {
		t.Errorf("it is silent: %v", lost())
	}
}

func TestIsolatedLeaderGivesUp(t *testing.T) {
	c := newCluster(t, slow)
	replicas := c.startAll("p")
	c.propose(replicas, 1, []byte("x"))
	id, old := c.leader(replicas)
	c.isolate(id)
	old.toy.wait(t, "resignation", func(m *toy) bool { return m.term == 0 })
	until(t, "raft to step down", func() bool { return !old.leads(old.raftTerm(), id) })
	delete(replicas, id)
	c.propose(replicas, 2, []byte("y"))
	c.heal()
	replicas[id] = old
	c.same(replicas)
	c.closeAll(replicas)
}

// A node that does not hear the leader asks again and again, and is refused by one that does.
func TestOneNodesSuspicionDeposesNobody(t *testing.T) {
	c := newCluster(t, slow)
	replicas := c.startAll("p")
	c.propose(replicas, 1, []byte("x"))
	id, leader := c.leader(replicas)
	_, term := leader.Leader()
	far := id%3 + 1
	c.sever(id, far)
	d := c.nodes[far].detector
	until(t, "three vain questions", func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		o := d.orphans[replicas[far].Group]
		return o != nil && o.tries >= 3
	})
	if node, now := leader.Leader(); node != id || now != term {
		t.Errorf("node %d leads in term %d, before it was node %d in term %d", node, now, id, term)
	}
	c.heal()
	c.propose(replicas, 2, []byte("y"))
	c.same(replicas)
	if node, now := leader.Leader(); node != id || now != term {
		t.Errorf("in the end node %d leads in term %d, before it was node %d in term %d", node, now, id, term)
	}
	c.closeAll(replicas)
}

// Followers learn of the last commit although nothing follows it, and one that was away has everything soon after it is back.
func TestFollowersOfAnIdleGroupLearnWhatIsCommitted(t *testing.T) {
	c := newCluster(t, slow)
	replicas := c.startAll("p")
	c.propose(replicas, 1, []byte("x"))
	c.same(replicas)
	id, _ := c.leader(replicas)
	away := id%3 + 1
	c.isolate(away)
	c.propose(replicas, 2, []byte("y"))
	c.heal()
	c.same(replicas)
	c.closeAll(replicas)
}

// At a restart of all nodes the preferred replica may be behind the others. They do not wait for one that cannot win.
func TestPreferredReplicaThatIsBehindIsNotWaitedFor(t *testing.T) {
	c := newCluster(t, Timing{Silence: time.Minute, Heartbeat: time.Minute})
	r := c.start(1, "p", three, true)
	mine, err := r.position()
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []struct {
		name            string
		lastTerm, index uint64
		want            byte
	}{
		{"as much", mine.lastTerm, mine.index, leaveItToMe},
		{"more", mine.lastTerm, mine.index + 1, wouldVote},
		{"newer", mine.lastTerm + 1, mine.index, wouldVote},
		{"newer and shorter", mine.lastTerm + 1, mine.index - 1, wouldVote},
		{"less", mine.lastTerm, mine.index - 1, 0},
	} {
		if got := r.answer(2, probe{group: "p", term: 1, lastTerm: q.lastTerm, index: q.index}); got != q.want {
			t.Errorf("to one that has %s: answer %d, expected %d", q.name, got, q.want)
		}
	}
	r.close(t)
}

// A candidate that cannot win is a follower again at once: raft alone would wait for its election timeout.
func TestLostElectionEndsAtOnce(t *testing.T) {
	var l losses
	for _, s := range []struct {
		term   uint64
		voters int
		want   bool
	}{{5, 3, false}, {5, 3, true}, {5, 3, true}, {6, 3, false}, {7, 2, true}, {8, 5, false}, {8, 5, false}, {8, 5, true}, {9, 4, false}, {9, 4, true}} {
		if got := l.hopeless(s.term, s.voters); got != s.want {
			t.Errorf("term %d: %d of %d votes lost: hopeless %t, expected %t", s.term, l.count, s.voters, got, s.want)
		}
	}

	c := newCluster(t, Timing{Silence: time.Minute, Heartbeat: time.Hour})
	for _, id := range three[1:] {
		if err := c.nodes[id].Close(); err != nil {
			t.Fatal(err)
		}
	}
	r := c.start(1, "p", three, true)
	answers := make(chan raft.RequestVoteResponse, 2)
	for _, id := range three[1:] {
		go func() {
			var resp raft.RequestVoteResponse
			_ = r.endpoint.RequestVote(serverID(id), serverAddress(id), &raft.RequestVoteRequest{Term: 7}, &resp)
			answers <- resp
		}()
	}
	if resp := <-answers; resp.Granted || resp.Term != 8 {
		t.Errorf("the second vote that is lost is told as %+v, expected term 8", resp)
	}
	r.close(t)
	<-answers
}

// Of two replicas that ask each other at the same time only one stands, and one that stands promises nothing.
func TestTwoThatAskEachOtherDoNotBothStand(t *testing.T) {
	c := newCluster(t, Timing{Silence: time.Minute, Heartbeat: time.Hour})
	r := c.start(2, "p", three, false)
	d := c.nodes[2].detector
	mine, err := r.position()
	if err != nil {
		t.Fatal(err)
	}
	orphaned := func() *orphan { return d.orphans[r.Group] }
	until(t, "the group to be an orphan", func() bool { d.mu.Lock(); defer d.mu.Unlock(); return orphaned() != nil })

	if got := r.answer(1, mine); got != wouldVote {
		t.Fatalf("answer %d", got)
	}
	d.mu.Lock()
	o := *orphaned()
	o.since, o.next, o.term = 0, 0, r.raftTerm() // it would be due
	d.mu.Unlock()
	promised := o.promised
	o.promised = 0
	until(t, "it to be due without the promise", func() bool { return d.due(r.Group, o) })
	o.promised = promised
	if d.due(r.Group, o) {
		t.Error("a replica that has just promised its vote asks for votes")
	}

	d.mu.Lock()
	orphaned().promised, orphaned().stands = 0, d.node.network.now()
	d.mu.Unlock()
	if got := r.answer(1, mine); got != 0 {
		t.Errorf("a replica that stands answers %d", got)
	}
	r.close(t)
}

// A group whose preferred replica does not come is led by another, founded anew or not, and one that was founded while a node was away takes it in when it comes.
func TestGroupsStartWithoutOneNode(t *testing.T) {
	for _, away := range []int32{1, 3} { // 1 is preferred
		c := newCluster(t, slow)
		if err := c.nodes[away].Close(); err != nil {
			t.Fatal(err)
		}
		replicas := map[int32]*replica{}
		for _, id := range three {
			if id != away {
				replicas[id] = c.start(id, "p", three, id == 1)
			}
		}
		c.propose(replicas, 1, []byte("founded"))
		c.closeAll(replicas)
		for id := range replicas {
			replicas[id] = c.start(id, "p", three, id == 1)
		}
		c.propose(replicas, 2, []byte("started again"))
		_, leader := c.leader(replicas)
		_, term := leader.Leader()
		c.open(away)
		replicas[away] = c.start(away, "p", three, away == 1)
		c.same(replicas)
		if _, now := leader.Leader(); now != term {
			t.Errorf("without node %d at first: term %d became %d when it came", away, term, now)
		}
		c.closeAll(replicas)
	}
}
