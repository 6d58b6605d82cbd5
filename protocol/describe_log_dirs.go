package protocol

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// DescribeLogDirs (35), versions 0 to 5. v3 adds a code for the whole reply, v4 the size of the volume and what is free on it, v5 whether a directory is closed to
// new partitions (never, here).
func (s *Server) describeLogDirs(_ context.Context, c *call) (kmsg.Response, error) {
	req := c.request.(*kmsg.DescribeLogDirsRequest)
	resp := req.ResponseKind().(*kmsg.DescribeLogDirsResponse)
	type replica struct {
		topic     string
		partition int32
	}
	named := map[replica]bool{}
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			named[replica{t.Topic, p}] = true
		}
	}
	for _, dir := range s.backend.LogDirs() {
		out := kmsg.NewDescribeLogDirsResponseDir()
		out.Dir, out.TotalBytes, out.UsableBytes = dir.Path, dir.TotalBytes, dir.UsableBytes
		if dir.Err != nil {
			out.ErrorCode = codeKafkaStorageError
		}
		topics := map[string]int{}
		for _, r := range dir.Replicas {
			if req.Topics != nil && !named[replica{r.Topic, r.Partition}] {
				continue // null stands for all of them
			}
			i, known := topics[r.Topic]
			if !known {
				i = len(out.Topics)
				topics[r.Topic] = i
				t := kmsg.NewDescribeLogDirsResponseDirTopic()
				t.Topic = r.Topic
				out.Topics = append(out.Topics, t)
			}
			p := kmsg.NewDescribeLogDirsResponseDirTopicPartition()
			p.Partition, p.Size, p.OffsetLag, p.IsFuture = r.Partition, r.Bytes, r.Lag, r.Future
			out.Topics[i].Partitions = append(out.Topics[i].Partitions, p)
		}
		resp.Dirs = append(resp.Dirs, out)
	}
	return resp, nil
}
