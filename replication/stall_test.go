package replication

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"
)

// What a replica led is led by another soon after it is gone, although its node lives on and raft's timers are long.
func TestLeaderThatLeavesOnALivingNodeIsReplaced(t *testing.T) {
	for name, leave := range map[string]func(*testing.T, *replica){
		"closed": func(t *testing.T, r *replica) { closeGroup(t, r.Group) },
		"failed": func(_ *testing.T, r *replica) { r.fail(errDisk) },
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, slow)
			replicas := c.startAll("p")
			c.propose(replicas, 1, []byte("before"))
			c.same(replicas)
			id, old := c.leader(replicas)
			leave(t, old)
			delete(replicas, id)
			c.propose(replicas, 2, []byte("after"))
			old.close(t)
			c.closeAll(replicas)
		})
	}
}

// A sole voter has nobody to give its leadership to: it goes on when the disk does.
func TestSoleVoterOutlivesAStall(t *testing.T) {
	n := timedNode(t, Timing{Stall: time.Nanosecond})
	s, m, gate := &memory{}, newToy(), make(chan struct{})
	g := solo(t, n, "a", s, m)
	m.waitLead(t)
	s.set(func(s *memory) { s.gate = gate })
	if err := g.Propose(batch(100), 1); err != nil {
		t.Fatal(err)
	}
	until(t, "the write to hang", func() bool { return g.watch.since.Load() != 0 })
	if g.stalled() {
		t.Error("a sole voter gave its leadership up")
	}
	close(gate)
	m.waitApplied(t, 1)
	closeGroup(t, g)
}

// A node whose disk hangs does not lead the metadata group for ever.
func TestStalledMetadataLeaderIsReplaced(t *testing.T) {
	c := &metadataNodes{newCluster(t, Timing{Heartbeat: 500 * time.Millisecond, Stall: 200 * time.Millisecond}), map[int32]*list{}, map[int32]*Metadata{}}
	gate := make(chan struct{})
	var hung atomic.Int32
	for _, id := range three {
		c.nodes[id].opts.Writable = func() error {
			if hung.Load() == id {
				<-gate
			}
			return nil
		}
		c.start(id, three...)
	}
	c.propose("before")
	for _, id := range three {
		c.wait(id, 1)
	}
	var id int32
	until(t, "a leader", func() bool { id, _ = c.groups[1].Leader(); return id > 0 })
	old := c.groups[id]
	hung.Store(id)
	if _, err := old.Propose(context.Background(), []byte("hangs")); !errors.Is(err, ErrLeadershipLost) && !errors.Is(err, ErrNotLeader) {
		t.Errorf("a proposal whose write hangs: %v", err)
	}
	delete(c.groups, id)
	c.propose("after")
	hung.Store(0)
	close(gate)
	until(t, "the old leader to follow", func() bool { leader, _ := old.Leader(); return leader > 0 && leader != id })
	if err := old.Close(); err != nil {
		t.Error(err)
	}
}
