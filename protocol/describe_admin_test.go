package protocol

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/barnabas-log/barnabas/log/record"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestDescribeLogDirsOfEveryVersion(t *testing.T) {
	s := administer(t, Options{})
	s.logDirs = []LogDir{
		{Path: "/data", TotalBytes: 1000, UsableBytes: 400, Replicas: []LogDirReplica{{Topic: "a", Bytes: 10}, {Topic: "a", Partition: 1, Bytes: 11}, {Topic: "b", Bytes: 20}}},
		{Path: "/broken", TotalBytes: -1, UsableBytes: -1, Err: errors.New("gone")},
	}
	c := s.dial()
	for version := int16(0); version <= 5; version++ {
		for what, each := range map[string]struct {
			topics []kmsg.DescribeLogDirsRequestTopic
			want   string
		}{
			"all":                    {nil, "a 0 10, a 1 11, b 0 20"},
			"none":                   {[]kmsg.DescribeLogDirsRequestTopic{}, ""},
			"some":                   {[]kmsg.DescribeLogDirsRequestTopic{{Topic: "a", Partitions: []int32{1, 7}}, {Topic: "c", Partitions: []int32{0}}}, "a 1 11"},
			"a topic, no partitions": {[]kmsg.DescribeLogDirsRequestTopic{{Topic: "a"}}, ""},
		} {
			req := kmsg.NewPtrDescribeLogDirsRequest()
			req.SetVersion(version)
			req.Topics = each.topics
			resp := c.ask(req).(*kmsg.DescribeLogDirsResponse)
			if len(resp.Dirs) != 2 || resp.ErrorCode != 0 || resp.Dirs[0].Dir != "/data" || resp.Dirs[0].ErrorCode != 0 || resp.Dirs[1].ErrorCode != codeKafkaStorageError {
				t.Fatalf("version %d, %s: %+v", version, what, resp)
			}
			var got []string
			for _, topic := range resp.Dirs[0].Topics {
				for _, p := range topic.Partitions {
					got = append(got, fmt.Sprintf("%s %d %d", topic.Topic, p.Partition, p.Size))
					if p.IsFuture || p.OffsetLag != 0 {
						t.Errorf("version %d, %s: %+v", version, what, p)
					}
				}
			}
			if strings.Join(got, ", ") != each.want {
				t.Errorf("version %d, %s: %v, want %s", version, what, got, each.want)
			}
			total, usable := int64(-1), int64(-1)
			if version >= 4 {
				total, usable = 1000, 400
			}
			if resp.Dirs[0].TotalBytes != total || resp.Dirs[0].UsableBytes != usable || resp.Dirs[0].IsCordoned {
				t.Errorf("version %d: the volume: %+v", version, resp.Dirs[0])
			}
		}
	}
}

func TestDescribeClusterOfEveryVersion(t *testing.T) {
	s := administer(t, Options{})
	c := s.dial()
	for version := int16(0); version <= 2; version++ {
		for _, all := range []bool{false, true} {
			req := kmsg.NewPtrDescribeClusterRequest()
			req.SetVersion(version)
			req.EndpointType = 1
			req.IncludeFencedBrokers, req.IncludeClusterAuthorizedOperations = all, all
			resp := c.ask(req).(*kmsg.DescribeClusterResponse)
			brokers := 2
			if all && version >= 2 {
				brokers = 3
			}
			if resp.ErrorCode != 0 || resp.ErrorMessage != nil || resp.ClusterID != "a-cluster" || resp.ControllerID != 1 || len(resp.Brokers) != brokers || resp.EndpointType != 1 {
				t.Fatalf("version %d: %+v", version, resp)
			}
			if b := resp.Brokers[0]; b.NodeID != 1 || b.Host != "127.0.0.1" || b.Port == 0 || *b.Rack != "r1" || b.IsFenced {
				t.Errorf("version %d: %+v", version, b)
			}
			if last := resp.Brokers[brokers-1]; last.IsFenced != (brokers == 3) {
				t.Errorf("version %d: %+v", version, last)
			}
			want := notAsked
			if all {
				want = clusterOperations
			}
			if resp.ClusterAuthorizedOperations != want {
				t.Errorf("version %d, asked %t: operations %x", version, all, resp.ClusterAuthorizedOperations)
			}
		}
	}
	for kind, want := range map[int8]int16{controllerEndpoints: codeMismatchedEndpointType, 0: codeUnsupportedEndpointType, 9: codeUnsupportedEndpointType} {
		req := kmsg.NewPtrDescribeClusterRequest()
		req.SetVersion(2)
		req.EndpointType = kind
		if resp := c.ask(req).(*kmsg.DescribeClusterResponse); resp.ErrorCode != want || resp.ErrorMessage == nil || len(resp.Brokers) != 0 {
			t.Errorf("endpoints of kind %d: %+v", kind, resp)
		}
	}
}

