package protocol

import (
	"context"

	"github.com/barnabas-log/barnabas/internal/metadata"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// The types of elections.
const (
	preferredElection int8 = 0
	uncleanElection   int8 = 1
)

// ElectLeaders (43), versions 0 to 2. v1 adds the type of election (KIP-460), v2 is flexible. The preferred replica is given the lead when it is in sync. There are no
// unclean elections: a partition without a leader has lost its majority, and no replica left is known to have what that has confirmed. Asked about all partitions
// (null), the reply leaves out those that need no election, as Kafka's does.
func (s *Server) electLeaders(ctx context.Context, c *call) (kmsg.Response, error) {
	req := c.request.(*kmsg.ElectLeadersRequest)
	resp := req.ResponseKind().(*kmsg.ElectLeadersResponse)
	ctx, cancel := withTimeout(ctx, req.TimeoutMillis)
	defer cancel()
	if req.Version == 0 {
		req.ElectionType = preferredElection
	}
	if req.ElectionType != preferredElection && req.ElectionType != uncleanElection {
		resp.ErrorCode = codeInvalidRequest
		return resp, nil
	}
	image := s.backend.Image()
	elect := func(name string, numbers []int32, all bool) {
		out := kmsg.NewElectLeadersResponseTopic()
		out.Topic = name
		for _, number := range numbers {
			err := s.electLeader(ctx, image, name, number, req.ElectionType == uncleanElection)
			o := kmsg.NewElectLeadersResponseTopicPartition()
			o.Partition, o.ErrorCode, o.ErrorMessage = number, s.code(err), message(err)
			if !all || o.ErrorCode != codeElectionNotNeeded {
				out.Partitions = append(out.Partitions, o)
			}
		}
		if !all || len(out.Partitions) > 0 {
			resp.Topics = append(resp.Topics, out)
		}
	}
	if req.Topics == nil {
		for _, t := range sortedBy(image.Topics) {
			var numbers []int32
			for number := range t.Partitions {
				numbers = append(numbers, int32(number))
			}
			elect(t.Name, numbers, true)
		}
		return resp, nil
	}
	for _, t := range req.Topics {
		elect(t.Topic, t.Partitions, false)
	}
	return resp, nil
}

func (s *Server) electLeader(ctx context.Context, image *metadata.Image, name string, number int32, unclean bool) error {
	t := image.Topics[name]
	if t == nil || number < 0 || int(number) >= len(t.Partitions) {
		return refuse(codeUnknownTopicOrPartition, "No such partition as %s-%d.", name, number)
	}
	return s.backend.ElectLeader(ctx, t, number, unclean)
}
