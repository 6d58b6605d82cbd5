package protocol

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// AlterReplicaLogDirs (34), versions 1 and 2: moves replicas of this node between its data directories. The move goes on in the background; DescribeLogDirs shows it as a future replica.
// v2 is flexible. Unlike Kafka, which remembers where a replica shall go that it does not have yet, we refuse such a request only.
func (s *Server) alterReplicaLogDirs(_ context.Context, c *call) (kmsg.Response, error) {
	req := c.request.(*kmsg.AlterReplicaLogDirsRequest)
	resp := req.ResponseKind().(*kmsg.AlterReplicaLogDirsResponse)
	image := s.backend.Image()
	at := map[string]int{}
	for _, dir := range req.Dirs {
		for _, t := range dir.Topics {
			i, known := at[t.Topic]
			if !known {
				i = len(resp.Topics)
				at[t.Topic] = i
				out := kmsg.NewAlterReplicaLogDirsResponseTopic()
				out.Topic = t.Topic
				resp.Topics = append(resp.Topics, out)
			}
			topic, code := topicNamed(image, t.Topic)
			for _, number := range t.Partitions {
				p := kmsg.NewAlterReplicaLogDirsResponseTopicPartition()
				p.Partition, p.ErrorCode = number, code
				switch {
				case topic == nil:
				case number < 0 || int(number) >= len(topic.Partitions):
					p.ErrorCode = codeUnknownTopicOrPartition
				default:
					p.ErrorCode = s.code(s.backend.MoveReplica(topic, number, dir.Dir))
				}
				resp.Topics[i].Partitions = append(resp.Topics[i].Partitions, p)
			}
		}
	}
	return resp, nil
}
