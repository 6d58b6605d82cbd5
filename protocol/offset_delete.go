package protocol

import (
	"context"

	"github.com/barnabas-log/barnabas/consumergroup"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// OffsetDelete (47), version 0 (KIP-496): removes committed offsets of topics that the group does not consume.
func (s *Server) offsetDelete(ctx context.Context, c *call) (kmsg.Response, error) {
	req := c.request.(*kmsg.OffsetDeleteRequest)
	resp := req.ResponseKind().(*kmsg.OffsetDeleteResponse)
	image := s.backend.Image()
	var known []consumergroup.TopicPartition
	var answers []*int16
	resp.Topics = make([]kmsg.OffsetDeleteResponseTopic, len(req.Topics))
	for i, t := range req.Topics {
		out := &resp.Topics[i]
		*out = kmsg.NewOffsetDeleteResponseTopic()
		out.Topic = t.Topic
		out.Partitions = make([]kmsg.OffsetDeleteResponseTopicPartition, len(t.Partitions))
		topic := image.Topics[t.Topic]
		for j, p := range t.Partitions {
			answer := &out.Partitions[j]
			*answer = kmsg.NewOffsetDeleteResponseTopicPartition()
			answer.Partition = p.Partition
			if topic == nil || p.Partition < 0 || int(p.Partition) >= len(topic.Partitions) {
				answer.ErrorCode = codeUnknownTopicOrPartition
				continue
			}
			known = append(known, consumergroup.TopicPartition{Topic: t.Topic, Partition: p.Partition})
			answers = append(answers, &answer.ErrorCode)
		}
	}
	if len(known) == 0 {
		return resp, nil // the group is not asked, as in Kafka
	}
	codes, code := s.backend.Groups().DeleteOffsets(ctx, req.Group, known)
	if code != codeNone {
		resp.ErrorCode, resp.Topics = code, nil
		return resp, nil
	}
	for i, c := range codes {
		*answers[i] = c
	}
	return resp, nil
}
