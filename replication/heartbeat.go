package replication

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// gatherShare: heartbeats gather for a third of the heartbeat timeout, that of the metadata group at most. Raft waits a tenth to a fifth of it between two, so that a follower
// hears from its leader at least every 0.55 timeouts, and the lease is met with as much to spare.
const gatherShare = 3

// beats gathers the heartbeats of all groups that this node leads on a peer and sends them as one request. Raft's heartbeat goroutines wait for the
// answer, so the time of gathering is part of a heartbeat's interval.
type beats struct {
	peer *peer

	mu      sync.Mutex // guards following
	waiting []*beatCall
	sending bool // a sender is on its way
}

// beatCall is one group's heartbeat.
type beatCall struct {
	beat
	answer raft.AppendEntriesResponse
	err    error
	done   chan struct{}
}

// call sends a heartbeat with the next load and waits for its answer, or for yield.
func (q *beats) call(done, yield <-chan struct{}, group string, a *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	c := &beatCall{beat: beat{group, a.Term}, done: make(chan struct{})}
	q.mu.Lock()
	q.waiting = append(q.waiting, c)
	if !q.sending {
		if q.sending = q.peer.network.spawn(q.send); !q.sending {
			q.waiting = nil
			q.mu.Unlock()
			return ErrClosed
		}
	}
	q.mu.Unlock()
	select {
	case <-c.done:
		*resp = c.answer
		return c.err
	case <-yield:
		return errYield
	case <-done:
		return ErrClosed
	}
}

var errYield = errors.New("this leadership was given up")

// send waits until more have gathered, and sends. It lives for one load.
func (q *beats) send() {
	t := q.peer.network.node.opts.Timing
	gather := time.NewTimer(min(t.Heartbeat, metadataTimeout) / gatherShare)
	defer gather.Stop()
	select {
	case <-gather.C:
	case <-q.peer.network.ctx.Done():
	}
	q.mu.Lock()
	load := q.waiting
	q.waiting, q.sending = nil, false
	q.mu.Unlock()
	ctx, cancel := context.WithTimeout(q.peer.network.ctx, min(t.Heartbeat, metadataTimeout))
	defer cancel()
	body, err := q.peer.lines[laneControl].call(ctx, nil, kindBeats, "", func(b []byte) []byte {
		for _, c := range load {
			b = encodeBeat(b, c.beat)
		}
		return b
	})
	r := reader{b: body, err: err}
	for _, c := range load {
		s := status(r.u8())
		r.taken(&c.answer)
		switch {
		case err != nil:
			c.err = err
		case r.err != nil:
			c.err = fmt.Errorf("node %d: answer to heartbeats: %w", q.peer.id, r.err)
		case s != statusOK:
			_, c.err = message{status: s}.outcome(q.peer.id)
		}
		close(c.done)
	}
}

// beats answers a load of heartbeats where it stands: nothing in it waits for a disk or for a group.
func (s *session) beats(m message) error {
	var body []byte
	err := eachBeat(m.body, func(v beat) {
		var answer raft.AppendEntriesResponse
		st := statusUnknown
		if e := s.network.node.endpoint(v.group); e != nil {
			st = e.beat(s.from, v.term, &answer)
		}
		body = encodeTaken(append(body, byte(st)), &answer)
	})
	if err != nil {
		return fmt.Errorf("heartbeats: %w", err)
	}
	s.answer(m, statusOK, body)
	return nil
}

// beat hands a heartbeat to raft. While raft is a follower that is done at once, beside whatever its main goroutine does. Else the main goroutine must have it, because
// it changes raft's state, and the sender is told to come again.
func (e *endpoint) beat(from int32, term uint64, out *raft.AppendEntriesResponse) status {
	handler := e.heartbeat.Load()
	if handler == nil {
		return statusUnknown
	}
	rpc := raft.RPC{Command: &raft.AppendEntriesRequest{RPCHeader: headerOf(from), Term: term}}
	answer := make(chan raft.RPCResponse, 1)
	rpc.RespChan = answer
	if !e.following() {
		select {
		case e.incoming <- rpc:
		default:
		}
		if leader, at := e.owner.Leader(); leader == from && uint64(at) == term {
			*out = raft.AppendEntriesResponse{RPCHeader: headerOf(e.node.opts.NodeID), Term: term, Success: true}
			return statusOK // a candidate that has lost, and knows it: raft leaves it a candidate for a while
		}
		return statusBusy
	}
	(*handler)(rpc)
	select {
	case r := <-answer:
		if response, ok := r.Response.(*raft.AppendEntriesResponse); ok && r.Error == nil {
			*out = *response
			return statusOK
		}
	default: // raft is shut down
	}
	return statusUnknown
}
