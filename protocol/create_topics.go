package protocol

import (
	"context"
	"fmt"
	"time"

	"github.com/barnabas-log/barnabas/internal/metadata"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// CreateTopics (19), versions 0 to 7. v1 adds validate_only and error messages, v4 lets -1 mean the broker's default for partitions and replication
// factor (KIP-464), v5 returns the topic's configuration, v7 its id.
//
// Kafka may answer before the partitions have leaders; here a topic that was created without an error can be written to at once.
func (s *Server) createTopics(ctx context.Context, c *call) (kmsg.Response, error) {
	req := c.request.(*kmsg.CreateTopicsRequest)
	resp := req.ResponseKind().(*kmsg.CreateTopicsResponse)
	ctx, cancel := withTimeout(ctx, req.TimeoutMillis)
	defer cancel()

	named := make(map[string]int, len(req.Topics))
	for i := range req.Topics {
		named[req.Topics[i].Topic]++
	}
	var wanted []metadata.NewTopic
	var places []int // where the answers to wanted belong
	for i := range req.Topics {
		t := &req.Topics[i]
		times := named[t.Topic]
		named[t.Topic] = 0
		if times == 0 {
			continue // a topic named twice is answered once
		}
		topic, err := newTopic(t)
		if times > 1 {
			err = errDuplicateTopic
		}
		if err == nil {
			wanted, places = append(wanted, topic), append(places, len(resp.Topics))
		}
		resp.Topics = append(resp.Topics, s.createdTopic(t.Topic, nil, err))
	}
	topics, errs := s.backend.Admin().CreateTopics(ctx, wanted, req.ValidateOnly)
	for i, place := range places {
		resp.Topics[place] = s.createdTopic(wanted[i].Name, topics[i], errs[i])
		if req.ValidateOnly {
			resp.Topics[place].TopicID = metadata.TopicID{} // there is no such topic
		}
	}
	return resp, nil
}

// errDuplicateTopic refuses a topic that a request names more than once.
var errDuplicateTopic = refuse(codeInvalidRequest, "Duplicate topic name.")

// newTopic reads one topic of the request.
func newTopic(t *kmsg.CreateTopicsRequestTopic) (metadata.NewTopic, error) {
	n := metadata.NewTopic{Name: t.Topic, Partitions: t.NumPartitions, ReplicationFactor: t.ReplicationFactor}
	if internalTopics[t.Topic] {
		return n, refuse(codeInvalidRequest, "Creation of internal topic %s is prohibited: the broker makes it when it is needed.", t.Topic)
	}
	if len(t.ReplicaAssignment) > 0 {
		if t.NumPartitions != -1 || t.ReplicationFactor != -1 {
			return n, refuse(codeInvalidRequest, "with a replica assignment, partitions and replication factor must be -1")
		}
		n.Assignment = make(map[int32][]int32, len(t.ReplicaAssignment))
		for _, a := range t.ReplicaAssignment {
			if _, twice := n.Assignment[a.Partition]; twice {
				return n, refuse(codeInvalidReplicaAssignment, "partition %d is assigned twice", a.Partition)
			}
			n.Assignment[a.Partition] = a.Replicas
		}
	}
	n.Config = make(map[string]string, len(t.Configs))
	for _, config := range t.Configs {
		if _, twice := n.Config[config.Name]; twice {
			return n, refuse(codeInvalidConfig, "configuration %s is given twice", config.Name)
		}
		if config.Value == nil {
			return n, refuse(codeInvalidConfig, "configuration %s has no value", config.Name)
		}
		n.Config[config.Name] = *config.Value
	}
	return n, nil
}

func (s *Server) createdTopic(name string, t *metadata.Topic, err error) kmsg.CreateTopicsResponseTopic {
	out := kmsg.NewCreateTopicsResponseTopic()
	out.Topic = name
	if err != nil || t == nil {
		out.ErrorCode, out.ErrorMessage = s.code(err), message(err)
		return out
	}
	out.TopicID = t.ID
	out.Configs = []kmsg.CreateTopicsResponseTopicConfig{} // null means that they may not be seen
	out.NumPartitions = int32(len(t.Partitions))
	if len(t.Partitions) > 0 {
		out.ReplicationFactor = int16(len(t.Partitions[0].Replicas))
	}
	for _, row := range s.backend.TopicConfig(t) {
		entry := kmsg.NewCreateTopicsResponseTopicConfig()
		entry.Name, entry.Value, entry.ReadOnly, entry.Source, entry.IsSensitive = row.Name, row.Value, row.ReadOnly, row.Source, row.Sensitive
		if row.Sensitive {
			entry.Value = nil
		}
		out.Configs = append(out.Configs, entry)
	}
	return out
}

// refuse is an error with the Kafka code that belongs to it.
func refuse(code int16, format string, args ...any) error {
	return &metadata.Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// withTimeout bounds ctx by a timeout that a request carries. A timeout that is not positive means that the client does not want to wait; the change is made all
// the same, as in Kafka, so it gets the time that a change takes on a healthy node.
func withTimeout(ctx context.Context, millis int32) (context.Context, context.CancelFunc) {
	const least = 2 * time.Second
	return context.WithTimeout(ctx, max(time.Duration(millis)*time.Millisecond, least))
}
