package consumergroup

import (
	"context"
	"time"
)

// Everything that a client may ask of the group coordinator. Codes are Kafka's error codes (0: none). The caller is the protocol package; requests
// carry no wire types so that the state machine can be tested without them. Byte slices in requests are copied before a method returns; those in answers are shared
// with the coordinator and must not be changed.

// Client identifies who asks.
type Client struct {
	ID   string // client id
	Host string // "/127.0.0.1"
}

// Protocol is one assignment protocol that a member supports, in order of preference.
type Protocol struct {
	Name     string
	Metadata []byte
}

// JoinRequest is JoinGroup (KIP-62, KIP-345, KIP-394, KIP-800, KIP-814).
type JoinRequest struct {
	Client           Client
	Group            string
	MemberID         string
	InstanceID       *string
	ProtocolType     string
	Protocols        []Protocol
	SessionTimeout   time.Duration
	RebalanceTimeout time.Duration // 0: as the session timeout (v0)
	RequireMemberID  bool          // v4+: a dynamic member must come back with the id that it was given
	SkipAssignment   bool          // v9+: the reply may tell a leader not to assign
	Reason           string
}

// Member is one member in the leader's JoinResponse.
type Member struct {
	ID         string
	InstanceID *string
	Metadata   []byte
}

// JoinResponse is the answer to a JoinRequest.
type JoinResponse struct {
	Code           int16
	Generation     int32
	ProtocolType   string
	Protocol       string
	Leader         string
	MemberID       string
	SkipAssignment bool
	Members        []Member
}

// SyncRequest is SyncGroup. ProtocolType and Protocol are nil before v5.
type SyncRequest struct {
	Group        string
	Generation   int32
	MemberID     string
	InstanceID   *string
	ProtocolType *string
	Protocol     *string
	Assignments  map[string][]byte
}

// SyncResponse is the answer to a SyncRequest.
type SyncResponse struct {
	Code         int16
	ProtocolType string
	Protocol     string
	Assignment   []byte
}

// HeartbeatRequest is Heartbeat.
type HeartbeatRequest struct {
	Group      string
	Generation int32
	MemberID   string
	InstanceID *string
}

// LeaveRequest is LeaveGroup; before v3 it has one member.
type LeaveRequest struct {
	Group   string
	Members []LeavingMember
}

// LeavingMember names one member that leaves.
type LeavingMember struct {
	MemberID   string
	InstanceID *string
	Reason     string
}

// LeaveResponse has a code for the group and one for each member, in the request's order.
type LeaveResponse struct {
	Code    int16
	Members []int16
}

// TopicPartition names a partition.
type TopicPartition struct {
	Topic     string
	Partition int32
}

// Offset is a committed offset.
type Offset struct {
	Offset      int64
	LeaderEpoch int32 // -1: none given
	Metadata    string
}

// CommitRequest is OffsetCommit. Generation -1 and an empty member: a simple consumer.
type CommitRequest struct {
	Group      string
	Generation int32
	MemberID   string
	InstanceID *string
	Retention  time.Duration // < 0: the broker's
	Offsets    []CommitOffset
}

// CommitOffset is one offset to commit.
type CommitOffset struct {
	TopicPartition
	Offset
}

// FetchRequest is OffsetFetch for one group. Partitions nil means all that are known.
type FetchRequest struct {
	Group         string
	MemberID      *string
	MemberEpoch   int32 // -1: not given
	Partitions    []TopicPartition
	RequireStable bool
}

// FetchedOffset is one answer; Offset.Offset is -1 when nothing was committed.
type FetchedOffset struct {
	TopicPartition
	Offset
	Code int16
}

// Listed is one group of ListGroups.
type Listed struct {
	Group, ProtocolType, State, Type string
}

// Described is one group of DescribeGroups. Code is GROUP_ID_NOT_FOUND for an unknown group (the protocol layer answers "Dead" before v6).
type Described struct {
	Code                                 int16
	Group, State, ProtocolType, Protocol string
	Members                              []DescribedMember
}

// DescribedMember is one member of a Described group.
type DescribedMember struct {
	ID                   string
	InstanceID           *string
	ClientID, ClientHost string
	Metadata, Assignment []byte
}

// API is what the protocol package calls. Every method blocks until the coordinator has answered (Join and Sync as long as the rebalance takes) or ctx ends.
// A group whose coordinator is not here answers NOT_COORDINATOR, one that is still loading COORDINATOR_LOAD_IN_PROGRESS.
type API interface {
	Join(ctx context.Context, r JoinRequest) JoinResponse
	Sync(ctx context.Context, r SyncRequest) SyncResponse
	Heartbeat(ctx context.Context, r HeartbeatRequest) (code int16)
	Leave(ctx context.Context, r LeaveRequest) LeaveResponse
	Commit(ctx context.Context, r CommitRequest) (codes []int16) // one for each offset, in order
	Fetch(ctx context.Context, r FetchRequest) (offsets []FetchedOffset, code int16)
	Describe(ctx context.Context, group string) Described
	// List lists the groups whose coordinator is this node. code is COORDINATOR_LOAD_IN_PROGRESS when a shard still loads (the groups known so far are returned).
	List(ctx context.Context) (groups []Listed, code int16)
	Delete(ctx context.Context, group string) (code int16)
	DeleteOffsets(ctx context.Context, group string, partitions []TopicPartition) (codes []int16, code int16)
	// PartitionFor is the partition of __consumer_offsets that a group belongs to (Java's String.hashCode, as in Kafka).
	PartitionFor(group string) int32
}
