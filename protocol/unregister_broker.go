package protocol

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// UnregisterBroker (64), version 0: a broker that is gone for good is forgotten. One that still runs registers again.
func (s *Server) unregisterBroker(ctx context.Context, c *call) (kmsg.Response, error) {
	req := c.request.(*kmsg.UnregisterBrokerRequest)
	resp := req.ResponseKind().(*kmsg.UnregisterBrokerResponse)
	err := s.backend.Admin().UnregisterBroker(ctx, req.BrokerID)
	resp.ErrorCode, resp.ErrorMessage = s.code(err), message(err)
	return resp, nil
}
