package e2e

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const corpusPartitions = 12

// corpusSlice is what make test takes of the Go sources; BARNABAS_CORPUS=all takes all of them.
var corpusSlice = []string{"bufio", "encoding/json", "fmt", "go/types", "net/http", "strconv", "unicode"}

// sourceFile is one file and its lines. Joined with newlines, they are the file again, byte for byte.
type sourceFile struct {
	name  string
	lines [][]byte
}

func TestCorpusComesBackByteForByte(t *testing.T) { testCorpus(t, false) }

func TestCorpusComesBackAfterKillInTheMiddle(t *testing.T) { testCorpus(t, true) }

// The lines of the Go sources, keyed by file, go through kcat into twelve partitions and are read by three clients from three kinds
// of positions. No line is lost, none comes twice, and each file is in order, also when the broker is killed on the way.
func testCorpus(t *testing.T, kill bool) {
	requireProgram(t, "kcat", "apt-get install kcat, or brew install kcat")
	files := readCorpus(t)
	broker := startServer(t, sharedSettings...)
	topic := "corpus"
	createTopic(t, broker.address, topic, corpusPartitions)

	start := time.Now()
	middle := produceCorpus(t, broker, topic, files, kill)
	t.Logf("produced in %v", time.Since(start).Round(time.Millisecond))

	read := readFromTimestamp(t, broker, topic, start.Add(-time.Second))
	read.checkComplete(t, files)
	t.Logf("%d files, %d records, kill -9 %v", len(files), read.records, kill)
	read.checkTail(t, "franz-go from a timestamp", readFromTimestamp(t, broker, topic, middle), func(at place) bool { return at.timestamp >= middle.UnixMilli() })

	offset := read.shortest() / 2
	read.checkTail(t, "kcat from an offset", readFromOffset(t, broker, topic, offset, read.after(offset)), func(at place) bool { return at.offset >= offset })

	t.Run("kafkajs from the start", func(t *testing.T) { checkRebuilt(t, broker, topic, files) })
}

func readCorpus(t testing.TB) []sourceFile {
	t.Helper()
	output, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	src := filepath.Join(strings.TrimSpace(string(output)), "src")
	var files []sourceFile
	for _, dir := range corpusDirs(src) {
		err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if bytes.ContainsAny(text, "\x1e\x1f") {
				return fmt.Errorf("%s holds a byte that frames records for kcat", path)
			}
			name, err := filepath.Rel(src, path)
			files = append(files, sourceFile{name, bytes.Split(text, []byte{'\n'})})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return files
}

func corpusDirs(src string) []string {
	if os.Getenv("BARNABAS_CORPUS") == "all" {
		return []string{src}
	}
	var dirs []string
	for _, dir := range corpusSlice {
		dirs = append(dirs, filepath.Join(src, dir))
	}
	return dirs
}

// produceCorpus lets kcat write all lines, idempotently. It returns a time at which about half of them were written, when the broker
// is killed and started again if so asked.
func produceCorpus(t *testing.T, broker *server, topic string, files []sourceFile, kill bool) time.Time {
	t.Helper()
	kcat := exec.Command(clientsDir("kcat", "client.sh"), broker.address, "produce", topic,
		"idempotent=true", "codec=lz4", "timeout=300000")
	var complaints bytes.Buffer
	kcat.Stderr = &complaints
	input, err := kcat.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	dieWithParent(kcat)
	if err := kcat.Start(); err != nil {
		t.Fatal(err)
	}
	write := func(files []sourceFile) {
		var lines bytes.Buffer
		for _, file := range files {
			lines.Reset()
			for _, line := range file.lines {
				lines.WriteString(file.name)
				lines.WriteByte(0x1f)
				lines.Write(line)
				lines.WriteByte(0x1e)
			}
			if _, err := input.Write(lines.Bytes()); err != nil {
				t.Errorf("kcat takes no more input: %v\n%s", err, complaints.String())
				return
			}
		}
	}
	half := len(files) / 2
	write(files[:half])
	awaitSome(t, broker, topic)
	middle := time.Now()
	time.Sleep(2 * time.Millisecond) // what comes next is later than the middle
	var restart sync.WaitGroup
	if kill {
		broker.kill()
		restart.Go(func() { broker.start(t) })
	}
	write(files[half:])
	restart.Wait()
	_ = input.Close()
	if err := kcat.Wait(); err != nil {
		t.Fatalf("kcat: %v\n%s", err, tail(complaints.Bytes(), 20))
	}
	return middle
}

// awaitSome returns when the topic has records.
func awaitSome(t testing.TB, broker *server, topic string) {
	t.Helper()
	admin := kadm.NewClient(referenceClient(t, broker.address))
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if ends, err := admin.ListEndOffsets(testContext(t), topic); err == nil && total(ends) > 0 {
			return
		}
	}
	t.Fatal("nothing was written within 30 seconds")
}

func total(ends kadm.ListedOffsets) (sum int64) {
	ends.Each(func(end kadm.ListedOffset) { sum += end.Offset })
	return sum
}

var lineSeed = maphash.MakeSeed()

// place is a record of the corpus as it was read. The line is kept by its hash: there are millions of them.
type place struct {
	offset, timestamp int64
	file              string
	line              uint64
}

// corpusRead is what one reader saw: the places of each partition, in the order in which they came.
type corpusRead struct {
	partitions [corpusPartitions][]place
	records    int
}

func (r *corpusRead) add(partition int32, offset, timestamp int64, key, value []byte) {
	r.partitions[partition] = append(r.partitions[partition], place{offset, timestamp, string(key), maphash.Bytes(lineSeed, value)})
	r.records++
}

