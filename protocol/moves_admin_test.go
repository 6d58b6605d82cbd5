package protocol

import (
	"context"
	"slices"
	"testing"

	"github.com/barnabas-log/barnabas/internal/metadata"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// alter sends an AlterPartitionReassignmentsRequest, which the codec calls AlterPartitionAssignmentsRequest, for one partition, and returns its code.
func (c *raw) alter(version int16, change bool, topic string, number int32, replicas []int32) int16 {
	c.Helper()
	req := kmsg.NewPtrAlterPartitionAssignmentsRequest()
	req.SetVersion(version)
	req.AllowReplicationFactorChange = change
	in := kmsg.NewAlterPartitionAssignmentsRequestTopic()
	in.Topic = topic
	in.Partitions = append(in.Partitions, kmsg.AlterPartitionAssignmentsRequestTopicPartition{Partition: number, Replicas: replicas})
	req.Topics = append(req.Topics, in)
	resp := c.ask(req).(*kmsg.AlterPartitionAssignmentsResponse)
	if got := resp.Topics[0]; resp.ErrorCode != 0 || got.Topic != topic || len(got.Partitions) != 1 || got.Partitions[0].Partition != number {
		c.Fatalf("%+v", resp)
	}
	return resp.Topics[0].Partitions[0].ErrorCode
}

func TestReassignmentsAreAlteredAndListed(t *testing.T) {
	s := administer(t, Options{})
	topic, c := s.topic("t", 3), s.dial()
	at := topic.Partitions[1].Replicas[0]
	to := 3 - at // of nodes 1 and 2 the other
	for _, tc := range []struct {
		name     string
		version  int16
		change   bool
		topic    string
		number   int32
		replicas []int32
		code     int16
	}{
		{"nothing to cancel", 1, true, "t", 1, nil, codeNoReassignmentInProgress},
		{"no such topic", 1, true, "absent", 1, []int32{1}, codeUnknownTopicOrPartition},
		{"no such partition", 1, true, "t", 3, []int32{1}, codeUnknownTopicOrPartition},
		{"no such broker", 1, true, "t", 1, []int32{9}, codeInvalidReplicaAssignment},
		{"no broker at all", 1, true, "t", 1, []int32{}, codeInvalidReplicaAssignment},
		{"another factor, forbidden", 1, false, "t", 1, []int32{1, 2}, codeInvalidReplicationFactor},
		{"another factor, version 0 cannot forbid", 0, false, "t", 2, []int32{1, 2}, codeNone},
		{"a move", 1, false, "t", 1, []int32{to}, codeNone},
	} {
		if code := c.alter(tc.version, tc.change, tc.topic, tc.number, tc.replicas); code != tc.code {
			t.Errorf("%s: code %d, want %d", tc.name, code, tc.code)
		}
	}
	listed := func(topics ...kmsg.ListPartitionReassignmentsRequestTopic) []kmsg.ListPartitionReassignmentsResponseTopic {
		req := kmsg.NewPtrListPartitionReassignmentsRequest()
		req.Topics = topics
		return c.ask(req).(*kmsg.ListPartitionReassignmentsResponse).Topics
	}
	all := listed()
	if len(all) != 1 || len(all[0].Partitions) != 2 {
		t.Fatalf("all: %+v", all)
	}
	one := listed(kmsg.ListPartitionReassignmentsRequestTopic{Topic: "t", Partitions: []int32{0, 1}}, kmsg.ListPartitionReassignmentsRequestTopic{Topic: "absent"})
	if len(one) != 1 || len(one[0].Partitions) != 1 {
		t.Fatalf("one: %+v", one)
	}
	if p := one[0].Partitions[0]; p.Partition != 1 || !slices.Equal(p.Replicas, []int32{to, at}) || !slices.Equal(p.AddingReplicas, []int32{to}) ||
		!slices.Equal(p.RemovingReplicas, []int32{at}) {
		t.Errorf("%+v", p)
	}
	if none := listed(kmsg.ListPartitionReassignmentsRequestTopic{Topic: "t", Partitions: []int32{0}}); len(none) != 0 {
		t.Errorf("partition 0 stays: %+v", none)
	}
	if code := c.alter(1, true, "t", 1, nil); code != codeNone {
		t.Errorf("cancel: code %d", code)
	}
}

// electing is a backend of which partition 0 needs an election, partition 1 cannot have one, and the others need none.
type electing struct{ *adminBackend }

func (electing) ElectLeader(_ context.Context, _ *metadata.Topic, number int32, unclean bool) error {
	switch {
	case number == 0 && !unclean:
		return nil
	case number == 1 && unclean:
		return refuse(codeEligibleLeadersNotAvailable, "lost")
	case number == 1:
		return refuse(codePreferredLeaderNotAvailable, "lost")
	}
	return refuse(codeElectionNotNeeded, "led")
}

func TestElectLeaders(t *testing.T) {
	s := administer(t, Options{})
	s.topic("t", 3)
	s.served.server.backend = electing{s.adminBackend}
	c := s.dial()
	elect := func(version int16, kind int8, topics ...kmsg.ElectLeadersRequestTopic) map[int32]int16 {
		req := kmsg.NewPtrElectLeadersRequest()
		req.SetVersion(version)
		req.ElectionType, req.Topics = kind, topics
		resp := c.ask(req).(*kmsg.ElectLeadersResponse)
		codes := map[int32]int16{-1: resp.ErrorCode}
		for _, topic := range resp.Topics {
			for _, p := range topic.Partitions {
				codes[p.Partition] = p.ErrorCode
			}
		}
		return codes
	}
	named := kmsg.ElectLeadersRequestTopic{Topic: "t", Partitions: []int32{0, 1, 2, 3}}
	for _, tc := range []struct {
		name    string
		version int16
		kind    int8
		topics  []kmsg.ElectLeadersRequestTopic
		want    map[int32]int16
	}{
		{"named", 2, 0, []kmsg.ElectLeadersRequestTopic{named}, map[int32]int16{-1: 0, 0: 0, 1: 80, 2: 84, 3: 3}},
		{"version 0 knows one type", 0, 1, []kmsg.ElectLeadersRequestTopic{named}, map[int32]int16{-1: 0, 0: 0, 1: 80, 2: 84, 3: 3}},
		{"unclean", 1, 1, []kmsg.ElectLeadersRequestTopic{named}, map[int32]int16{-1: 0, 0: 84, 1: 83, 2: 84, 3: 3}},
		{"all, of which those without need are left out", 2, 0, nil, map[int32]int16{-1: 0, 0: 0, 1: 80}},
		{"no such type", 2, 7, nil, map[int32]int16{-1: codeInvalidRequest}},
	} {
		got := elect(tc.version, tc.kind, tc.topics...)
		if len(got) != len(tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
		for number, code := range tc.want {
			if got[number] != code {
				t.Errorf("%s, partition %d: code %d, want %d", tc.name, number, got[number], code)
			}
		}
	}
}

func TestUnregisterBroker(t *testing.T) {
	s := administer(t, Options{})
	c := s.dial()
	for _, want := range []int16{codeNone, codeBrokerIDNotRegistered} {
		resp := c.ask(&kmsg.UnregisterBrokerRequest{BrokerID: 3}).(*kmsg.UnregisterBrokerResponse)
		if resp.ErrorCode != want || (resp.ErrorMessage != nil) != (want != codeNone) {
			t.Errorf("%+v, want code %d", resp, want)
		}
	}
	if s.Image().Brokers[3] != nil {
		t.Error("broker 3 is still there")
	}
}

// quorate is a backend with a quorum of two and an observer.
type quorate struct{ *adminBackend }

func (quorate) Quorum(context.Context) (Quorum, error) {
	return Quorum{Leader: 1, Epoch: 7, Commit: 40, Members: []QuorumMember{{Node: 1, Voter: true, End: 42, HeardMs: -1}, {Node: 2, Voter: true, End: 40, HeardMs: 1000},
		{Node: 4, End: 12, HeardMs: 900}}}, nil
}

func TestDescribeQuorum(t *testing.T) {
	s := administer(t, Options{})
	s.served.server.backend = quorate{s.adminBackend}
	c := s.dial()
	for version := range int16(3) {
		req := kmsg.NewPtrDescribeQuorumRequest()
		req.SetVersion(version)
		req.Topics = []kmsg.DescribeQuorumRequestTopic{{Topic: metadataTopic, Partitions: []kmsg.DescribeQuorumRequestTopicPartition{{Partition: 0}}},
			{Topic: "t", Partitions: []kmsg.DescribeQuorumRequestTopicPartition{{Partition: 0}}}}
		resp := c.ask(req).(*kmsg.DescribeQuorumResponse)
		if got := resp.Topics[1].Partitions[0]; got.ErrorCode != codeUnknownTopicOrPartition {
			t.Errorf("a topic has no quorum: %+v", got)
		}
		p := resp.Topics[0].Partitions[0]
		if p.ErrorCode != 0 || p.LeaderID != 1 || p.LeaderEpoch != 7 || p.HighWatermark != 40 || len(p.CurrentVoters) != 2 || len(p.Observers) != 1 {
			t.Fatalf("version %d: %+v", version, p)
		}
		if v, o := p.CurrentVoters[1], p.Observers[0]; v.ReplicaID != 2 || v.LogEndOffset != 40 || o.ReplicaID != 4 || o.LogEndOffset != 12 {
			t.Errorf("version %d: %+v, %+v", version, v, o)
		}
		if v, o := p.CurrentVoters[1], p.Observers[0]; version >= 1 && (v.LastFetchTimestamp != 1000 || v.LastCaughtUpTimestamp != 1000 ||
			o.LastFetchTimestamp != 900 || o.LastCaughtUpTimestamp != -1) {
			t.Errorf("version %d: %+v, %+v", version, v, o)
		}
	}
}
