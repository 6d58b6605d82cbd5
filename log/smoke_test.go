package log

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/barnabas-log/barnabas/internal/vfs"
	"github.com/barnabas-log/barnabas/log/record"
)

func batch(n, size int, timestamp int64) []byte {
	b := record.New()
	for i := range n {
		b.Add(record.Record{Timestamp: timestamp + int64(i), Key: []byte(fmt.Sprint(i)), Value: bytes.Repeat([]byte{byte(timestamp)}, size)})
	}
	return bytes.Clone(b.Batch())
}

func TestAppendReadReopen(t *testing.T) {
	for _, fs := range []vfs.FS{vfs.OS{}, vfs.NewMemory()} {
		for _, sync := range []bool{true, false} {
			dir := t.TempDir() + fmt.Sprint("/p", sync)
			if _, ok := fs.(*vfs.Memory); ok {
				fs.MkdirAll(dir)
			}
			o := Options{FS: fs, Config: Config{SegmentBytes: 2000, IndexIntervalBytes: 100, SyncOnAppend: sync}}
			l, err := Open(dir, o)
			if err != nil {
				t.Fatal(err)
			}
			index := Index(1)
			for i := range 100 {
				term := Term(1 + i/30)
				var entries []Entry
				if i%30 == 0 {
					entries = append(entries, Entry{index, term, KindNoop, nil})
					index++
				}
				entries = append(entries, Entry{index, term, KindBatch, batch(2, 40, int64(i)*10)})
				index++
				if _, err := l.Append(entries); err != nil {
					t.Fatal(err)
				}
			}
			check := func() {
				t.Helper()
				if l.EndOffset() != 200 || l.LastIndex() != 104 {
					t.Fatal(l.EndOffset(), l.LastIndex(), l.Err())
				}
				for from := Offset(0); from < 200; {
					c, err := l.Read(from, 200, 500, true)
					if err != nil {
						t.Fatal(err)
					}
					b, err := c.Bytes(nil)
					if err != nil {
						t.Fatal(err)
					}
					if Header(b).BaseOffset() > from || c.NextOffset() <= from {
						t.Fatal(from, Header(b).BaseOffset())
					}
					from = c.NextOffset()
					c.Release()
				}
				for i := l.FirstIndex(); i <= l.LastIndex(); i++ {
					m, err := l.Meta(i)
					if err != nil || m.Index != i {
						t.Fatal(i, m, err)
					}
					if _, err := l.Data(nil, m); err != nil {
						t.Fatal(i, m, err)
					}
				}
				for ms := range int64(991) {
					got, ok, err := l.OffsetForTime(ms, 200)
					want := ms / 10 * 2
					if r := ms % 10; r == 1 {
						want++
					} else if r > 1 {
						want += 2
					}
					if !ok || err != nil || got.Offset != Offset(want) {
						t.Fatal(ms, got, ok, err, want)
					}
				}
				if got, ok, err := l.MaxTimestamp(200); !ok || err != nil || got.Offset != 199 {
					t.Fatal(got, ok, err)
				}
			}
			check()
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if l, err = Open(dir, o); err != nil {
				t.Fatal(err)
			}
			check()
			t.Log(l.Segments()[0], len(l.Segments()), l.Epochs())
			if err := l.TruncateSuffix(60); err != nil {
				t.Fatal(err)
			}
			if err := l.Trim(50, 30, nil); err != nil {
				t.Fatal(err)
			}
			t.Log(l.FirstIndex(), l.LastIndex(), l.EndOffset(), l.StartOffset(), l.Epochs(), len(l.Segments()))
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if l, err = Open(dir, o); err != nil {
				t.Fatal(err)
			}
			t.Log(l.FirstIndex(), l.LastIndex(), l.EndOffset(), l.StartOffset(), l.Epochs(), len(l.Segments()))
			if err := l.Reset(Floor{Index: 500, Term: 9, Offset: 1000, Start: 1000}); err != nil {
				t.Fatal(err)
			}
			if _, err := l.Append([]Entry{{501, 10, KindBatch, batch(1, 1, 1)}}); err != nil {
				t.Fatal(err)
			}
			l.Close()
			if l, err = Open(dir, o); err != nil {
				t.Fatal(err)
			}
			t.Log(l.FirstIndex(), l.LastIndex(), l.EndOffset(), l.StartOffset(), l.Epochs(), len(l.Segments()))
			l.Close()
		}
	}
}
