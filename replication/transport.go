package replication

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/barnabas-log/barnabas/log"
	"github.com/hashicorp/raft"
)

// endpoint is one group's raft.Transport: its end of the node's wire. Addresses are node ids.
type endpoint struct {
	node  *Node
	group string
	owner endpointOwner

	incoming  chan raft.RPC // read by raft's main goroutine
	heartbeat atomic.Pointer[func(raft.RPC)]
	matches   matches

	done chan struct{} // closed by close: nothing waits any longer
	once sync.Once
}

// endpointOwner is what the transport asks of a group.
type endpointOwner interface {
	// role is raft's state.
	role() raft.RaftState
	// hydrate appends an entry's bytes to b, as they are stored.
	hydrate(b []byte, l *raft.Log) (log.Kind, []byte, error)
	// check looks at entries from a leader before raft sees them.
	check(a *raft.AppendEntriesRequest) error
	// hint lowers what a refusal says of this log's end, so that the leader steps back by terms.
	hint(a *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse)
	// stalled says that a write has been under way for so long that this node should not lead.
	stalled() bool
}

// incomingCapacity lets some requests wait in line.
const incomingCapacity = 4

// appendTimeout is how long a follower may take to store one request.
const appendTimeout = 30 * time.Second

func newEndpoint(n *Node, group string, owner endpointOwner) *endpoint {
	return &endpoint{node: n, group: group, owner: owner, incoming: make(chan raft.RPC, incomingCapacity), done: make(chan struct{})}
}

// stand makes raft stand for election at once, as if a leader had handed over. It reports whether raft will come to it.
func (e *endpoint) stand() bool {
	rpc := raft.RPC{Command: &raft.TimeoutNowRequest{RPCHeader: headerOf(e.node.opts.NodeID)}, RespChan: make(chan raft.RPCResponse, 1)}
	select {
	case e.incoming <- rpc:
		return true
	default:
		return false
	}
}

func (e *endpoint) following() bool { return e.owner.role() == raft.Follower }

// close ends every call under way and to come.
func (e *endpoint) close() { e.once.Do(func() { close(e.done) }) }

// deliver gives a peer's request to raft and waits for the answer.
func (e *endpoint) deliver(command any, r io.Reader) (any, error) {
	a, isAppend := command.(*raft.AppendEntriesRequest)
	if isAppend {
		if err := e.owner.check(a); err != nil {
			return nil, err
		}
	}
	answer := make(chan raft.RPCResponse, 1)
	select {
	case e.incoming <- raft.RPC{Command: command, Reader: r, RespChan: answer}:
	case <-e.done:
		return nil, ErrClosed
	}
	select {
	case got := <-answer:
		if got.Error != nil {
			return nil, got.Error
		}
		if resp, ok := got.Response.(*raft.AppendEntriesResponse); ok && isAppend && !resp.Success && resp.Term == a.Term {
			e.owner.hint(a, resp)
		}
		return got.Response, nil
	case <-e.done:
		return nil, ErrClosed
	}
}

// Consumer is where raft takes requests from.
func (e *endpoint) Consumer() <-chan raft.RPC { return e.incoming }

// LocalAddr is this node's id.
func (e *endpoint) LocalAddr() raft.ServerAddress { return serverAddress(e.node.opts.NodeID) }

// EncodePeer and DecodePeer: an address is a node id.
func (e *endpoint) EncodePeer(_ raft.ServerID, a raft.ServerAddress) []byte { return []byte(a) }

// DecodePeer is the inverse of EncodePeer.
func (e *endpoint) DecodePeer(b []byte) raft.ServerAddress { return raft.ServerAddress(b) }

// SetHeartbeatHandler takes raft's fast path for heartbeats.
func (e *endpoint) SetHeartbeatHandler(f func(raft.RPC)) { e.heartbeat.Store(&f) }

// AppendEntriesPipeline is not offered. Raft's pipeline sends once for each trigger and no more than MaxAppendEntries, so that what gathers while it is held up waits for
// the commit timeout; the plain way goes on until nothing is left. While one request is under way the next entries gather, and a request
// carries all of them. (It also ignores errors of its futures: trap 10.)
func (e *endpoint) AppendEntriesPipeline(raft.ServerID, raft.ServerAddress) (raft.AppendPipeline, error) {
	return nil, raft.ErrPipelineReplicationNotSupported
}

