package protocol

import (
	"context"
	"time"

	"github.com/barnabas-log/barnabas/consumergroup"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// OffsetCommit (8), versions 0 to 10. v1 adds generation and member, v2 to v4 carry a retention time, v6 the leader epoch, v7 static members, v10 names
// topics by id. v0 was a commit to ZooKeeper: it is taken as one of a simple consumer.
func (s *Server) offsetCommit(ctx context.Context, c *call) (kmsg.Response, error) {
	req := c.request.(*kmsg.OffsetCommitRequest)
	resp := req.ResponseKind().(*kmsg.OffsetCommitResponse)
	commit := consumergroup.CommitRequest{
		Group:      req.Group,
		Generation: req.Generation,
		MemberID:   req.MemberID,
		InstanceID: req.InstanceID,
		Retention:  -1,
	}
	if req.Version == 0 {
		commit.Generation = -1
	}
	if req.Version >= 2 && req.Version <= 4 && req.RetentionTimeMillis >= 0 {
		commit.Retention = time.Duration(req.RetentionTimeMillis) * time.Millisecond
	}

	var answers []*int16 // where the code of each committed offset belongs
	image := s.backend.Image()
	resp.Topics = make([]kmsg.OffsetCommitResponseTopic, len(req.Topics))
	for i := range req.Topics {
		t, out := &req.Topics[i], &resp.Topics[i]
		*out = kmsg.NewOffsetCommitResponseTopic()
		out.Topic, out.TopicID = t.Topic, t.TopicID
		topic, code := topicFor(image, req.Version >= 10, t.Topic, t.TopicID)
		out.Partitions = make([]kmsg.OffsetCommitResponseTopicPartition, len(t.Partitions))
		for j := range t.Partitions {
			p, answer := &t.Partitions[j], &out.Partitions[j]
			*answer = kmsg.NewOffsetCommitResponseTopicPartition()
			answer.Partition, answer.ErrorCode = p.Partition, code
			if code == codeNone && (p.Partition < 0 || int(p.Partition) >= len(topic.Partitions)) {
				answer.ErrorCode = codeUnknownTopicOrPartition
			}
			if answer.ErrorCode != codeNone {
				continue
			}
			offset := consumergroup.CommitOffset{
				TopicPartition: consumergroup.TopicPartition{Topic: topic.Name, Partition: p.Partition},
				Offset:         consumergroup.Offset{Offset: p.Offset, LeaderEpoch: -1},
			}
			if req.Version >= 6 {
				offset.LeaderEpoch = p.LeaderEpoch
			}
			if p.Metadata != nil {
				offset.Metadata = *p.Metadata
			}
			commit.Offsets = append(commit.Offsets, offset)
			answers = append(answers, &answer.ErrorCode)
		}
	}
	if len(commit.Offsets) > 0 {
		for i, code := range s.backend.Groups().Commit(ctx, commit) {
			*answers[i] = code
		}
	}
	return resp, nil
}
