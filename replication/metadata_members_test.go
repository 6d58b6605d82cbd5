package replication

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

// metadataNodes is one metadata group of three nodes, of which the first voters found it.
type metadataNodes struct {
	*cluster
	machines map[int32]*list
	groups   map[int32]*Metadata
}

func startMetadataNodes(t *testing.T, voters ...int32) *metadataNodes {
	c := &metadataNodes{newCluster(t, Timing{Heartbeat: 500 * time.Millisecond}), map[int32]*list{}, map[int32]*Metadata{}}
	for _, id := range three {
		if slices.Contains(voters, id) {
			c.start(id, voters...)
		} else {
			c.start(id)
		}
	}
	return c
}

func (c *metadataNodes) start(id int32, voters ...int32) {
	c.t.Helper()
	c.machines[id] = newList()
	m, err := c.nodes[id].StartMetadata(MetadataOptions{Machine: c.machines[id], Voters: voters})
	if err != nil {
		c.t.Fatal(err)
	}
	c.groups[id] = m
}

// on does something at whoever leads, until it succeeds or fails for another reason than leadership.
func (c *metadataNodes) on(do func(ctx context.Context, leader *Metadata) error) error {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for {
		for _, m := range c.groups {
			if err := do(ctx, m); !errors.Is(err, ErrNotLeader) && !errors.Is(err, ErrLeadershipLost) {
				return err
			}
		}
		if ctx.Err() != nil {
			c.t.Fatal("nobody leads")
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (c *metadataNodes) propose(command string) {
	c.t.Helper()
	if err := c.on(func(ctx context.Context, m *Metadata) error { _, err := m.Propose(ctx, []byte(command)); return err }); err != nil {
		c.t.Fatal(err)
	}
}

func (c *metadataNodes) wait(id int32, items int) {
	c.t.Helper()
	l := c.machines[id]
	l.wait(c.t, fmt.Sprintf("node %d to have %d commands", id, items), func(*toy) bool { return len(l.items) == items })
}

func TestMetadataVotersComeAndGo(t *testing.T) {
	c := startMetadataNodes(t, 1)
	for i := range 20 {
		c.propose(fmt.Sprint(i))
	}
	for _, node := range []int32{2, 3} {
		if err := c.on(func(ctx context.Context, m *Metadata) error { return m.AddVoter(ctx, node) }); err != nil {
			t.Fatal(err)
		}
		c.wait(node, 20)
	}
	if got := c.groups[1].voters(); !slices.Equal(got, three) {
		t.Fatalf("voters %v", got)
	}
	// The founder goes: it hands over, loses its vote, and goes on to follow.
	if err := c.groups[1].RemoveVoter(context.Background(), 1, false); err == nil {
		t.Error("the leader removed itself")
	}
	if err := c.groups[1].Transfer(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := c.on(func(ctx context.Context, m *Metadata) error { return m.RemoveVoter(ctx, 1, false) }); err != nil {
		t.Fatal(err)
	}
	c.propose("after")
	c.wait(1, 21)
	// The two that are left decide without it, also after a restart with other voters configured.
	if err := c.nodes[1].Close(); err != nil {
		t.Fatal(err)
	}
	delete(c.groups, 1)
	c.propose("without it")
	c.open(1)
	c.start(1, three...)
	if got := c.groups[1].voters(); !slices.Equal(got, []int32{2, 3}) {
		t.Errorf("voters %v as stored, [2 3] are expected", got)
	}
	c.wait(1, 22)
	// One of two, then the last.
	var gone int32
	err := c.on(func(ctx context.Context, m *Metadata) error {
		gone = 5 - m.self
		return m.RemoveVoter(ctx, gone, true)
	})
	if err != nil {
		t.Fatal(err)
	}
	err = c.on(func(ctx context.Context, m *Metadata) error {
		if _, _, err := m.asLeader(); err != nil {
			return err
		}
		if got := m.Members(); len(got) != 2 {
			t.Errorf("members %v: node %d is to be forgotten", got, gone)
		}
		if got := m.voters(); !slices.Equal(got, []int32{m.self}) {
			t.Errorf("voters %v", got)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	c.propose("alone")
	err = c.on(func(ctx context.Context, m *Metadata) error {
		if _, _, err := m.asLeader(); err != nil {
			return err
		}
		return m.mayRemove(m.self)
	})
	if !errors.Is(err, ErrLastVoter) {
		t.Errorf("the last voter: %v", err)
	}
}

// A node that cannot be reached never gets a vote: the others would have to reckon with it.
func TestMetadataVoterMustCatchUp(t *testing.T) {
	c := startMetadataNodes(t, 1, 2)
	c.propose("a")
	c.isolate(3)
	err := c.on(func(ctx context.Context, m *Metadata) error {
		ctx, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		defer cancel()
		return m.AddVoter(ctx, 3)
	})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("add a voter that is away: %v", err)
	}
	for _, id := range three[:2] {
		if got := c.groups[id].voters(); !slices.Equal(got, []int32{1, 2}) {
			t.Errorf("node %d has voters %v", id, got)
		}
	}
	c.heal()
	if err := c.on(func(ctx context.Context, m *Metadata) error { return m.AddVoter(ctx, 3) }); err != nil {
		t.Error(err)
	}
	c.wait(3, 1)
}
