package broker

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// consumer joins a group; what it reads is committed only when a test says so.
func (n *node) consumer(group string, opts ...kgo.Opt) *kgo.Client {
	n.Helper()
	return n.newClient(append([]kgo.Opt{kgo.ConsumerGroup(group), kgo.ConsumeTopics("t"), kgo.DisableAutoCommit(), kgo.HeartbeatInterval(50 * time.Millisecond),
		kgo.SessionTimeout(6 * time.Second), kgo.Balancers(kgo.RoundRobinBalancer()), kgo.FetchMaxWait(100 * time.Millisecond),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())}, opts...)...)
}

// poll reads until count records have come, from any of the consumers, and counts them by value.
func (n *node) poll(count int, consumers ...*kgo.Client) map[string]int {
	n.Helper()
	got := map[string]int{}
	for i := 0; len(got) < count; i++ {
		ctx := n.ctx()
		fetches := consumers[i%len(consumers)].PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			n.Fatalf("%d of %d records: %v", len(got), count, err)
		}
		fetches.EachRecord(func(r *kgo.Record) { got[string(r.Value)]++ })
	}
	return got
}

// describe is one group as the coordinator sees it.
func (n *node) describe(group string) kadm.DescribedGroup {
	n.Helper()
	described, err := n.admin.DescribeGroups(n.ctx(), group)
	if err != nil {
		n.Fatal(err)
	}
	return described[group]
}

func (n *node) awaitMembers(group string, count int) {
	n.Helper()
	n.until(fmt.Sprintf("%s has %d members", group, count), func() bool {
		d := n.describe(group)
		return d.State == "Stable" && len(d.Members) == count
	})
}

// commit commits an offset of t-0 as a simple consumer does.
func (n *node) commit(group string, offset int64) {
	n.Helper()
	offsets := kadm.Offsets{}
	offsets.AddOffset("t", 0, offset, -1)
	admin := n.fresh()
	defer admin.Close()
	if err := admin.CommitAllOffsets(n.ctx(), group, offsets); err != nil {
		n.Fatal(err)
	}
}

// fresh is a client that knows no topic ids yet: one that has seen a topic asks by its id, also after the topic was deleted and created again.
func (n *node) fresh() *kadm.Client { return kadm.NewClient(n.newClient()) }

// committed is what a group committed for t-0, -1 for nothing.
func (n *node) committed(group string) int64 {
	n.Helper()
	admin := n.fresh()
	defer admin.Close()
	offsets, err := admin.FetchOffsets(n.ctx(), group)
	if err != nil {
		n.Fatal(err)
	}
	if at, ok := offsets.Lookup("t", 0); ok {
		return at.At
	}
	return -1
}

// Two members share the partitions, one takes over when the other leaves, and after a restart of the broker the group goes on where it had committed.
func TestAGroupOfTwoThroughARestart(t *testing.T) {
	n := start(t)
	n.create("t", 4)
	write := func(prefix string) {
		t.Helper()
		for partition := range int32(4) {
			if err := n.produce("t", partition, numbered(fmt.Sprintf("%s %d", prefix, partition), 5)...); err != nil {
				t.Fatal(err)
			}
		}
	}
	write("first")
	one := n.consumer("g")
	n.poll(20, one)
	two := n.consumer("g")
	n.awaitMembers("g", 2)
	for _, m := range n.describe("g").Members {
		assigned, ok := m.Assigned.AsConsumer()
		if !ok || len(assigned.Topics) != 1 || len(assigned.Topics[0].Partitions) != 2 {
			t.Errorf("%s has %+v", m.MemberID, assigned)
		}
	}
	if err := one.CommitUncommittedOffsets(n.ctx()); err != nil { // what it read of the partitions that it still has
		t.Fatal(err)
	}
	for partition := range int32(4) {
		offsets := kadm.Offsets{}
		offsets.AddOffset("t", partition, 5, -1)
		resp, err := n.admin.CommitOffsets(n.ctx(), "g", offsets)
		if at, _ := resp.Lookup("t", partition); err == nil {
			n.wantCode("a commit from outside, while there are members", at.Err, 25)
		}
	}
	two.Close() // leaves
	n.awaitMembers("g", 1)
	write("second")
	got := n.poll(20, one)
	for value, times := range got {
		if times > 1 {
			t.Errorf("%q came %d times", value, times)
		}
	}
	if err := one.CommitUncommittedOffsets(n.ctx()); err != nil {
		t.Fatal(err)
	}
	one.Close()
	n.until("the group is empty", func() bool { return n.describe("g").State == "Empty" })

	n.restart()
	write("third")
	again := n.poll(20, n.consumer("g"))
	for partition := range 4 {
		for i := range 5 {
			if value := fmt.Sprintf("third %d %d", partition, i); again[value] != 1 {
				t.Errorf("%q came %d times", value, again[value])
			}
		}
	}
}

