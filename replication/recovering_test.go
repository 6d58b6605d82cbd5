package replication

import (
	"fmt"
	"testing"
	"time"

	"github.com/barnabas-log/barnabas/log"
)

// startAnew starts a group on a node whose log of it is lost.
func (c *cluster) startAnew(id int32, group string, recovering bool) *replica {
	c.t.Helper()
	l, m := testLog(c.t, c.disks[id], group+".anew"), newToy()
	o := GroupOptions{ID: group, Log: l, Machine: m, Voters: three, Recovering: recovering}
	if !recovering {
		o.Voters = nil
	}
	g, err := c.nodes[id].StartGroup(o)
	if err != nil {
		c.t.Fatal(err)
	}
	return &replica{g, m, l}
}

// Records are committed on nodes 1 and 2 while 3 is away. Then 2 loses its log, and 1 is gone: 2 and 3 are a majority, but neither has the records. If 2 voted, 3 would lead without them.
func TestReplicaWithoutItsLogElectsNobody(t *testing.T) {
	c := newCluster(t, quick)
	replicas := c.startAll("p")
	c.leader(replicas)
	c.propose(replicas, 1, []byte("everybody has this"))
	for _, r := range replicas {
		r.toy.wait(t, "the first record", func(m *toy) bool { return len(m.applied) == 1 })
	}
	c.isolate(3)
	two := map[int32]*replica{1: replicas[1], 2: replicas[2]}
	for token := uint64(2); token <= 20; token++ {
		c.propose(two, token, fmt.Appendf(nil, "record %d", token))
	}
	replicas[1].close(t)
	replicas[2].close(t)
	c.heal()
	if !c.nodes[2].Promised("p") {
		t.Fatal("node 2 has voted, and does not know")
	}
	replicas[2] = c.startAnew(2, "p", true)
	term := replicas[3].Term()
	for until := time.Now().Add(8 * quick.Heartbeat); time.Now().Before(until); time.Sleep(5 * time.Millisecond) {
		for _, id := range []int32{2, 3} {
			if leader, at := replicas[id].Leader(); leader >= 0 && at > term {
				t.Fatalf("node %d leads in term %d without the records", leader, at)
			}
		}
	}
	if replicas[3].log.EndOffset() >= 20 {
		t.Fatal("node 3 has the records: the test shows nothing")
	}

	replicas[1] = c.start(1, "p", three, true)
	id, leader := c.leader(replicas)
	if id == 2 {
		t.Fatal("a replica leads that has not caught up")
	}
	c.recover(leader, replicas[2], 2)
	c.propose(replicas, 21, []byte("and on it goes"))
	c.same(replicas)
	if end := replicas[2].log.EndOffset(); end != 21 {
		t.Errorf("node 2 ends at %d", end)
	}
	// It counts again: with node 3 away, 1 needs it.
	replicas[3].close(t)
	delete(replicas, 3)
	c.propose(replicas, 22, []byte("with both"))
	for _, r := range replicas {
		r.close(t)
	}
}

// recover does what the broker does: it asks the leader, and waits.
func (c *cluster) recover(leader, lost *replica, node int32) {
	c.t.Helper()
	if !lost.Recovering() {
		c.t.Fatal("not recovering")
	}
	first := true
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		tail, err := leader.Tail(node, first)
		if first = err != nil; err == nil && lost.Term() <= tail.Leading {
			if holds, _ := lost.Holds(tail); holds {
				lost.Recovered()
				return
			}
		}
	}
	c.t.Fatal("not caught up")
}

// An idle group has nothing to send, and its leader believes that a follower has everything which has lost it in the meantime.
func TestReplicaWithoutItsLogIsNoticedByAnIdleLeader(t *testing.T) {
	c := newCluster(t, Timing{Heartbeat: 500 * time.Millisecond})
	replicas := c.startAll("p")
	_, leader := c.leader(replicas)
	for token := uint64(1); token <= 5; token++ {
		c.propose(replicas, token, []byte("record"))
	}
	var id int32
	for _, n := range three {
		if replicas[n] != leader {
			id = n
		}
	}
	replicas[id].toy.wait(t, "all records", func(m *toy) bool { return len(m.applied) == 5 })
	replicas[id].close(t)
	replicas[id] = c.startAnew(id, "p", true)
	began := time.Now()
	c.recover(leader, replicas[id], id)
	if took := time.Since(began); took > 5*time.Second { // raft's commit timeout is longer
		t.Errorf("took %v", took)
	}
	if end := replicas[id].log.EndOffset(); end != log.Offset(5) {
		t.Errorf("ends at %d", end)
	}
	c.same(replicas)
	for _, r := range replicas {
		r.close(t)
	}
}
