package replication

import (
	"context"
	"fmt"

	"github.com/hashicorp/raft"
)

// Transfer hands leadership to another voter: proposals are held back first, so that none is refused in between. It returns when this node no longer leads. On an error
// (ErrNotLeader, ErrNotVoter, ErrTransfer, or ctx's) it still leads, and what was held back goes on.
func (g *Group) Transfer(ctx context.Context, to int32) error {
	if err := g.transfer(ctx, to); err != nil {
		return fmt.Errorf("hand group %s to node %d: %w", g.id, to, err)
	}
	return nil
}

func (g *Group) transfer(ctx context.Context, to int32) error {
	if to == g.self {
		return fmt.Errorf("%w: node %d leads already", ErrTransfer, to)
	}
	r := g.raft.Load()
	voter := false
	for _, s := range r.GetConfiguration().Configuration().Servers {
		voter = voter || s.ID == serverID(to) && s.Suffrage == raft.Voter
	}
	if !voter {
		return ErrNotVoter
	}
	stored, err := g.hold()
	if err != nil {
		return err
	}
	defer g.release()
	select {
	case <-stored:
	case <-ctx.Done():
		return ctx.Err()
	}
	return g.handOver(ctx, r, to)
}

// hold keeps proposals back. The channel is closed when everything that raft was given before is stored (or the leadership is lost).
func (g *Group) hold() (stored <-chan struct{}, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closing {
		return nil, ErrClosed
	}
	if !g.readyLocked() {
		return nil, ErrNotLeader
	}
	g.held++
	if g.drained == nil {
		g.drained = make(chan struct{})
	}
	stored = g.drained
	g.drainedLocked()
	return stored, nil
}

// release lets proposals through again.
func (g *Group) release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held--
	g.moveLocked()
}

// drainedLocked tells a transfer that raft holds nothing of ours that is not stored.
func (g *Group) drainedLocked() {
	if g.drained != nil && g.handed == 0 && !g.moving {
		close(g.drained)
		g.drained = nil
	}
}

// handOver makes to stand once it has everything, and waits until this node no longer leads.
func (g *Group) handOver(context.Context, *raft.Raft, int32) error {
	return fmt.Errorf("%w: %w", ErrTransfer, ErrUnreachable)
}
