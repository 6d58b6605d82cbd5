package protocol

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/barnabas-log/barnabas/consumergroup"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestJoinGroupOfEveryVersion(t *testing.T) {
	s := administer(t, Options{})
	c := s.dial()
	for version := int16(0); version <= 9; version++ {
		s.groups.joined = consumergroup.JoinResponse{Generation: 4, ProtocolType: "consumer", Protocol: "range", Leader: "m1", MemberID: "m1", SkipAssignment: true,
			Members: []consumergroup.Member{{ID: "m1", InstanceID: pointer("i1"), Metadata: []byte("meta")}, {ID: "m2"}}}
		req := kmsg.NewPtrJoinGroupRequest()
		req.SetVersion(version)
		req.Group, req.MemberID, req.ProtocolType, req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = "g", "m1", "consumer", 10_000, 60_000
		req.InstanceID, req.Reason = pointer("i1"), pointer("because")
		req.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: []byte("meta")}, {Name: "sticky"}}
		resp := c.ask(req).(*kmsg.JoinGroupResponse)

		asked := s.groups.join
		want := consumergroup.JoinRequest{Client: consumergroup.Client{ID: "raw", Host: "/127.0.0.1"}, Group: "g", MemberID: "m1", ProtocolType: "consumer",
			SessionTimeout: 10 * time.Second, RequireMemberID: version >= 4, SkipAssignment: version >= 9, Protocols: asked.Protocols}
		if version >= 1 {
			want.RebalanceTimeout = time.Minute
		}
		if version >= 5 {
			want.InstanceID = pointer("i1")
		}
		if version >= 8 {
			want.Reason = "because"
		}
		if !reflect.DeepEqual(asked, want) {
			t.Errorf("version %d: asked %+v\nwant %+v", version, asked, want)
		}
		if p := asked.Protocols; len(p) != 2 || p[0].Name != "range" || string(p[0].Metadata) != "meta" || p[1].Name != "sticky" || len(p[1].Metadata) != 0 {
			t.Errorf("version %d: protocols %+v", version, p)
		}
		if resp.ErrorCode != 0 || resp.Generation != 4 || *resp.Protocol != "range" || resp.LeaderID != "m1" || resp.MemberID != "m1" || len(resp.Members) != 2 {
			t.Errorf("version %d: %+v", version, resp)
		}
		if (version >= 7) != (resp.ProtocolType != nil && *resp.ProtocolType == "consumer") || (version >= 9) != resp.SkipAssignment {
			t.Errorf("version %d: type %v, skip %t", version, resp.ProtocolType, resp.SkipAssignment)
		}
		if m := resp.Members[0]; m.MemberID != "m1" || string(m.ProtocolMetadata) != "meta" || (version >= 5) != (m.InstanceID != nil && *m.InstanceID == "i1") {
			t.Errorf("version %d: %+v", version, m)
		}

		s.groups.joined = consumergroup.JoinResponse{Code: codeMemberIDRequired, Generation: -1, MemberID: "come back"}
		resp = c.ask(req).(*kmsg.JoinGroupResponse)
		if resp.ErrorCode != codeMemberIDRequired || resp.MemberID != "come back" || resp.Generation != -1 || (resp.Protocol == nil) != (version >= 7) || resp.ProtocolType != nil {
			t.Errorf("version %d, refused: %+v", version, resp)
		}
	}
}

