package protocol

import (
	"context"

	"github.com/barnabas-log/barnabas/internal/metadata"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// DescribeProducers (61), version 0: the producers that a partition remembers. Only the leader answers.
func (s *Server) describeProducers(_ context.Context, c *call) (kmsg.Response, error) {
	req := c.request.(*kmsg.DescribeProducersRequest)
	resp := req.ResponseKind().(*kmsg.DescribeProducersResponse)
	image := s.backend.Image()
	for _, in := range req.Topics {
		out := kmsg.NewDescribeProducersResponseTopic()
		out.Topic = in.Topic
		for _, number := range in.Partitions {
			out.Partitions = append(out.Partitions, s.describeProducersOf(image, in.Topic, number))
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp, nil
}

// describeProducersOf answers for one partition.
func (s *Server) describeProducersOf(image *metadata.Image, topic string, number int32) kmsg.DescribeProducersResponseTopicPartition {
	at := kmsg.NewDescribeProducersResponseTopicPartition()
	at.Partition = number
	p, code := s.hosted(image, topic, number)
	if code == codeNone {
		if _, _, here := p.Leader(); !here {
			code = codeNotLeaderOrFollower
		}
	}
	if at.ErrorCode = code; code != codeNone {
		return at
	}
	for _, known := range p.Producers() {
		a := kmsg.NewDescribeProducersResponseTopicPartitionActiveProducer()
		a.ProducerID, a.ProducerEpoch, a.LastSequence, a.LastTimestamp = known.ID, int32(known.Epoch), known.LastSequence, known.LastTimestamp
		a.CoordinatorEpoch, a.CurrentTxnStartOffset = known.CoordinatorEpoch, int64(known.TxnStartOffset)
		at.ActiveProducers = append(at.ActiveProducers, a)
	}
	return at
}
