package protocol

import (
	"fmt"
	"strings"
	"testing"

	"github.com/barnabas-log/barnabas/internal/metadata"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// createRequest asks for topics of one partition and one replica; edit changes each.
func createRequest(version int16, edit func(*kmsg.CreateTopicsRequestTopic), names ...string) *kmsg.CreateTopicsRequest {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.SetVersion(version)
	req.TimeoutMillis = 5000
	for _, name := range names {
		t := kmsg.NewCreateTopicsRequestTopic()
		t.Topic, t.NumPartitions, t.ReplicationFactor = name, 1, 1
		if edit != nil {
			edit(&t)
		}
		req.Topics = append(req.Topics, t)
	}
	return req
}

func TestCreateTopicsOfEveryVersion(t *testing.T) {
	s := administer(t, Options{})
	c := s.dial()
	for version := int16(0); version <= 7; version++ {
		name := fmt.Sprintf("t%d", version)
		resp := c.ask(createRequest(version, func(t *kmsg.CreateTopicsRequestTopic) {
			t.NumPartitions, t.ReplicationFactor = 4, 2
			t.Configs = []kmsg.CreateTopicsRequestTopicConfig{{Name: "cleanup.policy", Value: kmsg.StringPtr("compact")}}
		}, name)).(*kmsg.CreateTopicsResponse)
		topic := s.Image().Topics[name]
		if len(resp.Topics) != 1 || resp.Topics[0].Topic != name || resp.Topics[0].ErrorCode != 0 || resp.Topics[0].ErrorMessage != nil || topic == nil {
			t.Fatalf("version %d: %+v", version, resp)
		}
		if len(topic.Partitions) != 4 || topic.ReplicationFactor() != 2 || topic.Config["cleanup.policy"] != "compact" {
			t.Errorf("version %d: created %+v", version, topic)
		}
		got := resp.Topics[0]
		if version < 5 && (got.NumPartitions != -1 || got.ReplicationFactor != -1 || got.Configs != nil) {
			t.Errorf("version %d: what v5 adds: %+v", version, got)
		}
		if version >= 5 && (got.NumPartitions != 4 || got.ReplicationFactor != 2 || len(got.Configs) != 3) {
			t.Errorf("version %d: %+v", version, got)
		}
		if version >= 5 {
			if config := got.Configs[0]; config.Name != "cleanup.policy" || *config.Value != "compact" || config.Source != 1 || config.ReadOnly {
				t.Errorf("version %d: configuration %+v", version, config)
			}
			if secret := got.Configs[2]; !secret.IsSensitive || secret.Value != nil {
				t.Errorf("version %d: a secret is told: %+v", version, secret)
			}
		}
		if version >= 7 != (got.TopicID == topic.ID) {
			t.Errorf("version %d: id %v", version, got.TopicID)
		}
	}
}

func TestCreateTopicsRefusals(t *testing.T) {
	s := administer(t, Options{})
	s.topic("there", 1)
	s.topic("a.b", 1)
	assign := func(partitions ...[]int32) func(*kmsg.CreateTopicsRequestTopic) {
		return func(t *kmsg.CreateTopicsRequestTopic) {
			t.NumPartitions, t.ReplicationFactor = -1, -1
			for i, replicas := range partitions {
				if replicas != nil {
					t.ReplicaAssignment = append(t.ReplicaAssignment, kmsg.CreateTopicsRequestTopicReplicaAssignment{Partition: int32(i), Replicas: replicas})
				}
			}
		}
	}
	set := func(pairs ...any) func(*kmsg.CreateTopicsRequestTopic) {
		return func(t *kmsg.CreateTopicsRequestTopic) {
			for i := 0; i < len(pairs); i += 2 {
				config := kmsg.CreateTopicsRequestTopicConfig{Name: pairs[i].(string)}
				if value, ok := pairs[i+1].(string); ok {
					config.Value = &value
				}
				t.Configs = append(t.Configs, config)
			}
		}
	}
	counts := func(partitions int32, factor int16) func(*kmsg.CreateTopicsRequestTopic) {
		return func(t *kmsg.CreateTopicsRequestTopic) { t.NumPartitions, t.ReplicationFactor = partitions, factor }
	}
	cases := []struct {
		what, name string
		edit       func(*kmsg.CreateTopicsRequestTopic)
		want       int16
	}{
		{"a topic that is there", "there", nil, codeTopicAlreadyExists},
		{"no name", "", nil, codeInvalidTopicException},
		{"a dot", ".", nil, codeInvalidTopicException},
		{"a blank in the name", "a topic", nil, codeInvalidTopicException},
		{"a name of 250 characters", strings.Repeat("x", 250), nil, codeInvalidTopicException},
		{"a name that collides", "a_b", nil, codeInvalidTopicException},
		{"the offsets topic", "__consumer_offsets", nil, codeInvalidRequest},
		{"the metadata topic", "__cluster_metadata", nil, codeInvalidRequest},
		{"no partitions", "t", counts(0, 1), codeInvalidPartitions},
		{"-2 partitions", "t", counts(-2, 1), codeInvalidPartitions},
		{"more partitions than a request may make", "t", counts(10_001, 1), codePolicyViolation},
		{"no replicas", "t", counts(1, 0), codeInvalidReplicationFactor},
		{"more replicas than live brokers", "t", counts(1, 3), codeInvalidReplicationFactor},
		{"an assignment and partitions", "t", func(t *kmsg.CreateTopicsRequestTopic) { assign([]int32{1})(t); t.NumPartitions = 1 }, codeInvalidRequest},
		{"an assignment and a factor", "t", func(t *kmsg.CreateTopicsRequestTopic) { assign([]int32{1})(t); t.ReplicationFactor = 1 }, codeInvalidRequest},
		{"a hole in the assignment", "t", assign([]int32{1}, nil, []int32{1}), codeInvalidReplicaAssignment},
		{"an assignment that does not begin at 0", "t", assign(nil, []int32{1}), codeInvalidReplicaAssignment},
		{"a broker twice", "t", assign([]int32{1, 1}), codeInvalidReplicaAssignment},
		{"a broker that is not there", "t", assign([]int32{9}), codeInvalidReplicaAssignment},
		{"no replicas in the assignment", "t", assign([]int32{}), codeInvalidReplicaAssignment},
		{"partitions of different factors", "t", assign([]int32{1, 2}, []int32{1}), codeInvalidReplicaAssignment},
		{"a partition assigned twice", "t", func(t *kmsg.CreateTopicsRequestTopic) { assign([]int32{1})(t); assign([]int32{1})(t) }, codeInvalidReplicaAssignment},
		{"an unknown configuration", "t", set("unknown.name", "1"), codeInvalidConfig},
		{"a bad value", "t", set("retention.ms", "bad"), codeInvalidConfig},
		{"a configuration without a value", "t", set("retention.ms", nil), codeInvalidConfig},
		{"a configuration twice", "t", set("retention.ms", "1", "retention.ms", "2"), codeInvalidConfig},
	}
	c := s.dial()
	for _, each := range cases {
		for _, version := range []int16{0, 4, 7} {
			before := len(s.Image().Topics)
			got := c.ask(createRequest(version, each.edit, each.name)).(*kmsg.CreateTopicsResponse).Topics[0]
			if got.ErrorCode != each.want || (got.ErrorMessage == nil) != (version == 0) || got.TopicID != [16]byte{} {
				t.Errorf("%s, version %d: %+v, want code %d", each.what, version, got, each.want)
			}
			if len(s.Image().Topics) != before {
				t.Errorf("%s, version %d: something was created", each.what, version)
			}
		}
	}
}

// -1 is the broker's default (KIP-464), and an assignment counts by itself.
func TestCreateTopicsDefaultsAndAssignments(t *testing.T) {
	s := administer(t, Options{})
	c := s.dial()
	resp := c.ask(createRequest(5, func(t *kmsg.CreateTopicsRequestTopic) { t.NumPartitions, t.ReplicationFactor = -1, -1 }, "defaults")).(*kmsg.CreateTopicsResponse)
	if got := resp.Topics[0]; got.ErrorCode != 0 || got.NumPartitions != 3 || got.ReplicationFactor != 2 {
		t.Errorf("defaults: %+v", got)
	}
	c.ask(createRequest(3, func(t *kmsg.CreateTopicsRequestTopic) {
		t.NumPartitions, t.ReplicationFactor = -1, -1
		t.ReplicaAssignment = []kmsg.CreateTopicsRequestTopicReplicaAssignment{{Partition: 1, Replicas: []int32{1, 2}}, {Partition: 0, Replicas: []int32{2, 1}}}
	}, "assigned"))
	topic := s.Image().Topics["assigned"]
	if topic == nil || len(topic.Partitions) != 2 || topic.Partitions[0].Replicas[0] != 2 || topic.Partitions[1].Replicas[0] != 1 {
		t.Errorf("assigned: %+v", topic)
	}
}

// Each name is answered once and in the request's order; a name that comes twice is not created; one bad topic does not spoil the others.
func TestCreateSeveralTopics(t *testing.T) {
	s := administer(t, Options{})
	resp := s.dial().ask(createRequest(5, nil, "one", "twice", "bad name", "two", "twice")).(*kmsg.CreateTopicsResponse)
	var got []string
	for _, topic := range resp.Topics {
		got = append(got, fmt.Sprintf("%s %d", topic.Topic, topic.ErrorCode))
	}
	if strings.Join(got, ", ") != "one 0, twice 42, bad name 17, two 0" {
		t.Errorf("answered %v", got)
	}
	if topics := s.Image().Topics; len(topics) != 2 || topics["one"] == nil || topics["two"] == nil {
		t.Errorf("created %v", topics)
	}
}

func TestCreateTopicsValidateOnly(t *testing.T) {
	s := administer(t, Options{})
	req := createRequest(7, nil, "t", "bad name")
	req.ValidateOnly = true
	resp := s.dial().ask(req).(*kmsg.CreateTopicsResponse)
	if ok := resp.Topics[0]; ok.ErrorCode != 0 || ok.NumPartitions != 1 || ok.TopicID != [16]byte{} || len(ok.Configs) == 0 {
		t.Errorf("%+v", ok)
	}
	if resp.Topics[1].ErrorCode != codeInvalidTopicException || len(s.Image().Topics) != 0 {
		t.Errorf("%+v, %d topics", resp.Topics[1], len(s.Image().Topics))
	}
}

func TestAControllerThatDoesNotAnswer(t *testing.T) {
	s := administer(t, Options{DeleteTopicEnable: true})
	s.topic("there", 1)
	s.stuck = true
	c := s.dial()
	if got := c.ask(createRequest(7, nil, "t")).(*kmsg.CreateTopicsResponse).Topics[0]; got.ErrorCode != codeRequestTimedOut {
		t.Errorf("create: %+v", got)
	}
	if got := c.ask(deleteRequest(6, byName("there"))).(*kmsg.DeleteTopicsResponse).Topics[0]; got.ErrorCode != codeRequestTimedOut || *got.Topic != "there" {
		t.Errorf("delete: %+v", got)
	}
	if got := c.ask(growRequest(3, "there", 2)).(*kmsg.CreatePartitionsResponse).Topics[0]; got.ErrorCode != codeRequestTimedOut {
		t.Errorf("grow: %+v", got)
	}
}

// deleteRequest names topics by name before v6, and as they are given since.
func deleteRequest(version int16, topics ...kmsg.DeleteTopicsRequestTopic) *kmsg.DeleteTopicsRequest {
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.SetVersion(version)
	req.TimeoutMillis = 5000
	for _, t := range topics {
		if version < 6 {
			req.TopicNames = append(req.TopicNames, *t.Topic)
		} else {
			req.Topics = append(req.Topics, t)
		}
	}
	return req
}

func byName(name string) kmsg.DeleteTopicsRequestTopic {
	t := kmsg.NewDeleteTopicsRequestTopic()
	t.Topic = &name
	return t
}

func withID(id metadata.TopicID) kmsg.DeleteTopicsRequestTopic {
	t := kmsg.NewDeleteTopicsRequestTopic()
	t.TopicID = id
	return t
}

func TestDeleteTopicsOfEveryVersion(t *testing.T) {
	s := administer(t, Options{DeleteTopicEnable: true})
	c := s.dial()
	for version := int16(0); version <= 6; version++ {
		topic := s.topic("t", 1)
		resp := c.ask(deleteRequest(version, byName("t"), byName("absent"))).(*kmsg.DeleteTopicsResponse)
		if len(resp.Topics) != 2 || *resp.Topics[0].Topic != "t" || resp.Topics[0].ErrorCode != 0 || s.Image().Topics["t"] != nil {
			t.Errorf("version %d: %+v", version, resp.Topics)
		}
		if (version >= 6) != (resp.Topics[0].TopicID == topic.ID) {
			t.Errorf("version %d: id %v", version, resp.Topics[0].TopicID)
		}
		if absent := resp.Topics[1]; absent.ErrorCode != codeUnknownTopicOrPartition || (absent.ErrorMessage != nil) != (version >= 5) {
			t.Errorf("version %d: %+v", version, absent)
		}
	}
}

func TestDeleteTopicsByID(t *testing.T) {
	s := administer(t, Options{DeleteTopicEnable: true})
	c := s.dial()
	old := s.topic("t", 1)
	resp := c.ask(deleteRequest(6, withID(old.ID))).(*kmsg.DeleteTopicsResponse).Topics[0]
	if resp.ErrorCode != 0 || resp.Topic == nil || *resp.Topic != "t" || resp.TopicID != old.ID {
		t.Errorf("%+v", resp)
	}
	s.topic("t", 1)
	if resp = c.ask(deleteRequest(6, withID(old.ID))).(*kmsg.DeleteTopicsResponse).Topics[0]; resp.ErrorCode != codeUnknownTopicID || resp.Topic != nil || resp.TopicID != old.ID {
		t.Errorf("the old id: %+v", resp)
	}
	both := byName("t")
	both.TopicID = s.Image().Topics["t"].ID
	if resp = c.ask(deleteRequest(6, both)).(*kmsg.DeleteTopicsResponse).Topics[0]; resp.ErrorCode != codeInvalidRequest {
		t.Errorf("name and id: %+v", resp)
	}
	if resp = c.ask(deleteRequest(6, withID(metadata.TopicID{}))).(*kmsg.DeleteTopicsResponse).Topics[0]; resp.ErrorCode != codeInvalidRequest || resp.ErrorMessage == nil {
		t.Errorf("neither name nor id: %+v", resp)
	}
	if s.Image().Topics["t"] == nil {
		t.Error("the successor was deleted")
	}
}

// Naming a topic twice, in whatever way, is answered with INVALID_REQUEST, and it stays.
func TestDeleteATopicTwiceInARequest(t *testing.T) {
	s := administer(t, Options{DeleteTopicEnable: true})
	a, b, other := s.topic("a", 1), s.topic("b", 1), s.topic("other", 1)
	resp := s.dial().ask(deleteRequest(6, byName("a"), byName("a"), withID(b.ID), byName("b"), byName("other"))).(*kmsg.DeleteTopicsResponse)
	if len(resp.Topics) != 4 {
		t.Fatalf("%+v", resp.Topics)
	}
	for i, want := range []int16{codeInvalidRequest, codeInvalidRequest, codeInvalidRequest, codeNone} {
		if resp.Topics[i].ErrorCode != want {
			t.Errorf("answer %d: %+v, want code %d", i, resp.Topics[i], want)
		}
	}
	if image := s.Image(); image.ByID[a.ID] == nil || image.ByID[b.ID] == nil || image.ByID[other.ID] != nil {
		t.Errorf("left: %v", image.Topics)
	}
}

func TestDeletionSwitchedOff(t *testing.T) {
	s := administer(t, Options{})
	s.topic("t", 1)
	c := s.dial()
	for version := int16(0); version <= 6; version++ {
		want := codeTopicDeletionDisabled
		if version < 3 {
			want = codeInvalidRequest
		}
		if got := c.ask(deleteRequest(version, byName("t"))).(*kmsg.DeleteTopicsResponse).Topics[0]; got.ErrorCode != want {
			t.Errorf("version %d: code %d, want %d", version, got.ErrorCode, want)
		}
	}
	if s.Image().Topics["t"] == nil {
		t.Error("the topic is gone")
	}
}

func growRequest(version int16, topic string, count int32, assignment ...[]int32) *kmsg.CreatePartitionsRequest {
	req := kmsg.NewPtrCreatePartitionsRequest()
	req.SetVersion(version)
	req.TimeoutMillis = 5000
	t := kmsg.NewCreatePartitionsRequestTopic()
	t.Topic, t.Count = topic, count
	for _, replicas := range assignment {
		t.Assignment = append(t.Assignment, kmsg.CreatePartitionsRequestTopicAssignment{Replicas: replicas})
	}
	req.Topics = append(req.Topics, t)
	return req
}

func TestCreatePartitions(t *testing.T) {
	s := administer(t, Options{})
	s.topic("t", 1)
	s.topic("__consumer_offsets", 1)
	c := s.dial()
	for version := int16(0); version <= 3; version++ {
		count := int32(version + 2)
		if got := c.ask(growRequest(version, "t", count)).(*kmsg.CreatePartitionsResponse).Topics[0]; got.ErrorCode != 0 || got.ErrorMessage != nil || got.Topic != "t" {
			t.Errorf("version %d: %+v", version, got)
		}
		if n := len(s.Image().Topics["t"].Partitions); n != int(count) {
			t.Errorf("version %d: %d partitions, want %d", version, n, count)
		}
	}
	if got := c.ask(growRequest(3, "t", 6, []int32{2})).(*kmsg.CreatePartitionsResponse).Topics[0]; got.ErrorCode != 0 {
		t.Errorf("with an assignment: %+v", got)
	}
	if p := s.Image().Topics["t"].Partitions; len(p) != 6 || p[5].Replicas[0] != 2 {
		t.Errorf("with an assignment: %v", p)
	}
	for what, each := range map[string]struct {
		req  *kmsg.CreatePartitionsRequest
		want int16
	}{
		"as many as there are":     {growRequest(3, "t", 6), codeInvalidPartitions},
		"fewer":                    {growRequest(3, "t", 1), codeInvalidPartitions},
		"less than none":           {growRequest(3, "t", -1), codeInvalidPartitions},
		"too many":                 {growRequest(3, "t", 20_000), codePolicyViolation},
		"no such topic":            {growRequest(3, "absent", 6), codeUnknownTopicOrPartition},
		"too few assignments":      {growRequest(3, "t", 8, []int32{1}), codeInvalidReplicaAssignment},
		"another number of copies": {growRequest(3, "t", 7, []int32{1, 2}), codeInvalidReplicaAssignment},
		"an unknown broker":        {growRequest(3, "t", 7, []int32{8}), codeInvalidReplicaAssignment},
		"the offsets topic":        {growRequest(3, "__consumer_offsets", 7), codeInvalidRequest},
		"an empty assignment": {func() *kmsg.CreatePartitionsRequest {
			req := growRequest(3, "t", 7)
			req.Topics[0].Assignment = []kmsg.CreatePartitionsRequestTopicAssignment{}
			return req
		}(), codeInvalidReplicaAssignment},
	} {
		got := c.ask(each.req).(*kmsg.CreatePartitionsResponse).Topics[0]
		if got.ErrorCode != each.want || got.ErrorMessage == nil {
			t.Errorf("%s: %+v, want code %d", what, got, each.want)
		}
	}
	validate := growRequest(3, "t", 9)
	validate.ValidateOnly = true
	if got := c.ask(validate).(*kmsg.CreatePartitionsResponse).Topics[0]; got.ErrorCode != 0 {
		t.Errorf("validate only: %+v", got)
	}
	twice := growRequest(3, "t", 9)
	twice.Topics = append(twice.Topics, twice.Topics[0])
	if got := c.ask(twice).(*kmsg.CreatePartitionsResponse).Topics; len(got) != 1 || got[0].ErrorCode != codeInvalidRequest {
		t.Errorf("named twice: %+v", got)
	}
	if n := len(s.Image().Topics["t"].Partitions); n != 6 {
		t.Errorf("%d partitions at the end", n)
	}
}
