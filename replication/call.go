package replication

import (
	"context"
	"errors"
	"fmt"
)

// Call asks another node something that is not Raft's business (a forwarded proposal, who leads what) over the connection that heartbeats use, and returns its answer. What
// body means is between the callers and NodeOptions.Answer. ErrUnreachable when the node cannot be reached; the request may have been carried out all the same.
func (n *Node) Call(ctx context.Context, node int32, body []byte) ([]byte, error) {
	if node == n.opts.NodeID {
		return n.answer(ctx, node, body)
	}
	l := n.network.peer(node).lines[laneControl]
	return l.call(ctx, n.network.ctx.Done(), kindCall, "", func(b []byte) []byte { return append(b, body...) })
}

func (n *Node) answer(ctx context.Context, from int32, body []byte) ([]byte, error) {
	if n.opts.Answer == nil {
		return nil, errors.New("this node answers no calls")
	}
	return n.opts.Answer(ctx, from, body)
}

// called works on another node's Call.
func (s *session) called(m message) error {
	if m.group != "" {
		return fmt.Errorf("%w: a call for group %q", errWire, m.group)
	}
	select {
	case s.slots <- struct{}{}:
	default:
		s.answer(m, statusBusy, nil)
		return nil
	}
	s.workers.Go(func() {
		defer func() { <-s.slots }()
		body, err := s.network.node.answer(s.network.ctx, s.from, m.body)
		if err != nil {
			s.answer(m, statusFailed, []byte(err.Error()))
			return
		}
		s.answer(m, statusOK, body)
	})
	return nil
}
