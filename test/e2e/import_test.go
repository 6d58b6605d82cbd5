package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// importCodecs are those of the partitions of the topic "codecs".
var importCodecs = []string{"none", "gzip", "snappy", "lz4", "zstd"}

// What a stopped Kafka broker holds is read back from Barnabas as it was read from Kafka: every codec over several segments, a compacted partition with its holes, a trimmed one. New
// producers write behind it. What transactions have written is refused.
func TestPartitionsOfAStoppedKafkaAreTakenOver(t *testing.T) {
	if testing.Short() {
		t.Skip("starts Apache Kafka")
	}
	kafka := newServer(t, "log.cleaner.backoff.ms=100", "log.retention.check.interval.ms=200", "transaction.state.log.num.partitions=1")
	kafka.command = kafka.kafka
	ours := newServer(t)
	ours.command = ours.barnabas
	for _, s := range []*server{kafka, ours} {
		t.Cleanup(func() {
			s.kill()
			s.explain(t)
		})
	}
	kafka.start(t)
	topics := map[string]int32{"codecs": int32(len(importCodecs)), "compacted": 1, "trimmed": 1, "appendtime": 1}
	fillKafka(t, kafka)
	want := map[string][]record{}
	for topic := range topics {
		want[topic] = readAll(t, kafka.address, topic)
	}
	starts := logStarts(t, kafka.address)
	if at := starts["trimmed"]; at != trimmedTo {
		t.Fatalf("Kafka's log of trimmed starts at %d", at)
	}
	kafka.stop(t)
	for partition := range topics["codecs"] {
		if logs := segmentFiles(t, kafka, "codecs", int(partition), ".log"); len(logs) < 3 {
			t.Fatalf("Kafka has only %d segments: %v", len(logs), logs)
		}
	}

	ours.start(t)
	for topic, partitions := range topics {
		createTopic(t, ours.address, topic, partitions, "segment.bytes", "1048576")
	}
	createTopic(t, ours.address, "transactional", 1)
	ours.stop(t)
	if output, err := importFrom(t, kafka, ours, "transactional", 0); err == nil || !strings.Contains(output, "transaction") {
		t.Errorf("transactional: %v\n%s", err, output)
	}
	for topic, partitions := range topics {
		for partition := range partitions {
			if output, err := importFrom(t, kafka, ours, topic, partition); err != nil {
				t.Fatalf("import %s-%d: %v\n%s", topic, partition, err, output)
			}
		}
	}

	ours.start(t)
	for topic := range topics {
		expectSame(t, topic, want[topic], readAll(t, ours.address, topic))
	}
	if now := logStarts(t, ours.address); now["trimmed"] != starts["trimmed"] {
		t.Errorf("the log of trimmed starts at %d, not %d", now["trimmed"], starts["trimmed"])
	}
	for topic, partitions := range topics { // ids and sequences of new producers are what those of Kafka's were
		for partition := range partitions {
			more := produceOne(t, ours.address, topic, partition, "behind")
			want[topic] = append(want[topic], more)
		}
	}
	ours.kill()
	ours.start(t)
	for topic := range topics {
		expectSame(t, topic+" with what was written behind it", want[topic], readAll(t, ours.address, topic))
	}
}

const (
	trimmedTo     = 137
	importRecords = 300
)

// fillKafka writes the topics.
func fillKafka(t *testing.T, kafka *server) {
	t.Helper()
	begin := time.Now().Add(-time.Hour).UnixMilli()
	noise := rand.NewChaCha8([32]byte{7})
	createTopic(t, kafka.address, "codecs", int32(len(importCodecs)), "segment.bytes", "1048576")
	for partition, codec := range importCodecs {
		var records []record
		for i := range importRecords {
			value := make([]byte, 10_000)
			_, _ = noise.Read(value)
			r := text(fmt.Sprint("key ", i), "").at(int32(partition), begin+int64(i*i%1000))
			r.Value, r.Headers = value, []header{{"n", fmt.Append(nil, i)}, {"none", nil}}
			if i%50 == 7 {
				r.Value, r.Key = nil, nil
			}
			records = append(records, r)
		}
		for at := 0; at < len(records); at += 20 {
			produceReference(t, kafka.address, "codecs", referenceCodecs()[codec], records[at:at+20])
		}
	}
	createTopic(t, kafka.address, "appendtime", 1, "message.timestamp.type", "LogAppendTime")
	createTopic(t, kafka.address, "trimmed", 1)
	for i := range 10 {
		batch := numbered("value", 20*i, 20)
		for k := range batch {
			batch[k] = batch[k].at(0, begin+int64(20*i+k))
		}
		produceReference(t, kafka.address, "appendtime", kgo.GzipCompression(), batch)
		produceReference(t, kafka.address, "trimmed", kgo.NoCompression(), batch)
	}
	admin := kadm.NewClient(referenceClient(t, kafka.address))
	if _, err := admin.DeleteRecords(testContext(t), kadm.Offsets{"trimmed": {0: {Topic: "trimmed", At: trimmedTo}}}); err != nil {
		t.Fatal(err)
	}
	fillCompacted(t, kafka, begin)
	fillTransactional(t, kafka)
}