func TestSyncGroupOfEveryVersion(t *testing.T) {
	s := administer(t, Options{})
	c := s.dial()
	for version := int16(0); version <= 5; version++ {
		s.groups.synced = consumergroup.SyncResponse{ProtocolType: "consumer", Protocol: "range", Assignment: []byte("yours")}
		req := kmsg.NewPtrSyncGroupRequest()
		req.SetVersion(version)
		req.Group, req.Generation, req.MemberID = "g", 4, "m1"
		req.InstanceID, req.ProtocolType, req.Protocol = pointer("i1"), pointer("consumer"), pointer("range")
		req.GroupAssignment = []kmsg.SyncGroupRequestGroupAssignment{{MemberID: "m1", MemberAssignment: []byte("yours")}, {MemberID: "m2"}}
		resp := c.ask(req).(*kmsg.SyncGroupResponse)
		asked := s.groups.sync
		if asked.Group != "g" || asked.Generation != 4 || asked.MemberID != "m1" || len(asked.Assignments) != 2 || string(asked.Assignments["m1"]) != "yours" {
			t.Errorf("version %d: asked %+v", version, asked)
		}
		if (version >= 3) != (asked.InstanceID != nil) || (version >= 5) != (asked.ProtocolType != nil && *asked.Protocol == "range") {
			t.Errorf("version %d: asked %+v", version, asked)
		}
		if resp.ErrorCode != 0 || string(resp.MemberAssignment) != "yours" || (version >= 5) != (resp.Protocol != nil && *resp.Protocol == "range" && *resp.ProtocolType == "consumer") {
			t.Errorf("version %d: %+v", version, resp)
		}
		s.groups.synced = consumergroup.SyncResponse{Code: codeRebalanceInProgress}
		if resp = c.ask(req).(*kmsg.SyncGroupResponse); resp.ErrorCode != codeRebalanceInProgress || len(resp.MemberAssignment) != 0 || resp.Protocol != nil {
			t.Errorf("version %d, refused: %+v", version, resp)
		}
		before := s.groups.syncs
		for _, forget := range []func(){func() { req.ProtocolType = nil }, func() { req.ProtocolType, req.Protocol = pointer("consumer"), nil }} {
			forget()
			want := codeRebalanceInProgress
			if version >= 5 {
				want = codeInconsistentGroupProtocol
			}
			if resp = c.ask(req).(*kmsg.SyncGroupResponse); resp.ErrorCode != want {
				t.Errorf("version %d without type or name: %+v", version, resp)
			}
		}
		if asked := s.groups.syncs - before; (version >= 5) != (asked == 0) {
			t.Errorf("version %d: the group was asked %d times", version, asked)
		}
	}
}

func TestHeartbeatOfEveryVersion(t *testing.T) {
	s := administer(t, Options{})
	c := s.dial()
	for version := int16(0); version <= 4; version++ {
		s.groups.beatCode = version // whatever it is
		req := kmsg.NewPtrHeartbeatRequest()
		req.SetVersion(version)
		req.Group, req.Generation, req.MemberID, req.InstanceID = "g", 4, "m1", pointer("i1")
		resp := c.ask(req).(*kmsg.HeartbeatResponse)
		asked := s.groups.beat
		if resp.ErrorCode != version || asked.Group != "g" || asked.Generation != 4 || asked.MemberID != "m1" || (version >= 3) != (asked.InstanceID != nil) {
			t.Errorf("version %d: asked %+v, answered %d", version, asked, resp.ErrorCode)
		}
	}
}

func TestLeaveGroupOfEveryVersion(t *testing.T) {
	s := administer(t, Options{})
	c := s.dial()
	for version := int16(0); version <= 5; version++ {
		req := kmsg.NewPtrLeaveGroupRequest()
		req.SetVersion(version)
		req.Group, req.MemberID = "g", "m1"
		req.Members = []kmsg.LeaveGroupRequestMember{{MemberID: "m1", Reason: pointer("tired")}, {InstanceID: pointer("i2")}}
		n := 2
		if version < 3 {
			n = 1
		}
		s.groups.left = consumergroup.LeaveResponse{Members: []int16{codeUnknownMemberID, codeNone}[:n]}
		resp := c.ask(req).(*kmsg.LeaveGroupResponse)
		asked := s.groups.leave
		if asked.Group != "g" || len(asked.Members) != n || asked.Members[0].MemberID != "m1" || (version >= 5) != (asked.Members[0].Reason == "tired") {
			t.Errorf("version %d: asked %+v", version, asked)
		}
		if version < 3 {
			if resp.ErrorCode != codeUnknownMemberID || len(resp.Members) != 0 {
				t.Errorf("version %d: %+v", version, resp)
			}
		} else if resp.ErrorCode != 0 || len(resp.Members) != 2 || resp.Members[0].ErrorCode != codeUnknownMemberID || resp.Members[0].MemberID != "m1" ||
			resp.Members[1].ErrorCode != 0 || *resp.Members[1].InstanceID != "i2" {
			t.Errorf("version %d: %+v", version, resp)
		}
		s.groups.left = consumergroup.LeaveResponse{Code: codeNotCoordinator, Members: []int16{16, 16}[:n]}
		if resp = c.ask(req).(*kmsg.LeaveGroupResponse); resp.ErrorCode != codeNotCoordinator || len(resp.Members) != 0 {
			t.Errorf("version %d, moved: %+v", version, resp)
		}
	}
}

