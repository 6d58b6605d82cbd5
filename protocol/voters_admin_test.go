package protocol

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// electorate is a backend that remembers how it was asked to change the voters, and refuses node 9.
type electorate struct {
	*adminBackend
	added, removed []Voter
	limit          time.Duration // of the last request
}

func (e *electorate) AddVoter(ctx context.Context, v Voter) error {
	e.added = append(e.added, v)
	return e.answer(ctx, v)
}

func (e *electorate) RemoveVoter(ctx context.Context, v Voter) error {
	e.removed = append(e.removed, v)
	return e.answer(ctx, v)
}

func (e *electorate) answer(ctx context.Context, v Voter) error {
	deadline, _ := ctx.Deadline()
	e.limit = time.Until(deadline)
	if v.Node == 9 {
		return refuse(codeVoterNotFound, "Nobody knows node 9.")
	}
	return nil
}

func TestVotersAreAddedAndRemoved(t *testing.T) {
	s := administer(t, Options{})
	e := &electorate{adminBackend: s.adminBackend}
	s.served.server.backend = e
	c := s.dial()
	this, other := s.Image().ClusterID, "of another"
	want := Voter{4, [16]byte{1, 2, 3}}
	for version := range int16(2) {
		for _, tc := range []struct {
			cluster *string
			voter   Voter
			code    int16
		}{{nil, want, codeNone}, {&this, want, codeNone}, {&other, want, codeInconsistentClusterID}, {nil, Voter{Node: -1}, codeInvalidRequest}, {nil, Voter{Node: 9}, codeVoterNotFound}} {
			e.added, e.removed, e.limit = nil, nil, 0
			add := kmsg.NewPtrAddRaftVoterRequest()
			add.SetVersion(version)
			add.ClusterID, add.VoterID, add.VoterDirectoryID, add.TimeoutMillis = tc.cluster, tc.voter.Node, tc.voter.Directory, 60_000
			added := c.ask(add).(*kmsg.AddRaftVoterResponse)
			if added.ErrorCode != tc.code || (added.ErrorMessage == nil) != (tc.code == codeNone) {
				t.Errorf("add %v, version %d: %+v, not code %d", tc.voter, version, added, tc.code)
			}
			if len(e.added) > 0 && (e.limit < 30*time.Second || e.limit > time.Minute) {
				t.Errorf("it has %v", e.limit)
			}
			remove := kmsg.NewPtrRemoveRaftVoterRequest()
			remove.SetVersion(0)
			remove.ClusterID, remove.VoterID, remove.VoterDirectoryID = tc.cluster, tc.voter.Node, tc.voter.Directory
			removed := c.ask(remove).(*kmsg.RemoveRaftVoterResponse)
			if removed.ErrorCode != tc.code || (removed.ErrorMessage == nil) != (tc.code == codeNone) {
				t.Errorf("remove %v: %+v, not code %d", tc.voter, removed, tc.code)
			}
			if asked := tc.code == codeNone || tc.code == codeVoterNotFound; asked && (len(e.added) != 1 || e.added[0] != tc.voter || len(e.removed) != 1 || e.removed[0] != tc.voter) ||
				!asked && len(e.added)+len(e.removed) > 0 {
				t.Errorf("asked to add %v and remove %v for %v", e.added, e.removed, tc.voter)
			}
		}
	}
}
