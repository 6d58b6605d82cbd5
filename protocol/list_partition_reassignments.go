package protocol

import (
	"context"

	"github.com/barnabas-log/barnabas/internal/metadata"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ListPartitionReassignments (46), version 0: the partitions that are being moved, of those that are asked about or, for null, of all. Topics that do not exist are left
// out, as in Kafka.
func (s *Server) listPartitionReassignments(_ context.Context, c *call) (kmsg.Response, error) {
	req := c.request.(*kmsg.ListPartitionReassignmentsRequest)
	resp := req.ResponseKind().(*kmsg.ListPartitionReassignmentsResponse)
	image := s.backend.Image()
	list := func(t *metadata.Topic, wanted func(int32) bool) {
		out := kmsg.NewListPartitionReassignmentsResponseTopic()
		out.Topic = t.Name
		for number := range t.Partitions {
			p := &t.Partitions[number]
			if p.Target == nil || !wanted(int32(number)) {
				continue
			}
			o := kmsg.NewListPartitionReassignmentsResponseTopicPartition()
			o.Partition, o.Replicas, o.AddingReplicas, o.RemovingReplicas = int32(number), p.Replicas, p.Adding(), p.Removing()
			out.Partitions = append(out.Partitions, o)
		}
		if len(out.Partitions) > 0 {
			resp.Topics = append(resp.Topics, out)
		}
	}
	if req.Topics == nil {
		for _, t := range sortedBy(image.Topics) {
			list(t, func(int32) bool { return true })
		}
		return resp, nil
	}
	for _, asked := range req.Topics {
		if t := image.Topics[asked.Topic]; t != nil {
			numbers := map[int32]bool{}
			for _, n := range asked.Partitions {
				numbers[n] = true
			}
			list(t, func(n int32) bool { return numbers[n] })
		}
	}
	return resp, nil
}
