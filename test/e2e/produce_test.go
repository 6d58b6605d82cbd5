package e2e

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// big is close to what the default limit of a broker, 1048588 bytes a batch, lets through. It does not compress well.
var big = func() []byte {
	data := make([]byte, 900<<10)
	state := uint32(1)
	for i := range data {
		state = state*1664525 + 1013904223
		data[i] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"[state>>26]
	}
	return data
}()

// shapes are records of every form that clients know. Values have no byte 0x1e or 0x1f, which frame those of kcat.
func shapes() []record {
	records := []record{
		text("plain", "value"),
		{Value: []byte("no key")},
		{Key: []byte("empty value"), Value: []byte{}},
		{Key: []byte("tombstone")},
		text("Zażółć 城 🏰", "gęślą jaźń\r\n\t\x00\x01\xff\xfe"),
		{Key: []byte("headers"), Value: []byte("v"), Headers: []header{
			{"trace", []byte("1234")}, {"empty", []byte{}}, {"twice", []byte("a")}, {"twice", []byte("b")},
		}},
		{Key: []byte("big"), Value: big},
		{Key: bytes.Repeat([]byte("k"), 5000), Value: bytes.Repeat([]byte("compressible "), 4000)},
	}
	return append(records, numbered("shape", 0, 40)...)
}

func topicName(t testing.TB, parts ...string) string {
	name := strings.NewReplacer("/", ".", "#", "-").Replace(t.Name())
	return strings.Join(append([]string{name}, parts...), ".")
}

func TestEveryShapeSurvivesEveryCodecOfTheClient(t *testing.T) {
	broker := sharedBroker(t)
	forEachClient(t, func(t *testing.T, c *client) {
		for _, codec := range c.codecs {
			topic := topicName(t, codec)
			createTopic(t, broker.address, topic, 1)
			want := shapes()
			c.produce(t, broker.address, topic, want, "codec="+codec)
			expectRecords(t, "the reference client reading what "+c.name+" wrote with "+codec, want, readReference(t, broker.address, topic))
			if stored := storedCodecs(t, broker.address, topic, 0); stored[codec] == 0 {
				t.Errorf("%s was told to write %s; the broker has %v", c.name, codec, stored)
			}
		}
	})
}

func TestClientReadsEveryCodecAndShape(t *testing.T) {
	broker := sharedBroker(t)
	topic := topicName(t)
	createTopic(t, broker.address, topic, 1)
	var want []record
	for codec, compression := range referenceCodecs() {
		batch := append(shapes(), numbered(codec, 0, 20)...)
		for i := range batch {
			batch[i] = batch[i].at(0, 1_700_000_000_000+int64(i))
		}
		produceReference(t, broker.address, topic, compression, batch)
		want = append(want, batch...)
	}
	stored := storedCodecs(t, broker.address, topic, 0)
	for _, codec := range everyCodec {
		if stored[codec] == 0 {
			t.Fatalf("no batch is stored with %s: %v", codec, stored)
		}
	}
	forEachClient(t, func(t *testing.T, c *client) {
		got := c.consume(t, broker.address, topic, len(want))
		want := append([]record(nil), want...)
		for i := range want {
			if c.nullIsEmpty {
				want[i] = emptyForNull(want[i])
			}
		}
		expectRecords(t, c.name, want, got)
		for i := range got {
			if got[i].Offset != int64(i) || *got[i].Timestamp != *want[i].Timestamp {
				t.Fatalf("record %d has offset %d and timestamp %d, expected timestamp %d", i, got[i].Offset, *got[i].Timestamp, *want[i].Timestamp)
			}
		}
	})
}

func TestKeysChoosePartitions(t *testing.T) {
	broker := sharedBroker(t)
	forEachClient(t, func(t *testing.T, c *client) {
		topic := topicName(t)
		createTopic(t, broker.address, topic, 12)
		var records []record
		for i := range 200 {
			records = append(records, text(fmt.Sprintf("user-%d", i%50), fmt.Sprint(i)))
		}
		c.produce(t, broker.address, topic, records)
		got := readReference(t, broker.address, topic)
		if len(got) != len(records) {
			t.Fatalf("%d of %d records are there", len(got), len(records))
		}
		hasher := kgo.StickyKeyPartitioner(nil).ForTopic(topic)
		chosen := map[string]int32{}
		used := map[int32]bool{}
		for _, r := range got {
			key := string(r.Key)
			if before, seen := chosen[key]; seen && before != *r.Partition {
				t.Errorf("%s is in partitions %d and %d", key, before, *r.Partition)
			}
			chosen[key], used[*r.Partition] = *r.Partition, true
			if java := int32(hasher.Partition(&kgo.Record{Key: r.Key}, 12)); c.javaHash && *r.Partition != java {
				t.Errorf("%s is in partition %d, the Java client chooses %d", key, *r.Partition, java)
			}
		}
		if len(used) < 8 {
			t.Errorf("50 keys use only %d of 12 partitions", len(used))
		}
	})
}

func referenceCodecs() map[string]kgo.CompressionCodec {
	return map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
}

// expectRecords compares content and order.
func expectRecords(t testing.TB, who string, want, got []record) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d records, expected %d", who, len(got), len(want))
	}
	for i := range want {
		if !sameContent(want[i], got[i]) {
			t.Fatalf("%s: record %d is\n  %v, expected\n  %v", who, i, got[i], want[i])
		}
	}
}

// fetchVersion12 sends the fetch as version 12, the last that names topics rather than giving their ids.
func fetchVersion12(ctx context.Context, client *kgo.Client, request *kmsg.FetchRequest) (*kmsg.FetchResponse, error) {
	versions := kversion.Stable()
	versions.SetMaxKeyVersion(request.Key(), 12)
	seeds := client.OptValue(kgo.SeedBrokers).([]string)
	limited, err := kgo.NewClient(kgo.SeedBrokers(seeds...), kgo.MaxVersions(versions))
	if err != nil {
		return nil, err
	}
	defer limited.Close()
	response, err := request.RequestWith(ctx, limited)
	if err != nil {
		return nil, err
	}
	return response, nil
}
