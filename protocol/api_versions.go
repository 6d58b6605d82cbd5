package protocol

import (
	"context"
	"regexp"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// ApiVersions (18), versions 0 to 5. v3 adds the client's software name and version and the features, v4 allows a feature to start at level 0,
// v5 lets the client say which cluster and node it believes to talk to (KIP-1242).
//
// The reply's header is always version 0, whatever the version of the reply (frame.go). A version above ours is answered in the v0 format with
// UNSUPPORTED_VERSION and this API's row only (KIP-511, dispatch.go).

// softwareName is what KIP-511 allows in a client's name and version.
var softwareName = regexp.MustCompile(`^[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?$`)

func (s *Server) apiVersions(_ context.Context, c *call) (kmsg.Response, error) {
	req := c.request.(*kmsg.ApiVersionsRequest)
	resp := req.ResponseKind().(*kmsg.ApiVersionsResponse)
	if req.Version >= 3 && !(softwareName.MatchString(req.ClientSoftwareName) && softwareName.MatchString(req.ClientSoftwareVersion)) {
		resp.ErrorCode = codeInvalidRequest
		return resp, nil
	}
	return resp, nil
}
