package protocol

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// metadataTopic is what Kafka calls the metadata group.
const metadataTopic = "__cluster_metadata"

// Quorum is how the metadata group stands, as its leader sees it. Offsets are those of the group's own log, which has no records for clients.
type Quorum struct {
	Leader, Epoch int32
	Commit        int64
	Members       []QuorumMember
}

// QuorumMember is one node that follows the metadata; voters decide on it.
type QuorumMember struct {
	Node int32
	// Directory is the id of the directory which its votes are in, zero: unknown.
	Directory [16]byte
	Voter     bool
	End       int64 // up to where its log is known to be the leader's
	HeardMs   int64 // when it answered the leader last, -1: it leads, or never
}

// DescribeQuorum (55), versions 0 to 2 (KIP-595). v1 adds when nodes were heard of (KIP-836), v2 directory ids, which AddRaftVoter and RemoveRaftVoter ask for, and the nodes'
// addresses (KIP-853), of which there are none for clients. Only partition 0 of __cluster_metadata has such a quorum.
func (s *Server) describeQuorum(ctx context.Context, c *call) (kmsg.Response, error) {
	req := c.request.(*kmsg.DescribeQuorumRequest)
	resp := req.ResponseKind().(*kmsg.DescribeQuorumResponse)
	var q Quorum
	var err error
	for _, t := range req.Topics {
		out := kmsg.NewDescribeQuorumResponseTopic()
		out.Topic = t.Topic
		for _, asked := range t.Partitions {
			p := kmsg.NewDescribeQuorumResponseTopicPartition()
			p.Partition = asked.Partition
			if t.Topic != metadataTopic || asked.Partition != 0 {
				refused := refuse(codeUnknownTopicOrPartition, "Only %s-0 has a quorum.", metadataTopic)
				p.ErrorCode, p.ErrorMessage, p.LeaderID = codeUnknownTopicOrPartition, message(refused), -1
			} else {
				if q.Members == nil && err == nil {
					q, err = s.backend.Quorum(ctx)
				}
				p.ErrorCode, p.ErrorMessage = s.code(err), message(err)
				describeQuorum(&p, q)
			}
			out.Partitions = append(out.Partitions, p)
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp, nil
}

func describeQuorum(p *kmsg.DescribeQuorumResponseTopicPartition, q Quorum) {
	p.LeaderID, p.LeaderEpoch, p.HighWatermark = q.Leader, q.Epoch, q.Commit
	for _, m := range q.Members {
		r := kmsg.NewDescribeQuorumResponseTopicPartitionReplicaState()
		r.ReplicaID, r.ReplicaDirectoryID, r.LogEndOffset, r.LastFetchTimestamp = m.Node, m.Directory, m.End, m.HeardMs
		if m.End >= q.Commit {
			r.LastCaughtUpTimestamp = m.HeardMs
		}
		if m.Voter {
			p.CurrentVoters = append(p.CurrentVoters, r)
		} else {
			p.Observers = append(p.Observers, r)
		}
	}
}
