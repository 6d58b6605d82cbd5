package replication

import (
	"bufio"
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
	yields    yields
	watched   bool // the detector looks after elections
	verdict   verdict
	losses    losses
	arrivals  arrivals

	done chan struct{} // closed by close: nothing waits any longer
	once sync.Once
}

// endpointOwner is what the transport asks of a group.
type endpointOwner interface {
	// role is raft's state.
	role() raft.RaftState
	// hydrate appends an entry's bytes to b, as they are stored; or, where attach says that it may, it gives the chunk that holds them, to be released.
	hydrate(b []byte, l *raft.Log, attach bool) (log.Kind, []byte, *log.Chunk, error)
	// check looks at entries from a leader before raft sees them.
	check(a *raft.AppendEntriesRequest) error
	// hint lowers what a refusal says of this log's end, so that the leader steps back by terms.
	hint(a *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse)
	// stalled says that a write has been under way for so long that this node should not lead.
	stalled() bool
	// termOf is the term of an entry.
	termOf(i log.Index) (log.Term, error)
	// Leader is who leads as far as raft knows (-1: nobody), and the term.
	Leader() (int32, log.Term)
	// leads says whether raft leads in term and has node among its members.
	leads(term uint64, node int32) bool
	// voters are the nodes that vote.
	voters() []int32
}

// incomingCapacity lets some requests wait in line.
const incomingCapacity = 4

// appendTimeout is how long a follower may take to store one request.
const appendTimeout = 30 * time.Second

func newEndpoint(n *Node, group string, owner endpointOwner) *endpoint {
	return &endpoint{node: n, group: group, owner: owner, incoming: make(chan raft.RPC, incomingCapacity), done: make(chan struct{})}
}

func (e *endpoint) following() bool { return e.owner.role() == raft.Follower }

// close ends every call under way and to come.
func (e *endpoint) close() { e.once.Do(func() { close(e.done) }) }

// deliver gives a peer's request to raft, when its turn has come, and waits for the answer.
func (e *endpoint) deliver(command any, r io.Reader, turn *turn) (any, error) {
	defer turn.over()
	if err := e.barred(command); err != nil {
		return nil, err
	}
	a, isAppend := command.(*raft.AppendEntriesRequest)
	if isAppend {
		if err := e.owner.check(a); err != nil {
			return nil, err
		}
	}
	if !turn.await(e.done) {
		return nil, ErrClosed
	}
	answer := make(chan raft.RPCResponse, 1)
	select {
	case e.incoming <- raft.RPC{Command: command, Reader: r, RespChan: answer}:
	case <-e.done:
		return nil, ErrClosed
	}
	turn.over()
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
// carries all of them; what does not fit into one goes in several, of which two are under way (see append). (Raft's also ignores errors of its futures: trap 10.)
func (e *endpoint) AppendEntriesPipeline(raft.ServerID, raft.ServerAddress) (raft.AppendPipeline, error) {
	return nil, raft.ErrPipelineReplicationNotSupported
}

// AppendEntries sends a heartbeat, or entries: a.Entries is cut to what the follower took, and raft goes on behind it.
func (e *endpoint) AppendEntries(id raft.ServerID, _ raft.ServerAddress, a *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	if e.owner.stalled() {
		return fmt.Errorf("group %s: a write has hung for too long", e.group)
	}
	node := nodeOf(id)
	if len(a.Entries) == 0 && a.PrevLogEntry == 0 && a.LeaderCommitIndex == 0 {
		if e.owner.role() != raft.Leader {
			// Raft goes on with heartbeats until the request that was under way when it stepped down is answered, which may be never. They would keep the
			// followers, who can hear this node though it cannot hear them, from electing another.
			return fmt.Errorf("group %s: this node no longer leads", e.group)
		}
		return e.sendBeat(node, a, resp)
	}
	connection := e.node.network.peer(node).lines[laneData].live()
	if len(a.Entries) == 0 && e.matches.knows(node, connection, a, e.node.opts.Timing.Heartbeat*3/4) {
		*resp = raft.AppendEntriesResponse{RPCHeader: headerOf(nodeOf(id)), Term: a.Term, LastLog: a.PrevLogEntry, Success: true}
		return nil
	}
	// A node that is away is waited for: raft would look again only after its commit timeout.
	pace := pace{minBackoff}
	for {
		back := e.node.network.peer(node).returns()
		err := e.append(node, a, resp)
		if err == nil || errors.Is(err, ErrClosed) || errors.Is(err, errLocal) {
			return err
		}
		pause := pace.after(err)
		if !errors.Is(err, ErrUnreachable) {
			back = nil
		}
		if !e.await(back, a.Term, node, pause) {
			return err
		}
	}
}

// pace says how long to wait between two attempts at one follower.
type pace struct{ next time.Duration }

// after is the time until the next attempt. A node that cannot be reached is heard of when it is back; then it may be a moment until it has the group.
func (p *pace) after(err error) time.Duration {
	if errors.Is(err, ErrUnreachable) {
		p.next = minBackoff
		return time.Second
	}
	pause := p.next
	p.next = min(2*p.next, time.Second)
	return pause
}

// await waits for a peer, or for a while. It reports whether raft still leads in that term.
func (e *endpoint) await(back <-chan struct{}, term uint64, node int32, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-back:
	case <-timer.C:
	case <-e.yields.at(term):
		return false
	case <-e.done:
		return false
	}
	return e.owner.leads(term, node)
}

// sendBeat sends one group's heartbeat. Raft is not told of a peer that is away: it would wait longer and longer between its attempts.
func (e *endpoint) sendBeat(node int32, a *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	p := e.node.network.peer(node)
	for {
		back := p.returns()
		err := p.beats.call(e.done, e.yields.at(a.Term), e.group, a, resp)
		if err != nil {
			e.matches.doubt(node) // it may have been started anew
		}
		switch {
		case err == nil && resp.Success:
			e.matches.heard(node)
			return nil
		case errors.Is(err, errYield):
			*resp = raft.AppendEntriesResponse{RPCHeader: headerOf(node), Term: a.Term}
			return nil
		case !errors.Is(err, ErrUnreachable) || !e.watched:
			return err
		}
		if e.await(back, a.Term, node, time.Second) {
			continue
		}
		if isClosed(e.yields.at(a.Term)) {
			*resp = raft.AppendEntriesResponse{RPCHeader: headerOf(node), Term: a.Term}
			return nil
		}
		return err
	}
}

// errLocal says that the entries cannot be read here: raft must look again.
var errLocal = errors.New("entries are not there")

// rest waits. It reports whether the group is still open.
func (e *endpoint) rest(pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-e.done:
		return false
	}
}

// isClosed says whether a channel is closed.
func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
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
	answer, err := readFrame(bufio.NewReader(conn), nil)
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