func pageRequest(limit int32, cursor string, at int32, topics ...string) *kmsg.DescribeTopicPartitionsRequest {
	req := kmsg.NewPtrDescribeTopicPartitionsRequest()
	req.ResponsePartitionLimit = limit
	for _, name := range topics {
		req.Topics = append(req.Topics, kmsg.DescribeTopicPartitionsRequestTopic{Topic: name})
	}
	if cursor != "" {
		req.Cursor = &kmsg.DescribeTopicPartitionsRequestCursor{Topic: cursor, Partition: at}
	}
	return req
}

// described is a page in a few words: topic, code, partitions; and the cursor.
func described(resp *kmsg.DescribeTopicPartitionsResponse) string {
	var b strings.Builder
	for _, topic := range resp.Topics {
		fmt.Fprintf(&b, "%s %d", *topic.Topic, topic.ErrorCode)
		for _, p := range topic.Partitions {
			fmt.Fprintf(&b, " %d", p.Partition)
		}
		b.WriteString("; ")
	}
	if resp.NextCursor != nil {
		fmt.Fprintf(&b, "next %s %d", resp.NextCursor.Topic, resp.NextCursor.Partition)
	}
	return strings.TrimSuffix(b.String(), "; ")
}

func TestDescribeTopicPartitions(t *testing.T) {
	s := administer(t, Options{AutoCreate: true})
	for name, n := range map[string]int32{"b": 3, "a": 2, "c": 1} {
		s.topic(name, n)
	}
	c := s.dial()
	for _, each := range []struct {
		what string
		req  *kmsg.DescribeTopicPartitionsRequest
		want string
	}{
		{"all", pageRequest(100, "", 0), "a 0 0 1; b 0 0 1 2; c 0 0"},
		{"by name: sorted, once each, never created", pageRequest(100, "", 0, "c", "absent", "a", "c", "bad name"), "a 0 0 1; absent 3; bad name 17; c 0 0"},
		{"a page that ends within a topic", pageRequest(3, "", 0), "a 0 0 1; b 0 0; next b 1"},
		{"the page after it", pageRequest(3, "b", 1), "b 0 1 2; c 0 0"},
		{"a page that ends with a topic", pageRequest(2, "", 0), "a 0 0 1; next b 0"},
		{"a page of one", pageRequest(1, "b", 2), "b 0 2; next c 0"},
		{"less than one is one", pageRequest(0, "", 0), "a 0 0; next a 1"},
		{"less than none too", pageRequest(-5, "", 0), "a 0 0; next a 1"},
		{"a cursor after the last partition", pageRequest(5, "b", 3), "b 0; c 0 0"},
		{"a cursor at a topic that is gone", pageRequest(5, "bb", 1), "c 0 0"},
		{"a cursor after everything", pageRequest(5, "z", 0), ""},
		{"a cursor among the names", pageRequest(5, "b", 2, "a", "b", "c"), "b 0 2; c 0 0"},
		{"a cursor that is not among the names", pageRequest(5, "b", 0, "a", "c"), "a 42; c 42"},
		{"a cursor below 0", pageRequest(5, "b", -1, "b"), "b 42"},
	} {
		if got := described(c.ask(each.req).(*kmsg.DescribeTopicPartitionsResponse)); got != each.want {
			t.Errorf("%s: %q, want %q", each.what, got, each.want)
		}
	}
	if len(s.Image().Topics) != 3 {
		t.Error("a topic was created")
	}
}

