package broker

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestATopicFromCreationToDeletion(t *testing.T) {
	n := start(t)
	made := n.create("t", 3, "retention.ms", "1000000")
	if made.Err != nil || made.NumPartitions != 3 || *made.Configs["retention.ms"].Value != "1000000" {
		t.Fatalf("%+v", made)
	}
	for partition := range int32(3) { // at once, without looking for leaders
		if err := n.produce("t", partition, "first"); err != nil {
			t.Fatal(err)
		}
	}
	described, err := n.admin.ListTopics(n.ctx(), "t")
	if err != nil || len(described["t"].Partitions) != 3 || described["t"].ID != made.ID {
		t.Fatalf("%+v, %v", described, err)
	}
	for _, p := range described["t"].Partitions {
		if p.Err != nil || p.Leader != 1 || !slices.Equal(p.ISR, []int32{1}) {
			t.Errorf("%+v", p)
		}
	}
	grown, err := n.admin.UpdatePartitions(n.ctx(), 5, "t")
	if err != nil || grown["t"].Err != nil {
		t.Fatalf("%+v, %v", grown, err)
	}
	client := n.newClient() // the other one does not know the new partitions yet
	for partition := range int32(5) {
		if err := client.ProduceSync(n.ctx(), &kgo.Record{Topic: "t", Partition: partition, Value: []byte("second")}).FirstErr(); err != nil {
			t.Errorf("partition %d: %v", partition, err)
		}
	}
	if got := n.read("t", 0, 0); !slices.Equal(got, []string{"first", "second"}) {
		t.Errorf("an old partition has %q", got)
	}
	deleted, err := n.admin.DeleteTopics(n.ctx(), "t")
	if err != nil || deleted["t"].Err != nil || deleted["t"].ID != made.ID {
		t.Fatalf("%+v, %v", deleted, err)
	}
	n.until("its files are gone", func() bool { return len(n.files("topics/t")) == 0 })
	again, err := n.admin.DeleteTopics(n.ctx(), "t")
	if err != nil {
		t.Fatal(err)
	}
	n.wantCode("deleted again", again["t"].Err, 3)
}

