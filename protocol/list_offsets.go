package protocol

import (
	"context"

	"github.com/barnabas-log/barnabas/internal/metadata"
	"github.com/barnabas-log/barnabas/partition"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ListOffsets (2), versions 0 to 11. v0 answers a list of offsets, newest first, v1 one offset with its timestamp; v2 adds the isolation level, v4
// leader epochs, v7 the maximum timestamp (-3), v8 the local log start (-4), v9 the last tiered offset (-5), v11 the first offset that is not yet
// tiered (-6). v10's timeout is of no use: nothing here waits for remote storage.
//
// v0 was removed from Kafka 4.0 and is kept for old tools. It can only answer with the offset that v1 would give, and the log start.
func (s *Server) listOffsets(_ context.Context, c *call) (kmsg.Response, error) {
	req := c.request.(*kmsg.ListOffsetsRequest)
	resp := req.ResponseKind().(*kmsg.ListOffsetsResponse)
	image := s.backend.Image()
	twice := namedTwice(req)
	for i := range req.Topics {
		in := &req.Topics[i]
		out := kmsg.NewListOffsetsResponseTopic()
		out.Topic = in.Topic
		for j := range in.Partitions {
			p := &in.Partitions[j]
			at := kmsg.NewListOffsetsResponseTopicPartition()
			at.Partition, at.Timestamp, at.Offset, at.LeaderEpoch = p.Partition, -1, -1, -1
			if twice[topicPartition{in.Topic, p.Partition}] {
				at.ErrorCode = codeInvalidRequest
			} else {
				s.listOffset(req, image, in.Topic, p, &at)
			}
			out.Partitions = append(out.Partitions, at)
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp, nil
}

// topicPartition names a partition.
type topicPartition struct {
	topic  string
	number int32
}

// namedTwice finds the partitions that a request names more than once: Kafka refuses them.
func namedTwice(req *kmsg.ListOffsetsRequest) map[topicPartition]bool {
	seen := map[topicPartition]struct{}{}
	var twice map[topicPartition]bool
	for i := range req.Topics {
		for j := range req.Topics[i].Partitions {
			tp := topicPartition{req.Topics[i].Topic, req.Topics[i].Partitions[j].Partition}
			if _, ok := seen[tp]; ok {
				if twice == nil {
					twice = map[topicPartition]bool{}
				}
				twice[tp] = true
			}
			seen[tp] = struct{}{}
		}
	}
	return twice
}

// listOffset answers for one partition.
func (s *Server) listOffset(req *kmsg.ListOffsetsRequest, image *metadata.Image, topic string, in *kmsg.ListOffsetsRequestTopicPartition,
	at *kmsg.ListOffsetsResponseTopicPartition) {
	if !timestampServed(in.Timestamp, req.Version) {
		at.ErrorCode = codeUnsupportedVersion
		return
	}
	p, code := s.hosted(image, topic, in.Partition)
	if at.ErrorCode = code; code != codeNone {
		return
	}
	found, err := p.OffsetAt(in.Timestamp, partition.Isolation(req.IsolationLevel), in.CurrentLeaderEpoch)
	if at.ErrorCode = s.code(err); at.ErrorCode != codeNone {
		return
	}
	at.Offset, at.Timestamp, at.LeaderEpoch = int64(found.Offset), found.Timestamp, found.Epoch
	if req.Version == 0 {
		at.OldStyleOffsets = oldStyle(at.Offset, int64(p.LogStart()), int(in.MaxNumOffsets))
	}
}

// timestampServed says whether a timestamp means something at a version.
func timestampServed(timestamp int64, version int16) bool {
	switch timestamp {
	case partition.Latest, partition.Earliest:
		return true
	case partition.MaxTimestamp:
		return version >= 7
	case partition.EarliestLocal:
		return version >= 8
	case partition.LatestTiered:
		return version >= 9
	case partition.EarliestPendingUpload:
		return version >= 11
	}
	return timestamp >= 0
}

// oldStyle is v0's list: at most n offsets, newest first.
func oldStyle(offset, start int64, n int) []int64 {
	list := []int64{}
	if offset >= 0 {
		list = append(list, offset)
	}
	if offset > start {
		list = append(list, start)
	}
	return list[:min(max(n, 0), len(list))]
}
