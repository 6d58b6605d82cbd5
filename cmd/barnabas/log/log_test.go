package log

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/barnabas-log/barnabas/cmd/barnabas/cli"
	"github.com/barnabas-log/barnabas/cmd/barnabas/cli/clitest"
	segments "github.com/barnabas-log/barnabas/log"
	"github.com/barnabas-log/barnabas/log/record"
)

func run(t *testing.T, args ...string) clitest.Result {
	t.Helper()
	var out, errs bytes.Buffer
	code := clitest.Execute(t.Context(), nil, strings.NewReader(""), &out, &errs, []func(*cli.App) *cobra.Command{Command}, append([]string{"log"}, args...)...)
	return clitest.Result{Code: code, Out: out.String(), Err: errs.String()}
}

// batch has n records with keys k0.. and values v0.., one a millisecond.
func batch(n int, timestamp int64) []byte {
	b := record.New()
	for i := range n {
		b.Add(record.Record{Timestamp: timestamp + int64(i), Key: fmt.Appendf(nil, "k%d", i), Value: fmt.Appendf(nil, "v%d", i), Headers: []record.Header{{Key: "h", Value: []byte("x")}}})
	}
	return bytes.Clone(b.Batch())
}

// node makes the data directory of a node with one partition, orders/0: a no-op, then three batches of two records, in two segments.
func node(t *testing.T) (data, partition string) {
	t.Helper()
	data = t.TempDir()
	partition = filepath.Join(data, "topics", "orders", "0.id")
	one := batch(2, 1000)
	l, err := segments.Open(partition, segments.Options{Config: segments.Config{SegmentBytes: int64(2 * len(one)), SyncOnAppend: true}})
	if err != nil {
		t.Fatal(err)
	}
	entries := []segments.Entry{{Index: 1, Term: 5, Kind: segments.KindNoop}}
	for i := range 3 {
		entries = append(entries, segments.Entry{Index: segments.Index(i + 2), Term: 5, Kind: segments.KindBatch, Data: batch(2, int64(1000*(i+1)))})
	}
	if _, err := l.Append(entries); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return data, partition
}

func files(t *testing.T, partition string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(partition, "*.log"))
	if err != nil || len(found) != 2 {
		t.Fatalf("segments %v, %v", found, err)
	}
	return found
}

// change lets f change the content of a file.
func change(t *testing.T, path string, f func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, f(b), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestDumpBatchesAndRecords(t *testing.T) {
	_, partition := node(t)
	first := files(t, partition)[0]
	r := run(t, "dump", partition, "--records", "--control").Want(t, 0)
	lines := strings.Split(r.Out, "\n")
	crc := segments.Header(batch(2, 1000)).CRC()
	size := len(batch(2, 1000))
	for i, want := range []string{
		"ctl kind: noop index: 1 term: 5 nextOffset: 0 position: 8 size: 0",
		"Dumping " + first,
		"Log starting offset: 0",
		fmt.Sprintf("baseOffset: 0 lastOffset: 1 count: 2 baseSequence: -1 lastSequence: -1 producerId: -1 producerEpoch: -1 partitionLeaderEpoch: 5 isTransactional: false "+
			"isControl: false position: 0 CreateTime: 1001 size: %d magic: 2 compresscodec: none crc: %d isvalid: true index: 2", size, crc),
		"| offset: 0 CreateTime: 1000 keySize: 2 valueSize: 2 sequence: -1 headerKeys: [h] key: k0 payload: v0",
		"| offset: 1 CreateTime: 1001 keySize: 2 valueSize: 2 sequence: -1 headerKeys: [h] key: k1 payload: v1",
	} {
		if lines[i] != want {
			t.Fatalf("line %d:\n%s\nwant:\n%s", i, lines[i], want)
		}
	}
	if n := strings.Count(r.Out, "baseOffset:"); n != 3 {
		t.Fatalf("%d batches, want 3:\n%s", n, r.Out)
	}
}

func TestDumpOfASingleFileAndOfARange(t *testing.T) {
	data, partition := node(t)
	run(t, "dump", files(t, partition)[1]).Want(t, 0).Contains(t, "Log starting offset: 4\nbaseOffset: 4 lastOffset: 5")
	r := run(t, "dump", data, "--from", "2", "--to", "4").Want(t, 0).Contains(t, "baseOffset: 2 ")
	if strings.Count(r.Out, "baseOffset:") != 1 {
		t.Fatalf("more than one batch:\n%s", r.Out)
	}
}

func TestDumpAsJSON(t *testing.T) {
	data, _ := node(t)
	r := run(t, "dump", data, "--records", "--json").Want(t, 0)
	var b batchJSON
	if err := json.Unmarshal([]byte(strings.SplitN(r.Out, "\n", 2)[0]), &b); err != nil {
		t.Fatal(err)
	}
	if b.BaseOffset != 0 || b.LastOffset != 1 || b.Index != 2 || b.Codec != "none" || b.MaxTime != "1970-01-01T00:00:01.001Z" || len(b.Records) != 2 || *b.Records[1].Value != "v1" || b.Records[0].Headers[0].Key != "h" {
		t.Fatalf("%s", r.Out)
	}
	run(t, "dump", data, "--control", "--json").Want(t, 0).Contains(t, `"kind":"noop","index":1,"term":5,"nextOffset":0`)
}

func TestCheckSoundLog(t *testing.T) {
	data, partition := node(t)
	run(t, "check", data).Want(t, 0).Contains(t, "LOG  ", "STATE\n", partition+"         2        3        6      0    6  ", "sound\n")
	run(t, "check", partition, "--quick").Want(t, 0).Contains(t, "sound\n")
	r := run(t, "check", data, "--json").Want(t, 0)
	var c checked
	if err := json.Unmarshal([]byte(r.Out), &c); err != nil {
		t.Fatal(err)
	}
	if !c.Sound || c.Segments != 2 || c.Batches != 3 || c.Records != 6 || c.End != 6 || len(c.Findings) != 0 {
		t.Fatalf("%s", r.Out)
	}
	run(t, "check", files(t, partition)[0], files(t, partition)[1]).Want(t, 0).Contains(t, "sound\n")
}

func TestCheckFindsEveryFlippedByteOfASegment(t *testing.T) {
	_, partition := node(t)
	path := files(t, partition)[0]
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		change(t, path, func([]byte) []byte { b := bytes.Clone(whole); b[i] ^= 1; return b })
		if code := run(t, "check", partition).Code; code != 1 {
			t.Fatalf("byte %d of %d flipped: exit code %d", i, len(whole), code)
		}
	}
}

