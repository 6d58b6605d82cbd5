package protocol

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// InitProducerId (22), versions 0 to 5. v3 lets a transactional producer name the id and epoch that it has; v4 and v5 add error codes.
//
// There are no transactions yet: a transactional id is answered with UNSUPPORTED_VERSION, which clients take as final, and no API of the
// transaction family is advertised. An idempotent producer gets an id that no producer has had, at epoch 0; what it says of an earlier id is
// ignored, as in Kafka.
func (s *Server) initProducerID(ctx context.Context, c *call) (kmsg.Response, error) {
	req := c.request.(*kmsg.InitProducerIDRequest)
	resp := req.ResponseKind().(*kmsg.InitProducerIDResponse)
	resp.ProducerID, resp.ProducerEpoch = -1, -1
	switch {
	case req.TransactionalID == nil:
		id, err := s.backend.Admin().NextProducerID(ctx)
		if resp.ErrorCode = s.code(err); resp.ErrorCode == codeNone {
			resp.ProducerID, resp.ProducerEpoch = id, 0
		}
	case *req.TransactionalID == "":
		resp.ErrorCode = codeInvalidRequest
	default:
		resp.ErrorCode = codeUnsupportedVersion
	}
	return resp, nil
}
