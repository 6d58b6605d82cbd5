package broker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/barnabas-log/barnabas/internal/metadata"
	"github.com/barnabas-log/barnabas/log"
	"github.com/barnabas-log/barnabas/replication"
)

// applied is what the metadata machine returns for a command: its result, and where in the log it is.
type applied struct {
	index  uint64
	result any
}

// metadataMachine is the cluster's state as its Raft group drives it. It remembers the last results, so that a node that forwarded a proposal finds the answer in its own
// copy of the state: once it is there, the node's image has it as well.
type metadataMachine struct {
	*metadata.State
	leading broadcast // who leads has changed

	mu      sync.Mutex // guards following
	last    uint64     // index applied last
	results [resultsKept]applied
	news    broadcast // last has grown
}

// resultsKept bounds how far a node may be ahead of the one that waits for a result.
const resultsKept = 1024

// Apply implements replication.MetadataMachine.
func (m *metadataMachine) Apply(index log.Index, command []byte) any {
	a := applied{uint64(index), m.State.Apply(uint64(index), command)}
	m.mu.Lock()
	m.results[a.index%resultsKept], m.last = a, a.index
	m.mu.Unlock()
	m.news.wake()
	return a
}

// Restore implements replication.MetadataMachine.
func (m *metadataMachine) Restore(snapshot []byte) error {
	if err := m.State.Restore(snapshot); err != nil {
		return err
	}
	m.mu.Lock()
	m.last = max(m.last, m.Image().Index)
	m.mu.Unlock()
	m.news.wake()
	return nil
}

// Lead implements replication.MetadataMachine.
func (m *metadataMachine) Lead(log.Term) { m.leading.wake() }

// Resign implements replication.MetadataMachine.
func (m *metadataMachine) Resign(int32) { m.leading.wake() }

// await waits until the command at index is applied here, and returns its result.
func (m *metadataMachine) await(ctx context.Context, index uint64) (any, error) {
	for {
		wake := m.news.wait()
		m.mu.Lock()
		last, a := m.last, m.results[index%resultsKept]
		m.mu.Unlock()
		if a.index == index {
			return a.result, nil
		}
		if last >= index {
			return nil, fmt.Errorf("the result of command %d is no longer known", index)
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// proposer commits commands wherever the metadata group is led. It is the controller's metadata.Proposer.
type proposer struct{ b *Broker }

// Propose implements metadata.Proposer. While nobody leads it waits. A command is never given to a second leader when the first may have taken it.
func (p proposer) Propose(ctx context.Context, command []byte) (any, error) {
	for {
		wake := p.b.machine.leading.wait()
		leader, _ := p.b.meta.Leader()
		var result any
		err := replication.ErrNotLeader
		if leader == p.b.nodeID {
			result, err = p.b.proposeHere(ctx, command)
		} else if leader >= 0 {
			result, err = p.b.forward(ctx, leader, command)
		}
		if !errors.Is(err, replication.ErrNotLeader) {
			return result, err
		}
		select {
		case <-wake:
		case <-time.After(leaderlessPause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// leaderlessPause is how long to wait before asking again who leads, when nothing says that it changed.
const leaderlessPause = 50 * time.Millisecond

func (b *Broker) proposeHere(ctx context.Context, command []byte) (any, error) {
	value, err := b.meta.Propose(ctx, command)
	if err != nil {
		return nil, err
	}
	return value.(applied).result, nil
}

// forward gives a command to the leader and waits until it is applied here.
func (b *Broker) forward(ctx context.Context, leader int32, command []byte) (any, error) {
	r, err := b.ask(ctx, leader, question{Propose: command})
	var refused *metadata.Error
	if errors.As(err, &refused) && refused.Code == metadata.CodeNotController {
		return nil, replication.ErrNotLeader
	}
	if errors.Is(err, replication.ErrUnreachable) { // whether it was carried out nobody knows
		return nil, &metadata.Error{Code: metadata.CodeRequestTimedOut, Message: fmt.Sprintf("forward to node %d: %v", leader, err)}
	}
	if err != nil {
		return nil, fmt.Errorf("forward to node %d: %w", leader, err)
	}
	return b.machine.await(ctx, r.Index)
}

// proposeLimit bounds the work on a command that another node forwarded.
const proposeLimit = 30 * time.Second

// proposed commits a command that another node forwarded.
func (b *Broker) proposed(ctx context.Context, command []byte) reply {
	ctx, cancel := context.WithTimeout(ctx, proposeLimit)
	defer cancel()
	value, err := b.meta.Propose(ctx, command)
	switch {
	case err == nil:
		return reply{Index: value.(applied).index}
	case errors.Is(err, replication.ErrNotLeader):
		return reply{Error: &metadata.Error{Code: metadata.CodeNotController, Message: "this node does not lead the metadata group"}}
	}
	return reply{Error: &metadata.Error{Code: metadata.CodeRequestTimedOut, Message: err.Error()}}
}