// Members that were there when the broker stopped go on with their ids, generation and assignment; nobody has to join again.
func TestMembersOutliveTheBroker(t *testing.T) {
	n := start(t)
	n.create("t", 1)
	n.commit("g", 1) // the offsets topic is there now
	join := kmsg.NewPtrJoinGroupRequest()
	join.SetVersion(3)
	join.Group, join.ProtocolType, join.SessionTimeoutMillis, join.RebalanceTimeoutMillis = "g", "consumer", 10_000, 10_000
	join.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: (&kmsg.ConsumerMemberMetadata{Topics: []string{"t"}}).AppendTo(nil)}}
	client := n.newClient(kgo.MaxVersions(versionsWith(11, 3)))
	resp, err := client.Broker(1).Request(n.ctx(), join)
	if err != nil || resp.(*kmsg.JoinGroupResponse).ErrorCode != 0 {
		t.Fatalf("%+v, %v", resp, err)
	}
	member := resp.(*kmsg.JoinGroupResponse)
	sync := kmsg.NewPtrSyncGroupRequest()
	sync.Group, sync.Generation, sync.MemberID = "g", member.Generation, member.MemberID
	sync.ProtocolType, sync.Protocol = kmsg.StringPtr("consumer"), kmsg.StringPtr("range")
	sync.GroupAssignment = []kmsg.SyncGroupRequestGroupAssignment{{MemberID: member.MemberID, MemberAssignment: []byte("all")}}
	if code := ask[*kmsg.SyncGroupResponse](n, sync).ErrorCode; code != 0 {
		t.Fatalf("sync: code %d", code)
	}
	client.Close()
	n.restart()
	beat := kmsg.NewPtrHeartbeatRequest()
	beat.Group, beat.Generation, beat.MemberID = "g", member.Generation, member.MemberID
	n.until("the group is loaded", func() bool {
		code := ask[*kmsg.HeartbeatResponse](n, beat).ErrorCode
		if code != 0 && code != 14 && code != 15 && code != 16 {
			t.Fatalf("heartbeat: code %d", code)
		}
		return code == 0
	})
	if d := n.describe("g"); d.State != "Stable" || len(d.Members) != 1 || d.Members[0].MemberID != member.MemberID {
		t.Errorf("%+v", d)
	}
	if got := ask[*kmsg.SyncGroupResponse](n, sync); got.ErrorCode != 0 || string(got.MemberAssignment) != "all" {
		t.Errorf("assignment: code %d, %q", got.ErrorCode, got.MemberAssignment)
	}
	commit := kmsg.NewPtrOffsetCommitRequest()
	commit.Group, commit.Generation, commit.MemberID = "g", member.Generation, member.MemberID
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Offset = 3
	commit.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: "t", TopicID: n.broker.Image().Topics["t"].ID, Partitions: []kmsg.OffsetCommitRequestTopicPartition{p}}}
	if code := ask[*kmsg.OffsetCommitResponse](n, commit).Topics[0].Partitions[0].ErrorCode; code != 0 || n.committed("g") != 3 {
		t.Errorf("commit: code %d, committed %d", code, n.committed("g"))
	}
}