// fillCompacted writes over few keys, with tombstones, and waits until Kafka has compacted.
func fillCompacted(t *testing.T, kafka *server, begin int64) {
	t.Helper()
	createTopic(t, kafka.address, "compacted", 1, "cleanup.policy", "compact", "segment.ms", "1000", "min.cleanable.dirty.ratio", "0.01")
	for i := range 30 {
		batch := numbered("value", 10*i, 10)
		for k := range batch {
			batch[k] = batch[k].at(0, begin+int64(100*(10*i+k)))
			if (10*i+k)%13 == 0 {
				batch[k].Value = nil
			}
			if i%5 == 2 { // stays whole
				batch[k].Key = fmt.Append(batch[k].Key, " of ", i)
			}
		}
		produceReference(t, kafka.address, "compacted", referenceCodecs()[importCodecs[i%len(importCodecs)]], batch)
	}
	for end := time.Now().Add(time.Minute); len(readAll(t, kafka.address, "compacted")) > 200; time.Sleep(200 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("Kafka has not compacted within a minute")
		}
	}
}

// fillTransactional commits one transaction and aborts another.
func fillTransactional(t *testing.T, kafka *server) {
	t.Helper()
	createTopic(t, kafka.address, "transactional", 1)
	client := referenceClient(t, kafka.address, kgo.DefaultProduceTopic("transactional"), kgo.TransactionalID("import"))
	for _, commit := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort} {
		if err := client.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		err := client.ProduceSync(testContext(t), kgo.StringRecord("one"), kgo.StringRecord("two")).FirstErr()
		if err = errors.Join(err, client.EndTransaction(testContext(t), commit)); err != nil {
			t.Fatal(err)
		}
	}
}

// importFrom runs `barnabas log import` for one partition.
func importFrom(t *testing.T, kafka, ours *server, topic string, partition int32) (output string, err error) {
	t.Helper()
	command := exec.Command(ours.barnabas(t).Path, "log", "import", filepath.Join(kafka.dataDir(), fmt.Sprintf("%s-%d", topic, partition)),
		"--topic", topic, "--partition", fmt.Sprint(partition), "--data", ours.dataDir(), "--write")
	text, err := command.CombinedOutput()
	return string(text), err
}

// readAll reads a topic from its start to the last record of every partition, holes or not. What it gives is in the order of partition and offset.
func readAll(t testing.TB, brokers, topic string) (records []record) {
	t.Helper()
	ctx, cancel := context.WithTimeout(testContext(t), 30*time.Second)
	defer cancel()
	client := referenceClient(t, brokers, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(200*time.Millisecond))
	defer client.Close()
	ends := endsOf(ctx, t, client, topic)
	left := len(ends[topic])
	for left > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("read %s: %v, after %d records", topic, err, len(records))
		}
		fetches.EachRecord(func(r *kgo.Record) {
			records = append(records, fromReference(r))
			if r.Offset == ends[topic][r.Partition].Offset-1 {
				left--
			}
		})
	}
	slices.SortFunc(records, inOrder)
	return records
}

// endsOf waits for the leaders of a topic, which a broker that has just started may not have yet, and asks them for the ends of their logs.
func endsOf(ctx context.Context, t testing.TB, client *kgo.Client, topic string) kadm.ListedOffsets {
	t.Helper()
	for {
		ends, err := kadm.NewClient(client).ListEndOffsets(ctx, topic)
		if err = errors.Join(err, ends.Error()); err == nil {
			return ends
		}
		if ctx.Err() != nil {
			t.Fatalf("list end offsets of %s: %v", topic, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func inOrder(a, b record) int {
	if *a.Partition != *b.Partition {
		return int(*a.Partition - *b.Partition)
	}
	return int(a.Offset - b.Offset)
}

// expectSame compares offsets, timestamps and everything else.
func expectSame(t testing.TB, what string, want, got []record) {
	t.Helper()
	slices.SortFunc(want, inOrder)
	if len(got) != len(want) {
		t.Errorf("%s: %d records, not %d", what, len(got), len(want))
	}
	for k := range min(len(got), len(want)) {
		w, g := want[k], got[k]
		sameHeaders := slices.EqualFunc(w.Headers, g.Headers, func(x, y header) bool {
			return x.Key == y.Key && bytes.Equal(x.Value, y.Value) && (x.Value == nil) == (y.Value == nil)
		})
		if *w.Partition != *g.Partition || w.Offset != g.Offset || *w.Timestamp != *g.Timestamp || !bytes.Equal(w.Key, g.Key) || !bytes.Equal(w.Value, g.Value) ||
			(w.Key == nil) != (g.Key == nil) || (w.Value == nil) != (g.Value == nil) || !sameHeaders {
			t.Fatalf("%s: record %d of partition %d at offset %d is %v of %d, not %v of %d at offset %d", what, k, *g.Partition, g.Offset, g, *g.Timestamp, w, *w.Timestamp, w.Offset)
		}
	}
}

// logStarts are the log start offsets of the first partition of each topic.
func logStarts(t testing.TB, brokers string) map[string]int64 {
	t.Helper()
	listed, err := kadm.NewClient(referenceClient(t, brokers)).ListStartOffsets(testContext(t))
	if err = errors.Join(err, listed.Error()); err != nil {
		t.Fatal(err)
	}
	starts := map[string]int64{}
	for topic, partitions := range listed {
		starts[topic] = partitions[0].Offset
	}
	return starts
}

// produceOne writes a record with a producer of its own.
func produceOne(t testing.TB, brokers, topic string, partition int32, value string) record {
	t.Helper()
	client := referenceClient(t, brokers, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	r, err := client.ProduceSync(testContext(t), &kgo.Record{Topic: topic, Partition: partition, Key: []byte("new"), Value: []byte(value)}).First()
	if err != nil {
		t.Fatalf("produce to %s-%d: %v", topic, partition, err)
	}
	return fromReference(r)
}
