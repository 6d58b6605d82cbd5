package protocol

import (
	"context"
	"sync"

	"github.com/barnabas-log/barnabas/internal/metadata"
	"github.com/barnabas-log/barnabas/log"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// DeleteRecords (21), versions 0 to 2; v2 is flexible. The log start moves through the partition's group, so every partition is asked at once and
// the reply waits for all of them, or for the request's timeout.
func (s *Server) deleteRecords(ctx context.Context, c *call) (kmsg.Response, error) {
	req := c.request.(*kmsg.DeleteRecordsRequest)
	resp := req.ResponseKind().(*kmsg.DeleteRecordsResponse)
	ctx, cancel := c.within(ctx, req.TimeoutMillis)
	defer cancel()
	image := s.backend.Image()
	var group sync.WaitGroup
	slots := make(chan struct{}, maxDeletesAtOnce)
	for i := range req.Topics {
		in := &req.Topics[i]
		out := kmsg.NewDeleteRecordsResponseTopic()
		out.Topic = in.Topic
		out.Partitions = make([]kmsg.DeleteRecordsResponseTopicPartition, len(in.Partitions))
		for j := range in.Partitions {
			slots <- struct{}{}
			group.Go(func() {
				out.Partitions[j] = s.deleteBefore(ctx, image, in.Topic, in.Partitions[j].Partition, in.Partitions[j].Offset)
				<-slots
			})
		}
		resp.Topics = append(resp.Topics, out)
	}
	group.Wait()
	return resp, nil
}

// maxDeletesAtOnce bounds the goroutines of one request.
const maxDeletesAtOnce = 64

// deleteBefore answers for one partition.
func (s *Server) deleteBefore(ctx context.Context, image *metadata.Image, topic string, number int32, offset int64) kmsg.DeleteRecordsResponseTopicPartition {
	at := kmsg.NewDeleteRecordsResponseTopicPartition()
	at.Partition, at.LowWatermark = number, -1
	p, code := s.hosted(image, topic, number)
	if at.ErrorCode = code; code != codeNone {
		return at
	}
	if offset < -1 {
		at.ErrorCode = codeOffsetOutOfRange
		return at
	}
	low, err := p.DeleteRecords(ctx, log.Offset(offset))
	if at.ErrorCode = s.code(err); at.ErrorCode == codeNone {
		at.LowWatermark = int64(low)
	}
	return at
}
