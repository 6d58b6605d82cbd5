package log

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/barnabas-log/barnabas/internal/vfs"
	"github.com/barnabas-log/barnabas/log/record"
)

// dump is everything in a log's directory as text.
func dump(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	report, err := Inspect(dir, InspectOptions{Records: true,
		OnControl: func(c InspectedControl) error {
			fmt.Fprintf(&b, "index %d term %d kind %d next %d data %q\n", c.Index, c.Term, c.Kind, c.NextOffset, c.Data)
			return nil
		},
		OnBatch: func(x InspectedBatch) error {
			h := x.Header()
			fmt.Fprintf(&b, "index %d epoch %d offsets %d to %d at %s:%d\n", x.Index, h.LeaderEpoch(), h.BaseOffset(), h.LastOffset(), x.File, x.Position)
			return record.Each(x.Data, 1<<20, func(r record.Record) error {
				fmt.Fprintf(&b, "  %d at %d: %q = %q %q\n", r.Offset, r.Timestamp, r.Key, r.Value, r.Headers)
				return nil
			})
		}})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&b, "floor %+v\ncheckpoint %+v\nend %d last %d\nfindings %v\n", report.Floor, report.Checkpoint, report.EndOffset, report.LastIndex, report.Findings)
	return b.String()
}

// writeGolden makes the directory of version 1. It was run once; its output is opened for ever.
func writeGolden(t *testing.T, dir string) {
	l, err := Open(dir, Options{Config: Config{SegmentBytes: 700, IndexIntervalBytes: 100, SyncOnAppend: true}})
	if err != nil {
		t.Fatal(err)
	}
	index := Index(0)
	add := func(term Term, kind Kind, data []byte) {
		index++
		if _, err := l.Append([]Entry{{Index: index, Term: term, Kind: kind, Data: data}}); err != nil {
			t.Fatal(err)
		}
	}
	batch := func(n int) []byte {
		b := record.New()
		for k := range n {
			b.Add(record.Record{Timestamp: 1700000000000 + int64(index)*1000 + int64(k), Key: []byte(fmt.Sprint("key ", index)),
				Value: []byte(strings.Repeat("v", 20+k)), Headers: []record.Header{{Key: "h", Value: []byte{byte(k)}}}})
		}
		return b.Batch()
	}
	add(1, KindNoop, nil)
	add(1, KindConfiguration, []byte("one member"))
	for n := range 12 {
		add(1, KindBatch, batch(1+n%3))
	}
	add(3, KindNoop, nil)
	for n := range 8 {
		add(3, KindBatch, batch(1+n%3))
	}
	add(3, KindCommand, []byte("trim"))
	for range 2 {
		add(4, KindBatch, batch(2)) // a term without an entry in ctl
	}
	if err := l.WriteCheckpoint(Checkpoint{Index: 20, Term: 3, HighWatermark: l.EndOffset() - 4, State: []byte("producers")}); err != nil {
		t.Fatal(err)
	}
	if err := l.Trim(11, 15, []byte("producers at the floor")); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestGoldenDirectoriesAreReadForEver(t *testing.T) {
	const golden = "testdata/v1"
	if os.Getenv("BARNABAS_GOLDEN") == "write" {
		writeGolden(t, golden)
		if err := os.WriteFile(golden+".txt", []byte(dump(t, golden)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden + ".txt")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "v1")
	if err := os.CopyFS(dir, os.DirFS(golden)); err != nil {
		t.Fatal(err)
	}
	if got := dump(t, dir); got != string(want) {
		t.Fatalf("got\n%s\nwant\n%s", got, want)
	}
	l := open(t, dir, Options{})
	if l.StartOffset() != 11 || fmt.Sprint(l.Epochs()) != "[{1 11} {3 24} {4 39}]" {
		t.Fatal(l.StartOffset(), l.Epochs())
	}
	appendBatchesAtTerm(t, l, 5)
	l.Close()
	if got := dump(t, dir); !strings.HasPrefix(got, string(want[:strings.Index(string(want), "floor ")])) {
		t.Fatal("opening changed what was there:\n" + got)
	}
	filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(name, vfs.TemporarySuffix) {
			t.Error("left behind:", name)
		}
		return err
	})
}

func appendBatchesAtTerm(t *testing.T, l *Log, term Term) {
	t.Helper()
	if _, err := l.Append([]Entry{{Index: l.LastIndex() + 1, Term: term, Kind: KindBatch, Data: batchOf(1, 5, 1700000099000)}}); err != nil {
		t.Fatal(err)
	}
}
