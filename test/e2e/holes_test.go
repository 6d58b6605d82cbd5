package e2e

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// holesBroker compacts soon.
func holesBroker(t testing.TB) *server {
	return sharedNamed(t, "holes", append([]string{"log.cleaner.backoff.ms=50", "log.retention.check.interval.ms=100"}, sharedSettings...)...)
}

const (
	holesRecords = 200
	holesKeys    = 17
)

// compactedTopic makes a topic of which compaction leaves the last record of each key, some of them without a value, with holes of every size between. It returns the
// offsets that are left.
func compactedTopic(t testing.TB, broker *server) (topic string, left []int64) {
	t.Helper()
	topic = topicName(t)
	createTopic(t, broker.address, topic, 1, "cleanup.policy", "compact,delete", "segment.ms", "300", "min.cleanable.dirty.ratio", "0.01", "retention.ms", "-1")
	client := referenceClient(t, broker.address, kgo.DefaultProduceTopic(topic))
	last := map[string]int64{}
	for first := 0; first < holesRecords; first += 10 {
		var batch []*kgo.Record
		for o := first; o < first+10; o++ {
			key := strconv.Itoa(o * o % holesKeys)
			if o%11 == 0 {
				key = strconv.Itoa(o) // stays where it is
			}
			last[key] = int64(o)
			r := &kgo.Record{Key: []byte(key), Value: []byte(fmt.Sprint("value ", o))}
			if o%7 == 3 {
				r.Value = nil
			}
			batch = append(batch, r)
		}
		if err := client.ProduceSync(testContext(t), batch...).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	for _, o := range last {
		left = append(left, o)
	}
	slices.Sort(left)
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		found := offsetsOf(t, broker, topic)
		if slices.Equal(found, left) {
			return topic, left
		}
		if time.Now().After(end) {
			t.Fatalf("the topic was not compacted: %v, not %v", found, left)
		}
	}
}

// offsetsOf are the offsets of all records of a topic of one partition whose last record is there.
func offsetsOf(t testing.TB, broker *server, topic string) (found []int64) {
	t.Helper()
	client := referenceClient(t, broker.address, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}))
	defer client.Close()
	ctx, cancel := context.WithTimeout(testContext(t), 20*time.Second)
	defer cancel()
	for len(found) == 0 || found[len(found)-1] < holesRecords-1 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) { found = append(found, r.Offset) })
	}
	return found
}

func expectOffsets(t testing.TB, what string, got []record, want []int64) {
	t.Helper()
	var offsets []int64
	for _, r := range got {
		offsets = append(offsets, r.Offset)
		if null := r.Offset%7 == 3; r.Offset < holesRecords && (null != (len(r.Value) == 0) || !null && string(r.Value) != fmt.Sprint("value ", r.Offset)) {
			t.Errorf("%s: offset %d has value %q", what, r.Offset, r.Value)
		}
	}
	if !slices.Equal(offsets, want) {
		t.Errorf("%s: offsets %v, not %v", what, offsets, want)
	}
}

// from are the offsets that a reader gets who begins at one.
func from(left []int64, offset int64) []int64 {
	k, _ := slices.BinarySearch(left, offset)
	return left[k:]
}

// Every client reads a compacted topic across its holes, from any offset: in a hole, at a record, behind one.
func TestClientsReadAcrossTheHolesOfACompactedTopic(t *testing.T) {
	broker := holesBroker(t)
	topic, left := compactedTopic(t, broker)
	forEachClient(t, func(t *testing.T, c *client) {
		expectOffsets(t, "from the start", c.consume(t, broker.address, topic, len(left), "from=start"), left)
		for _, offset := range []int64{1, left[3], left[3] + 1, 100, holesRecords - 1} {
			want := from(left, offset)
			got := c.consume(t, broker.address, topic, len(want), fmt.Sprint("from=offset:", offset), "partition=0")
			expectOffsets(t, fmt.Sprint("from ", offset), got, want)
		}
	})
}

// A reader whose offset was trimmed away, or never was, begins where auto.offset.reset says, or gets the error when it says none.
func TestReadersOutOfRangeAreReset(t *testing.T) {
	broker := holesBroker(t)
	topic, left := compactedTopic(t, broker)
	const start = 101 // in a hole, or at a record: the log begins there
	trimmed, err := kadm.NewClient(referenceClient(t, broker.address)).DeleteRecords(testContext(t), kadm.Offsets{topic: {0: {Topic: topic, Partition: 0, At: start}}})
	if err != nil || trimmed[topic][0].Err != nil || trimmed[topic][0].LowWatermark != start {
		t.Fatalf("%+v, %v", trimmed, err)
	}
	left = from(left, start)
	for _, c := range clients {
		if c.name != "kafkajs" && c.name != "java" {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			c.command(t)
			expectOffsets(t, "from the start", c.consume(t, broker.address, topic, len(left), "from=start"), left)
			expectOffsets(t, "from the start's offset", c.consume(t, broker.address, topic, len(left), fmt.Sprint("from=offset:", start)), left)
			for _, offset := range []int64{0, start - 1, holesRecords + 1000} {
				got := c.consume(t, broker.address, topic, len(left), fmt.Sprint("from=offset:", offset), "reset=earliest")
				expectOffsets(t, fmt.Sprint("from ", offset, ", earliest"), got, left)
			}
			if c.name == "java" { // kafkajs has no "none"
				for _, offset := range []int64{0, holesRecords + 1000} {
					p := c.start(t, broker.address, "consume", topic, "count=1", fmt.Sprint("from=offset:", offset), "reset=none")
					c.expectError(t, p, []string{strconv.Itoa(int(kerr.OffsetOutOfRange.Code))})
				}
			}
		})
	}
	// These write to the topic: after the others.
	for _, c := range clients {
		if c.name != "kafkajs" && c.name != "java" {
			continue
		}
		t.Run(c.name+" latest", func(t *testing.T) {
			c.command(t)
			client := referenceClient(t, broker.address, kgo.DefaultProduceTopic(topic))
			p := c.start(t, broker.address, "consume", topic, "count=1", "from=offset:0", "reset=latest")
			for stop := time.Now().Add(30 * time.Second); len(p.recordsSoFar()) == 0 && time.Now().Before(stop); time.Sleep(100 * time.Millisecond) {
				if err := client.ProduceSync(testContext(t), &kgo.Record{Key: []byte("later"), Value: []byte("later")}).FirstErr(); err != nil {
					t.Fatal(err)
				}
			}
			p.finish(t)
			if got := p.recordsSoFar(); len(got) != 1 || got[0].Offset < holesRecords {
				t.Errorf("%+v", got)
			}
		})
	}
}
