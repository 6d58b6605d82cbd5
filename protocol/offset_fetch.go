package protocol

import (
	"context"

	"github.com/barnabas-log/barnabas/consumergroup"
	"github.com/barnabas-log/barnabas/internal/metadata"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// OffsetFetch (9), versions 0 to 10. v2 lets null topics mean all and adds a code for the group, v5 the leader epoch, v7 require_stable, v8 asks for several
// groups at once, v9 carries the member's id and epoch, v10 names topics by id.
func (s *Server) offsetFetch(ctx context.Context, c *call) (kmsg.Response, error) {
	req := c.request.(*kmsg.OffsetFetchRequest)
	resp := req.ResponseKind().(*kmsg.OffsetFetchResponse)
	if req.Version < 8 {
		s.offsetFetchOne(ctx, req, resp)
		return resp, nil
	}
	for i := range req.Groups {
		resp.Groups = append(resp.Groups, s.offsetFetchGroup(ctx, req, &req.Groups[i]))
	}
	return resp, nil
}

// offsetFetchOne answers the versions that ask for one group.
func (s *Server) offsetFetchOne(ctx context.Context, req *kmsg.OffsetFetchRequest, resp *kmsg.OffsetFetchResponse) {
	fetch := consumergroup.FetchRequest{Group: req.Group, MemberEpoch: -1, RequireStable: req.RequireStable}
	if req.Topics != nil || req.Version < 2 {
		fetch.Partitions = []consumergroup.TopicPartition{}
	}
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			fetch.Partitions = append(fetch.Partitions, consumergroup.TopicPartition{Topic: t.Topic, Partition: p})
		}
	}
	offsets, code := s.backend.Groups().Fetch(ctx, fetch)
	resp.ErrorCode = code
	if code != codeNone && req.Version < 2 { // no place for a code of the group
		for _, p := range fetch.Partitions {
			offsets = append(offsets, consumergroup.FetchedOffset{TopicPartition: p, Offset: noOffset, Code: code})
		}
	}
	for _, group := range byTopic(offsets) {
		t := kmsg.NewOffsetFetchResponseTopic()
		t.Topic = group[0].Topic
		for _, o := range group {
			p := kmsg.NewOffsetFetchResponseTopicPartition()
			p.Partition, p.Offset, p.LeaderEpoch, p.Metadata, p.ErrorCode = o.Partition, o.Offset.Offset, o.LeaderEpoch, &o.Metadata, o.Code
			t.Partitions = append(t.Partitions, p)
		}
		resp.Topics = append(resp.Topics, t)
	}
}

// noOffset is what is answered where nothing was committed.
var noOffset = consumergroup.Offset{Offset: -1, LeaderEpoch: -1}

// offsetFetchGroup answers for one group of v8 and later.
func (s *Server) offsetFetchGroup(ctx context.Context, req *kmsg.OffsetFetchRequest, g *kmsg.OffsetFetchRequestGroup) kmsg.OffsetFetchResponseGroup {
	out := kmsg.NewOffsetFetchResponseGroup()
	out.Group = g.Group
	fetch := consumergroup.FetchRequest{Group: g.Group, MemberEpoch: -1, RequireStable: req.RequireStable}
	if req.Version >= 9 {
		fetch.MemberID, fetch.MemberEpoch = g.MemberID, g.MemberEpoch
	}
	image := s.backend.Image()
	var unknown []kmsg.OffsetFetchResponseGroupTopic
	if g.Topics != nil {
		fetch.Partitions = []consumergroup.TopicPartition{}
	}
	for i := range g.Topics {
		t := &g.Topics[i]
		name := t.Topic
		if req.Version >= 10 {
			topic := image.ByID[t.TopicID]
			if topic == nil {
				unknown = append(unknown, unknownFetchTopic(t))
				continue
			}
			name = topic.Name
		}
		for _, p := range t.Partitions {
			fetch.Partitions = append(fetch.Partitions, consumergroup.TopicPartition{Topic: name, Partition: p})
		}
	}
	offsets, code := s.backend.Groups().Fetch(ctx, fetch)
	out.ErrorCode = code
	if code != codeNone {
		return out
	}
	for _, group := range byTopic(offsets) {
		t := kmsg.NewOffsetFetchResponseGroupTopic()
		t.Topic = group[0].Topic
		if topic := image.Topics[t.Topic]; topic != nil {
			t.TopicID = topic.ID
		} else if req.Version >= 10 {
			continue // the topic is gone: it has no id to answer with
		}
		for _, o := range group {
			p := kmsg.NewOffsetFetchResponseGroupTopicPartition()
			p.Partition, p.Offset, p.LeaderEpoch, p.Metadata, p.ErrorCode = o.Partition, o.Offset.Offset, o.LeaderEpoch, &o.Metadata, o.Code
			t.Partitions = append(t.Partitions, p)
		}
		out.Topics = append(out.Topics, t)
	}
	out.Topics = append(out.Topics, unknown...)
	return out
}

// unknownFetchTopic answers a topic id that nobody knows.
func unknownFetchTopic(t *kmsg.OffsetFetchRequestGroupTopic) kmsg.OffsetFetchResponseGroupTopic {
	out := kmsg.NewOffsetFetchResponseGroupTopic()
	out.TopicID = metadata.TopicID(t.TopicID)
	for _, number := range t.Partitions {
		p := kmsg.NewOffsetFetchResponseGroupTopicPartition()
		empty := ""
		p.Partition, p.Offset, p.LeaderEpoch, p.Metadata, p.ErrorCode = number, -1, -1, &empty, codeUnknownTopicID
		out.Partitions = append(out.Partitions, p)
	}
	return out
}

// byTopic splits offsets into runs of the same topic, keeping the order in which topics first appear.
func byTopic(offsets []consumergroup.FetchedOffset) [][]consumergroup.FetchedOffset {
	place := map[string]int{}
	var groups [][]consumergroup.FetchedOffset
	for _, o := range offsets {
		i, known := place[o.Topic]
		if !known {
			i = len(groups)
			place[o.Topic] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], o)
	}
	return groups
}
