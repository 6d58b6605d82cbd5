package log

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/barnabas-log/barnabas/log/record"
)

// writeCompacted makes the directory of a compacted log: merged batches of equal and of different members, a tombstone with its horizon, a producer's last batch.
func writeCompacted(t *testing.T, dir string) {
	l, err := Open(dir, Options{Config: Config{SegmentBytes: 1500, IndexIntervalBytes: 100, SyncOnAppend: true}})
	if err != nil {
		t.Fatal(err)
	}
	last := map[int64]Offset{}
	for n := range 60 {
		b := record.New()
		if n == 7 {
			b.ProducerID, b.ProducerEpoch, b.BaseSequence = 9, 2, 5
			last[9] = l.EndOffset()
		}
		for k := range 1 + n/20*(n%3) {
			r := record.Record{Timestamp: 1700000000000 + int64(n), Key: fmt.Append(nil, "key ", (n+k)%4), Value: fmt.Append(nil, "value ", n)}
			if n == 50 {
				r.Key, r.Value = []byte("gone"), nil
			}
			b.Add(r)
		}
		if _, err := l.Append([]Entry{{Index: l.LastIndex() + 1, Term: Term(1 + n/45), Kind: KindBatch, Data: bytes.Clone(b.Batch())}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Roll(); err != nil {
		t.Fatal(err)
	}
	o := CompactOptions{To: l.EndOffset(), Now: time.UnixMilli(1700000100000), DeleteRetention: time.Hour, LastBatches: last}
	if _, err := l.Compact(o); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestGoldenDirectoryOfACompactedLog(t *testing.T) {
	const golden = "testdata/v2"
	if os.Getenv("BARNABAS_GOLDEN") == "write" {
		writeCompacted(t, golden)
		if err := os.WriteFile(golden+".txt", []byte(dump(t, golden)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden + ".txt")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "v2")
	if err := os.CopyFS(dir, os.DirFS(golden)); err != nil {
		t.Fatal(err)
	}
	if got := dump(t, dir); got != string(want) {
		t.Fatalf("got\n%s\nwant\n%s", got, want)
	}
	if lists, _ := filepath.Glob(filepath.Join(dir, "*"+mergedSuffix)); len(lists) == 0 {
		t.Fatal("no list of sizes")
	}
	for range 2 { // the second time without indexes, which are made anew
		l := open(t, dir, Options{})
		next := Offset(0)
		for i := Index(1); i <= 60; i++ {
			m, err := l.Meta(i)
			size := Offset(1 + (int(i)-1)/20*((int(i)-1)%3))
			if err != nil || m.BaseOffset != next || m.NextOffset != next+size || m.Term != Term(1+(i-1)/45) {
				t.Fatalf("entry %d: %+v %v", i, m, err)
			}
			next = m.NextOffset
			if b, err := l.Data(nil, m); err != nil || CheckBatch(b) != nil {
				t.Fatalf("entry %d: %v", i, err)
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		for _, suffix := range []string{".index", ".timeindex", ".raftindex"} {
			files, _ := filepath.Glob(filepath.Join(dir, "*"+suffix))
			for _, name := range files {
				if err := os.Remove(name); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}
