package protocol

import (
	"context"

	"github.com/barnabas-log/barnabas/consumergroup"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Heartbeat (12), versions 0 to 4. v3 adds static members.
func (s *Server) heartbeat(ctx context.Context, c *call) (kmsg.Response, error) {
	req := c.request.(*kmsg.HeartbeatRequest)
	resp := req.ResponseKind().(*kmsg.HeartbeatResponse)
	resp.ErrorCode = s.backend.Groups().Heartbeat(ctx, consumergroup.HeartbeatRequest{
		Group:      req.Group,
		Generation: req.Generation,
		MemberID:   req.MemberID,
		InstanceID: req.InstanceID,
	})
	return resp, nil
}
