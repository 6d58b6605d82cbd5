package protocol

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// DeleteGroups (42), versions 0 to 3. A group with members is not deleted (NON_EMPTY_GROUP). v3 adds a message. A group named twice is deleted, and answered, once.
func (s *Server) deleteGroups(ctx context.Context, c *call) (kmsg.Response, error) {
	req := c.request.(*kmsg.DeleteGroupsRequest)
	resp := req.ResponseKind().(*kmsg.DeleteGroupsResponse)
	seen := make(map[string]bool, len(req.Groups))
	for _, group := range req.Groups {
		if seen[group] {
			continue
		}
		seen[group] = true
		out := kmsg.NewDeleteGroupsResponseGroup()
		out.Group, out.ErrorCode = group, s.backend.Groups().Delete(ctx, group)
		switch out.ErrorCode {
		case codeNonEmptyGroup:
			out.ErrorMessage = message(refuse(out.ErrorCode, "group %q has members", group))
		case codeGroupIDNotFound:
			out.ErrorMessage = message(refuse(out.ErrorCode, "group %q does not exist", group))
		}
		resp.Groups = append(resp.Groups, out)
	}
	return resp, nil
}