func TestCheckSaysFileAndPosition(t *testing.T) {
	data, partition := node(t)
	path := files(t, partition)[0]
	size := len(batch(2, 1000))
	change(t, path, func(b []byte) []byte { b[size+70] ^= 0xff; return b })
	where := fmt.Sprintf("%s:%d: damaged: ", path, size)
	run(t, "check", data).Want(t, 1).Contains(t, where, "checksum", "DAMAGED").Says(t, "error: 1 of 1 log damaged")
	run(t, "check", path).Want(t, 1).Contains(t, where, "checksum")
	run(t, "dump", data).Want(t, 1).Contains(t, "baseOffset: 0").Says(t, where)
	run(t, "check", data, "--json").Want(t, 1).Contains(t, `"sound":false`, fmt.Sprintf(`"position":%d,"severity":"damaged"`, size))
}

func TestCheckTakesATornTailForNoDamage(t *testing.T) {
	data, partition := node(t)
	last := files(t, partition)[1]
	change(t, last, func(b []byte) []byte { return append(b, "half a batch"...) })
	run(t, "check", data).Want(t, 0).Contains(t, "torn, cut off on open", "torn tail\n")
	run(t, "dump", data).Want(t, 0).Says(t, "torn")
	run(t, "check", last).Want(t, 1).Contains(t, "the file ends 12 bytes into a batch header") // nothing beside the file says what was durable
}

func TestCheckSingleFiles(t *testing.T) {
	dir := t.TempDir()
	good := batch(3, 1000)
	for name, c := range map[string]struct {
		content []byte
		says    string
	}{
		"empty":     {nil, "sound"},
		"good":      {good, "sound"},
		"short":     {good[:len(good)-1], "left"},
		"old magic": {append(append(bytes.Clone(good[:16]), 1), good[17:]...), "magic 1"},
		"zeros":     {make([]byte, 100), "not a v2 batch"},
		"twice":     {append(bytes.Clone(good), good...), "base offset 0 where at least 3 must follow"},
	} {
		path := filepath.Join(dir, "00000000000000000000.log")
		if err := os.WriteFile(path, c.content, 0o600); err != nil {
			t.Fatal(err)
		}
		code := 1
		if c.says == "sound" {
			code = 0
		}
		t.Run(name, func(t *testing.T) { run(t, "check", path).Want(t, code).Contains(t, c.says) })
	}
}

func TestSequenceWraps(t *testing.T) {
	for _, c := range [][3]int32{{-1, 5, -1}, {0, 5, 5}, {2147483647, 0, 2147483647}, {2147483647, 1, 0}, {2147483640, 10, 2}} {
		if got := sequenceAfter(c[0], c[1]); got != c[2] {
			t.Errorf("%d after %d: %d, want %d", c[1], c[0], got, c[2])
		}
	}
}

func TestMarkersAndUnprintableBytes(t *testing.T) {
	for want, r := range map[string]record.Record{
		"endTxnMarker: COMMIT coordinatorEpoch: 7": {Key: []byte{0, 0, 0, 1}, Value: []byte{0, 0, 0, 0, 0, 7}},
		"endTxnMarker: ABORT coordinatorEpoch: 0":  {Key: []byte{0, 0, 0, 0}, Value: []byte{0, 0, 0, 0, 0, 0}},
		"controlType: 6":       {Key: []byte{0, 0, 0, 6}, Value: make([]byte, 6)},
		"controlType: UNKNOWN": {},
	} {
		if got := marker(r); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for in, want := range map[string]string{"plain é\t": "plain é\t", "\x1b[2J": `"\x1b[2J"`, "\xff": `"\xff"`} {
		if got := printable([]byte(in)); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestLogRefusesNonsense(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "notes.txt")
	if err := os.WriteFile(text, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "check").Want(t, 2).Says(t, "needs more")
	run(t, "check", text).Want(t, 2).Says(t, "not a segment file")
	run(t, "dump", dir).Want(t, 4).Says(t, "no segment file", "hint: ")
	run(t, "dump", filepath.Join(dir, "none")).Want(t, 4).Says(t, "does not exist")
}
