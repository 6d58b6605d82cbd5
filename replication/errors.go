package replication

import "errors"

// What a caller branches on. Everything else is wrapped with what was being done.
var (
	// ErrNotLeader: this node does not lead the group, or not yet (the barrier of its term is not applied). Nothing was queued.
	ErrNotLeader = errors.New("not the leader of this group")
	// ErrLeadershipLost: this node ceased to lead before the outcome was known; the command may still be committed.
	ErrLeadershipLost = errors.New("leadership lost, outcome unknown")
	// ErrClosed: the group or the node was closed.
	ErrClosed = errors.New("group closed")
	// ErrStopped: this replica stopped for good after a failed read or write; the error wraps the cause.
	ErrStopped = errors.New("replica stopped after a storage failure")
	// ErrExists: a group with this id runs already.
	ErrExists = errors.New("group runs already")
	// ErrNotVoter: the node asked to lead is not a voter of the group.
	ErrNotVoter = errors.New("not a voter of this group")
	// ErrLastVoter: a group without voters could never change again.
	ErrLastVoter = errors.New("the last voter stays")
	// ErrLeads: the node leads, and must hand over first.
	ErrLeads = errors.New("it leads, and must hand over first")
	// ErrTransfer: leadership could not be handed over; this node still leads.
	ErrTransfer = errors.New("leadership not handed over")
	// ErrUnreachable: a peer could not be reached.
	ErrUnreachable = errors.New("peer unreachable")
	// ErrUnknownGroup: the peer was reached, but it has no such group (yet).
	ErrUnknownGroup = errors.New("group unknown to the peer")
	// ErrCommand: an empty command cannot be proposed.
	ErrCommand = errors.New("empty command")
)

// errTerm refuses an entry that raft wants to add in a term in which this node did not stand. See doc.go, "Terms".
var errTerm = errors.New("entry carries a term in which this node was not elected")

// errNotFound has exactly the text that raft compares with.
var errNotFound = errors.New("not found")
