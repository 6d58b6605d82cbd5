package replication

import (
	"context"

	"github.com/barnabas-log/barnabas/log"
	"go.uber.org/zap"
)

// Entry is a log entry as it is reported to a StateMachine.
type Entry = log.Stored

// StateMachine is what a group drives. The calls and their order are those documented on partition.Partition.
type StateMachine interface {
	Admit(token uint64, term log.Term) bool
	Stored(entries []Entry)
	Truncated(from log.Index, end log.Offset)
	Apply(entries []Entry)
	Lead(term log.Term)
	Resign(term log.Term, leader int32)
	State() ([]byte, error)
	Restore(state []byte) error
	Failed(err error)
}

// NodeOptions configure what all groups of a node share.
type NodeOptions struct {
	NodeID int32
	Dir    string // holds the votes (bolt) and the metadata group
	Logger *zap.Logger
}

// Node owns what all Raft groups on this node share: the stable store, the transport, the limits.
type Node struct{}

func OpenNode(opts NodeOptions) (*Node, error) { panic("unwritten") }
func (n *Node) Close() error                   { panic("unwritten") }

// GroupOptions configure one group.
type GroupOptions struct {
	ID        string // unique and stable: topic id and partition number
	Log       *log.Log
	Machine   StateMachine
	Voters    []int32 // used only when the group has no state yet
	Preferred bool    // this node should lead first
}

// Group is one partition's consensus group on this node.
type Group struct{}

func (n *Node) StartGroup(opts GroupOptions) (*Group, error) { panic("unwritten") }

// Propose queues one command; see partition.Proposer. ErrNotLeader, ErrClosed.
func (g *Group) Propose(data []byte, token uint64) error { panic("unwritten") }

// Leader is the node that leads as far as this node knows (-1: none) and the current term.
func (g *Group) Leader() (node int32, term log.Term) { panic("unwritten") }

// Transfer hands leadership to another voter: proposals are held back first, so that none is refused in between.
func (g *Group) Transfer(ctx context.Context, to int32) error { panic("unwritten") }

// Close stops the group. When it returns the machine is no longer called and the log no longer used.
func (g *Group) Close() error { panic("unwritten") }

// Forget removes the group's vote, after Close, when the partition is deleted for good.
func (n *Node) Forget(id string) error { panic("unwritten") }

// MetadataMachine is the state machine of the cluster's metadata group: commands in log order, whole-state snapshots.
type MetadataMachine interface {
	// Apply returns the command's result for the proposer.
	Apply(index log.Index, command []byte) any
	Snapshot() ([]byte, error)
	Restore(snapshot []byte) error
	// Lead: everything committed before is applied. Resign: leader is -1 when unknown.
	Lead(term log.Term)
	Resign(leader int32)
}

// MetadataOptions configure the metadata group.
type MetadataOptions struct {
	Machine MetadataMachine
	Voters  []int32
}

// Metadata is the Raft group on raft-boltdb that holds the cluster's state.
type Metadata struct{}

func (n *Node) StartMetadata(opts MetadataOptions) (*Metadata, error) { panic("unwritten") }

// Propose commits a command and returns what Apply returned. ErrNotLeader when this node does not lead.
func (m *Metadata) Propose(ctx context.Context, command []byte) (any, error) { panic("unwritten") }
func (m *Metadata) Leader() (node int32, term log.Term)                      { panic("unwritten") }
func (m *Metadata) Close() error                                             { panic("unwritten") }
