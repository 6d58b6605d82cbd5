package protocol

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Voter is a node that votes on the metadata, or is to: its id, and that of the directory which its votes are in. Zero: a directory that nobody knows.
type Voter struct {
	Node      int32
	Directory [16]byte
}

// AddRaftVoter (80), versions 0 and 1 (KIP-853): a broker that follows the metadata gets a vote on it. v1 (KIP-1186) may ask for an answer before the change is committed; it is always
// committed here. The listeners are not looked at: the broker has registered where other nodes reach it.
func (s *Server) addRaftVoter(ctx context.Context, c *call) (kmsg.Response, error) {
	req := c.request.(*kmsg.AddRaftVoterRequest)
	resp := req.ResponseKind().(*kmsg.AddRaftVoterResponse)
	ctx, cancel := withTimeout(ctx, req.TimeoutMillis)
	defer cancel()
	err := s.votable(req.ClusterID, req.VoterID)
	if err == nil {
		err = s.backend.AddVoter(ctx, Voter{req.VoterID, req.VoterDirectoryID})
	}
	resp.ErrorCode, resp.ErrorMessage = s.code(err), message(err)
	return resp, nil
}

// votable says whether a request names this cluster and a node that there may be.
func (s *Server) votable(cluster *string, node int32) error {
	switch id := s.backend.Image().ClusterID; {
	case cluster != nil && *cluster != id:
		return refuse(codeInconsistentClusterID, "This is cluster %s, not %s.", id, *cluster)
	case node < 0:
		return refuse(codeInvalidRequest, "No voter can have the id %d.", node)
	}
	return nil
}
