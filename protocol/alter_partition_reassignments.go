package protocol

import (
	"context"

	"github.com/barnabas-log/barnabas/internal/metadata"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// AlterPartitionReassignments (45), versions 0 and 1 (KIP-455). v1 may forbid that the replication factor changes (KIP-860). Partitions move in the background; only
// what is cancelled (null replicas) is waited for.
func (s *Server) alterPartitionReassignments(ctx context.Context, c *call) (kmsg.Response, error) {
	req := c.request.(*kmsg.AlterPartitionAssignmentsRequest)
	resp := req.ResponseKind().(*kmsg.AlterPartitionAssignmentsResponse)
	ctx, cancel := withTimeout(ctx, req.TimeoutMillis)
	defer cancel()
	resp.AllowReplicationFactorChange = req.AllowReplicationFactorChange
	var moves []metadata.Reassignment
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			moves = append(moves, metadata.Reassignment{Topic: t.Topic, Partition: p.Partition, Replicas: p.Replicas})
		}
	}
	errs := s.backend.Admin().AlterReassignments(ctx, moves, req.Version >= 1 && !req.AllowReplicationFactorChange)
	for _, t := range req.Topics {
		out := kmsg.NewAlterPartitionAssignmentsResponseTopic()
		out.Topic = t.Topic
		for _, p := range t.Partitions {
			o := kmsg.NewAlterPartitionAssignmentsResponseTopicPartition()
			o.Partition, o.ErrorCode, o.ErrorMessage = p.Partition, s.code(errs[0]), message(errs[0])
			errs = errs[1:]
			out.Partitions = append(out.Partitions, o)
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp, nil
}
