package protocol

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// ListPartitionReassignments (46), version 0. No reassignment is ever under way on a single node, and the reply lists none; the topics that the request asks about are
// not checked, as in Kafka.
func (s *Server) listPartitionReassignments(_ context.Context, c *call) (kmsg.Response, error) {
	return c.request.ResponseKind(), nil
}
