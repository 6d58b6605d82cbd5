package protocol

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// voterTimeout is how long a vote may take to be removed: the request says nothing of that.
const voterTimeout = 15 * time.Second

// RemoveRaftVoter (81), version 0 (KIP-853): a node loses its vote on the metadata. If it is a broker it goes on to follow them.
func (s *Server) removeRaftVoter(ctx context.Context, c *call) (kmsg.Response, error) {
	req := c.request.(*kmsg.RemoveRaftVoterRequest)
	resp := req.ResponseKind().(*kmsg.RemoveRaftVoterResponse)
	ctx, cancel := context.WithTimeout(ctx, voterTimeout)
	defer cancel()
	err := s.votable(req.ClusterID, req.VoterID)
	if err == nil {
		err = s.backend.RemoveVoter(ctx, Voter{req.VoterID, req.VoterDirectoryID})
	}
	resp.ErrorCode, resp.ErrorMessage = s.code(err), message(err)
	return resp, nil
}