// A static member that comes back gets its partitions without a rebalance, and whom it replaced is fenced.
func TestStaticMembers(t *testing.T) {
	n := start(t)
	n.create("t", 2)
	first := n.consumer("g", kgo.InstanceID("i1"))
	n.awaitMembers("g", 1)
	id, generation := first.GroupMetadata()
	beat := func(id string, generation int32) int16 {
		t.Helper()
		req := kmsg.NewPtrHeartbeatRequest()
		req.Group, req.MemberID, req.Generation, req.InstanceID = "g", id, generation, kmsg.StringPtr("i1")
		return ask[*kmsg.HeartbeatResponse](n, req).ErrorCode
	}
	if code := beat(id, generation); code != 0 {
		t.Fatalf("heartbeat: code %d", code)
	}
	first.Close() // static members do not leave
	if d := n.describe("g"); d.State != "Stable" || len(d.Members) != 1 || d.Members[0].InstanceID == nil || *d.Members[0].InstanceID != "i1" {
		t.Errorf("%+v", d)
	}
	second := n.consumer("g", kgo.InstanceID("i1"))
	n.until("it has taken the place", func() bool { now, _ := second.GroupMetadata(); return now != "" && now != id })
	now, still := second.GroupMetadata()
	n.until("it is settled", func() bool { return beat(now, still) == 0 })
	if still != generation {
		t.Errorf("generation %d became %d", generation, still)
	}
	if code := beat(id, generation); code != 82 {
		t.Errorf("the old member's heartbeat: code %d", code)
	}
	second.Close()
	left, err := n.admin.LeaveGroup(n.ctx(), kadm.LeaveGroup("g").InstanceIDs("i1"))
	if err != nil || left["i1"].Err != nil {
		t.Fatalf("%+v, %v", left, err)
	}
	n.until("the group is empty", func() bool { return n.describe("g").State == "Empty" })
}

func TestListDescribeAndDeleteGroups(t *testing.T) {
	n := start(t)
	n.create("t", 2)
	n.commit("simple", 7)
	consumer := n.consumer("members")
	n.awaitMembers("members", 1)
	listed, err := n.admin.ListGroups(n.ctx())
	if err != nil || !slices.Equal(listed.Groups(), []string{"members", "simple"}) || listed["members"].State != "Stable" || listed["simple"].State != "Empty" {
		t.Errorf("%+v, %v", listed, err)
	}
	if listed, err = n.admin.ListGroups(n.ctx(), "Empty"); err != nil || !slices.Equal(listed.Groups(), []string{"simple"}) {
		t.Errorf("%+v, %v", listed, err)
	}
	if d := n.describe("members"); d.ProtocolType != "consumer" || d.Protocol != "roundrobin" || d.Members[0].ClientHost != "/127.0.0.1" || d.Members[0].ClientID != "kgo" {
		t.Errorf("%+v", d)
	}
	n.wantCode("described: absent", n.describe("absent").Err, 69)
	deleted, err := n.admin.DeleteGroups(n.ctx(), "simple", "members", "absent")
	if err != nil {
		t.Fatal(err)
	}
	for group, code := range map[string]int16{"simple": 0, "members": 68, "absent": 69} {
		var want error = deleted[group].Err
		n.wantCode("deleted: "+group, want, code)
	}
	n.restart() // what was deleted does not come back
	if at := n.committed("simple"); at != -1 {
		t.Errorf("the deleted group has committed %d", at)
	}
	consumer.Close()
}

func TestOffsetDelete(t *testing.T) {
	n := start(t)
	n.create("t", 2)
	n.create("u", 1)
	n.commit("g", 7)
	remove := func(topic string) int16 {
		t.Helper()
		req := kmsg.NewPtrOffsetDeleteRequest()
		req.Group = "g"
		req.Topics = []kmsg.OffsetDeleteRequestTopic{{Topic: topic, Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}}}}
		return ask[*kmsg.OffsetDeleteResponse](n, req).Topics[0].Partitions[0].ErrorCode
	}
	consumer := n.consumer("g")
	n.awaitMembers("g", 1)
	if code := remove("t"); code != 86 || n.committed("g") != 7 {
		t.Errorf("a topic that is read: code %d, committed %d", code, n.committed("g"))
	}
	if code := remove("u"); code != 0 {
		t.Errorf("a topic that is not read: code %d", code)
	}
	consumer.Close()
	n.until("the group is empty", func() bool { return n.describe("g").State == "Empty" })
	if code := remove("t"); code != 0 || n.committed("g") != -1 {
		t.Errorf("code %d, committed %d", code, n.committed("g"))
	}
}

