package broker

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/barnabas-log/barnabas/internal/metadata"
	"github.com/barnabas-log/barnabas/log"
	"github.com/barnabas-log/barnabas/partition"
	"go.uber.org/zap"
)

// offsetsTopic holds the groups: what they committed and who their members are.
const offsetsTopic = "__consumer_offsets"

// codeCoordinatorNotAvailable is Kafka's COORDINATOR_NOT_AVAILABLE: clients ask again.
const codeCoordinatorNotAvailable int16 = 15

// offsetsTopicWait bounds how long a client waits while the offsets topic is made for the first time.
const offsetsTopicWait = 10 * time.Second

// coordinatorWait is how long a client waits when the group's partition has no leader: it was just created, or its leader has gone and the next one is being elected.
// Clients would only ask again.
const coordinatorWait = time.Second

// GroupCoordinator implements protocol.Backend: the leader of the group's partition of the offsets topic, which is made when the first group asks.
func (b *Broker) GroupCoordinator(ctx context.Context, group string) (int32, error) {
	t := b.Image().Topics[offsetsTopic]
	if t == nil {
		var err error
		if t, err = b.createOffsetsTopic(ctx); err != nil {
			b.logger.Warn("offsets topic cannot be created", zap.Error(err))
			return -1, &metadata.Error{Code: codeCoordinatorNotAvailable, Message: "the offsets topic cannot be created: " + err.Error()}
		}
	}
	node := b.hosting.awaitLeader(ctx, t.ID, b.groups.PartitionFor(group), coordinatorWait)
	if node < 0 {
		return -1, &metadata.Error{Code: codeCoordinatorNotAvailable, Message: "the group's partition of the offsets topic has no leader"}
	}
	return node, nil
}

func (b *Broker) createOffsetsTopic(ctx context.Context) (*metadata.Topic, error) {
	ctx, cancel := context.WithTimeout(ctx, offsetsTopicWait)
	defer cancel()
	live := len(b.Image().Live())
	replicas := min(b.config.OffsetsTopicReplicationFactor, int16(max(live, len(b.config.Voters))))
	if live < int(replicas) {
		return nil, fmt.Errorf("it shall have %d replicas, and %d brokers are here", replicas, live)
	}
	topics, errs := b.Admin().CreateTopics(ctx, []metadata.NewTopic{{
		Name:              offsetsTopic,
		Partitions:        b.offsetsPartitions(),
		ReplicationFactor: replicas,
		Internal:          true,
		Config: map[string]string{
			"cleanup.policy":   "compact",
			"compression.type": "producer",
			"segment.bytes":    strconv.FormatInt(b.config.OffsetsTopicSegmentBytes, 10),
		},
	}}, false)
	if errs[0] == nil {
		return topics[0], nil
	}
	if t := b.Image().Topics[offsetsTopic]; t != nil { // another connection was faster
		return t, b.hosting.awaitLeaders(ctx, t)
	}
	return nil, errs[0]
}

// offsetsPartitions is how many partitions the offsets topic has, or will have. The configuration counts when it is created only: groups stay where they were put.
func (b *Broker) offsetsPartitions() int32 {
	if b.controller != nil {
		if t := b.Image().Topics[offsetsTopic]; t != nil {
			return int32(len(t.Partitions))
		}
	}
	return b.config.OffsetsTopicPartitions
}

// partitionLed starts what runs on a partition that this node now leads, and tells the other brokers.
func (b *Broker) partitionLed(r *replica, p *partition.Partition, term log.Term) {
	if r.topic.Name == offsetsTopic {
		b.groups.Lead(r.number, p, int32(term))
		b.orphans.wake()
	}
	r.inSync.Store(int32(len(r.topic.Partitions[r.number].Replicas))) // all, until it is known better: a majority voted
	b.leaders.lead(r.place(), int32(term), []int32{b.nodeID})
}

// partitionResigned stops it.
func (b *Broker) partitionResigned(r *replica) {
	if r.topic.Name == offsetsTopic {
		b.groups.Resign(r.number)
	}
	b.leaders.leave(r.place())
}
