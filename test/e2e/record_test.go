package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// record is what a client is given to produce and what it says it has read. A nil key or value is null on the wire.
type record struct {
	Partition *int32   `json:"partition,omitempty"`
	Offset    int64    `json:"offset,omitempty"`
	Timestamp *int64   `json:"timestamp,omitempty"`
	Key       []byte   `json:"key"`
	Value     []byte   `json:"value"`
	Headers   []header `json:"headers,omitempty"`
}

type header struct {
	Key   string
	Value []byte
}

func (h header) MarshalJSON() ([]byte, error) { return json.Marshal([]any{h.Key, h.Value}) }

func (h *header) UnmarshalJSON(data []byte) error {
	var pair [2]json.RawMessage
	if err := json.Unmarshal(data, &pair); err != nil {
		return err
	}
	if err := json.Unmarshal(pair[0], &h.Key); err != nil {
		return err
	}
	return json.Unmarshal(pair[1], &h.Value)
}

func (r record) String() string {
	text := fmt.Sprintf("key %s value %s", brief(r.Key), brief(r.Value))
	if r.Partition != nil {
		text = fmt.Sprintf("partition %d offset %d ", *r.Partition, r.Offset) + text
	}
	for _, h := range r.Headers {
		text += fmt.Sprintf(" %s=%s", h.Key, brief(h.Value))
	}
	return text
}

func brief(data []byte) string {
	switch {
	case data == nil:
		return "null"
	case len(data) > 40:
		return fmt.Sprintf("%q… (%d bytes)", data[:20], len(data))
	}
	return fmt.Sprintf("%q", data)
}

// sameContent compares what a producer decides: key, value and headers, with null and empty kept apart.
func sameContent(a, b record) bool {
	same := func(x, y []byte) bool { return (x == nil) == (y == nil) && bytes.Equal(x, y) }
	return same(a.Key, b.Key) && same(a.Value, b.Value) &&
		slices.EqualFunc(a.Headers, b.Headers, func(x, y header) bool { return x.Key == y.Key && same(x.Value, y.Value) })
}

// emptyForNull is the record as a library sees it that knows no null.
func emptyForNull(r record) record {
	if r.Key == nil {
		r.Key = []byte{}
	}
	if r.Value == nil {
		r.Value = []byte{}
	}
	r.Headers = slices.Clone(r.Headers)
	for i := range r.Headers {
		if r.Headers[i].Value == nil {
			r.Headers[i].Value = []byte{}
		}
	}
	return r
}

// text builds a record of strings.
func text(key, value string) record { return record{Key: []byte(key), Value: []byte(value)} }

func numbered(prefix string, first, count int) []record {
	var records []record
	for i := first; i < first+count; i++ {
		records = append(records, text(fmt.Sprintf("key-%d", i%17), fmt.Sprintf("%s-%d", prefix, i)))
	}
	return records
}

// at places a record in a partition and a time.
func (r record) at(partition int32, milliseconds int64) record {
	r.Partition, r.Timestamp = &partition, &milliseconds
	return r
}

