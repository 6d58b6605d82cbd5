package protocol

import (
	"context"

	"github.com/barnabas-log/barnabas/internal/metadata"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// DeleteTopics (20), versions 0 to 6. v3 has a code of its own for a broker that forbids deletion, v5 adds error messages, v6 names topics by id as well.
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
	for _, t := range topics {
		out := kmsg.NewDeleteTopicsResponseTopic()
		out.Topic, out.TopicID = t.Topic, t.TopicID
		deleted, err := s.deleteTopic(ctx, t, req.Version)
		if err != nil {
			out.ErrorCode, out.ErrorMessage = s.code(err), message(err)
		} else {
			out.Topic, out.TopicID = &deleted.Name, deleted.ID
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp, nil
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
		return nil, refuse(codeInvalidRequest, "neither a topic name nor a topic id is given")
	case t.Topic != nil && id != metadata.TopicID{}:
		return nil, refuse(codeInvalidRequest, "a topic name and a topic id are given; one of them decides")
	}
	return s.backend.Admin().DeleteTopic(ctx, name, id)
}