func TestOffsetCommitOfEveryVersion(t *testing.T) {
	s := administer(t, Options{})
	topic := s.topic("t", 2)
	c := s.dial()
	for version := int16(0); version <= 10; version++ {
		s.groups.codes = []int16{codeNone, codeOffsetMetadataTooLarge}
		req := kmsg.NewPtrOffsetCommitRequest()
		req.SetVersion(version)
		req.Group, req.Generation, req.MemberID, req.InstanceID, req.RetentionTimeMillis = "g", 4, "m1", pointer("i1"), 5000
		partition := func(number int32, metadata *string) kmsg.OffsetCommitRequestTopicPartition {
			p := kmsg.NewOffsetCommitRequestTopicPartition()
			p.Partition, p.Offset, p.LeaderEpoch, p.Metadata = number, 42+int64(number), 7, metadata
			return p
		}
		req.Topics = []kmsg.OffsetCommitRequestTopic{
			{Topic: "absent", TopicID: [16]byte{9}, Partitions: []kmsg.OffsetCommitRequestTopicPartition{partition(0, nil)}},
			{Topic: "t", TopicID: topic.ID, Partitions: []kmsg.OffsetCommitRequestTopicPartition{partition(2, nil), partition(-1, nil), partition(0, pointer("note")), partition(1, nil)}},
		}
		resp := c.ask(req).(*kmsg.OffsetCommitResponse)
		asked := s.groups.commit
		retention, generation, member, epoch := time.Duration(-1), int32(4), "m1", int32(-1)
		if version == 0 {
			generation, member = -1, ""
		}
		if version >= 2 && version <= 4 {
			retention = 5 * time.Second
		}
		if version >= 6 {
			epoch = 7
		}
		if asked.Group != "g" || asked.Generation != generation || asked.MemberID != member || asked.Retention != retention || (version >= 7) != (asked.InstanceID != nil) {
			t.Errorf("version %d: asked %+v", version, asked)
		}
		want := []consumergroup.CommitOffset{
			{TopicPartition: consumergroup.TopicPartition{Topic: "t", Partition: 0}, Offset: consumergroup.Offset{Offset: 42, LeaderEpoch: epoch, Metadata: "note"}},
			{TopicPartition: consumergroup.TopicPartition{Topic: "t", Partition: 1}, Offset: consumergroup.Offset{Offset: 43, LeaderEpoch: epoch}},
		}
		if !slices.Equal(asked.Offsets, want) {
			t.Errorf("version %d: asked to commit %+v", version, asked.Offsets)
		}
		unknown := codeUnknownTopicOrPartition
		if version >= 10 {
			unknown = codeUnknownTopicID
		}
		if got := resp.Topics[0]; got.Partitions[0].ErrorCode != unknown || (version >= 10) != (got.TopicID == [16]byte{9}) {
			t.Errorf("version %d, unknown topic: %+v", version, got)
		}
		for i, want := range []int16{codeUnknownTopicOrPartition, codeUnknownTopicOrPartition, codeNone, codeOffsetMetadataTooLarge} {
			if got := resp.Topics[1].Partitions[i]; got.ErrorCode != want || got.Partition != req.Topics[1].Partitions[i].Partition {
				t.Errorf("version %d: %+v, want code %d", version, got, want)
			}
		}
		before := s.groups.commits
		req.Topics = req.Topics[:1]
		if c.ask(req); s.groups.commits != before {
			t.Errorf("version %d: the group was asked to commit nothing", version)
		}
	}
}

