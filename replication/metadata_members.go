package replication

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/raft"
	"go.uber.org/zap"
)

// Members are the nodes of the newest configuration that this node has heard of, in no order. Safe from any goroutine.
func (m *Metadata) Members() []Member {
	r := m.raft.Load()
	if r == nil {
		return nil
	}
	return membersOf(r.GetConfiguration().Configuration())
}

// AddNonvoter lets a node follow the metadata group without a vote. The node must have started the group with no voters. Only on the leader (ErrNotLeader elsewhere). It
// returns when the configuration has the node, which raft then brings up to date.
func (m *Metadata) AddNonvoter(ctx context.Context, node int32) error {
	return m.change(ctx, func(has []Member) bool { return findMember(has, node) != nil }, false, func(r *raft.Raft) {
		r.AddNonvoter(serverID(node), serverAddress(node), 0, time.Second)
	})
}

// RemoveNonvoter ends what AddNonvoter began. A voter stays. Only on the leader (ErrNotLeader elsewhere).
func (m *Metadata) RemoveNonvoter(ctx context.Context, node int32) error {
	done := func(has []Member) bool { is := findMember(has, node); return is == nil || is.Voter }
	return m.change(ctx, done, false, func(r *raft.Raft) { r.RemoveServer(serverID(node), 0, time.Second) })
}

// AddVoter lets a node follow the group, waits until it has everything that the log held then, and gives it a vote. It returns when the change is committed. Only on the leader;
// one change at a time, others wait. ErrNotLeader: nothing was changed; ErrLeadershipLost or ctx's error: it may be.
func (m *Metadata) AddVoter(ctx context.Context, node int32) error {
	return m.changeVoters(ctx, "add voter", node, func() error {
		if err := m.AddNonvoter(ctx, node); err != nil {
			return err
		}
		if err := m.awaitMatch(ctx, node); err != nil {
			return err
		}
		done := func(has []Member) bool { return slices.Contains(has, Member{node, true}) }
		return m.change(ctx, done, true, func(r *raft.Raft) { r.AddVoter(serverID(node), serverAddress(node), 0, time.Second) })
	})
}

// RemoveVoter takes a node's vote away. It goes on to follow the group, unless forget is set. The last vote is never taken (ErrLastVoter). The leader's own is taken after
// Transfer only (ErrLeads). Otherwise like AddVoter.
func (m *Metadata) RemoveVoter(ctx context.Context, node int32, forget bool) error {
	return m.changeVoters(ctx, "remove voter", node, func() error {
		if err := m.mayRemove(node); err != nil {
			return err
		}
		if forget {
			done := func(has []Member) bool { return findMember(has, node) == nil }
			return m.change(ctx, done, true, func(r *raft.Raft) { r.RemoveServer(serverID(node), 0, time.Second) })
		}
		done := func(has []Member) bool { return !slices.Contains(has, Member{node, true}) }
		return m.change(ctx, done, true, func(r *raft.Raft) { r.DemoteVoter(serverID(node), 0, time.Second) })
	})
}

func (m *Metadata) mayRemove(node int32) error {
	if _, _, err := m.asLeader(); err != nil {
		return err
	}
	if voters := m.voters(); len(voters) == 1 && voters[0] == node {
		return ErrLastVoter
	}
	if node == m.self {
		return ErrLeads
	}
	return nil
}

func (m *Metadata) changeVoters(ctx context.Context, what string, node int32, change func() error) error {
	select {
	case m.changing <- struct{}{}:
		defer func() { <-m.changing }()
	case <-ctx.Done():
		return fmt.Errorf("%s %d of the metadata group: wait for another change: %w", what, node, ctx.Err())
	}
	if err := change(); err != nil {
		return fmt.Errorf("%s %d of the metadata group: %w", what, node, err)
	}
	m.logger.Info("membership changed", zap.String("change", what), zap.Int32("node", node), zap.Int32s("voters", m.voters()))
	return nil
}

// voters are the nodes that vote, in order.
func (m *Metadata) voters() (ids []int32) {
	for _, member := range m.Members() {
		if member.Voter {
			ids = append(ids, member.Node)
		}
	}
	slices.Sort(ids)
	return ids
}

func findMember(members []Member, node int32) *Member {
	if k := slices.IndexFunc(members, func(m Member) bool { return m.Node == node }); k >= 0 {
		return &members[k]
	}
	return nil
}

// membersTick is how often raft is asked for its configuration while a change is under way.
const membersTick = 10 * time.Millisecond

// change asks raft for a change and waits until the configuration has it and, if committed is set, a majority. Raft's future is not waited for (trap 5).
func (m *Metadata) change(ctx context.Context, done func([]Member) bool, committed bool, ask func(*raft.Raft)) error {
	r, term, err := m.asLeader()
	if err != nil {
		return err
	}
	if done(m.Members()) {
		return nil
	}
	ask(r)
	if err := m.poll(ctx, r, term, func() bool { return done(m.Members()) }); err != nil || !committed {
		return err
	}
	last := r.LastIndex() // the change is here or before
	return m.poll(ctx, r, term, func() bool { return r.CommitIndex() >= last })
}

// asLeader gives raft and the term in which it leads.
func (m *Metadata) asLeader() (*raft.Raft, uint64, error) {
	r := m.raft.Load()
	if r == nil || r.State() != raft.Leader {
		return nil, 0, ErrNotLeader
	}
	return r, r.CurrentTerm(), nil
}

// awaitMatch waits until a member has everything that the log holds now.
func (m *Metadata) awaitMatch(ctx context.Context, node int32) error {
	r, term, err := m.asLeader()
	if err != nil {
		return err
	}
	last := r.LastIndex()
	err = m.poll(ctx, r, term, func() bool { match, _ := m.endpoint.matches.get(node); return uint64(match) >= last })
	if ctx.Err() != nil {
		return fmt.Errorf("node %d has not caught up: %w", node, err)
	}
	return err
}

// poll waits while this node leads.
func (m *Metadata) poll(ctx context.Context, r *raft.Raft, term uint64, done func() bool) error {
	tick := time.NewTicker(membersTick)
	defer tick.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-m.quit:
			return ErrClosed
		case <-tick.C:
			if r.State() != raft.Leader || r.CurrentTerm() != term {
				return ErrLeadershipLost
			}
		}
	}
	return nil
}

// Transfer hands leadership to another voter that answers, and returns when this node no longer leads. What is proposed meanwhile fails with ErrLeadershipLost.
func (m *Metadata) Transfer(ctx context.Context) error {
	r, term, err := m.asLeader()
	if err != nil {
		return err
	}
	for _, node := range m.voters() {
		if node == m.self || !m.node.network.peer(node).heard(3*m.node.opts.Timing.Silence) {
			continue
		}
		if err = m.awaitMatch(ctx, node); err == nil {
			err = m.endpoint.tellToStand(ctx, node)
		}
		if err != nil {
			continue
		}
		err = m.poll(ctx, r, term, func() bool { return r.State() != raft.Leader || r.CurrentTerm() != term })
		if err == nil || ctx.Err() == nil {
			return nil
		}
	}
	if err == nil {
		err = ErrNotVoter
	}
	return fmt.Errorf("hand over the metadata group: %w: %w", ErrTransfer, err)
}