func TestDescribedPartitions(t *testing.T) {
	s := administer(t, Options{})
	made := s.topic("__consumer_offsets", 1)
	s.topic("leaderless", 1)
	resp := s.dial().ask(pageRequest(100, "", 0)).(*kmsg.DescribeTopicPartitionsResponse)
	internal, leaderless := resp.Topics[0], resp.Topics[1]
	if !internal.IsInternal || internal.TopicID != made.ID || internal.AuthorizedOperations != topicOperations || leaderless.IsInternal {
		t.Errorf("%+v", internal)
	}
	p := internal.Partitions[0]
	if p.ErrorCode != 0 || p.LeaderID != 1 || p.LeaderEpoch != 5 || len(p.Replicas) != 1 || len(p.ISR) != 1 {
		t.Errorf("%+v", p)
	}
	if p.EligibleLeaderReplicas == nil || p.LastKnownELR == nil || len(p.OfflineReplicas) != 0 {
		t.Errorf("null lists, which Kafka's tools do not take: %+v", p)
	}
	if p := leaderless.Partitions[0]; p.ErrorCode != codeLeaderNotAvailable || p.LeaderID != -1 || len(p.Replicas) != 1 {
		t.Errorf("without a leader: %+v", p)
	}
	failed := append([]int32{1}, leaderless.Partitions[0].Replicas...) // 1 leads
	s.adminBackend.fake.offline.Store(&failed)
	resp = s.dial().ask(pageRequest(100, "", 0)).(*kmsg.DescribeTopicPartitionsResponse)
	if p := resp.Topics[1].Partitions[0]; len(p.Replicas) != 1 || !slices.Equal(p.OfflineReplicas, p.Replicas) {
		t.Errorf("with a replica that does not work: %+v", p)
	}
	if p := resp.Topics[0].Partitions[0]; p.LeaderID != 1 || slices.Contains(p.OfflineReplicas, 1) {
		t.Errorf("with a replica that does not work and leads all the same: %+v", p)
	}
	s.adminBackend.fake.offline.Store(nil)
	many := s.topic("many", maxDescribedPartitions+1)
	resp = s.dial().ask(pageRequest(1<<30, "", 0, many.Name)).(*kmsg.DescribeTopicPartitionsResponse)
	if got := resp.Topics[0]; len(got.Partitions) != maxDescribedPartitions || resp.NextCursor.Partition != maxDescribedPartitions {
		t.Errorf("the largest page has %d partitions, next %+v", len(got.Partitions), resp.NextCursor)
	}
}

func TestListPartitionReassignmentsIsEmpty(t *testing.T) {
	s := administer(t, Options{})
	s.topic("t", 1)
	c := s.dial()
	for _, topics := range [][]kmsg.ListPartitionReassignmentsRequestTopic{nil, {{Topic: "t", Partitions: []int32{0}}}, {{Topic: "absent", Partitions: []int32{9}}}} {
		req := kmsg.NewPtrListPartitionReassignmentsRequest()
		req.Topics = topics
		if resp := c.ask(req).(*kmsg.ListPartitionReassignmentsResponse); resp.ErrorCode != 0 || len(resp.Topics) != 0 {
			t.Errorf("%v: %+v", topics, resp)
		}
	}
}

func TestProducersOfALeaderOnly(t *testing.T) {
	s := administer(t, Options{})
	topic := s.topic("t", 2)
	s.host(topic)
	c := s.dial()
	b := record.New()
	b.ProducerID, b.ProducerEpoch, b.BaseSequence = 77, 2, 0
	for range 3 {
		b.Add(record.Record{Timestamp: time.Now().UnixMilli(), Value: []byte("value")})
	}
	if got := c.ask(produceTo("t", 0, 9, -1, b.Batch())).(*kmsg.ProduceResponse).Topics[0].Partitions[0]; got.ErrorCode != 0 {
		t.Fatalf("produce: %+v", got)
	}
	req := kmsg.NewPtrDescribeProducersRequest()
	req.Topics = []kmsg.DescribeProducersRequestTopic{{Topic: "t", Partitions: []int32{0, 1, 2, -1}}, {Topic: "absent", Partitions: []int32{0}}}
	resp := c.ask(req).(*kmsg.DescribeProducersResponse)
	p := resp.Topics[0].Partitions
	if p[0].ErrorCode != 0 || len(p[0].ActiveProducers) != 1 {
		t.Fatalf("%+v", p[0])
	}
	if got := p[0].ActiveProducers[0]; got.ProducerID != 77 || got.ProducerEpoch != 2 || got.LastSequence != 2 || got.LastTimestamp <= 0 ||
		got.CoordinatorEpoch != -1 || got.CurrentTxnStartOffset != -1 {
		t.Errorf("%+v", got)
	}
	for i, want := range []int16{0, codeNotLeaderOrFollower, codeUnknownTopicOrPartition, codeUnknownTopicOrPartition} {
		if p[i].ErrorCode != want {
			t.Errorf("partition %d: code %d, want %d", p[i].Partition, p[i].ErrorCode, want)
		}
	}
	if got := resp.Topics[1].Partitions[0]; got.ErrorCode != codeUnknownTopicOrPartition {
		t.Errorf("a topic that is not there: %+v", got)
	}
	s.adminBackend.fake.Partition(topic.ID, 0).Resign(6, 2)
	if got := c.ask(req).(*kmsg.DescribeProducersResponse).Topics[0].Partitions[0]; got.ErrorCode != codeNotLeaderOrFollower || len(got.ActiveProducers) != 0 {
		t.Errorf("a follower: %+v", got)
	}
}