func TestOffsetFetchOfOneGroup(t *testing.T) {
	s := administer(t, Options{})
	c := s.dial()
	fetched := func(topic string, partition int32, offset int64, epoch int32, note string) consumergroup.FetchedOffset {
		return consumergroup.FetchedOffset{TopicPartition: consumergroup.TopicPartition{Topic: topic, Partition: partition},
			Offset: consumergroup.Offset{Offset: offset, LeaderEpoch: epoch, Metadata: note}}
	}
	for version := int16(0); version <= 7; version++ {
		s.groups.fetches, s.groups.fetchCode = nil, 0
		s.groups.fetched = []consumergroup.FetchedOffset{fetched("a", 1, 5, 2, "note"), fetched("b", 0, 6, -1, ""), fetched("a", 2, -1, -1, "")}
		req := kmsg.NewPtrOffsetFetchRequest()
		req.SetVersion(version)
		req.Group, req.RequireStable = "g", true
		req.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: "a", Partitions: []int32{1, 2}}, {Topic: "b", Partitions: []int32{0}}}
		resp := c.ask(req).(*kmsg.OffsetFetchResponse)
		asked := s.groups.fetches[0]
		if asked.Group != "g" || len(asked.Partitions) != 3 || asked.MemberEpoch != -1 || asked.RequireStable != (version >= 7) {
			t.Errorf("version %d: asked %+v", version, asked)
		}
		if len(resp.Topics) != 2 || resp.Topics[0].Topic != "a" || len(resp.Topics[0].Partitions) != 2 || resp.Topics[1].Topic != "b" {
			t.Fatalf("version %d: %+v", version, resp)
		}
		p := resp.Topics[0].Partitions
		if p[0].Offset != 5 || *p[0].Metadata != "note" || (version >= 5) != (p[0].LeaderEpoch == 2) || p[1].Offset != -1 || p[1].Metadata == nil || *p[1].Metadata != "" || p[1].ErrorCode != 0 {
			t.Errorf("version %d: %+v", version, p)
		}

		req.Topics = nil
		c.ask(req)
		if asked := s.groups.fetches[1]; (version >= 2) != (asked.Partitions == nil) || len(asked.Partitions) != 0 {
			t.Errorf("version %d, null: asked %+v", version, asked)
		}
		req.Topics = []kmsg.OffsetFetchRequestTopic{}
		c.ask(req)
		if asked := s.groups.fetches[2]; asked.Partitions == nil || len(asked.Partitions) != 0 {
			t.Errorf("version %d, none: asked %+v", version, asked)
		}

		s.groups.fetched, s.groups.fetchCode = nil, codeNotCoordinator
		req.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: "a", Partitions: []int32{1, 2}}}
		resp = c.ask(req).(*kmsg.OffsetFetchResponse)
		if version >= 2 && (resp.ErrorCode != codeNotCoordinator || len(resp.Topics) != 0) {
			t.Errorf("version %d, moved: %+v", version, resp)
		}
		if version < 2 && (len(resp.Topics[0].Partitions) != 2 || resp.Topics[0].Partitions[1].ErrorCode != codeNotCoordinator || resp.Topics[0].Partitions[1].Offset != -1) {
			t.Errorf("version %d, moved: %+v", version, resp)
		}
	}
}

func TestOffsetFetchOfSeveralGroups(t *testing.T) {
	s := administer(t, Options{})
	topic := s.topic("t", 1)
	c := s.dial()
	for version := int16(8); version <= 10; version++ {
		s.groups.fetches, s.groups.fetchCode = nil, 0
		s.groups.fetched = []consumergroup.FetchedOffset{
			{TopicPartition: consumergroup.TopicPartition{Topic: "t"}, Offset: consumergroup.Offset{Offset: 5, LeaderEpoch: 2, Metadata: "note"}},
			{TopicPartition: consumergroup.TopicPartition{Topic: "gone"}, Offset: consumergroup.Offset{Offset: 6, LeaderEpoch: -1}},
		}
		req := kmsg.NewPtrOffsetFetchRequest()
		req.SetVersion(version)
		req.RequireStable = true
		first, second := kmsg.NewOffsetFetchRequestGroup(), kmsg.NewOffsetFetchRequestGroup()
		first.Group, first.MemberID, first.MemberEpoch = "g", pointer("m1"), 3
		first.Topics = []kmsg.OffsetFetchRequestGroupTopic{{Topic: "t", TopicID: topic.ID, Partitions: []int32{0}}, {Topic: "gone", TopicID: [16]byte{9}, Partitions: []int32{0, 1}}}
		second.Group, second.Topics = "h", nil
		req.Groups = []kmsg.OffsetFetchRequestGroup{first, second}
		resp := c.ask(req).(*kmsg.OffsetFetchResponse)
		asked := s.groups.fetches
		if len(asked) != 2 || asked[0].Group != "g" || asked[1].Group != "h" || !asked[0].RequireStable || asked[1].Partitions != nil {
			t.Fatalf("version %d: asked %+v", version, asked)
		}
		if (version >= 9) != (asked[0].MemberID != nil && *asked[0].MemberID == "m1" && asked[0].MemberEpoch == 3) || asked[1].MemberEpoch != -1 {
			t.Errorf("version %d: asked %+v", version, asked)
		}
		partitions := 3
		if version >= 10 {
			partitions = 1 // an id that nobody knows is not asked for
		}
		if len(asked[0].Partitions) != partitions || asked[0].Partitions[0].Topic != "t" {
			t.Errorf("version %d: asked for %+v", version, asked[0].Partitions)
		}
		got := resp.Groups[0]
		if len(resp.Groups) != 2 || got.Group != "g" || got.ErrorCode != 0 || len(got.Topics) != 2 {
			t.Fatalf("version %d: %+v", version, resp)
		}
		if p := got.Topics[0].Partitions[0]; p.Offset != 5 || p.LeaderEpoch != 2 || *p.Metadata != "note" || (version >= 10) != (got.Topics[0].TopicID == topic.ID) {
			t.Errorf("version %d: %+v", version, got.Topics[0])
		}
		if gone := got.Topics[1]; version >= 10 && (gone.TopicID != [16]byte{9} || len(gone.Partitions) != 2 || gone.Partitions[1].ErrorCode != codeUnknownTopicID || gone.Partitions[1].Offset != -1) {
			t.Errorf("version %d: %+v", version, gone)
		}
		if all := resp.Groups[1]; (version >= 10) != (len(all.Topics) == 1) {
			t.Errorf("version %d: all offsets: %+v", version, all)
		}
		s.groups.fetchCode = codeCoordinatorLoadInProgress
		for _, group := range c.ask(req).(*kmsg.OffsetFetchResponse).Groups {
			if group.ErrorCode != codeCoordinatorLoadInProgress || len(group.Topics) != 0 {
				t.Errorf("version %d, loading: %+v", version, group)
			}
		}
	}
}