// A topic that is created again under the same name has nothing of its predecessor, whose id is unknown from then on.
func TestATopicCreatedAgain(t *testing.T) {
	n := start(t)
	old := n.create("t", 2).ID
	if err := n.produce("t", 0, numbered("old", 10)...); err != nil {
		t.Fatal(err)
	}
	if _, err := n.admin.DeleteTopics(n.ctx(), "t"); err != nil {
		t.Fatal(err)
	}
	next := n.create("t", 1).ID
	if next == old {
		t.Fatal("the id came again")
	}
	if end := n.end("t", 0); end != 0 {
		t.Errorf("the new topic ends at %d", end)
	}
	for id, want := range map[[16]byte]int16{old: 100, next: 0} {
		if got := n.fetchByID(id); got != want {
			t.Errorf("fetch by id %v: code %d, want %d", id, got, want)
		}
		req := kmsg.NewPtrMetadataRequest()
		topic := kmsg.NewMetadataRequestTopic()
		topic.TopicID = id
		req.Topics = append(req.Topics, topic)
		req.SetVersion(12)
		if got := ask[*kmsg.MetadataResponse](n, req).Topics[0].ErrorCode; got != want {
			t.Errorf("metadata by id %v: code %d, want %d", id, got, want)
		}
	}
	client := n.newClient(kgo.DefaultProduceTopic("t")) // one that has never seen the old topic
	if err := client.ProduceSync(n.ctx(), kgo.StringRecord("new")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if got := n.read("t", 0, 0); !slices.Equal(got, []string{"new"}) {
		t.Errorf("read %q", got)
	}
	n.until("nothing of the old topic is left", func() bool { return len(n.files(old.String())) == 0 })
	n.restart()
	if got := n.read("t", 0, 0); !slices.Equal(got, []string{"new"}) || len(n.files("topics/t/1.")) != 0 {
		t.Errorf("after a restart: read %q, files %v", got, n.files("topics/t"))
	}
}

func (n *node) fetchByID(id [16]byte) int16 {
	n.Helper()
	req := kmsg.NewPtrFetchRequest()
	req.MinBytes, req.MaxBytes, req.SessionEpoch = 0, 1<<20, -1
	p := kmsg.NewFetchRequestTopicPartition()
	p.PartitionMaxBytes = 1 << 20
	req.Topics = []kmsg.FetchRequestTopic{{TopicID: id, Partitions: []kmsg.FetchRequestTopicPartition{p}}}
	return ask[*kmsg.FetchResponse](n, req).Topics[0].Partitions[0].ErrorCode
}

// A deletion that a crash cut short is finished when the node starts.
func TestFilesOfADeletedTopicAreSwept(t *testing.T) {
	n := start(t)
	n.create("kept", 1)
	if err := n.produce("kept", 0, "value"); err != nil {
		t.Fatal(err)
	}
	n.stop()
	left := filepath.Join(n.dir, "topics", "gone", "0.AAAAAAAAAAAAAAAAAAAAAg")
	if err := os.MkdirAll(left, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(left, "00000000000000000000.log"), []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	n.open()
	n.until("what is left of it to be removed", func() bool { return len(n.files("gone")) == 0 })
	if got := n.read("kept", 0, 0); !slices.Equal(got, []string{"value"}) {
		t.Errorf("read %q", got)
	}
}

func TestDeleteRecords(t *testing.T) {
	n := start(t)
	n.create("t", 1)
	if err := n.produce("t", 0, numbered("value", 10)...); err != nil {
		t.Fatal(err)
	}
	remove := func(offset int64) kmsg.DeleteRecordsResponseTopicPartition {
		t.Helper()
		req := kmsg.NewPtrDeleteRecordsRequest()
		req.TimeoutMillis = 5000
		req.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: "t", Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Offset: offset}}}}
		return ask[*kmsg.DeleteRecordsResponse](n, req).Topics[0].Partitions[0]
	}
	if got := remove(4); got.ErrorCode != 0 || got.LowWatermark != 4 || n.begin("t", 0) != 4 {
		t.Errorf("before 4: %+v, begins at %d", got, n.begin("t", 0))
	}
	if got := remove(11); got.ErrorCode != 1 {
		t.Errorf("beyond the end: %+v", got)
	}
	n.restart()
	if got := n.read("t", 0, 4); len(got) != 6 || got[0] != "value 4" || n.begin("t", 0) != 4 {
		t.Errorf("after a restart: begins at %d, %q", n.begin("t", 0), got)
	}
	if got := remove(-1); got.ErrorCode != 0 || got.LowWatermark != 10 || n.begin("t", 0) != 10 {
		t.Errorf("all: %+v, begins at %d", got, n.begin("t", 0))
	}
	n.create("compacted", 1, "cleanup.policy", "compact")
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: "compacted", Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Offset: -1}}}}
	if got := ask[*kmsg.DeleteRecordsResponse](n, req).Topics[0].Partitions[0].ErrorCode; got != 44 {
		t.Errorf("records of a compacted topic: code %d", got)
	}
}