// testContext ends with the test, and after two minutes.
func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// referenceClient is the franz-go client in this process, with which tests look at what a client under test has done.
func referenceClient(t testing.TB, brokers string, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append(options, kgo.SeedBrokers(brokers), kgo.MetadataMinAge(100*time.Millisecond))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func createTopic(t testing.TB, brokers, topic string, partitions int32, configs ...string) {
	t.Helper()
	settings := map[string]*string{}
	for i := 0; i < len(configs); i += 2 {
		settings[configs[i]] = &configs[i+1]
	}
	admin := kadm.NewClient(referenceClient(t, brokers))
	if _, err := admin.CreateTopic(testContext(t), partitions, 1, settings, topic); err != nil {
		t.Fatalf("create topic %s: %v", topic, err)
	}
	// Kafka answers before the topic can be written to.
	deadline := time.Now().Add(30 * time.Second)
	for {
		details, err := admin.ListTopics(testContext(t), topic)
		if err == nil && details[topic].Err == nil && len(details[topic].Partitions) == int(partitions) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("topic %s is not there 30 seconds after it was created: %v %v", topic, err, details[topic].Err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// produceReference writes records with the reference client; they must name their partitions.
func produceReference(t testing.TB, brokers, topic string, codec kgo.CompressionCodec, records []record) {
	t.Helper()
	client := referenceClient(t, brokers, kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(codec))
	var batch []*kgo.Record
	for _, r := range records {
		next := &kgo.Record{Key: r.Key, Value: r.Value, Partition: *r.Partition}
		if r.Timestamp != nil {
			next.Timestamp = time.UnixMilli(*r.Timestamp)
		}
		for _, h := range r.Headers {
			next.Headers = append(next.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
		}
		batch = append(batch, next)
	}
	if err := client.ProduceSync(testContext(t), batch...).FirstErr(); err != nil {
		t.Fatalf("produce to %s: %v", topic, err)
	}
}

// readReference reads the whole topic as it is now, and checks on the way that the offsets of each partition have no hole.
func readReference(t testing.TB, brokers, topic string) []record {
	t.Helper()
	admin := kadm.NewClient(referenceClient(t, brokers))
	ends, err := admin.ListEndOffsets(testContext(t), topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		t.Fatalf("list end offsets of %s: %v", topic, err)
	}
	var total int64
	next := map[int32]int64{}
	ends.Each(func(end kadm.ListedOffset) { total += end.Offset; next[end.Partition] = 0 })
	client := referenceClient(t, brokers, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	var records []record
	for ctx := testContext(t); int64(len(records)) < total; {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("read %s: %v, after %d of %d records", topic, err, len(records), total)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset != next[r.Partition] {
				t.Errorf("%s[%d]: offset %d follows %d", topic, r.Partition, r.Offset, next[r.Partition]-1)
			}
			next[r.Partition] = r.Offset + 1
			records = append(records, fromReference(r))
		})
	}
	return records
}

func fromReference(r *kgo.Record) record {
	milliseconds := r.Timestamp.UnixMilli()
	to := record{Partition: &r.Partition, Offset: r.Offset, Timestamp: &milliseconds, Key: r.Key, Value: r.Value}
	for _, h := range r.Headers {
		to.Headers = append(to.Headers, header{h.Key, h.Value})
	}
	return to
}

// storedCodecs returns the compression codecs of the batches of a partition, as the broker keeps them.
func storedCodecs(t testing.TB, brokers, topic string, partition int32) map[string]int {
	t.Helper()
	client := referenceClient(t, brokers)
	found := map[string]int{}
	for offset := int64(0); ; {
		request := kmsg.NewPtrFetchRequest()
		request.Version, request.MinBytes, request.MaxBytes, request.MaxWaitMillis, request.SessionEpoch = 12, 1, 1<<26, 100, -1
		wantedTopic, wanted := kmsg.NewFetchRequestTopic(), kmsg.NewFetchRequestTopicPartition()
		wantedTopic.Topic, wanted.Partition, wanted.FetchOffset, wanted.PartitionMaxBytes = topic, partition, offset, 1<<26
		wantedTopic.Partitions = append(wantedTopic.Partitions, wanted)
		request.Topics = append(request.Topics, wantedTopic)
		response, err := fetchVersion12(testContext(t), client, request)
		if err != nil {
			t.Fatalf("fetch %s[%d]: %v", topic, partition, err)
		}
		batches := response.Topics[0].Partitions[0].RecordBatches
		if len(batches) == 0 {
			return found
		}
		for len(batches) >= 61 {
			var batch kmsg.RecordBatch
			if err := batch.ReadFrom(batches); err != nil {
				break
			}
			found[[]string{"none", "gzip", "snappy", "lz4", "zstd", "5", "6", "7"}[batch.Attributes&7]]++
			offset = batch.FirstOffset + int64(batch.LastOffsetDelta) + 1
			batches = batches[12+batch.Length:]
		}
	}
}
