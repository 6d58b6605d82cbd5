package protocol

import (
	"context"

	"github.com/barnabas-log/barnabas/consumergroup"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// LeaveGroup (13), versions 0 to 5. v3 lets several members leave with one request, static ones by their instance id (KIP-345); v5 adds a reason.
func (s *Server) leaveGroup(ctx context.Context, c *call) (kmsg.Response, error) {
	req := c.request.(*kmsg.LeaveGroupRequest)
	resp := req.ResponseKind().(*kmsg.LeaveGroupResponse)
	leave := consumergroup.LeaveRequest{Group: req.Group}
	if req.Version < 3 {
		leave.Members = []consumergroup.LeavingMember{{MemberID: req.MemberID}}
	}
	for _, m := range req.Members {
		member := consumergroup.LeavingMember{MemberID: m.MemberID, InstanceID: m.InstanceID}
		if m.Reason != nil {
			member.Reason = *m.Reason
		}
		leave.Members = append(leave.Members, member)
	}
	r := s.backend.Groups().Leave(ctx, leave)
	resp.ErrorCode = r.Code
	if r.Code != codeNone {
		return resp, nil
	}
	if req.Version < 3 {
		resp.ErrorCode = r.Members[0]
		return resp, nil
	}
	for i, m := range req.Members {
		out := kmsg.NewLeaveGroupResponseMember()
		out.MemberID, out.InstanceID, out.ErrorCode = m.MemberID, m.InstanceID, r.Members[i]
		resp.Members = append(resp.Members, out)
	}
	return resp, nil
}
