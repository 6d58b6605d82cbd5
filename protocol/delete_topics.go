package protocol

import (
	"context"

	"github.com/barnabas-log/barnabas/internal/metadata"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// DeleteTopics (20), versions 0 to 6. v3 has a code of its own for a broker that forbids deletion, v5 adds error messages, v6 names topics by id as well.
// What a request names more than once is not deleted.
func (s *Server) deleteTopics(ctx context.Context, c *call) (kmsg.Response, error) {
	req := c.request.(*kmsg.DeleteTopicsRequest)
	resp := req.ResponseKind().(*kmsg.DeleteTopicsResponse)
	ctx, cancel := withTimeout(ctx, req.TimeoutMillis)
	defer cancel()

	topics := req.Topics
	for _, name := range req.TopicNames { // before v6
		t := kmsg.NewDeleteTopicsRequestTopic()
		t.Topic = &name
		topics = append(topics, t)
	}
	named := s.namedTopics(topics)
	for _, t := range topics {
		name := nameOf(t)
		times := named[name]
		named[name] = 0
		if times == 0 {
			continue // what is named twice is answered once
		}
		out := kmsg.NewDeleteTopicsResponseTopic()
		out.Topic, out.TopicID = t.Topic, t.TopicID
		deleted, err := (*metadata.Topic)(nil), errDuplicateTopic
		if times == 1 {
			deleted, err = s.deleteTopic(ctx, t, req.Version)
		}
		if err != nil {
			out.ErrorCode, out.ErrorMessage = s.code(err), message(err)
		} else {
			out.Topic, out.TopicID = &deleted.Name, deleted.ID
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp, nil
}

// namedTopics counts how often each topic is named. A topic named by name and by id is named twice.
func (s *Server) namedTopics(topics []kmsg.DeleteTopicsRequestTopic) map[metadataName]int {
	named := make(map[metadataName]int, len(topics))
	for _, t := range topics {
		named[nameOf(t)]++
	}
	image := s.backend.Image()
	for name := range named {
		if topic := image.ByID[name.id]; name.byID && topic != nil && named[metadataName{name: topic.Name}] > 0 {
			named[name]++
			named[metadataName{name: topic.Name}]++
		}
	}
	return named
}

func nameOf(t kmsg.DeleteTopicsRequestTopic) metadataName {
	if t.Topic == nil {
		return metadataName{id: t.TopicID, byID: true}
	}
	return metadataName{name: *t.Topic, id: t.TopicID}
}

func (s *Server) deleteTopic(ctx context.Context, t kmsg.DeleteTopicsRequestTopic, version int16) (*metadata.Topic, error) {
	id, name := metadata.TopicID(t.TopicID), ""
	if t.Topic != nil {
		name = *t.Topic
	}
	switch {
	case !s.opts.DeleteTopicEnable && version < 3:
		return nil, refuse(codeInvalidRequest, "topic deletion is disabled (delete.topic.enable)")
	case !s.opts.DeleteTopicEnable:
		return nil, refuse(codeTopicDeletionDisabled, "topic deletion is disabled (delete.topic.enable)")
	case t.Topic == nil && id == metadata.TopicID{}:
		return nil, refuse(codeInvalidRequest, "Neither topic name nor id were specified.")
	case t.Topic != nil && id != metadata.TopicID{}:
		return nil, refuse(codeInvalidRequest, "You may not specify both topic name and topic id.")
	}
	return s.backend.Admin().DeleteTopic(ctx, name, id)
}
