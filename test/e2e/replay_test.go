package e2e

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// The topic that is replayed: three partitions of 200 records, one a second from replayBase on.
const (
	replayPartitions = 3
	replayRecords    = 200
	replayBase       = int64(1_700_000_000_000)
)

// The partitions differ by some milliseconds, so that a lookup that looks at the wrong one finds something else.
func replayTime(partition int32, offset int64) int64 {
	return replayBase + offset*1000 + int64(partition)*10
}

func replayTopic(t testing.TB, broker *server) string {
	topic := topicName(t)
	createTopic(t, broker.address, topic, replayPartitions)
	// Small batches of both kinds, so that a position is found within a batch and at its edge.
	for _, codec := range []kgo.CompressionCodec{kgo.NoCompression(), kgo.ZstdCompression()} {
		half := int64(0)
		if codec != kgo.NoCompression() {
			half = replayRecords / 2
		}
		for first := half; first < half+replayRecords/2; first += 25 {
			var batch []record
			for partition := range int32(replayPartitions) {
				for offset := first; offset < first+25; offset++ {
					batch = append(batch, text("k", fmt.Sprintf("%d@%d", offset, partition)).at(partition, replayTime(partition, offset)))
				}
			}
			produceReference(t, broker.address, topic, codec, batch)
		}
	}
	return topic
}

func TestReplayFromAnyPosition(t *testing.T) {
	broker := sharedBroker(t)
	topic := replayTopic(t, broker)
	forEachClient(t, func(t *testing.T, c *client) {
		t.Run("start", func(t *testing.T) {
			expectSuffix(t, c.consume(t, broker.address, topic, replayPartitions*replayRecords, "from=start"), 0)
		})
		t.Run("offset", func(t *testing.T) {
			got := c.consume(t, broker.address, topic, replayRecords-137, "from=offset:137", "partition=1")
			expectSuffix(t, got, 137)
			if partition := *got[0].Partition; partition != 1 {
				t.Errorf("partition 1 was asked for, %d came", partition)
			}
		})
		// The time of partition 1's record 60 is earlier than that of partition 2's: each finds its own record 60, partition 0 has 61.
		t.Run("timestamp", func(t *testing.T) {
			at := fmt.Sprintf("from=time:%d", replayTime(1, 60))
			got := c.consume(t, broker.address, topic, replayPartitions*(replayRecords-60)-1, at)
			expectStarts(t, got, map[int32]int64{0: 61, 1: 60, 2: 60})
		})
		t.Run("timestamp between batches", func(t *testing.T) {
			at := fmt.Sprintf("from=time:%d", replayTime(0, 149)+500)
			got := c.consume(t, broker.address, topic, replayRecords-150, at, "partition=0")
			expectStarts(t, got, map[int32]int64{0: 150})
		})
	})
}

// expectSuffix checks that each partition that came starts at the offset and goes on without a hole.
func expectSuffix(t testing.TB, got []record, start int64) {
	t.Helper()
	starts := map[int32]int64{}
	for _, r := range got {
		starts[*r.Partition] = start
	}
	expectStarts(t, got, starts)
}

func expectStarts(t testing.TB, got []record, starts map[int32]int64) {
	t.Helper()
	next := map[int32]int64{}
	for partition, start := range starts {
		next[partition] = start
	}
	for _, r := range got {
		if want := next[*r.Partition]; r.Offset != want {
			t.Fatalf("partition %d: offset %d came, expected %d", *r.Partition, r.Offset, want)
		}
		if want := fmt.Sprintf("%d@%d", r.Offset, *r.Partition); string(r.Value) != want {
			t.Fatalf("partition %d offset %d holds %q, expected %q", *r.Partition, r.Offset, r.Value, want)
		}
		if want := replayTime(*r.Partition, r.Offset); *r.Timestamp != want {
			t.Fatalf("partition %d offset %d has timestamp %d, expected %d", *r.Partition, r.Offset, *r.Timestamp, want)
		}
		next[*r.Partition]++
	}
	for partition, end := range next {
		if end != replayRecords {
			t.Errorf("partition %d ends at offset %d, expected %d", partition, end, replayRecords)
		}
	}
}
