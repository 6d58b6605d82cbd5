package protocol

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// DeleteGroups (42), versions 0 to 3. A group with members is not deleted (NON_EMPTY_GROUP). v3 adds a message, which is left out here.
func (s *Server) deleteGroups(ctx context.Context, c *call) (kmsg.Response, error) {
	req := c.request.(*kmsg.DeleteGroupsRequest)
	resp := req.ResponseKind().(*kmsg.DeleteGroupsResponse)
	for _, group := range req.Groups {
		out := kmsg.NewDeleteGroupsResponseGroup()
		out.Group, out.ErrorCode = group, s.backend.Groups().Delete(ctx, group)
		resp.Groups = append(resp.Groups, out)
	}
	return resp, nil
}
