package log

import (
	"math/rand/v2"
	"testing"

	"github.com/barnabas-log/barnabas/internal/vfs"
)

// coldLog has several segments, batches of many sizes, and entries of ctl between them.
func coldLog(t testing.TB, files vfs.FS) *Log {
	t.Helper()
	l := open(t, "/d/p", Options{FS: files, Config: Config{SegmentBytes: 200_000, IndexIntervalBytes: 4096}})
	grow := rand.New(rand.NewPCG(1, 2))
	for k := range 2000 {
		e := Entry{Index: l.LastIndex() + 1, Term: 1, Kind: KindBatch, Data: batchOf(1+k%3, grow.IntN(400), 5)}
		if k%97 == 50 {
			e.Kind, e.Data = KindNoop, nil
		}
		if _, err := l.Append([]Entry{e}); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// metasOf locates all entries in an order in which none follows on another.
func metasOf(t testing.TB, l *Log) map[Index]Meta {
	t.Helper()
	all := map[Index]Meta{}
	for parity := range Index(2) {
		for i := l.LastIndex() - parity; i >= l.FirstIndex() && i <= l.LastIndex(); i -= 2 {
			m, err := l.Meta(i)
			if err != nil {
				t.Fatal(i, err)
			}
			all[i] = m
		}
	}
	return all
}

func TestOldEntriesAreTheSameForReadersInOrder(t *testing.T) {
	l := coldLog(t, memoryFS())
	want := metasOf(t, l)
	for reader := range Index(2) { // the second one right behind the first
		for i := l.FirstIndex() + reader; i <= l.LastIndex(); i++ {
			m, err := l.Meta(i)
			if err != nil || m != want[i] {
				t.Fatalf("entry %d: %+v, %v, not %+v", i, m, err, want[i])
			}
			if _, err := l.Data(nil, m); err != nil {
				t.Fatal(i, err)
			}
		}
	}
	for _, r := range l.cold.runs {
		if r != nil && r.holds(1) {
			t.Error("what was read is still remembered")
		}
	}
}

func TestOldEntriesAreForgottenWhenTheyAreReplaced(t *testing.T) {
	l := coldLog(t, memoryFS())
	for i := l.FirstIndex(); i < 500; i++ {
		if _, err := l.Meta(i); err != nil {
			t.Fatal(err)
		}
	}
	if l.cold.runs == [coldReaders]*coldRun{} {
		t.Fatal("nothing is remembered")
	}
	if err := l.TruncateSuffix(400); err != nil {
		t.Fatal(err)
	}
	for range 600 { // so many that the first ones are old again
		if _, err := l.Append([]Entry{{Index: l.LastIndex() + 1, Term: 2, Kind: KindBatch, Data: batchOf(2, 333, 5)}}); err != nil {
			t.Fatal(err)
		}
	}
	want := metasOf(t, l)
	for i := Index(300); i <= l.LastIndex(); i++ {
		m, err := l.Meta(i)
		if err != nil || m != want[i] || (m.Term == 2) != (i >= 400) && m.Kind == KindBatch {
			t.Fatalf("entry %d: %+v, %v, not %+v", i, m, err, want[i])
		}
	}
}

// A follower that was away asks for thousands of old entries: opening an index file for each was most of what its return cost the leader.
func TestReadingOldEntriesInOrderOpensNoIndexForEach(t *testing.T) {
	failing := vfs.NewFailing(memoryFS())
	l := coldLog(t, failing)
	opened := 0
	failing.FailWhen(func(kind vfs.Kind, _ string) error {
		if kind == vfs.Open {
			opened++
		}
		return nil
	})
	for i := l.FirstIndex(); i < 1500; i++ {
		if _, err := l.Meta(i); err != nil {
			t.Fatal(err)
		}
	}
	if most := 6 * len(l.Segments()); opened > most {
		t.Errorf("%d files were opened for 1500 entries of %d segments", opened, len(l.Segments()))
	}
}

func BenchmarkOldEntriesInOrder(b *testing.B) {
	l := open(b, b.TempDir()+"/p", Options{Config: Config{SegmentBytes: 32 << 20}})
	data := batchOf(1, 16<<10, 1)
	for range 5000 {
		if _, err := l.Append([]Entry{{Index: l.LastIndex() + 1, Term: 1, Kind: KindBatch, Data: data}}); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(16 << 10)
	b.ReportAllocs()
	i, buffer := Index(1), []byte(nil)
	for b.Loop() {
		m, err := l.Meta(i)
		if err != nil {
			b.Fatal(err)
		}
		if buffer, err = l.Data(buffer[:0], m); err != nil {
			b.Fatal(err)
		}
		if i++; i > 4500 {
			i = 1
		}
	}
}
