package protocol

import (
	"context"

	"github.com/barnabas-log/barnabas/internal/metadata"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// CreatePartitions (37), versions 0 to 3; v2 is flexible, v3 may be throttled.
func (s *Server) createPartitions(ctx context.Context, c *call) (kmsg.Response, error) {
	req := c.request.(*kmsg.CreatePartitionsRequest)
	resp := req.ResponseKind().(*kmsg.CreatePartitionsResponse)
	ctx, cancel := withTimeout(ctx, req.TimeoutMillis)
	defer cancel()

	named := make(map[string]int, len(req.Topics))
	for i := range req.Topics {
		named[req.Topics[i].Topic]++
	}
	for i := range req.Topics {
		t := &req.Topics[i]
		var err error
		switch {
		case named[t.Topic] == 0:
			continue // answered already
		case named[t.Topic] > 1:
			named[t.Topic] = 0
			err = errDuplicateTopic
		case internalTopics[t.Topic]:
			err = refuse(codeInvalidRequest, "The number of partitions of internal topic %s cannot be changed: what is in it would be looked for elsewhere.", t.Topic)
		default:
			more := metadata.NewPartitions{Topic: t.Topic, Count: t.Count}
			if t.Assignment != nil { // an empty one is not the same as none
				more.Assignment = make([][]int32, 0, len(t.Assignment))
			}
			for _, a := range t.Assignment {
				more.Assignment = append(more.Assignment, a.Replicas)
			}
			err = s.backend.Admin().CreatePartitions(ctx, more, req.ValidateOnly)
		}
		out := kmsg.NewCreatePartitionsResponseTopic()
		out.Topic, out.ErrorCode, out.ErrorMessage = t.Topic, s.code(err), message(err)
		resp.Topics = append(resp.Topics, out)
	}
	return resp, nil
}
