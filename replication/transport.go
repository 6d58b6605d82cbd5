package replication

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// endpoint is one group's raft.Transport: its end of the node's transport. Addresses are node ids.
type endpoint struct {
	node  *Node
	group string

	incoming  chan raft.RPC // read by raft's main goroutine
	heartbeat atomic.Pointer[func(raft.RPC)]

	done chan struct{} // closed by close: nothing waits any longer
	once sync.Once
}

// incomingCapacity lets a request or two wait without a goroutine each.
const incomingCapacity = 4

func newEndpoint(n *Node, group string) *endpoint {
	return &endpoint{node: n, group: group, incoming: make(chan raft.RPC, incomingCapacity), done: make(chan struct{})}
}

// stand makes raft stand for election at once, as if a leader had handed over. It reports whether raft will come to it.
func (e *endpoint) stand() bool {
	rpc := raft.RPC{
		Command:  &raft.TimeoutNowRequest{RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax}},
		RespChan: make(chan raft.RPCResponse, 1),
	}
	select {
	case e.incoming <- rpc:
		return true
	default:
		return false
	}
}

// close ends every call under way and to come.
func (e *endpoint) close() { e.once.Do(func() { close(e.done) }) }

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
// carries all of them.
func (e *endpoint) AppendEntriesPipeline(raft.ServerID, raft.ServerAddress) (raft.AppendPipeline, error) {
	return nil, raft.ErrPipelineReplicationNotSupported
}

// AppendEntries sends entries or a heartbeat.
func (e *endpoint) AppendEntries(id raft.ServerID, _ raft.ServerAddress, _ *raft.AppendEntriesRequest, _ *raft.AppendEntriesResponse) error {
	return e.unreachable(id)
}

// RequestVote asks for a vote.
func (e *endpoint) RequestVote(id raft.ServerID, _ raft.ServerAddress, _ *raft.RequestVoteRequest, _ *raft.RequestVoteResponse) error {
	return e.unreachable(id)
}

// RequestPreVote asks whether a vote would be given.
func (e *endpoint) RequestPreVote(id raft.ServerID, _ raft.ServerAddress, _ *raft.RequestPreVoteRequest, _ *raft.RequestPreVoteResponse) error {
	return e.unreachable(id)
}

// InstallSnapshot sends a snapshot.
func (e *endpoint) InstallSnapshot(id raft.ServerID, _ raft.ServerAddress, _ *raft.InstallSnapshotRequest, _ *raft.InstallSnapshotResponse, _ io.Reader) error {
	return e.unreachable(id)
}

// TimeoutNow tells a peer to stand.
func (e *endpoint) TimeoutNow(id raft.ServerID, _ raft.ServerAddress, _ *raft.TimeoutNowRequest, _ *raft.TimeoutNowResponse) error {
	return e.unreachable(id)
}

func (e *endpoint) unreachable(id raft.ServerID) error {
	return fmt.Errorf("node %s: %w", id, ErrUnreachable)
}
