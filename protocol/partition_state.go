package protocol

import (
	"slices"

	"github.com/barnabas-log/barnabas/internal/metadata"
)

// partitionState is what clients are told of a partition.
type partitionState struct {
	code                      int16
	leader, epoch             int32
	replicas, inSync, offline []int32
}

// partitionState looks a partition up in the image and in what this node knows of its leader. A partition without a leader, or whose leader has no address on the client's
// listener, still lists its replicas.
func (s *Server) partitionState(image *metadata.Image, t *metadata.Topic, number int32, listener string) partitionState {
	p := partitionState{replicas: t.Partitions[number].Replicas, inSync: s.backend.InSync(t.ID, number)}
	p.leader, p.epoch = s.backend.Leader(t.ID, number)
	failed := s.backend.OfflineReplicas(t.ID, number)
	for _, id := range p.replicas {
		// A replica that failed and leads all the same, alone, answers readers.
		if b := image.Brokers[id]; b == nil || b.Fenced || id != p.leader && slices.Contains(failed, id) {
			p.offline = append(p.offline, id)
		}
	}
	leader := image.Brokers[p.leader]
	switch {
	case p.leader < 0 || leader == nil || slices.Contains(p.offline, p.leader):
		p.code, p.leader = codeLeaderNotAvailable, -1
	default:
		if _, _, ok := address(leader, listener); !ok {
			p.code = codeListenerNotFound
		}
	}
	return p
}
