package broker

import (
	"context"
	"maps"
	"slices"

	"github.com/barnabas-log/barnabas/consumergroup"
	"github.com/barnabas-log/barnabas/internal/metadata"
	"github.com/barnabas-log/barnabas/partition"
	"github.com/barnabas-log/barnabas/protocol"
)

// Broker implements protocol.Backend. The method docs are there.
var _ protocol.Backend = (*Broker)(nil)

// NodeID implements protocol.Backend.
func (b *Broker) NodeID() int32 { return b.nodeID }

// Image implements protocol.Backend.
func (b *Broker) Image() *metadata.Image { return b.controller.Image() }

// Partition implements protocol.Backend.
func (b *Broker) Partition(topic metadata.TopicID, number int32) *partition.Partition {
	r := b.hosting.find(topic, number)
	if r == nil {
		return nil
	}
	return r.part // nil when it could not be opened
}

// Offline implements protocol.Backend.
func (b *Broker) Offline(topic metadata.TopicID, number int32) bool {
	r := b.hosting.find(topic, number)
	return r != nil && r.err != nil && r.part == nil
}

// Leader implements protocol.Backend. A replica here knows its leader from Raft; of other partitions, brokers tell each other.
func (b *Broker) Leader(topic metadata.TopicID, number int32) (node int32, epoch int32) {
	node, epoch = -1, -1
	if p := b.Partition(topic, number); p != nil {
		if node, epoch, _ = p.Leader(); node >= 0 {
			return node, epoch
		}
		if p.Err() != nil { // a replica that stopped hears nothing any more
			epoch = -1
		}
	}
	if s, ok := b.leaders.find(place{topic, number}); ok && s.epoch > epoch { // a replica that was opened just now has heard of nobody
		return s.node, s.epoch
	}
	return node, epoch
}

// InSync implements protocol.Backend. A leader knows from Raft, and tells the others.
func (b *Broker) InSync(topic metadata.TopicID, number int32) []int32 {
	in := b.inSync(topic, number)
	t := b.Image().ByID[topic]
	if t == nil || int(number) >= len(t.Partitions) {
		return in
	}
	gone := func(id int32) bool { return !slices.Contains(t.Partitions[number].Replicas, id) }
	if !slices.ContainsFunc(in, gone) {
		return in
	}
	return slices.DeleteFunc(slices.Clone(in), gone) // a replica has moved since the leader looked
}

func (b *Broker) inSync(topic metadata.TopicID, number int32) []int32 {
	r := b.hosting.find(topic, number)
	if r != nil && r.err == nil && r.part.Err() == nil {
		if in := r.group.InSync(); in != nil {
			return in
		}
	}
	s, _ := b.leaders.find(place{topic, number})
	return s.inSync
}

// Controller implements protocol.Backend: where clients send what changes the cluster. The node that leads the metadata group, unless it only votes and clients cannot
// reach it; then any broker, this one first, since all forward.
func (b *Broker) Controller() int32 {
	node, _ := b.meta.Leader()
	image := b.Image()
	if node < 0 || image.Brokers[node] != nil || len(image.Brokers) == 0 {
		return node
	}
	if image.Brokers[b.nodeID] != nil {
		return b.nodeID
	}
	return slices.Min(slices.Collect(maps.Keys(image.Brokers)))
}

// Admin implements protocol.Backend.
func (b *Broker) Admin() protocol.Admin { return admin{b} }

// Groups implements protocol.Backend.
func (b *Broker) Groups() consumergroup.API { return b.groups }

// admin makes changes through the controller, and waits until they are felt on this node.
type admin struct{ b *Broker }

// CreateTopics implements protocol.Admin.
func (a admin) CreateTopics(ctx context.Context, topics []metadata.NewTopic, validateOnly bool) ([]*metadata.Topic, []error) {
	created, errs := a.b.controller.CreateTopics(ctx, topics, validateOnly)
	if validateOnly {
		return created, errs
	}
	for i, t := range created {
		if errs[i] == nil {
			// Without a leader in time the topic exists all the same: clients see LEADER_NOT_AVAILABLE and try again.
			_ = a.b.hosting.awaitLeaders(ctx, t)
		}
	}
	return created, errs
}

// DeleteTopic implements protocol.Admin.
func (a admin) DeleteTopic(ctx context.Context, name string, id metadata.TopicID) (*metadata.Topic, error) {
	return a.b.controller.DeleteTopic(ctx, name, id)
}

// CreatePartitions implements protocol.Admin.
func (a admin) CreatePartitions(ctx context.Context, p metadata.NewPartitions, validateOnly bool) error {
	if err := a.b.controller.CreatePartitions(ctx, p, validateOnly); err != nil || validateOnly {
		return err
	}
	if t := a.b.Image().Topics[p.Topic]; t != nil {
		_ = a.b.hosting.awaitLeaders(ctx, t) // as in CreateTopics
	}
	return nil
}

// AlterConfig implements protocol.Admin.
func (a admin) AlterConfig(ctx context.Context, r metadata.ConfigResource, ops []metadata.ConfigOp, validateOnly bool) error {
	return a.b.controller.AlterConfig(ctx, r, ops, validateOnly)
}

// ReplaceConfig implements protocol.Admin.
func (a admin) ReplaceConfig(ctx context.Context, r metadata.ConfigResource, values map[string]*string, validateOnly bool) error {
	return a.b.controller.ReplaceConfig(ctx, r, values, validateOnly)
}

// NextProducerID implements protocol.Admin.
func (a admin) NextProducerID(ctx context.Context) (int64, error) {
	return a.b.controller.NextProducerID(ctx)
}
