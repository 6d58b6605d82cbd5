package replication

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"net"
	"strconv"
	"time"

	"github.com/barnabas-log/barnabas/log"
	"github.com/hashicorp/raft"
	"go.uber.org/zap"
)

// NodeOptions configure what all groups of a node share.
type NodeOptions struct {
	// NodeID is this node's id, unique in the cluster and never reused after its disk was wiped.
	NodeID int32
	// Dir holds the votes (votes.bolt) and the metadata group (metadata/). It is created when missing.
	Dir string
	// Logger receives what the node and its groups have to say. nil: nothing.
	Logger *zap.Logger
	// Listen is the address on which the other nodes reach this one ("host:port", port 0 for any). Empty: nobody can; a cluster of one node needs none.
	Listen string
	// Listener is used instead of Listen when it is not nil. The node closes it.
	Listener net.Listener
	// Peers gives the address of another node. Called whenever a connection is opened, so that a node may move. nil: there are none.
	Peers func(id int32) (address string, ok bool)
	// ServerTLS and ClientTLS encrypt the connections between nodes. For mutual authentication ServerTLS requires and verifies the client's certificate. nil: plain.
	ServerTLS, ClientTLS *tls.Config
	// Answer answers another node's Call. It runs in a goroutine of its own; ctx ends with the node. nil: every call fails.
	Answer func(ctx context.Context, from int32, body []byte) ([]byte, error)
	// Dial opens a connection. nil: TCP, or TLS with ClientTLS.
	Dial func(ctx context.Context, address string) (net.Conn, error)
	// Writable says why nothing may be promised on Dir any more: it is not there, or another has taken its place. Votes and metadata are refused then. Asked before every write.
	// nil: always writable.
	Writable func() error
	// Timing applies to groups with more than one voter. Zero values mean the defaults.
	Timing Timing
}

// Timing says how fast a group with several voters notices that its leader is gone.
type Timing struct {
	// Silence is how long another node may be silent until it is taken for dead: its groups get other leaders then, and what leads here without a majority is given up. A
	// node that refuses connections is dead at once. Default 1 s, or twice Heartbeat when that is less.
	Silence time.Duration
	// Heartbeat is how long a follower waits for its leader before it stands of its own, should nodes not notice each other's death. Default 20 s: a leader's
	// heartbeats to a thousand followers are most of what idle groups cost.
	Heartbeat time.Duration
	// Election is how long a candidate waits for votes. At least Heartbeat; default: the same.
	Election time.Duration
	// Lease is how long a leader goes on without a quorum answering. At most Heartbeat; default: the same.
	Lease time.Duration
	// Commit is how long a quiet leader waits before it looks whether its followers have everything. Default 20 s.
	Commit time.Duration
	// Stall is how long a write may hang before a leader with followers gives its leadership up. Default 5 s.
	Stall time.Duration
}

// singleTimeout is for the heartbeat and election timers of a group with a single voter: it does not wait for them to lead (see herald.tend), and tries again after
// that long when its vote could not be written. The lease cannot be changed while raft runs, so it is that of a group which may grow.
const singleTimeout = 10 * time.Second

// EnsureDefaults fills in what was left zero.
func (o *NodeOptions) EnsureDefaults() {
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	t := &o.Timing
	if t.Heartbeat == 0 {
		t.Heartbeat = 20 * time.Second
	}
	if t.Silence == 0 {
		t.Silence = min(time.Second, 2*t.Heartbeat)
	}
	if t.Election == 0 {
		t.Election = t.Heartbeat
	}
	if t.Lease == 0 {
		t.Lease = t.Heartbeat
	}
	if t.Commit == 0 {
		t.Commit = 20 * time.Second
	}
	if t.Stall == 0 {
		t.Stall = 5 * time.Second
	}
	if o.Dial == nil {
		config := o.ClientTLS
		o.Dial = func(ctx context.Context, address string) (net.Conn, error) { return dialTCP(ctx, address, config) }
	}
}

