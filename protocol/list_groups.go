package protocol

import (
	"context"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// ListGroups (16), versions 0 to 5: the groups that this node coordinates. v4 adds the state and a filter by it (KIP-518), v5 the type and a filter by it (KIP-848).
// Filters do not care about case, as in Kafka.
func (s *Server) listGroups(ctx context.Context, c *call) (kmsg.Response, error) {
	req := c.request.(*kmsg.ListGroupsRequest)
	resp := req.ResponseKind().(*kmsg.ListGroupsResponse)
	groups, code := s.backend.Groups().List(ctx)
	resp.ErrorCode = code
	for _, g := range groups {
		if !passes(req.StatesFilter, g.State) || !passes(req.TypesFilter, g.Type) {
			continue
		}
		out := kmsg.NewListGroupsResponseGroup()
		out.Group, out.ProtocolType, out.GroupState, out.GroupType = g.Group, g.ProtocolType, g.State, g.Type
		resp.Groups = append(resp.Groups, out)
	}
	return resp, nil
}

// passes says whether value is in the filter; an empty filter lets everything through.
func passes(filter []string, value string) bool {
	return len(filter) == 0 || slices.ContainsFunc(filter, func(f string) bool { return strings.EqualFold(f, value) })
}
