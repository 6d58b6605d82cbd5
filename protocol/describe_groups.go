package protocol

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// DescribeGroups (15), versions 0 to 6. v3 adds authorized operations, v4 static members, v6 an error for a group that does not exist: before it, such a
// group is described as Dead without an error.
func (s *Server) describeGroups(ctx context.Context, c *call) (kmsg.Response, error) {
	req := c.request.(*kmsg.DescribeGroupsRequest)
	resp := req.ResponseKind().(*kmsg.DescribeGroupsResponse)
	for _, group := range req.Groups {
		d := s.backend.Groups().Describe(ctx, group)
		out := kmsg.NewDescribeGroupsResponseGroup()
		out.Group, out.ErrorCode, out.State, out.ProtocolType, out.Protocol = group, d.Code, d.State, d.ProtocolType, d.Protocol
		if d.Code == codeGroupIDNotFound {
			out.State = "Dead"
			if req.Version < 6 {
				out.ErrorCode = codeNone
			} else {
				out.ErrorMessage = message(refuse(d.Code, "group %q does not exist", group))
			}
		}
		out.AuthorizedOperations = operations(req.IncludeAuthorizedOperations && out.ErrorCode == codeNone, groupOperations)
		for _, m := range d.Members {
			member := kmsg.NewDescribeGroupsResponseGroupMember()
			member.MemberID, member.InstanceID, member.ClientID, member.ClientHost = m.ID, m.InstanceID, m.ClientID, m.ClientHost
			member.ProtocolMetadata, member.MemberAssignment = notNil(m.Metadata), notNil(m.Assignment)
			out.Members = append(out.Members, member)
		}
		resp.Groups = append(resp.Groups, out)
	}
	return resp, nil
}

// notNil is for byte fields that may not be null on the wire.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
