package e2e

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Kafka's dump tool reads the segments of a broker that was killed, and finds nothing to complain of: every record in its place,
// every index entry where it points to. Small segments make it many files.
func TestKafkaDumpLogToolReadsOurSegments(t *testing.T) {
	requireJava(t)
	broker := startServer(t)
	topic := "dumped"
	createTopic(t, broker.address, topic, 1, "segment.bytes", "1048576", "index.interval.bytes", "1024")
	records := dumpedRecords()
	codecs := []string{"none", "gzip", "snappy", "lz4", "zstd"}
	for i := 0; i < len(records); i += 100 {
		produceReference(t, broker.address, topic, referenceCodecs()[codecs[i/100%len(codecs)]], records[i:i+100])
	}
	broker.kill()

	logs := segmentFiles(t, broker, topic, 0, ".log")
	if len(logs) < 3 {
		t.Fatalf("only %d segments: %v", len(logs), logs)
	}
	offset := 0
	for _, log := range logs {
		output := dump(t, log, "--print-data-log", "--deep-iteration")
		expectOutput(t, output, fmt.Sprintf(`Log starting offset: %d$`, offset))
		// The record lines: "| offset: 0 CreateTime: 1700000000000 keySize: 5 valueSize: 8 sequence: 0 headerKeys: [] key: key-0 payload: value-0"
		for _, line := range dumpedRecord.FindAllStringSubmatch(output, -1) {
			want := records[offset]
			if line[1] != fmt.Sprint(offset) || line[2] != fmt.Sprint(*want.Timestamp) || line[3] != string(want.Key) || line[4] != string(want.Value) {
				t.Fatalf("%s: record %d is dumped as %q", filepath.Base(log), offset, line[0])
			}
			offset++
		}
		if codecs := regexp.MustCompile(`compresscodec: (\w+)`).FindAllString(output, -1); len(codecs) == 0 {
			t.Errorf("%s: no batch lines", filepath.Base(log))
		}
	}
	if offset != len(records) {
		t.Errorf("%d of %d records are dumped", offset, len(records))
	}
	// The indexes of the active segment are in order once the broker has been stopped rather than killed.
	broker.start(t)
	broker.stop(t)
	checkIndexes(t, broker, topic)
}

var dumpedRecord = regexp.MustCompile(`(?m)^\| offset: (\d+) CreateTime: (\d+) keySize: .* key: (\S+) payload: (.*)$`)

func dumpedRecords() []record {
	var records []record
	for i := range 4000 {
		start := i * 3001 % (len(big) - 3000)
		value := append(fmt.Appendf(nil, "value-%d-", i), big[start:start+i%3000]...)
		value = append(value, bytes.Repeat([]byte("-compressible"), 20)...)
		records = append(records, text(fmt.Sprintf("key-%d", i%13), string(value)).at(0, 1_700_000_000_000+int64(i)))
	}
	return records
}

// checkIndexes lets the tool compare each index with its log, which it does with --index-sanity-check and, entry by entry, without.
func checkIndexes(t *testing.T, broker *server, topic string) {
	entries := 0
	for _, suffix := range []string{".index", ".timeindex"} {
		files := segmentFiles(t, broker, topic, 0, suffix)
		if len(files) == 0 {
			t.Errorf("no %s files", suffix)
		}
		for _, file := range files {
			output := dump(t, file)
			entries += strings.Count(output, "offset: ")
			expectOutput(t, dump(t, file, "--index-sanity-check"), "passed sanity check")
		}
	}
	if entries < 20 {
		t.Errorf("the indexes have only %d entries", entries)
	}
}

// notAfterMinusOne is what the tool of Kafka 4.3 says, wrongly, of each segment that does not start at offset 0, also of Kafka's own.
var notAfterMinusOne = regexp.MustCompile(`Non-consecutive offsets in \S+\n\s*-1 is followed by \d+\n`)

// dump runs the tool on a file; what it has to complain of it prints like the rest, and exits with 0.
func dump(t *testing.T, file string, options ...string) string {
	t.Helper()
	result := tools.run(t, kafkaDumpLog, "", append([]string{"--files", file}, options...)...)
	output := notAfterMinusOne.ReplaceAllString(result.Stderr, "") + result.Stdout
	if result.Exit != 0 {
		t.Fatalf("dump %s: exit %d: %s", file, result.Exit, result.Stderr)
	}
	for _, complaint := range []string{"Mismatches in", "Could not", "Non-consecutive", "Non consecutive", "out of order", "invalid", "corrupt", "Exception", "isvalid: false"} {
		if at := strings.Index(output, complaint); at >= 0 {
			t.Fatalf("%s %v: the tool complains:\n%s", filepath.Base(file), options, output[max(0, at-300):min(len(output), at+700)])
		}
	}
	return output
}

// What the broker writes to __consumer_offsets is what Kafka's own formatter reads, from the file and over the wire.
func TestKafkaToolsReadTheGroupTopic(t *testing.T) {
	requireJava(t)
	broker := startServer(t, sharedSettings...)
	createTopic(t, broker.address, "read", 1)
	produceReference(t, broker.address, "read", kgo.NoCompression(), []record{text("k", "v").at(0, 1_700_000_000_000), text("k", "w").at(0, 1_700_000_000_001)})
	for range 2 { // the second run is a second commit
		runTool(t, kafkaConsoleConsumer, "", "--bootstrap-server", broker.address, "--topic", "read", "--group", "readers",
			"--from-beginning", "--max-messages", "1", "--timeout-ms", "20000")
	}
	// At the end of the topic the tool reports its timeout, as an error and with exit 0.
	output := tools.run(t, kafkaConsoleConsumer, "", "--bootstrap-server", broker.address, "--topic", "__consumer_offsets",
		"--formatter", "org.apache.kafka.tools.consumer.OffsetsMessageFormatter", "--from-beginning", "--timeout-ms", "4000")
	expectOutput(t, output.Stdout, `"group":"readers","topic":"read","partition":0.*"offset":1`, `"group":"readers","topic":"read","partition":0.*"offset":2`)
	broker.kill()
	var dumped []string
	for partition := range 50 {
		for _, log := range segmentFiles(t, broker, "__consumer_offsets", partition, ".log") {
			if info, err := os.Stat(log); err == nil && holdsBatches(t, log) && info.Size() > 0 {
				dumped = append(dumped, dump(t, log, "--offsets-decoder"))
			}
		}
	}
	expectOutput(t, strings.Join(dumped, "\n"), `"group":"readers","topic":"read","partition":0`, `"group":"readers".*"protocolType":"consumer"`)
}

// holdsBatches says whether a segment is not only preallocated zeros.
func holdsBatches(t testing.TB, log string) bool {
	t.Helper()
	data, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	return len(data) > 12 && binary.BigEndian.Uint32(data[8:]) > 0 && slices.ContainsFunc(data, func(b byte) bool { return b != 0 })
}
