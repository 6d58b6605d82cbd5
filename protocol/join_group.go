package protocol

import (
	"context"
	"time"

	"github.com/barnabas-log/barnabas/consumergroup"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// JoinGroup (11), versions 0 to 9. v1 adds the rebalance timeout (before it the session timeout counts), v4 makes a new member come back with its id
// (KIP-394), v5 adds static members (KIP-345), v7 the protocol type, v8 a reason, v9 skip_assignment (KIP-814).
func (s *Server) joinGroup(ctx context.Context, c *call) (kmsg.Response, error) {
	req := c.request.(*kmsg.JoinGroupRequest)
	resp := req.ResponseKind().(*kmsg.JoinGroupResponse)
	join := consumergroup.JoinRequest{
		Client:          c.client(),
		Group:           req.Group,
		MemberID:        req.MemberID,
		InstanceID:      req.InstanceID,
		ProtocolType:    req.ProtocolType,
		SessionTimeout:  time.Duration(req.SessionTimeoutMillis) * time.Millisecond,
		RequireMemberID: req.Version >= 4,
		SkipAssignment:  req.Version >= 9,
	}
	if req.Version >= 1 {
		join.RebalanceTimeout = time.Duration(req.RebalanceTimeoutMillis) * time.Millisecond
	}
	if req.Reason != nil {
		join.Reason = *req.Reason
	}
	for _, p := range req.Protocols {
		join.Protocols = append(join.Protocols, consumergroup.Protocol{Name: p.Name, Metadata: p.Metadata})
	}

	r := s.backend.Groups().Join(ctx, join)
	resp.ErrorCode, resp.Generation, resp.LeaderID, resp.MemberID, resp.SkipAssignment = r.Code, r.Generation, r.Leader, r.MemberID, r.SkipAssignment
	resp.Protocol = &r.Protocol
	if r.Code == codeNone {
		resp.ProtocolType = &r.ProtocolType
	} else if req.Version >= 7 {
		resp.Protocol = nil // nullable from v7 on
	}
	for _, m := range r.Members {
		out := kmsg.NewJoinGroupResponseMember()
		out.MemberID, out.InstanceID, out.ProtocolMetadata = m.ID, m.InstanceID, m.Metadata
		resp.Members = append(resp.Members, out)
	}
	return resp, nil
}
