package replication

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// stand makes raft stand for election at once, as if a leader had handed over. The channel gets a value when raft has come to it; nil: it will not.
func (e *endpoint) stand() <-chan raft.RPCResponse {
	begun := make(chan raft.RPCResponse, 1)
	select {
	case e.incoming <- raft.RPC{Command: &raft.TimeoutNowRequest{RPCHeader: headerOf(e.node.opts.NodeID)}, RespChan: begun}:
		return begun
	default:
		return nil
	}
}

// candidacy makes raft stand, also when it has begun to ask by itself and waits for the detector's verdict.
func (e *endpoint) candidacy() {
	begun := e.stand()
	if begun == nil {
		return
	}
	e.node.network.spawn(func() {
		select {
		case <-begun:
			e.verdict.give()
		case <-e.done:
		}
	})
}

// verdict is waited for by raft's own pre-votes: the detector has asked already, with more knowledge.
type verdict struct {
	mu sync.Mutex
	c  chan struct{} // guarded by mu; nil: nobody waits
}

func (v *verdict) given() <-chan struct{} {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.c == nil {
		v.c = make(chan struct{})
	}
	return v.c
}

func (v *verdict) give() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.c != nil {
		close(v.c)
		v.c = nil
	}
}

// electionTime is how long votes are waited for: the voters of many groups write them at the same time.
func (e *endpoint) electionTime() time.Duration {
	return min(e.node.opts.Timing.Election, 3*e.node.opts.Timing.Silence)
}

// RequestVote asks for a vote.
func (e *endpoint) RequestVote(id raft.ServerID, _ raft.ServerAddress, v *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	timer := time.NewTimer(e.electionTime())
	defer timer.Stop()
	got, err := e.ballot(id, kindVote, func(b []byte) []byte { return encodeVote(b, v) })
	if e.watched && (err != nil || !got.granted && got.term <= v.Term) {
		// Raft would stay a candidate until its long election timeout ends. A term that nobody has asked for makes it a follower again, which the detector can let stand
		// anew: at once when too many votes are lost, else when the others have had their time.
		if !e.losses.hopeless(v.Term, len(e.owner.voters())) {
			select {
			case <-timer.C:
			case <-e.done:
				return ErrClosed
			}
		}
		if leader, _ := e.owner.Leader(); leader < 0 {
			got, err = ballot{term: v.Term + 1}, nil
		}
	}
	resp.Term, resp.Granted = got.term, got.granted
	return err
}

// losses counts the votes that a candidate did not get.
type losses struct {
	mu    sync.Mutex
	term  uint64 // guarded by mu
	count int    // guarded by mu; in term
}

// hopeless takes note of one more vote that was not given in term. It reports whether those of the others are not enough.
func (l *losses) hopeless(term uint64, voters int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.term != term {
		l.term, l.count = term, 0
	}
	l.count++
	return 2*(voters-l.count) <= voters
}

// RequestPreVote asks whether a vote would be given. The detector asks that for all groups at once, so that raft only waits for its verdict.
func (e *endpoint) RequestPreVote(id raft.ServerID, _ raft.ServerAddress, v *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	if e.watched {
		timer := time.NewTimer(e.node.opts.Timing.Election)
		defer timer.Stop()
		select {
		case <-e.verdict.given():
			resp.Term, resp.Granted = v.Term, true
		case <-timer.C:
			resp.Term = v.Term - 1
		case <-e.done:
			return ErrClosed
		}
		return nil
	}
	got, err := e.ballot(id, kindPreVote, func(b []byte) []byte { return encodePreVote(b, v) })
	resp.Term, resp.Granted = got.term, got.granted
	return err
}

// ballot asks until the election is over: a group that is being created may not have reached the peer yet. A node that is gone is not waited for when the detector
// can ask again.
func (e *endpoint) ballot(id raft.ServerID, k kind, encode func([]byte) []byte) (ballot, error) {
	ctx, cancel := context.WithTimeout(e.node.network.ctx, e.electionTime())
	defer cancel()
	for pause := 10 * time.Millisecond; ; pause *= 2 {
		body, err := e.node.network.peer(nodeOf(id)).lines[laneControl].call(ctx, e.done, k, e.group, encode)
		if err == nil {
			return decodeBallot(body)
		}
		if !errors.Is(err, ErrUnknownGroup) && !errors.Is(err, ErrUnreachable) || e.watched && e.node.network.peer(nodeOf(id)).lost.Load() {
			return ballot{}, err
		}
		select {
		case <-time.After(pause):
		case <-e.done:
			return ballot{}, ErrClosed
		case <-ctx.Done():
			return ballot{}, err
		}
	}
}

// TimeoutNow tells a peer to stand.
func (e *endpoint) TimeoutNow(id raft.ServerID, _ raft.ServerAddress, _ *raft.TimeoutNowRequest, _ *raft.TimeoutNowResponse) error {
	return e.tellToStand(e.node.network.ctx, nodeOf(id))
}

func (e *endpoint) tellToStand(ctx context.Context, node int32) error {
	ctx, cancel := context.WithTimeout(ctx, e.node.opts.Timing.Election)
	defer cancel()
	return e.node.network.peer(node).tellToStand(ctx, e.done, e.group)
}