// AppendEntries sends a heartbeat, or as many entries as fit: a.Entries is cut to what was sent, and raft goes on behind it.
func (e *endpoint) AppendEntries(id raft.ServerID, _ raft.ServerAddress, a *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	if e.owner.stalled() {
		return fmt.Errorf("group %s: a write has hung for too long", e.group)
	}
	p := e.node.network.peer(nodeOf(id))
	if len(a.Entries) == 0 && a.PrevLogEntry == 0 && a.LeaderCommitIndex == 0 {
		if e.owner.role() != raft.Leader {
			// Raft goes on with heartbeats until the request that was under way when it stepped down is answered, which may be never. They would keep the
			// followers, who can hear this node though it cannot hear them, from electing another.
			return fmt.Errorf("group %s: this node no longer leads", e.group)
		}
		err := p.beats.call(e.done, e.group, a, resp)
		switch {
		case err != nil:
			e.matches.doubt(nodeOf(id)) // it may have been started anew
		case resp.Success:
			e.matches.heard(nodeOf(id))
		}
		return err
	}
	connection := p.lines[laneData].live()
	if len(a.Entries) == 0 && e.matches.knows(nodeOf(id), connection, a, e.node.opts.Timing.Heartbeat*3/4) {
		*resp = raft.AppendEntriesResponse{RPCHeader: headerOf(nodeOf(id)), Term: a.Term, LastLog: a.PrevLogEntry, Success: true}
		return nil
	}
	buffer := buffers.Get().(*[]byte)
	entries, count, err := e.entries((*buffer)[:0], a)
	*buffer = entries
	defer recycle(buffer)
	if err != nil {
		return err
	}
	a.Entries = a.Entries[:count]
	ctx, cancel := context.WithTimeout(e.node.network.ctx, appendTimeout)
	defer cancel()
	body, err := p.lines[laneData].call(ctx, e.done, kindAppend, e.group, func(b []byte) []byte {
		return append(encodeAppend(b, a, count), entries...)
	})
	if err != nil {
		return err
	}
	r := reader{b: body}
	r.taken(resp)
	if err := r.done(); err != nil {
		return err
	}
	if resp.Success {
		if connection != p.lines[laneData].live() {
			connection = nil
		}
		e.matches.set(nodeOf(id), connection, a, count)
	}
	return nil
}

// entries encodes what fits into one request, reading the bytes from the log now.
func (e *endpoint) entries(b []byte, a *raft.AppendEntriesRequest) (_ []byte, count int, err error) {
	for _, l := range a.Entries {
		if len(b) >= maxAppend {
			break
		}
		at := len(b)
		k, grown, err := e.owner.hydrate(beginEntry(b, l.Term, 0), l)
		if err != nil {
			if count > 0 {
				return b[:at], count, nil
			}
			return b[:at], 0, fmt.Errorf("read entry %d: %w", l.Index, err)
		}
		b = grown
		b[at+8] = byte(k)
		endEntry(b, at)
		count++
	}
	return b, count, nil
}

// RequestVote asks for a vote.
func (e *endpoint) RequestVote(id raft.ServerID, _ raft.ServerAddress, v *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	got, err := e.ballot(id, kindVote, func(b []byte) []byte { return encodeVote(b, v) })
	resp.Term, resp.Granted = got.term, got.granted
	return err
}

// RequestPreVote asks whether a vote would be given.
func (e *endpoint) RequestPreVote(id raft.ServerID, _ raft.ServerAddress, v *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	got, err := e.ballot(id, kindPreVote, func(b []byte) []byte { return encodePreVote(b, v) })
	resp.Term, resp.Granted = got.term, got.granted
	return err
}

// ballot asks until the election is over: a group that is being created may not have reached the peer yet.
func (e *endpoint) ballot(id raft.ServerID, k kind, encode func([]byte) []byte) (ballot, error) {
	ctx, cancel := context.WithTimeout(e.node.network.ctx, e.node.opts.Timing.Election)
	defer cancel()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		body, err := e.node.network.peer(nodeOf(id)).lines[laneControl].call(ctx, e.done, k, e.group, encode)
		if err == nil {
			return decodeBallot(body)
		}
		if !errors.Is(err, ErrUnknownGroup) && !errors.Is(err, ErrUnreachable) {
			return ballot{}, err
		}
		select {
		case <-again.C:
		case <-e.done:
			return ballot{}, ErrClosed
		case <-ctx.Done():
			return ballot{}, err
		}
	}
}

