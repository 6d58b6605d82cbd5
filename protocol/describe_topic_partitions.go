package protocol

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/barnabas-log/barnabas/internal/metadata"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// maxDescribedPartitions bounds one reply (max.request.partition.size.limit).
const maxDescribedPartitions = 2000

// DescribeTopicPartitions (75), version 0 (KIP-966): topics in the order of their names, a page at a time. The cursor says where the next page starts. Topics are never
// created here.
func (s *Server) describeTopicPartitions(_ context.Context, c *call) (kmsg.Response, error) {
	req := c.request.(*kmsg.DescribeTopicPartitionsRequest)
	resp := req.ResponseKind().(*kmsg.DescribeTopicPartitionsResponse)
	image := s.backend.Image()
	if err := checkCursor(req); err != nil {
		for _, t := range req.Topics {
			out := kmsg.NewDescribeTopicPartitionsResponseTopic()
			out.Topic, out.ErrorCode = &t.Topic, s.code(err)
			resp.Topics = append(resp.Topics, out)
		}
		return resp, nil
	}
	left := min(max(1, int(req.ResponsePartitionLimit)), maxDescribedPartitions)
	for _, name := range describedNames(req, image) {
		first := int32(0)
		if req.Cursor != nil && req.Cursor.Topic == name {
			first = req.Cursor.Partition
		}
		if left == 0 {
			next := kmsg.NewDescribeTopicPartitionsResponseNextCursor()
			next.Topic, next.Partition = name, first
			resp.NextCursor = &next
			break
		}
		topic, code := topicNamed(image, name)
		if code != codeNone {
			if metadata.ValidateTopicName(name) != nil {
				code = codeInvalidTopicException
			}
			out := kmsg.NewDescribeTopicPartitionsResponseTopic()
			out.Topic, out.ErrorCode = &name, code
			resp.Topics = append(resp.Topics, out)
			continue
		}
		last := min(int(first)+left, len(topic.Partitions))
		resp.Topics = append(resp.Topics, s.describedTopic(image, topic, first, int32(last), c.listener))
		left -= max(0, last-int(first))
		if last < len(topic.Partitions) {
			next := kmsg.NewDescribeTopicPartitionsResponseNextCursor()
			next.Topic, next.Partition = name, int32(last)
			resp.NextCursor = &next
			break
		}
	}
	return resp, nil
}

// checkCursor says whether the cursor is a place in what the request asks for.
func checkCursor(req *kmsg.DescribeTopicPartitionsRequest) error {
	switch at := req.Cursor; {
	case at == nil:
	case at.Partition < 0:
		return refuse(codeInvalidRequest, "the cursor's partition %d is not valid", at.Partition)
	case len(req.Topics) > 0 && !slices.ContainsFunc(req.Topics, func(t kmsg.DescribeTopicPartitionsRequestTopic) bool { return t.Topic == at.Topic }):
		return refuse(codeInvalidRequest, "the cursor's topic %s is not among the topics", at.Topic)
	}
	return nil
}

// describedNames are the topics asked for (all when none is named), sorted, without those before the cursor.
func describedNames(req *kmsg.DescribeTopicPartitionsRequest, image *metadata.Image) []string {
	var names []string
	for _, t := range req.Topics {
		names = append(names, t.Topic)
	}
	if len(names) == 0 {
		names = slices.Collect(maps.Keys(image.Topics))
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if req.Cursor != nil {
		i, _ := slices.BinarySearch(names, req.Cursor.Topic)
		names = names[i:]
	}
	return names
}

func (s *Server) describedTopic(image *metadata.Image, t *metadata.Topic, first, last int32, listener string) kmsg.DescribeTopicPartitionsResponseTopic {
	out := kmsg.NewDescribeTopicPartitionsResponseTopic()
	out.Topic, out.TopicID, out.IsInternal, out.AuthorizedOperations = &t.Name, t.ID, t.Internal, topicOperations
	for number := first; number < last; number++ {
		p := s.partitionState(image, t, number, listener)
		partition := kmsg.NewDescribeTopicPartitionsResponseTopicPartition()
		partition.Partition, partition.ErrorCode, partition.LeaderID, partition.LeaderEpoch = number, p.code, p.leader, p.epoch
		partition.Replicas, partition.ISR, partition.OfflineReplicas = p.replicas, p.inSync, p.offline
		partition.EligibleLeaderReplicas, partition.LastKnownELR = []int32{}, []int32{} // Kafka's tools do not take null, though the schema has it
		// Nullable on the wire, but the Java client fails with a null pointer when they are null.
		partition.EligibleLeaderReplicas, partition.LastKnownELR = []int32{}, []int32{}
		out.Partitions = append(out.Partitions, partition)
	}
	return out
}

// sortedBy are a map's values in the order of their keys.
func sortedBy[K cmp.Ordered, V any](m map[K]V) []V {
	values := make([]V, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		values = append(values, m[k])
	}
	return values
}
