package broker

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/barnabas-log/barnabas/internal/metadata"
	"github.com/barnabas-log/barnabas/replication"
	"go.uber.org/zap"
)

// joining is what a node says that is no voter and wants to follow the metadata group. It cannot register before it follows, and nobody can send it the metadata without
// knowing where it listens.
type joining struct {
	Listener metadata.Listener `json:"listener"`
	// For is the node that another one passes the word on for: the one that joins may not know who votes by now.
	For *int32 `json:"for,omitempty"`
}

// joiners remembers where such nodes listen, until they (re)register. It is soft state: a node that joins tells every voter, and goes on until it has the metadata.
type joiners struct {
	mu    sync.Mutex // guards following
	known map[int32]joiner
}

type joiner struct {
	listener metadata.Listener
	epoch    int64 // of the registration that the node had when it joined; 0: none. A newer one replaces what is known here.
}

// note takes what a node says. broker is its registration, nil if it has none.
func (j *joiners) note(id int32, broker *metadata.Broker, l metadata.Listener) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.known == nil {
		j.known = map[int32]joiner{}
	}
	entry := joiner{listener: l}
	if broker != nil {
		entry.epoch = broker.Epoch
	}
	j.known[id] = entry
}

// find is where a node listens that has joined and not registered since.
func (j *joiners) find(id int32, broker *metadata.Broker) (metadata.Listener, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	entry, ok := j.known[id]
	if ok && broker != nil && broker.Epoch != entry.epoch {
		delete(j.known, id)
		return metadata.Listener{}, false
	}
	return entry.listener, ok
}

// join lets a node that is no voter follow the metadata group. Everybody who is asked notes where the node is and tells the leader, who adds it.
func (b *Broker) join(ctx context.Context, from int32, j joining) reply {
	ctx, cancel := context.WithTimeout(ctx, joinLimit)
	defer cancel()
	node := from
	if j.For != nil {
		node = *j.For
	}
	b.joiners.note(node, b.Image().Brokers[node], j.Listener)
	err := b.meta.AddNonvoter(ctx, node)
	if leader, _ := b.meta.Leader(); errors.Is(err, replication.ErrNotLeader) && leader >= 0 && leader != b.nodeID && leader != node && j.For == nil {
		j.For = &node
		_, err = b.ask(ctx, leader, question{Join: &j})
	}
	if err != nil {
		leader, _ := b.meta.Leader()
		return reply{Leader: leader, Error: &metadata.Error{Code: metadata.CodeNotController, Message: err.Error()}}
	}
	return reply{}
}

// joinLimit bounds one question to one voter; joinAgain is when a node asks again that was let in and has not heard from the leader.
const (
	joinLimit = 2 * time.Second
	joinAgain = time.Second
)

// keepJoining makes a node that is no voter a follower of the metadata group. It goes on until ctx ends, which is when the node is registered: the voter that leads may
// have changed to one that did not know yet where this node is. A node that is configured as a voter may have lost its vote while it was away: it asks too, once
// nobody who leads has spoken to it for a while.
func (b *Broker) keepJoining(ctx context.Context) {
	self, ok := b.nodeAddress()
	if !ok {
		return
	}
	for waiting := b.config.Controller; ; {
		pause := leaderlessPause
		if leader, _ := b.meta.Leader(); waiting || b.config.Controller && leader >= 0 || b.askToJoin(ctx, self) {
			pause = joinAgain
		}
		waiting = false
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// askToJoin asks all voters that were configured or are known at the same time, and says whether one let this node in.
func (b *Broker) askToJoin(ctx context.Context, self metadata.Listener) bool {
	ctx, cancel := context.WithTimeout(ctx, joinLimit)
	defer cancel()
	var asking sync.WaitGroup
	var in atomic.Bool
	for _, id := range b.votersToAsk() {
		asking.Go(func() {
			if _, err := b.ask(ctx, id, question{Join: &joining{Listener: self}}); err != nil {
				b.logger.Debug("a voter did not let this node in", zap.Int32("voter", id), zap.Error(err))
				return
			}
			in.Store(true)
		})
	}
	asking.Wait()
	return in.Load()
}

func (b *Broker) votersToAsk() (ids []int32) {
	for _, v := range b.config.Voters {
		ids = append(ids, v.ID)
	}
	for _, m := range b.meta.Members() {
		if m.Voter {
			ids = append(ids, m.Node)
		}
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	return slices.DeleteFunc(ids, func(id int32) bool { return id == b.nodeID })
}