// InstallSnapshot sends a snapshot over a connection of its own.
func (e *endpoint) InstallSnapshot(id raft.ServerID, _ raft.ServerAddress, s *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader) error {
	p := e.node.network.peer(nodeOf(id))
	conn, err := p.dial(laneSnapshot)
	if err != nil {
		return fmt.Errorf("node %s: %w: %w", id, ErrUnreachable, err)
	}
	defer e.node.network.drop(conn)
	finished := make(chan struct{})
	defer close(finished)
	e.node.network.spawn(func() {
		select {
		case <-e.done:
			_ = conn.Close()
		case <-finished:
		}
	})
	_ = conn.SetDeadline(time.Now().Add(snapshotTimeout))
	frame := endFrame(encodeSnapshot(beginRequest(nil, kindSnapshot, 1, e.group), s))
	if _, err := conn.Write(frame); err != nil {
		return fmt.Errorf("node %s: %w: %w", id, ErrUnreachable, err)
	}
	if _, err := io.CopyN(conn, data, s.Size); err != nil {
		return fmt.Errorf("node %s: send snapshot: %w", id, err)
	}
	answer, err := readFrame(bufio.NewReader(conn))
	if err != nil {
		return fmt.Errorf("node %s: %w: %w", id, ErrUnreachable, err)
	}
	m, err := decodeFrame(answer, true)
	if err != nil {
		return err
	}
	body, err := m.outcome(nodeOf(id))
	if err != nil {
		return err
	}
	got, err := decodeBallot(body)
	resp.Term, resp.Success = got.term, got.granted
	return err
}

// snapshotTimeout is how long a snapshot may take, which holds no records.
const snapshotTimeout = 2 * time.Minute

// TimeoutNow tells a peer to stand.
func (e *endpoint) TimeoutNow(id raft.ServerID, _ raft.ServerAddress, _ *raft.TimeoutNowRequest, _ *raft.TimeoutNowResponse) error {
	return e.tellToStand(e.node.network.ctx, nodeOf(id))
}

func (e *endpoint) tellToStand(ctx context.Context, node int32) error {
	ctx, cancel := context.WithTimeout(ctx, e.node.opts.Timing.Election)
	defer cancel()
	_, err := e.node.network.peer(node).lines[laneControl].call(ctx, e.done, kindStand, e.group, func(b []byte) []byte { return b })
	return err
}

// matches remembers what each follower has confirmed of this node's log.
type matches struct {
	mu        sync.Mutex
	followers map[int32]*match // guarded by mu
	changed   chan struct{}    // guarded by mu; closed and replaced at a change, nil when nobody waits
}

// match is what one follower has confirmed, over which connection, and when it answered a heartbeat last. A follower that was started anew has a new connection, and has
// forgotten what is committed.
type match struct {
	index, term, commit uint64
	connection          *wireConn // nil: not known
	heard               time.Time
}

func (m *matches) atLocked(node int32) *match {
	f := m.followers[node]
	if f == nil {
		if m.followers == nil {
			m.followers = map[int32]*match{}
		}
		f = new(match)
		m.followers[node] = f
	}
	return f
}

// set takes note that the follower has taken a request with its first count entries.
func (m *matches) set(node int32, connection *wireConn, a *raft.AppendEntriesRequest, count int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.atLocked(node)
	f.index, f.term = a.PrevLogEntry+uint64(count), a.Term
	f.commit, f.connection = min(a.LeaderCommitIndex, f.index), connection
	if m.changed != nil {
		close(m.changed)
		m.changed = nil
	}
}

// doubt takes note that the follower may have forgotten what is committed.
func (m *matches) doubt(node int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f := m.followers[node]; f != nil {
		f.connection = nil
	}
}

// heard takes note that the follower has answered a heartbeat.
func (m *matches) heard(node int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.atLocked(node).heard = time.Now()
}

// knows says whether an append without entries would tell the follower nothing new: it has confirmed the same index and commit index in this term, and it was heard not longer
// than within ago, all over the connection that is open now. Raft sends such requests for as long as a group is idle, and takes the answer for a sign of life; so that one must be fresh.
func (m *matches) knows(node int32, connection *wireConn, a *raft.AppendEntriesRequest, within time.Duration) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.followers[node]
	return f != nil && connection != nil && f.connection == connection && f.term == a.Term && f.index == a.PrevLogEntry && f.commit == min(a.LeaderCommitIndex, f.index) && time.Since(f.heard) < within
}

// get is a follower's match, and a channel that is closed when any changes.
func (m *matches) get(node int32) (log.Index, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.changed == nil {
		m.changed = make(chan struct{})
	}
	if f := m.followers[node]; f != nil {
		return log.Index(f.index), m.changed
	}
	return 0, m.changed
}

// clear forgets what an earlier leadership learned.
func (m *matches) clear() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.followers = nil
}
