package broker

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/barnabas-log/barnabas/log"
	"github.com/barnabas-log/barnabas/partition"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Every property that decides on a log's life comes to the partition that acts on it, when the topic is created and when it is altered.
func TestALogsLifeIsConfigured(t *testing.T) {
	n := start(t)
	n.create("t", 1, "cleanup.policy", "compact,delete", "retention.ms", "1001", "retention.bytes", "1002", "segment.bytes", "1048577", "segment.ms", "1004",
		"segment.jitter.ms", "1005", "min.compaction.lag.ms", "1006", "max.compaction.lag.ms", "1007", "delete.retention.ms", "1008", "file.delete.delay.ms", "1009",
		"min.cleanable.dirty.ratio", "0.25", "local.retention.ms", "1000", "local.retention.bytes", "1000")
	b := n.broker
	image := b.Image()
	got := b.partitionConfig(image.Topics["t"], image)
	const ms = time.Millisecond
	want := partition.Config{Compacted: true, DeletePolicy: true, RetentionTime: 1001 * ms, RetentionBytes: 1002, MinCompactionLag: 1006 * ms, MaxCompactionLag: 1007 * ms,
		DeleteRetention: 1008 * ms, MinDirtyRatio: 0.25, Log: log.Config{SegmentBytes: 1048577, SegmentAge: 1004 * ms, SegmentJitter: 1005 * ms, DeleteDelay: 1009 * ms}}
	life := func(c partition.Config) partition.Config { // what this test is about
		return partition.Config{Compacted: c.Compacted, DeletePolicy: c.DeletePolicy, RetentionTime: c.RetentionTime, RetentionBytes: c.RetentionBytes,
			MinCompactionLag: c.MinCompactionLag, MaxCompactionLag: c.MaxCompactionLag, DeleteRetention: c.DeleteRetention, MinDirtyRatio: c.MinDirtyRatio,
			Log: log.Config{SegmentBytes: c.Log.SegmentBytes, SegmentAge: c.Log.SegmentAge, SegmentJitter: c.Log.SegmentJitter, DeleteDelay: c.Log.DeleteDelay}}
	}
	if life(got) != want {
		t.Errorf("%+v, not %+v", life(got), want)
	}
}

// A segment that nobody follows up is closed by segment.ms, and goes by retention.ms, the last one too; on a compacted topic it is compacted then.
func TestAnIdleTopicAges(t *testing.T) {
	n := start(t, "log.cleaner.backoff.ms=20")
	n.create("aged", 1, "segment.ms", "300", "file.delete.delay.ms", "0")
	n.create("t", 1, "segment.ms", "300", "cleanup.policy", "compact", "min.cleanable.dirty.ratio", "0.01")
	n.create("expired", 1, "retention.ms", "300", "file.delete.delay.ms", "0")
	for _, topic := range []string{"aged", "expired"} {
		if err := n.produce(topic, 0, "one", "two"); err != nil {
			t.Fatal(err)
		}
	}
	for _, value := range []string{"one", "two"} {
		if err := n.client.ProduceSync(n.ctx(), &kgo.Record{Topic: "t", Key: []byte("key"), Value: []byte(value)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	n.until("the idle segment is rolled", func() bool {
		logs := slices.DeleteFunc(n.files("topics/aged"), func(name string) bool { return !strings.HasSuffix(name, ".log") })
		return len(logs) == 2
	})
	n.awaitCompacted("t", 0)
	if got := n.consume(0, 2); !slices.Equal(got, []int64{1}) {
		t.Errorf("compacted: %v", got)
	}
	n.until("everything has expired", func() bool { return n.begin("expired", 0) == 2 })
	if end := n.end("expired", 0); end != 2 {
		t.Errorf("ends at %d", end)
	}
	if got := n.read("aged", 0, 0); len(got) != 2 {
		t.Errorf("rolled: %q", got)
	}
}