func TestListGroupsOfEveryVersion(t *testing.T) {
	s := administer(t, Options{})
	s.groups.listed = []consumergroup.Listed{{Group: "a", ProtocolType: "consumer", State: "Stable", Type: "classic"}, {Group: "b", State: "Empty", Type: "classic"}}
	c := s.dial()
	for version := int16(0); version <= 5; version++ {
		for _, each := range []struct {
			states, types []string
			since         int16 // the version that has the filter
			want          string
		}{
			{nil, nil, 0, "a b"},
			{[]string{"STABLE", "Dead"}, nil, 4, "a"},
			{[]string{"nonsense"}, nil, 4, ""},
			{nil, []string{"Classic"}, 5, "a b"},
			{nil, []string{"consumer"}, 5, ""},
			{[]string{"empty"}, []string{"classic", "share"}, 5, "b"},
		} {
			if version < each.since {
				continue
			}
			req := kmsg.NewPtrListGroupsRequest()
			req.SetVersion(version)
			req.StatesFilter, req.TypesFilter = each.states, each.types
			resp := c.ask(req).(*kmsg.ListGroupsResponse)
			var names []string
			for _, g := range resp.Groups {
				names = append(names, g.Group)
				if (version >= 4) != (g.GroupState != "") || (version >= 5) != (g.GroupType == "classic") || (g.Group == "a") != (g.ProtocolType == "consumer") {
					t.Errorf("version %d: %+v", version, g)
				}
			}
			if strings.Join(names, " ") != each.want || resp.ErrorCode != 0 {
				t.Errorf("version %d, %v and %v: %v", version, each.states, each.types, names)
			}
		}
	}
	s.groups.listCode = codeCoordinatorLoadInProgress
	if resp := c.ask(kmsg.NewPtrListGroupsRequest()).(*kmsg.ListGroupsResponse); resp.ErrorCode != codeCoordinatorLoadInProgress || len(resp.Groups) != 2 {
		t.Errorf("loading: %+v", resp)
	}
}

func TestDescribeGroupsOfEveryVersion(t *testing.T) {
	s := administer(t, Options{})
	s.groups.described = map[string]consumergroup.Described{
		"g": {Group: "g", State: "Stable", ProtocolType: "consumer", Protocol: "range", Members: []consumergroup.DescribedMember{
			{ID: "m1", InstanceID: pointer("i1"), ClientID: "c", ClientHost: "/h", Metadata: []byte("meta"), Assignment: []byte("mine")}, {ID: "m2"}}},
		"moved": {Group: "moved", Code: codeNotCoordinator},
	}
	c := s.dial()
	for version := int16(0); version <= 6; version++ {
		req := kmsg.NewPtrDescribeGroupsRequest()
		req.SetVersion(version)
		req.Groups, req.IncludeAuthorizedOperations = []string{"g", "absent", "moved"}, true
		resp := c.ask(req).(*kmsg.DescribeGroupsResponse)
		if len(resp.Groups) != 3 {
			t.Fatalf("version %d: %+v", version, resp)
		}
		g := resp.Groups[0]
		if g.ErrorCode != 0 || g.Group != "g" || g.State != "Stable" || g.ProtocolType != "consumer" || g.Protocol != "range" || len(g.Members) != 2 {
			t.Errorf("version %d: %+v", version, g)
		}
		if m := g.Members[0]; m.MemberID != "m1" || m.ClientID != "c" || m.ClientHost != "/h" || string(m.ProtocolMetadata) != "meta" || string(m.MemberAssignment) != "mine" ||
			(version >= 4) != (m.InstanceID != nil) {
			t.Errorf("version %d: %+v", version, m)
		}
		operations := notAsked
		if version >= 3 {
			operations = groupOperations
		}
		if g.AuthorizedOperations != operations {
			t.Errorf("version %d: operations %x", version, g.AuthorizedOperations)
		}
		absent, want := resp.Groups[1], codeNone
		if version >= 6 {
			want = codeGroupIDNotFound
		}
		if absent.ErrorCode != want || absent.State != "Dead" || (absent.ErrorMessage != nil) != (version >= 6) || len(absent.Members) != 0 {
			t.Errorf("version %d: %+v", version, absent)
		}
		if moved := resp.Groups[2]; moved.ErrorCode != codeNotCoordinator || moved.State != "" || moved.AuthorizedOperations != notAsked {
			t.Errorf("version %d: %+v", version, moved)
		}
	}
}

