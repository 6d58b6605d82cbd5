package protocol

import (
	"context"
	"regexp"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// ApiVersions (18), versions 0 to 5. v3 adds the client's software name and version and the features, v4 allows a feature to start at level 0,
// v5 lets the client say which cluster and node it believes to talk to (KIP-1242).
//
// The reply's header is always version 0, whatever the version of the reply (dispatch.go). A version above ours is answered in the v0 format with
// UNSUPPORTED_VERSION and this API's row only (KIP-511).
//
// Features: none is listed. A client takes transaction.version 2, group.version 1 or share.version 1 as a promise, and none of them is kept yet;
// an absent feature is level 0.

// softwareName is what KIP-511 allows in a client's name and version.
var softwareName = regexp.MustCompile(`^[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?$`)

// maxSoftwareName bounds what is remembered of a client's name and version.
const maxSoftwareName = 256

func (s *Server) apiVersions(_ context.Context, c *call) (kmsg.Response, error) {
	req := c.request.(*kmsg.ApiVersionsRequest)
	resp := req.ResponseKind().(*kmsg.ApiVersionsResponse)
	if resp.ErrorCode = s.checkApiVersions(req); resp.ErrorCode != codeNone {
		return resp, nil
	}
	if req.Version >= 3 && c.conn != nil {
		c.conn.software.Store(&software{req.ClientSoftwareName, req.ClientSoftwareVersion})
	}
	resp.ApiKeys = s.versions
	return resp, nil
}

func (s *Server) checkApiVersions(req *kmsg.ApiVersionsRequest) int16 {
	if req.Version >= 3 && !(validSoftware(req.ClientSoftwareName) && validSoftware(req.ClientSoftwareVersion)) {
		return codeInvalidRequest
	}
	if req.Version < 5 || req.ClusterID == nil && req.NodeID == -1 {
		return codeNone
	}
	if req.ClusterID == nil || req.NodeID == -1 {
		return codeInvalidRequest
	}
	if *req.ClusterID != s.backend.Image().ClusterID || req.NodeID != s.backend.NodeID() {
		return codeRebootstrapRequired
	}
	return codeNone
}

func validSoftware(name string) bool {
	return len(name) <= maxSoftwareName && softwareName.MatchString(name)
}

// rejectApiVersions answers a version of ApiVersions that is not served with what is, in the one format that every client reads.
func (s *Server) rejectApiVersions(c *conn, h header) error {
	if err := c.drain(); err != nil {
		return err
	}
	resp := &kmsg.ApiVersionsResponse{ErrorCode: codeUnsupportedVersion}
	for _, k := range s.versions {
		if k.ApiKey == keyApiVersions {
			resp.ApiKeys = append(resp.ApiKeys, k)
		}
	}
	s.metrics.of(s.table[keyApiVersions]).failed(codeUnsupportedVersion)
	return c.write(appendResponse(nil, h.correlation, resp))
}

// advertise prints the table as ApiVersions answers it, by key.
func advertise(rows []api) []kmsg.ApiVersionsResponseApiKey {
	keys := make([]kmsg.ApiVersionsResponseApiKey, 0, len(rows))
	for _, r := range rows {
		keys = append(keys, kmsg.ApiVersionsResponseApiKey{ApiKey: r.key, MinVersion: r.min, MaxVersion: r.max})
	}
	slices.SortFunc(keys, func(a, b kmsg.ApiVersionsResponseApiKey) int { return int(a.ApiKey) - int(b.ApiKey) })
	return keys
}
