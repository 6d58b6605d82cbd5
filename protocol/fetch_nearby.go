package protocol

import (
	"errors"
	"slices"

	"github.com/barnabas-log/barnabas/partition"
)

// Reading nearby (KIP-392): a consumer that says in which rack it is may read from a follower there.
//
// Where replica.selector.class is Kafka's RackAwareReplicaSelector, the leader of a partition points such a consumer to an in-sync replica of its rack. A follower answers
// every fetch that names a rack, up to what it knows to be committed; what it does not have yet is OFFSET_NOT_AVAILABLE, and the consumer asks again. Kafka's followers
// also answer fetches without a rack. Ours do not: those come from clients whose metadata is old, and should learn at once who leads.

// checkReader says whether this replica may answer a fetch at all, and whether it does so as a follower.
func (part *fetchPart) checkReader(rack string) (follower bool, err error) {
	err = part.partition.CheckEpoch(part.leaderEpoch)
	if rack != "" && errors.Is(err, partition.ErrNotLeader) {
		if node, _, _ := part.partition.Leader(); node >= 0 { // a follower that hears of no leader may be cut off for long: let the client look around
			return true, nil
		}
	}
	return false, err
}

// nearby is the replica that a consumer in a rack should read from instead of this one, which leads; -1: none.
func (s *Server) nearby(part *fetchPart, rack string, listener string) int32 {
	if rack == "" || !s.opts.RackAware {
		return -1
	}
	image := s.backend.Image()
	if self := image.Brokers[s.backend.NodeID()]; self == nil || self.Rack == rack {
		return -1
	}
	if offset := part.offset; offset < int64(part.partition.LogStart()) || offset > int64(part.partition.HighWatermark()) {
		return -1 // to be judged here
	}
	var near []int32
	for _, id := range s.backend.InSync(part.id, part.number) {
		b := image.Brokers[id]
		if b == nil || b.Fenced || b.Rack != rack {
			continue
		}
		if _, _, ok := address(b, listener); ok {
			near = append(near, id)
		}
	}
	if len(near) == 0 {
		return -1
	}
	slices.Sort(near)
	return near[int(part.number)%len(near)]
}
