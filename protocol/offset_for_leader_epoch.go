package protocol

import (
	"context"

	"github.com/barnabas-log/barnabas/internal/metadata"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// OffsetForLeaderEpoch (23), versions 0 to 4. v1 answers which epoch the offset belongs to, v2 lets the client name the epoch that it believes to be
// current, v3 adds the replica's id, which is of no use here. Only the leader answers.
func (s *Server) offsetForLeaderEpoch(_ context.Context, c *call) (kmsg.Response, error) {
	req := c.request.(*kmsg.OffsetForLeaderEpochRequest)
	resp := req.ResponseKind().(*kmsg.OffsetForLeaderEpochResponse)
	image := s.backend.Image()
	for i := range req.Topics {
		in := &req.Topics[i]
		out := kmsg.NewOffsetForLeaderEpochResponseTopic()
		out.Topic = in.Topic
		for j := range in.Partitions {
			out.Partitions = append(out.Partitions, s.epochEnd(image, in.Topic, &in.Partitions[j]))
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp, nil
}

// epochEnd answers for one partition; epoch and offset are -1 when the epoch is unknown.
func (s *Server) epochEnd(image *metadata.Image, topic string, in *kmsg.OffsetForLeaderEpochRequestTopicPartition) kmsg.OffsetForLeaderEpochResponseTopicPartition {
	at := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
	at.Partition, at.LeaderEpoch, at.EndOffset = in.Partition, -1, -1
	p, code := s.hosted(image, topic, in.Partition)
	if at.ErrorCode = code; code != codeNone {
		return at
	}
	epoch, end, err := p.EpochEnd(in.CurrentLeaderEpoch, in.LeaderEpoch)
	if at.ErrorCode = s.code(err); at.ErrorCode == codeNone {
		at.LeaderEpoch, at.EndOffset = epoch, int64(end)
	}
	return at
}
