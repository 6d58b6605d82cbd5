package protocol

import (
	"context"

	"github.com/barnabas-log/barnabas/consumergroup"
	"github.com/barnabas-log/barnabas/internal/metadata"
	"github.com/barnabas-log/barnabas/partition"
)

// Backend is what the front end needs of the broker. internal/broker implements it.
type Backend interface {
	// NodeID is this broker's id, Image the cluster's state (never nil).
	NodeID() int32
	Image() *metadata.Image

	// Partition is a partition that this node hosts, or nil. Offline says that it has a replica which could not be opened, whose Partition is nil.
	Partition(topic metadata.TopicID, number int32) *partition.Partition
	Offline(topic metadata.TopicID, number int32) bool

	// Leader is the partition's leader as this node knows it (-1: none) and its epoch; isr are the replicas that are caught up.
	Leader(topic metadata.TopicID, number int32) (node int32, epoch int32)
	InSync(topic metadata.TopicID, number int32) []int32
	// OfflineReplicas are the nodes whose replica of the partition does not work though they live.
	OfflineReplicas(topic metadata.TopicID, number int32) []int32

	// Controller is the node that leads the metadata group, -1 if none.
	Controller() int32

	// Admin changes the cluster's state, wherever the controller is. CreateTopics returns once every partition of every created topic has a leader that this
	// node knows of (or after ctx ends).
	Admin() Admin

	// ElectLeader gives the lead of a partition to the replica that is preferred, or says with a *metadata.Error why not. unclean asks for any replica instead.
	ElectLeader(ctx context.Context, topic *metadata.Topic, number int32, unclean bool) error

	// Quorum describes the metadata group.
	Quorum(ctx context.Context) (Quorum, error)

	// AddVoter gives a broker that follows the metadata group a vote in it, RemoveVoter takes a vote away, both wherever the controller is. Once they return nil the change is
	// committed. Errors are *metadata.Error.
	AddVoter(ctx context.Context, v Voter) error
	RemoveVoter(ctx context.Context, v Voter) error

	// Groups is the group coordinator on this node.
	Groups() consumergroup.API

	// GroupCoordinator is the node that coordinates the group; it creates __consumer_offsets when it does not exist yet. A *metadata.Error otherwise.
	GroupCoordinator(ctx context.Context, group string) (node int32, err error)

	// Configuration of this broker: every known broker configuration with value, source and synonyms.
	BrokerConfig(node int32) []ConfigEntry
	TopicConfig(t *metadata.Topic) []ConfigEntry

	// LogDirs describes this node's log directories.
	LogDirs() []LogDir

	// MoveReplica begins to move this node's replica of a partition into another of its log directories, or calls that off when it is the one that it is in. A *metadata.Error
	// otherwise.
	MoveReplica(topic *metadata.Topic, number int32, dir string) error
}

// Admin changes the cluster's state. Errors are *metadata.Error.
type Admin interface {
	CreateTopics(ctx context.Context, topics []metadata.NewTopic, validateOnly bool) ([]*metadata.Topic, []error)
	DeleteTopic(ctx context.Context, name string, id metadata.TopicID) (*metadata.Topic, error)
	CreatePartitions(ctx context.Context, p metadata.NewPartitions, validateOnly bool) error
	AlterConfig(ctx context.Context, r metadata.ConfigResource, ops []metadata.ConfigOp, validateOnly bool) error
	ReplaceConfig(ctx context.Context, r metadata.ConfigResource, values map[string]*string, validateOnly bool) error
	NextProducerID(ctx context.Context) (int64, error)
	// AlterReassignments begins, replaces or cancels moves of partitions; an error for each. sameFactor forbids another number of replicas.
	AlterReassignments(ctx context.Context, moves []metadata.Reassignment, sameFactor bool) []error
	UnregisterBroker(ctx context.Context, id int32) error
}

// ConfigEntry is one row of DescribeConfigs.
type ConfigEntry struct {
	Name      string
	Value     *string
	Source    int8 // kmsg's ConfigSource numbers: 1 dynamic topic, 2 dynamic broker, 3 dynamic default broker, 4 static, 5 default
	Type      int8 // kmsg's ConfigType numbers
	ReadOnly  bool
	Sensitive bool
	Doc       string
	Synonyms  []ConfigSynonym
}

// ConfigSynonym is one place where the value may come from, in order of precedence.
type ConfigSynonym struct {
	Name   string
	Value  *string
	Source int8
}

// LogDir is one directory of DescribeLogDirs.
type LogDir struct {
	Path                    string
	Err                     error
	TotalBytes, UsableBytes int64
	Replicas                []LogDirReplica
}

// LogDirReplica is one partition in a LogDir.
type LogDirReplica struct {
	Topic     string
	Partition int32
	Bytes     int64
	Lag       int64 // how far its log end is ahead of its high watermark; of a future replica, about how many records it lacks
	Future    bool  // being copied here, to replace the replica in another directory
}