func TestDeleteGroupsOfEveryVersion(t *testing.T) {
	s := administer(t, Options{})
	s.groups.outcome = map[string]int16{"busy": codeNonEmptyGroup, "absent": codeGroupIDNotFound, "moved": codeNotCoordinator}
	c := s.dial()
	for version := int16(0); version <= 3; version++ {
		s.groups.deleted = nil
		req := kmsg.NewPtrDeleteGroupsRequest()
		req.SetVersion(version)
		req.Groups = []string{"g", "busy", "g", "absent", "moved"}
		resp := c.ask(req).(*kmsg.DeleteGroupsResponse)
		var got []string
		for _, g := range resp.Groups {
			got = append(got, fmt.Sprintf("%s %d", g.Group, g.ErrorCode))
			if explained := g.ErrorCode == codeNonEmptyGroup || g.ErrorCode == codeGroupIDNotFound; (explained && version >= 3) != (g.ErrorMessage != nil) {
				t.Errorf("version %d: message of %+v", version, g)
			}
		}
		if strings.Join(got, ", ") != "g 0, busy 68, absent 69, moved 16" || len(s.groups.deleted) != 4 {
			t.Errorf("version %d: %v, deleted %v", version, got, s.groups.deleted)
		}
	}
}

func TestOffsetDelete(t *testing.T) {
	s := administer(t, Options{})
	s.topic("t", 2)
	c := s.dial()
	req := kmsg.NewPtrOffsetDeleteRequest()
	req.Group = "g"
	req.Topics = []kmsg.OffsetDeleteRequestTopic{
		{Topic: "absent", Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}}},
		{Topic: "t", Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 7}, {Partition: 0}, {Partition: 1}, {Partition: -1}}},
	}
	s.groups.codes = []int16{codeGroupSubscribedToTopic, codeNone}
	resp := c.ask(req).(*kmsg.OffsetDeleteResponse)
	if want := []consumergroup.TopicPartition{{Topic: "t", Partition: 0}, {Topic: "t", Partition: 1}}; !slices.Equal(s.groups.forgotten, want) {
		t.Errorf("asked to forget %v", s.groups.forgotten)
	}
	if resp.ErrorCode != 0 || resp.Topics[0].Partitions[0].ErrorCode != codeUnknownTopicOrPartition {
		t.Errorf("%+v", resp)
	}
	for i, want := range []int16{codeUnknownTopicOrPartition, codeGroupSubscribedToTopic, codeNone, codeUnknownTopicOrPartition} {
		if got := resp.Topics[1].Partitions[i]; got.ErrorCode != want || got.Partition != req.Topics[1].Partitions[i].Partition {
			t.Errorf("%+v, want code %d", got, want)
		}
	}
	s.groups.groupCode = codeGroupIDNotFound
	if resp = c.ask(req).(*kmsg.OffsetDeleteResponse); resp.ErrorCode != codeGroupIDNotFound || len(resp.Topics) != 0 {
		t.Errorf("no such group: %+v", resp)
	}
	before := s.groups.forgets
	req.Topics = req.Topics[:1]
	if resp = c.ask(req).(*kmsg.OffsetDeleteResponse); resp.ErrorCode != 0 || resp.Topics[0].Partitions[0].ErrorCode != codeUnknownTopicOrPartition || s.groups.forgets != before {
		t.Errorf("nothing that is known: %+v", resp)
	}
}
