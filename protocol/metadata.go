package protocol

import (
	"context"
	"time"

	"github.com/barnabas-log/barnabas/internal/metadata"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
)

// Metadata (3), versions 0 to 13. An empty list of topics means all of them in v0, none since v1, where null means all. v1 adds controller and racks,
// v2 the cluster's id, v4 lets the client forbid that topics are created, v5 adds offline replicas, v7 leader epochs, v8 authorized operations, v10
// topic ids, v12 asks by id, v13 has an error for the whole reply, which never occurs here.
//
// A topic that does not exist is created before the reply, so that the first reply names a live leader: Kafka answers LEADER_NOT_AVAILABLE first and
// lets the client come back, which some clients take for a failure. Addresses are those of the listener that the request arrived on.

// createTimeout bounds how long a Metadata request waits for the topics that it creates.
const createTimeout = 10 * time.Second

func (s *Server) metadata(ctx context.Context, c *call) (kmsg.Response, error) {
	req := c.request.(*kmsg.MetadataRequest)
	resp := req.ResponseKind().(*kmsg.MetadataResponse)
	refused := s.createMissing(ctx, req)
	image := s.backend.Image()
	resp.ControllerID = s.controller(image)
	if image.ClusterID != "" {
		resp.ClusterID = &image.ClusterID
	}
	resp.AuthorizedOperations = operations(req.IncludeClusterAuthorizedOperations, clusterOperations)
	for _, b := range sortedBy(image.Brokers) {
		if host, port, ok := address(b, c.listener); ok && !b.Fenced {
			out := kmsg.NewMetadataResponseBroker()
			out.NodeID, out.Host, out.Port, out.Rack = b.ID, host, port, rack(b)
			resp.Brokers = append(resp.Brokers, out)
		}
	}
	if allTopics(req) {
		for _, t := range sortedBy(image.Topics) {
			resp.Topics = append(resp.Topics, s.metadataOf(image, t, req, c.listener))
		}
		return resp, nil
	}
	seen := make(map[metadataName]struct{}, len(req.Topics))
	for i := range req.Topics {
		name := nameIn(&req.Topics[i])
		if _, again := seen[name]; again {
			continue
		}
		seen[name] = struct{}{}
		resp.Topics = append(resp.Topics, s.metadataNamed(image, name, refused, req, c.listener))
	}
	return resp, nil
}

// allTopics says whether a request asks for every topic.
func allTopics(req *kmsg.MetadataRequest) bool {
	return req.Topics == nil || req.Version == 0 && len(req.Topics) == 0
}

// metadataName is how a request names a topic: by name, or by id when byID.
type metadataName struct {
	name string
	id   metadata.TopicID
	byID bool
}

func nameIn(t *kmsg.MetadataRequestTopic) metadataName {
	if t.Topic == nil {
		return metadataName{id: t.TopicID, byID: true}
	}
	return metadataName{name: *t.Topic}
}

// createMissing creates the topics that are asked for by name and do not exist, if client and broker both allow it. It returns the codes of those
// that were refused.
func (s *Server) createMissing(ctx context.Context, req *kmsg.MetadataRequest) map[string]int16 {
	if !s.opts.AutoCreate || req.Version >= 4 && !req.AllowAutoTopicCreation || len(req.Topics) == 0 {
		return nil
	}
	image := s.backend.Image()
	var missing []metadata.NewTopic
	asked := map[string]struct{}{}
	for _, t := range req.Topics {
		if t.Topic == nil || image.Topics[*t.Topic] != nil || metadata.ValidateTopicName(*t.Topic) != nil || internalTopics[*t.Topic] {
			continue
		}
		if _, again := asked[*t.Topic]; !again {
			asked[*t.Topic] = struct{}{}
			missing = append(missing, metadata.NewTopic{Name: *t.Topic, Partitions: -1, ReplicationFactor: -1})
		}
	}
	if len(missing) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, createTimeout)
	defer cancel()
	_, errs := s.backend.Admin().CreateTopics(ctx, missing, false)
	var refused map[string]int16
	for i, err := range errs {
		if code := s.code(err); code != codeNone && code != codeTopicAlreadyExists {
			s.log.Info("a topic was not created on first use", zap.String("topic", missing[i].Name), zap.Error(err))
			if refused == nil {
				refused = map[string]int16{}
			}
			refused[missing[i].Name] = code
		}
	}
	return refused
}

// controller is where clients are to send what changes the cluster: the node that leads it, if that is a broker that is there; else any broker, this one first, for all
// forward. While nobody leads, -1 would be true, and kafkajs would look for broker -1 and fail.
func (s *Server) controller(image *metadata.Image) int32 {
	there := func(id int32) bool { b := image.Brokers[id]; return b != nil && !b.Fenced }
	for _, id := range []int32{s.backend.Controller(), s.backend.NodeID()} {
		if there(id) {
			return id
		}
	}
	for _, b := range sortedBy(image.Brokers) {
		if there(b.ID) {
			return b.ID
		}
	}
	return -1
}

// internalTopics are created by the coordinators that need them, never because a client asks.
var internalTopics = map[string]bool{"__consumer_offsets": true, "__transaction_state": true, "__share_group_state": true}

// metadataNamed describes a topic that a request names, or says why it cannot.
func (s *Server) metadataNamed(image *metadata.Image, name metadataName, refused map[string]int16, req *kmsg.MetadataRequest,
	listener string) kmsg.MetadataResponseTopic {
	if topic, _ := topicFor(image, name.byID, name.name, name.id); topic != nil {
		return s.metadataOf(image, topic, req, listener)
	}
	out := kmsg.NewMetadataResponseTopic()
	out.TopicID = name.id
	switch {
	case name.byID && req.Version < 12:
		out.ErrorCode = codeInvalidRequest
	case name.byID:
		out.ErrorCode = codeUnknownTopicID
	default:
		out.Topic = &name.name
		out.ErrorCode = codeUnknownTopicOrPartition
		if metadata.ValidateTopicName(name.name) != nil {
			out.ErrorCode = codeInvalidTopicException
		}
		if code, ok := refused[name.name]; ok {
			out.ErrorCode = code
		}
	}
	return out
}

// metadataOf describes a topic.
func (s *Server) metadataOf(image *metadata.Image, t *metadata.Topic, req *kmsg.MetadataRequest, listener string) kmsg.MetadataResponseTopic {
	out := kmsg.NewMetadataResponseTopic()
	out.Topic, out.TopicID, out.IsInternal = &t.Name, t.ID, t.Internal
	out.AuthorizedOperations = operations(req.IncludeTopicAuthorizedOperations, topicOperations)
	out.Partitions = make([]kmsg.MetadataResponseTopicPartition, len(t.Partitions))
	for number := range t.Partitions {
		p := s.partitionState(image, t, int32(number), listener)
		at := &out.Partitions[number]
		*at = kmsg.NewMetadataResponseTopicPartition()
		at.ErrorCode, at.Partition, at.Leader, at.LeaderEpoch = p.code, int32(number), p.leader, p.epoch
		at.Replicas, at.ISR, at.OfflineReplicas = p.replicas, p.inSync, p.offline
	}
	return out
}
