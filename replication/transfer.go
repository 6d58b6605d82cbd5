package replication

import (
	"context"
	"fmt"
	"time"

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
	stored, over, err := g.hold()
	if err != nil {
		return err
	}
	defer g.release()
	ctx, cancel := context.WithTimeout(ctx, transferTimeout)
	defer cancel()
	select {
	case <-stored:
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrTransfer, ctx.Err())
	}
	if err := g.awaitMatch(ctx, over, to, r.LastIndex()); err != nil {
		return fmt.Errorf("%w: %w", ErrTransfer, err)
	}
	if err := g.endpoint.tellToStand(ctx, to); err != nil {
		return fmt.Errorf("%w: %w", ErrTransfer, err)
	}
	select {
	case <-over:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrTransfer, ctx.Err())
	}
}

// transferTimeout is for how long proposals are held back at most.
const transferTimeout = 2 * time.Second

// hold keeps proposals back. stored is closed when everything that raft was given before is stored, over when leadership is lost.
func (g *Group) hold() (stored, over <-chan struct{}, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closing {
		return nil, nil, ErrClosed
	}
	if !g.readyLocked() {
		return nil, nil, ErrNotLeader
	}
	g.held++
	if g.drained == nil {
		g.drained = make(chan struct{})
	}
	if g.over == nil {
		g.over = make(chan struct{})
	}
	stored, over = g.drained, g.over
	g.drainedLocked()
	return stored, over, nil
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