func TestConfigurationsTakeEffect(t *testing.T) {
	n := start(t)
	n.create("t", 1)
	n.create("other", 1, "max.message.bytes", "3000")
	large := strings.Repeat("x", 2000)
	if err := n.produce("t", 0, large); err != nil {
		t.Fatal(err)
	}
	if err := n.alter("t", "max.message.bytes", "1000"); err != nil {
		t.Fatal(err)
	}
	n.until("the topic refuses what is too large", func() bool { return n.refuses("t", large) })
	if got := n.read("t", 0, 0); len(got) != 1 {
		t.Errorf("%d records", len(got))
	}
	// A default of all brokers reaches topics that have no value of their own, at once.
	n.create("inherits", 1)
	if err := n.alter("", "message.max.bytes", "1000"); err != nil {
		t.Fatal(err)
	}
	n.until("the default reaches a topic", func() bool { return n.refuses("inherits", large) })
	if err := n.produce("other", 0, large); err != nil {
		t.Errorf("a topic with a value of its own: %v", err)
	}
	n.restart()
	if !n.refuses("t", large) || !n.refuses("inherits", large) {
		t.Error("forgotten after a restart")
	}
	described, err := n.admin.DescribeTopicConfigs(n.ctx(), "t", "inherits")
	if err != nil {
		t.Fatal(err)
	}
	for _, each := range []struct {
		topic  string
		source kmsg.ConfigSource
	}{{"t", kmsg.ConfigSourceDynamicTopicConfig}, {"inherits", kmsg.ConfigSourceDynamicDefaultBrokerConfig}} {
		resource, err := described.On(each.topic, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, config := range resource.Configs {
			if config.Key == "max.message.bytes" && (config.MaybeValue() != "1000" || config.Source != each.source) {
				t.Errorf("%s: %+v", each.topic, config)
			}
		}
	}
	n.wantCode("an unknown name", n.alter("t", "max.message.byte", "1"), 40)
	n.wantCode("a bad value", n.alter("t", "max.message.bytes", "many"), 40)
	n.wantCode("what is fixed at start", n.alter("", "log.dirs", "/elsewhere"), 42)
}

// refuses says whether a value is too large for a topic.
func (n *node) refuses(topic, value string) bool {
	n.Helper()
	ctx, cancel := context.WithCancel(n.ctx())
	defer cancel()
	client := n.newClient(kgo.DisableIdempotentWrite(), kgo.ProducerBatchCompression(kgo.NoCompression()))
	defer client.Close()
	err := client.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte(value)}).FirstErr()
	return err != nil && strings.Contains(err.Error(), "MESSAGE_TOO_LARGE")
}

// Retention removes whole segments once they are more than the topic may have, without being asked.
func TestRetentionBySize(t *testing.T) {
	n := start(t)
	n.create("t", 1, "segment.bytes", "1048576", "retention.bytes", "1048576", "file.delete.delay.ms", "0")
	value := strings.Repeat("x", 256<<10)
	producer := n.newClient(kgo.ProducerBatchCompression(kgo.NoCompression()))
	for range 16 {
		if err := producer.ProduceSync(n.ctx(), &kgo.Record{Topic: "t", Value: []byte(value)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	// Three records fill a segment; the four last ones are a little more than what is to be kept.
	n.until("the log begins where it should", func() bool { return n.begin("t", 0) == 12 })
	n.until("the files are gone", func() bool {
		logs := slices.DeleteFunc(n.files("topics/t"), func(name string) bool { return !strings.HasSuffix(name, ".log") })
		return len(logs) <= 3
	})
	begin := n.begin("t", 0)
	if got := n.read("t", 0, begin); int64(len(got)) != 16-begin {
		t.Errorf("%d records from %d", len(got), begin)
	}
	n.restart()
	if again := n.begin("t", 0); again < begin || n.end("t", 0) != 16 {
		t.Errorf("after a restart the log has %d to %d", again, n.end("t", 0))
	}
}

func TestLogDirsAndCluster(t *testing.T) {
	n := start(t, "broker.rack=here")
	n.create("t", 2)
	if err := n.produce("t", 1, "value"); err != nil {
		t.Fatal(err)
	}
	dirs, err := n.admin.DescribeAllLogDirs(n.ctx(), nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := dirs[1][n.dir]
	if dir.Err != nil || dir.Size() <= 0 || len(dir.Topics["t"]) != 2 || dir.Topics["t"][1].Size <= 0 || dir.Topics["t"][0].Size != 0 {
		t.Errorf("%+v", dirs)
	}
	cluster := ask[*kmsg.DescribeClusterResponse](n, kmsg.NewPtrDescribeClusterRequest())
	if cluster.ErrorCode != 0 || cluster.ClusterID == "" || cluster.ControllerID != 1 || len(cluster.Brokers) != 1 || *cluster.Brokers[0].Rack != "here" {
		t.Errorf("%+v", cluster)
	}
	n.restart()
	if again := ask[*kmsg.DescribeClusterResponse](n, kmsg.NewPtrDescribeClusterRequest()); again.ClusterID != cluster.ClusterID {
		t.Errorf("the cluster was %s and is %s", cluster.ClusterID, again.ClusterID)
	}
}
