package replication

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

// A group grows from one node to three and shrinks to the two that joined, with records all along (trap 14).
func TestGrowAndMove(t *testing.T) {
	c := newCluster(t, Timing{Heartbeat: 500 * time.Millisecond, Commit: 20 * time.Millisecond})
	ctx := context.Background()
	replicas := map[int32]*replica{1: c.start(1, "p", []int32{1}, true)}
	replicas[1].toy.waitLead(t)
	token := uint64(0)
	produce := func(n int) {
		for range n {
			token++
			c.propose(replicas, token, fmt.Appendf(nil, "value %d", token))
		}
	}
	produce(50)
	for _, id := range []int32{2, 3} {
		replicas[id] = c.start(id, "p", nil, false)
		if err := replicas[1].AddNonvoter(ctx, id); err != nil {
			t.Fatal(err)
		}
		produce(10)
		if err := replicas[1].AddVoter(ctx, id); err != nil {
			t.Fatal(err)
		}
		produce(10)
	}
	if got := replicas[1].Members(); len(got) != 3 || slices.ContainsFunc(got, func(m Member) bool { return !m.Voter }) {
		t.Errorf("members %v", got)
	}
	c.same(replicas)
	if err := replicas[1].Remove(ctx, 1); err == nil {
		t.Error("the leader removed itself")
	}
	if err := replicas[2].AddVoter(ctx, 1); !errors.Is(err, ErrNotLeader) {
		t.Errorf("on a follower: %v", err)
	}
	if err := replicas[1].Transfer(ctx, 2); err != nil {
		t.Fatal(err)
	}
	replicas[2].toy.waitLead(t)
	if err := replicas[2].Remove(ctx, 1); err != nil {
		t.Fatal(err)
	}
	replicas[1].close(t)
	delete(replicas, 1)
	produce(20)
	c.same(replicas)
	for _, r := range replicas {
		r.close(t)
	}
}

// A learner that cannot be reached is not made a voter: with it a majority could not be had.
func TestVoterMustHaveTheLog(t *testing.T) {
	c := newCluster(t, Timing{Heartbeat: 500 * time.Millisecond, Commit: 20 * time.Millisecond})
	r := c.start(1, "p", []int32{1}, true)
	r.toy.waitLead(t)
	if err := r.AddNonvoter(context.Background(), 2); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if err := r.AddVoter(ctx, 2); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("added: %v", err)
	}
	if !slices.Contains(r.Members(), Member{2, false}) {
		t.Errorf("members %v", r.Members())
	}
	r.close(t)
}
