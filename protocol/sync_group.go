package protocol

import (
	"context"

	"github.com/barnabas-log/barnabas/consumergroup"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// SyncGroup (14), versions 0 to 5. v3 adds static members, v5 the protocol's type and name, which must be those of the generation (KIP-559).
func (s *Server) syncGroup(ctx context.Context, c *call) (kmsg.Response, error) {
	req := c.request.(*kmsg.SyncGroupRequest)
	resp := req.ResponseKind().(*kmsg.SyncGroupResponse)
	if req.Version >= 5 && (req.ProtocolType == nil || req.Protocol == nil) {
		resp.ErrorCode, resp.MemberAssignment = codeInconsistentGroupProtocol, []byte{}
		return resp, nil
	}
	sync := consumergroup.SyncRequest{
		Group:        req.Group,
		Generation:   req.Generation,
		MemberID:     req.MemberID,
		InstanceID:   req.InstanceID,
		ProtocolType: req.ProtocolType,
		Protocol:     req.Protocol,
		Assignments:  make(map[string][]byte, len(req.GroupAssignment)),
	}
	for _, a := range req.GroupAssignment {
		sync.Assignments[a.MemberID] = a.MemberAssignment
	}
	r := s.backend.Groups().Sync(ctx, sync)
	resp.ErrorCode, resp.MemberAssignment = r.Code, notNil(r.Assignment)
	if r.Code == codeNone {
		resp.ProtocolType, resp.Protocol = &r.ProtocolType, &r.Protocol
	}
	return resp, nil
}