// Validate names all that is wrong.
func (o *NodeOptions) Validate() error {
	var problems []error
	if o.NodeID < 0 {
		problems = append(problems, fmt.Errorf("node id %d is negative", o.NodeID))
	}
	if o.Dir == "" {
		problems = append(problems, errors.New("no directory given"))
	}
	if o.Timing.Election < o.Timing.Heartbeat {
		problems = append(problems, errors.New("election timeout is shorter than the heartbeat timeout"))
	}
	if o.Timing.Lease > o.Timing.Heartbeat {
		problems = append(problems, errors.New("lease is longer than the heartbeat timeout"))
	}
	return errors.Join(problems...)
}

// GroupOptions configure one group.
type GroupOptions struct {
	// ID is unique and stable: topic id and partition number.
	ID string
	// Log stores the entries. The group is its only writer until Close.
	Log *log.Log
	// Machine is driven by the group.
	Machine StateMachine
	// Voters found the group. Used only when it has no state yet; empty means: wait to be added by a leader.
	Voters []int32
	// Preferred says that this node should lead a group whose leader is unknown: it stands at once, the others wait for it a little.
	Preferred bool
	// Room is asked before a leader's entries are stored whether the disk takes so many bytes more. Its error refuses them, and the leader tries again. nil: not asked.
	Room func(bytes int) error
	// Recovering says that this replica was a voter and has lost its log: it neither votes nor stands before Recovered is called, and Voters is not looked at. Term is a term that the group is
	// known to have reached; no earlier leader is followed. OtherHasAll lets it vote for another node: with two voters the other one has everything that was ever committed.
	Recovering  bool
	Term        log.Term
	OtherHasAll bool
	// Bind, when not nil, is called with the group before the machine is called for the first time.
	Bind func(*Group)
}

// Validate names all that is wrong.
func (o *GroupOptions) Validate() error {
	var problems []error
	if o.ID == "" || len(o.ID) > maxGroupID {
		problems = append(problems, fmt.Errorf("group id of %d bytes", len(o.ID)))
	}
	if o.Log == nil {
		problems = append(problems, errors.New("no log given"))
	}
	if o.Machine == nil {
		problems = append(problems, errors.New("no state machine given"))
	}
	return errors.Join(problems...)
}

// maxGroupID is the longest group id in bytes.
const maxGroupID = 255

// maxEntries is how many entries one append carries at most, locally and on the wire. Raft allocates arrays of this size, and a channel per group.
const maxEntries = 128

// serverID is how raft knows a node. Addresses are node ids as well, so that a node may move.
func serverID(node int32) raft.ServerID { return raft.ServerID(strconv.Itoa(int(node))) }

func serverAddress(node int32) raft.ServerAddress {
	return raft.ServerAddress(strconv.Itoa(int(node)))
}

// nodeOf is the inverse of serverID, -1 for none.
func nodeOf(id raft.ServerID) int32 {
	n, err := strconv.ParseInt(string(id), 10, 32)
	if err != nil {
		return -1
	}
	return int32(n)
}

// configurationOf is the founding configuration of a group.
func configurationOf(voters []int32) raft.Configuration {
	var c raft.Configuration
	for _, v := range voters {
		c.Servers = append(c.Servers, raft.Server{Suffrage: raft.Voter, ID: serverID(v), Address: serverAddress(v)})
	}
	return c
}

// onlyVoter says whether self decides alone.
func onlyVoter(c raft.Configuration, self raft.ServerID) bool {
	voters, found := 0, false
	for _, s := range c.Servers {
		if s.Suffrage == raft.Voter {
			voters++
			found = found || s.ID == self
		}
	}
	return voters == 1 && found
}

// groupConfig is raft's configuration of a partition's group.
func (n *Node) groupConfig(single bool, logger *raftLogger) *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = serverID(n.opts.NodeID)
	c.Logger = logger
	c.MaxAppendEntries = maxEntries
	c.BatchApplyCh = true
	c.ShutdownOnRemove = false
	c.NoSnapshotRestoreOnStart = true
	c.NoLegacyTelemetry = true
	c.SnapshotThreshold = math.MaxUint64
	c.TrailingLogs = math.MaxUint64
	c.SnapshotInterval = 1000 * time.Hour
	t := n.opts.Timing
	c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout, c.CommitTimeout = t.Heartbeat, t.Election, t.Lease, t.Commit
	if single {
		c.HeartbeatTimeout, c.ElectionTimeout = max(singleTimeout, t.Heartbeat), max(singleTimeout, t.Election)
	}
	return c
}
