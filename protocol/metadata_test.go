package protocol

import (
	"testing"

	"github.com/barnabas-log/barnabas/partition"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// named makes a Metadata request for topics by name.
func named(version int16, create bool, names ...string) *kmsg.MetadataRequest {
	req := metadataRequest(version)
	req.AllowAutoTopicCreation = create
	req.Topics = []kmsg.MetadataRequestTopic{}
	for _, name := range names {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = &name
		req.Topics = append(req.Topics, t)
	}
	return req
}

// The first reply names a live leader: nobody sees LEADER_NOT_AVAILABLE on a fresh topic.
func TestAMissingTopicIsThereInTheFirstReply(t *testing.T) {
	s := serve(t, Options{AutoCreate: true})
	c := dial(t, s)
	resp := c.ask(named(13, true, "fresh", "fresh", "bad name", "refused")).(*kmsg.MetadataResponse)
	if len(resp.Topics) != 3 {
		t.Fatalf("%d topics, want 3", len(resp.Topics))
	}
	fresh := resp.Topics[0]
	if fresh.ErrorCode != 0 || len(fresh.Partitions) != 1 || fresh.Partitions[0].Leader != 1 || fresh.Partitions[0].LeaderEpoch != 3 || fresh.TopicID == [16]byte{} {
		t.Errorf("fresh: %+v", fresh)
	}
	if code := resp.Topics[1].ErrorCode; code != codeInvalidTopicException {
		t.Errorf("a bad name: code %d", code)
	}
	if code := resp.Topics[2].ErrorCode; code != codePolicyViolation {
		t.Errorf("a topic that the controller refuses: code %d", code)
	}
}

func TestATopicIsNotCreatedUnlessBothSidesWantIt(t *testing.T) {
	s := serve(t, Options{AutoCreate: true})
	c := dial(t, s)
	if code := c.ask(named(4, false, "one")).(*kmsg.MetadataResponse).Topics[0].ErrorCode; code != codeUnknownTopicOrPartition {
		t.Errorf("the client forbids it: code %d", code)
	}
	if code := c.ask(named(1, false, "old")).(*kmsg.MetadataResponse).Topics[0].ErrorCode; code != codeNone {
		t.Errorf("an old client that cannot say: code %d", code)
	}
	if code := c.ask(named(13, true, "__consumer_offsets")).(*kmsg.MetadataResponse).Topics[0].ErrorCode; code != codeUnknownTopicOrPartition {
		t.Errorf("an internal topic: code %d", code)
	}
	s.server.opts.AutoCreate = false
	if code := c.ask(named(13, true, "two")).(*kmsg.MetadataResponse).Topics[0].ErrorCode; code != codeUnknownTopicOrPartition {
		t.Errorf("the broker forbids it: code %d", code)
	}
}

func TestMetadataAllSomeNone(t *testing.T) {
	s := serve(t, Options{})
	s.create("a", 1, partition.Config{})
	topic := s.create("b", 2, partition.Config{})
	c := dial(t, s)
	count := func(version int16, topics []kmsg.MetadataRequestTopic) int {
		req := metadataRequest(version)
		req.Topics = topics
		return len(c.ask(req).(*kmsg.MetadataResponse).Topics)
	}
	for version := int16(0); version <= 13; version++ {
		want := 0
		if version == 0 {
			want = 2
		}
		if n := count(version, []kmsg.MetadataRequestTopic{}); n != want {
			t.Errorf("version %d, empty list: %d topics, want %d", version, n, want)
		}
		if n := count(version, nil); n != 2 {
			t.Errorf("version %d, null list: %d topics, want 2", version, n)
		}
	}
	req := metadataRequest(12)
	byID, unknown := kmsg.NewMetadataRequestTopic(), kmsg.NewMetadataRequestTopic()
	byID.TopicID, unknown.TopicID = topic.ID, [16]byte{1}
	req.Topics = []kmsg.MetadataRequestTopic{byID, unknown}
	req.IncludeTopicAuthorizedOperations = true
	resp := c.ask(req).(*kmsg.MetadataResponse)
	if got := resp.Topics[0]; *got.Topic != "b" || len(got.Partitions) != 2 || got.AuthorizedOperations != topicOperations {
		t.Errorf("by id: %+v", got)
	}
	if got := resp.Topics[1]; got.Topic != nil || got.ErrorCode != codeUnknownTopicID {
		t.Errorf("by an unknown id: %+v", got)
	}
	if *resp.ClusterID != "a-cluster" || resp.ControllerID != 1 || len(resp.Brokers) != 1 {
		t.Errorf("the cluster: %+v", resp)
	}
}

// Clients are sent to the address of the listener that they came through.
func TestAddressesAreThoseOfTheListener(t *testing.T) {
	s := serve(t, Options{})
	s.create("t", 1, partition.Config{})
	for listener, want := range map[string]string{"PLAINTEXT": "127.0.0.1", "OTHER": "elsewhere"} {
		in := &call{version: 12, listener: listener, request: metadataRequest(12)}
		resp, err := s.server.metadata(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		if host := resp.(*kmsg.MetadataResponse).Brokers[0].Host; host != want {
			t.Errorf("%s: %s, want %s", listener, host, want)
		}
	}
	in := &call{version: 12, listener: "UNHEARD", request: metadataRequest(12)}
	resp, _ := s.server.metadata(t.Context(), in)
	if code := resp.(*kmsg.MetadataResponse).Topics[0].Partitions[0].ErrorCode; code != codeListenerNotFound {
		t.Errorf("a listener that the leader does not have: code %d", code)
	}
}

func TestAPartitionWithoutALeaderSaysSo(t *testing.T) {
	s := serve(t, Options{})
	s.create("t", 1, partition.Config{})
	s.group("t", 0).p.Resign(4, -1)
	p := dial(t, s).ask(named(12, false, "t")).(*kmsg.MetadataResponse).Topics[0].Partitions[0]
	if p.ErrorCode != codeLeaderNotAvailable || p.Leader != -1 || len(p.Replicas) != 1 {
		t.Errorf("%+v", p)
	}
}

func TestFindCoordinator(t *testing.T) {
	s := serve(t, Options{})
	c := dial(t, s)
	req := kmsg.NewPtrFindCoordinatorRequest()
	req.SetVersion(3)
	req.CoordinatorKey = "group"
	if resp := c.ask(req).(*kmsg.FindCoordinatorResponse); resp.ErrorCode != 0 || resp.NodeID != 1 || resp.Host != "127.0.0.1" {
		t.Errorf("%+v", resp)
	}
	req.SetVersion(6)
	req.CoordinatorKeys = []string{"group", "lost"}
	resp := c.ask(req).(*kmsg.FindCoordinatorResponse)
	if len(resp.Coordinators) != 2 || resp.Coordinators[0].NodeID != 1 || resp.Coordinators[1].ErrorCode != codeCoordinatorNotAvailable || resp.Coordinators[1].NodeID != -1 {
		t.Errorf("%+v", resp.Coordinators)
	}
	for kind, want := range map[int8]int16{transactionKey: codeUnsupportedVersion, shareKey: codeUnsupportedVersion, 9: codeInvalidRequest} {
		req.CoordinatorType = kind
		if got := c.ask(req).(*kmsg.FindCoordinatorResponse).Coordinators[0]; got.ErrorCode != want || got.ErrorMessage == nil {
			t.Errorf("kind %d: %+v", kind, got)
		}
	}
}

func TestInitProducerID(t *testing.T) {
	s := serve(t, Options{})
	c := dial(t, s)
	req := kmsg.NewPtrInitProducerIDRequest()
	req.SetVersion(5)
	first := c.ask(req).(*kmsg.InitProducerIDResponse)
	second := c.ask(req).(*kmsg.InitProducerIDResponse)
	if first.ErrorCode != 0 || first.ProducerEpoch != 0 || first.ProducerID == second.ProducerID {
		t.Errorf("%+v, %+v", first, second)
	}
	for id, want := range map[string]int16{"": codeInvalidRequest, "payments": codeUnsupportedVersion} {
		req.TransactionalID = &id
		if resp := c.ask(req).(*kmsg.InitProducerIDResponse); resp.ErrorCode != want || resp.ProducerID != -1 {
			t.Errorf("transactional id %q: %+v", id, resp)
		}
	}
}