// checkComplete compares with the files: every line, once, in order, each file in one partition.
func (r *corpusRead) checkComplete(t testing.TB, files []sourceFile) {
	t.Helper()
	got := map[string][]uint64{}
	home := map[string]int{}
	for partition, places := range r.partitions {
		for i, at := range places {
			if at.offset != int64(i) {
				t.Fatalf("partition %d: offset %d comes as number %d", partition, at.offset, i)
			}
			if before, seen := home[at.file]; seen && before != partition {
				t.Fatalf("%s is in partitions %d and %d", at.file, before, partition)
			}
			home[at.file] = partition
			got[at.file] = append(got[at.file], at.line)
		}
	}
	if len(got) != len(files) {
		t.Errorf("%d files came back of %d", len(got), len(files))
	}
	for _, file := range files {
		want := make([]uint64, len(file.lines))
		for i, line := range file.lines {
			want[i] = maphash.Bytes(lineSeed, line)
		}
		if !slices.Equal(want, got[file.name]) {
			t.Errorf("%s: %d lines came back of %d, or others", file.name, len(got[file.name]), len(want))
		}
	}
}

// checkTail checks that another reader saw, in each partition, exactly the records from the first one on that is at or after its
// start.
func (r *corpusRead) checkTail(t testing.TB, who string, tail *corpusRead, atOrAfter func(place) bool) {
	t.Helper()
	for partition, all := range r.partitions {
		first := slices.IndexFunc(all, atOrAfter)
		if first < 0 {
			first = len(all)
		}
		want, got := all[first:], tail.partitions[partition]
		if len(got) > 0 && len(got) > len(want) {
			t.Errorf("%s: partition %d starts at offset %d, expected %d", who, partition, got[0].offset, first)
		} else if !slices.EqualFunc(want, got, func(a, b place) bool { return a.offset == b.offset && a.file == b.file && a.line == b.line }) {
			t.Errorf("%s: partition %d: %d records came, expected %d from offset %d on, or they differ", who, partition, len(got), len(want), first)
		}
	}
	t.Logf("%s: %d records", who, tail.records)
	if tail.records == 0 || tail.records == r.records {
		t.Errorf("%s: %d of %d records prove nothing", who, tail.records, r.records)
	}
}

func (r *corpusRead) shortest() int64 {
	shortest := len(r.partitions[0])
	for _, places := range r.partitions {
		shortest = min(shortest, len(places))
	}
	return int64(shortest)
}

// after counts the records from an offset on, in all partitions.
func (r *corpusRead) after(offset int64) (count int) {
	for _, places := range r.partitions {
		count += max(0, len(places)-int(offset))
	}
	return count
}

func readFromTimestamp(t testing.TB, broker *server, topic string, from time.Time) *corpusRead {
	t.Helper()
	admin := kadm.NewClient(referenceClient(t, broker.address))
	starts, err := admin.ListOffsetsAfterMilli(testContext(t), from.UnixMilli(), topic)
	if err != nil {
		t.Fatal(err)
	}
	ends, err := admin.ListEndOffsets(testContext(t), topic)
	if err != nil {
		t.Fatal(err)
	}
	expected := int(total(ends) - total(starts))
	client := referenceClient(t, broker.address, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AfterMilli(from.UnixMilli())))
	read := &corpusRead{}
	for ctx := testContext(t); read.records < expected; {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("%v, after %d of %d records", err, read.records, expected)
		}
		fetches.EachRecord(func(r *kgo.Record) { read.add(r.Partition, r.Offset, r.Timestamp.UnixMilli(), r.Key, r.Value) })
	}
	return read
}

func readFromOffset(t testing.TB, broker *server, topic string, offset int64, expected int) *corpusRead {
	t.Helper()
	kcat := exec.Command(clientsDir("kcat", "client.sh"), broker.address, "consume", topic,
		fmt.Sprintf("from=offset:%d", offset), fmt.Sprintf("count=%d", expected))
	output, err := kcat.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	dieWithParent(kcat)
	if err := kcat.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = kcat.Process.Kill() }()
	read := &corpusRead{}
	var waiting []byte
	buffer := make([]byte, 1<<20)
	for {
		n, err := output.Read(buffer)
		waiting = append(waiting, buffer[:n]...)
		for {
			r, rest, ok := decodePlain(waiting)
			if !ok {
				break
			}
			read.add(*r.Partition, r.Offset, *r.Timestamp, r.Key, r.Value)
			waiting = rest
		}
		waiting = slices.Clone(waiting)
		if err != nil {
			break
		}
	}
	if err := kcat.Wait(); err != nil {
		t.Fatalf("kcat from an offset: %v", err)
	}
	return read
}

// checkRebuilt has kafkajs rebuild the tree and compares the files.
func checkRebuilt(t *testing.T, broker *server, topic string, files []sourceFile) {
	requireProgram(t, "node", "install Node 18 or newer with npm, then run `make clients`")
	requireFile(t, clientsDir("kafkajs", "node_modules", "kafkajs"), "run `make clients`")
	dir := t.TempDir()
	rebuild := exec.Command("node", clientsDir("kafkajs", "rebuild.js"), broker.address, topic, dir)
	if output, err := rebuild.CombinedOutput(); err != nil {
		t.Fatalf("rebuild: %v\n%s", err, output)
	}
	for _, file := range files {
		got, err := os.ReadFile(filepath.Join(dir, file.name))
		if err != nil {
			t.Errorf("%s did not come back: %v", file.name, err)
		} else if !bytes.Equal(got, bytes.Join(file.lines, []byte{'\n'})) {
			t.Errorf("%s came back as %d other bytes", file.name, len(got))
		}
	}
}
