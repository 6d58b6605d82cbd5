package replication

import (
	"encoding/binary"

	"github.com/barnabas-log/barnabas/log"
	"github.com/hashicorp/raft"
)

// proposal is a command that waits for its turn.
type proposal struct {
	data  []byte
	token uint64
}

// proposals is the queue in front of raft. Guarded by Group.mu.
//
// Raft's own queue is bounded and its main goroutine calls the machine, so that a machine which proposes under a lock of its own must never wait
// for room there. While raft holds little there is room, and whoever proposes hands over himself, which saves a goroutine and its turn. Otherwise proposals gather
// here, and a goroutine that lives only as long as there are any moves them on.
type proposals struct {
	queue   []proposal
	moving  bool          // somebody hands over, and everybody else's proposals queue behind
	held    int           // transfers under way: the mover stays away
	handed  int           // entries given to raft and not stored yet
	weight  int           // their bytes
	drained chan struct{} // closed when nothing is handed and held
	over    chan struct{} // closed when leadership is lost
}

// maxHanded bounds the bytes that are given to raft at a time, so that one append stays of a size that a disk takes in some milliseconds. A single batch may be larger.
const maxHanded = 8 << 20

// maxDirect is up to how many entries that raft was given and has not stored whoever proposes hands over himself: its queue of maxEntries has room then. The other half is for
// entries of an earlier leadership, which are not counted. Should there be more of those, he waits until raft has taken them, which takes no lock that a partition holds meanwhile.
const maxDirect = maxEntries / 2

// Propose queues one command and returns at once; see partition.Proposer. data must stay untouched until the machine has heard of the token's end: Stored, Apply or
// Resign. A command that begins with 0xFF is the machine's own (KindCommand), anything else is one record batch. A token of 0 is never asked about
// nor reported. ErrNotLeader before Lead and after Resign, ErrClosed, ErrStopped.
func (g *Group) Propose(data []byte, token uint64) error {
	if len(data) == 0 {
		return ErrCommand
	}
	if err := g.Err(); err != nil {
		return err
	}
	p := proposal{data, token}
	direct, err := g.enqueue(p)
	if direct {
		g.hand(p)
		g.moved()
	}
	return err
}

// enqueue queues a proposal, unless the caller is to hand it over directly and call moved then.
func (g *Group) enqueue(p proposal) (direct bool, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closing {
		return false, ErrClosed
	}
	if !g.readyLocked() {
		return false, ErrNotLeader
	}
	if len(g.queue) > 0 || g.handed >= maxDirect || !g.movableLocked() {
		g.queue = append(g.queue, p)
		g.moveLocked()
		return false, nil
	}
	g.moving = true
	g.handed++
	g.weight += len(p.data)
	return true, nil
}

// moved ends a direct hand-over.
func (g *Group) moved() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.moving = false
	if g.held > 0 || g.closing {
		g.drainedLocked()
	}
	g.moveLocked()
}

// movableLocked says whether raft may be given something now, by somebody new.
func (g *Group) movableLocked() bool {
	return !g.moving && g.held == 0 && !g.closing && (g.handed == 0 || g.weight < maxHanded)
}

// moveLocked starts the mover if it has something to do.
func (g *Group) moveLocked() {
	if len(g.queue) > 0 && g.movableLocked() {
		g.moving = true
		g.workers.Go(g.move)
	}
}

// move hands proposals to raft, in order, until none is left or raft has enough.
func (g *Group) move() {
	for {
		batch := g.take()
		if len(batch) == 0 {
			return
		}
		for _, p := range batch {
			g.hand(p)
		}
	}
}

// hand gives raft one proposal. The outcome comes through the machine. What raft refuses was proposed in a leadership that is over, and Resign tells.
func (g *Group) hand(p proposal) {
	l := raft.Log{Data: p.data}
	if p.token != 0 {
		l.Extensions = binary.BigEndian.AppendUint64(make([]byte, 0, 8), p.token)
	}
	g.raft.Load().ApplyLog(l, 0)
}

// take removes what raft may have now from the queue. With nothing to take the mover ends.
func (g *Group) take() []proposal {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.held > 0 || g.closing {
		g.moving = false
		g.drainedLocked()
		return nil
	}
	n := 0
	for n < len(g.queue) && (g.handed == 0 || g.weight < maxHanded) {
		g.handed++
		g.weight += len(g.queue[n].data)
		n++
	}
	batch := g.queue[:n:n]
	if g.queue = g.queue[n:]; len(g.queue) == 0 {
		g.queue = nil
	}
	g.moving = n > 0
	return batch
}

// dropLocked forgets what is queued: the leadership it was proposed in is over.
func (g *Group) dropLocked() {
	g.queue = nil
	if !g.leading {
		g.watch.suspended.Store(false)
	}
	for _, c := range []*chan struct{}{&g.drained, &g.over} {
		if *c != nil {
			close(*c)
			*c = nil
		}
	}
}

// storedLocally is called when raft has stored entries that were made on this node.
func (g *Group) storedLocally(logs []*raft.Log, commands, bytes int) {
	if len(logs) == 1 && string(logs[0].Extensions) == string(elected) {
		g.mu.Lock()
		g.handed, g.weight = 0, 0 // what raft still holds of an earlier leadership is not counted any more
		g.mu.Unlock()
		g.elected(log.Term(logs[0].Term))
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.handed = max(0, g.handed-commands)
	g.weight = max(0, g.weight-bytes)
	if g.handed == 0 {
		g.weight = 0
	}
	g.drainedLocked()
	g.moveLocked()
}