// A retention that came with the commit runs out, and takes a group with it that has nothing else. One that the broker gives does not, yet.
func TestOffsetsExpire(t *testing.T) {
	n := start(t, "offsets.retention.check.interval.ms=20")
	n.create("t", 1)
	n.commit("stays", 1)
	req := kmsg.NewPtrOffsetCommitRequest()
	req.SetVersion(3)
	req.Group, req.Generation, req.RetentionTimeMillis = "goes", -1, 1
	req.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: "t", Partitions: []kmsg.OffsetCommitRequestTopicPartition{{Partition: 0, Offset: 1}}}}
	cl := n.newClient(kgo.MaxVersions(versionsWith(8, 3)))
	resp, err := cl.Broker(1).Request(n.ctx(), req)
	if err != nil || resp.(*kmsg.OffsetCommitResponse).Topics[0].Partitions[0].ErrorCode != 0 {
		t.Fatalf("%+v, %v", resp, err)
	}
	n.until("it expired", func() bool { return n.committed("goes") == -1 })
	n.until("the group went with it", func() bool { return n.describe("goes").State == "Dead" || n.describe("goes").Err != nil })
	if at := n.committed("stays"); at != 1 {
		t.Errorf("the other group has committed %d", at)
	}
}

// A deleted topic takes its offsets with it: a group that finds a topic of the same name begins anew.
func TestOffsetsOfADeletedTopicGo(t *testing.T) {
	n := start(t)
	n.create("t", 1)
	n.create("u", 1)
	n.commit("g", 7)
	kept := kadm.Offsets{}
	kept.AddOffset("u", 0, 9, -1)
	if err := n.admin.CommitAllOffsets(n.ctx(), "g", kept); err != nil {
		t.Fatal(err)
	}
	if _, err := n.admin.DeleteTopics(n.ctx(), "t"); err != nil {
		t.Fatal(err)
	}
	n.create("t", 1) // without a topic there is no id to ask by, and nothing would be answered in any case
	n.until("the offset is gone", func() bool { return n.committed("g") == -1 })
	n.commit("g", 3)
	n.restart()
	if at := n.committed("g"); at != 3 {
		t.Errorf("committed for the successor: %d", at)
	}
	offsets, err := n.admin.FetchOffsets(n.ctx(), "g")
	if at, _ := offsets.Lookup("u", 0); err != nil || at.At != 9 {
		t.Errorf("the other topic: %+v, %v", at, err)
	}
}

// The number of partitions of the offsets topic counts once. Groups are found afterwards whatever the configuration says.
func TestGroupsAreFoundWhenTheirNumberOfPartitionsChanges(t *testing.T) {
	n := start(t)
	n.create("t", 1)
	groups := numbered("group", 20)
	for i, group := range groups {
		n.commit(group, int64(i))
	}
	n.settings = append(n.settings, "offsets.topic.num.partitions=7")
	n.restart()
	for i, group := range groups {
		if at := n.committed(group); at != int64(i) {
			t.Errorf("%s has committed %d, want %d", group, at, i)
		}
	}
}

func TestInternalTopicsAreTheBrokers(t *testing.T) {
	n := start(t)
	n.create("t", 1)
	resp, err := n.admin.CreateTopic(n.ctx(), 7, 1, nil, offsetsTopic)
	if err == nil {
		err = resp.Err
	}
	n.wantCode("created by a client", err, 42)
	n.commit("g", 7)
	described, err := n.admin.ListTopicsWithInternal(n.ctx(), offsetsTopic)
	if err != nil || !described[offsetsTopic].IsInternal || len(described[offsetsTopic].Partitions) != 3 {
		t.Errorf("%+v, %v", described, err)
	}
	grown, err := n.admin.UpdatePartitions(n.ctx(), 9, offsetsTopic)
	if err != nil {
		t.Fatal(err)
	}
	n.wantCode("grown by a client", grown[offsetsTopic].Err, 42)
}
