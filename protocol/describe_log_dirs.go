package protocol

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// DescribeLogDirs (35), versions 0 to 5. v3 adds a code for the whole reply, v4 the size of the volume and what is free on it, v5 whether a directory is closed to
// new partitions (never, here).
func (s *Server) describeLogDirs(_ context.Context, c *call) (kmsg.Response, error) {
	req := c.request.(*kmsg.DescribeLogDirsRequest)
	resp := req.ResponseKind().(*kmsg.DescribeLogDirsResponse)
	wanted := func(r LogDirReplica) bool {
		return req.Topics == nil || slices.ContainsFunc(req.Topics, func(t kmsg.DescribeLogDirsRequestTopic) bool {
			return t.Topic == r.Topic && slices.Contains(t.Partitions, r.Partition)
		})
	}
	for _, dir := range s.backend.LogDirs() {
		out := kmsg.NewDescribeLogDirsResponseDir()
		out.Dir, out.TotalBytes, out.UsableBytes = dir.Path, dir.TotalBytes, dir.UsableBytes
		if dir.Err != nil {
			out.ErrorCode = codeKafkaStorageError
		}
		topics := map[string]int{}
		for _, r := range dir.Replicas {
			if !wanted(r) {
				continue
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
			p.Partition, p.Size = r.Partition, r.Bytes
			out.Topics[i].Partitions = append(out.Topics[i].Partitions, p)
		}
		resp.Dirs = append(resp.Dirs, out)
	}
	return resp, nil
}
