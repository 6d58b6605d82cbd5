package log

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/barnabas-log/barnabas/internal/vfs"
	"github.com/barnabas-log/barnabas/log/record"
)

// batchOf makes a batch of n records of size bytes.
func batchOf(n, size int, timestamp int64) []byte {
	b := record.New()
	for range n {
		b.Add(record.Record{Timestamp: timestamp, Value: make([]byte, size)})
	}
	return bytes.Clone(b.Batch())
}

func open(t testing.TB, dir string, o Options) *Log {
	t.Helper()
	l, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func memoryFS() *vfs.Memory {
	m := vfs.NewMemory()
	m.MkdirAll("/d")
	return m
}

func appendBatches(t testing.TB, l *Log, n int) {
	t.Helper()
	for range n {
		if _, err := l.Append([]Entry{{Index: l.LastIndex() + 1, Term: 1, Kind: KindBatch, Data: batchOf(2, 100, 5)}}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSteadyAppendCostsOneWriteAndOneSync(t *testing.T) {
	failing := vfs.NewFailing(memoryFS())
	l := open(t, "/d/p", Options{FS: failing, Config: Config{SyncOnAppend: true}})
	appendBatches(t, l, 3)
	writes, syncs, others := 0, 0, 0
	failing.FailWhen(func(kind vfs.Kind, _ string) error {
		switch kind {
		case vfs.Write:
			writes++
		case vfs.Sync:
			syncs++
		default:
			others++
		}
		return nil
	})
	entries := make([]Entry, 5)
	for k := range entries {
		entries[k] = Entry{Index: l.LastIndex() + 1 + Index(k), Term: 1, Kind: KindBatch, Data: batchOf(1, 30000, 1)}
	}
	if _, err := l.Append(entries); err != nil {
		t.Fatal(err)
	}
	if writes != 1 || syncs != 1 || others != 0 {
		t.Fatalf("%d writes, %d syncs, %d others", writes, syncs, others)
	}
}

func TestReadAtTheTailAllocatesNothing(t *testing.T) {
	l := open(t, t.TempDir()+"/p", Options{})
	appendBatches(t, l, 100)
	end := l.EndOffset()
	allocs := testing.AllocsPerRun(1000, func() {
		c, err := l.Read(end-2, end, 1<<20, true)
		if err != nil {
			t.Fatal(err)
		}
		c.Release()
	})
	if allocs > 0.5 { // the pool may be emptied by the collector
		t.Fatalf("%v allocations", allocs)
	}
}

func TestReadAtTheTailDoesNoIO(t *testing.T) {
	failing := vfs.NewFailing(memoryFS())
	l := open(t, "/d/p", Options{FS: failing})
	appendBatches(t, l, 1000)
	failing.FailWhen(func(kind vfs.Kind, name string) error { return fmt.Errorf("%v of %s", kind, name) })
	for back := range Offset(50) {
		from := l.EndOffset() - 1 - back
		for _, limit := range []Offset{l.EndOffset(), from - from%2 + 2} {
			c, err := l.Read(from, limit, 1<<20, true)
			if err != nil || c.NextOffset() != limit {
				t.Fatal(from, limit, err)
			}
			c.Release()
		}
	}
}

func TestChunkOutlivesItsSegment(t *testing.T) {
	for _, files := range []vfs.FS{vfs.OS{}, memoryFS()} {
		dir := t.TempDir()
		if err := files.MkdirAll(dir); err != nil {
			t.Fatal(err)
		}
		l := open(t, dir+"/p", Options{FS: files, Config: Config{SegmentBytes: 400}})
		appendBatches(t, l, 10)
		c, err := l.Read(0, 20, 1<<20, true)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Trim(20, l.LastIndex(), nil); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Read(0, 20, 1, true); !errors.Is(err, ErrOutOfRange) {
			t.Fatal(err)
		}
		if len(l.Segments()) != 1 {
			t.Fatal(l.Segments())
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		b, err := c.Bytes(nil)
		if err != nil || CheckBatch(b[:Header(b).Size()]) != nil {
			t.Fatal(err)
		}
		c.Release()
	}
}

func TestReadersBesideTheWriter(t *testing.T) {
	l := open(t, t.TempDir()+"/p", Options{Config: Config{SegmentBytes: 20000, IndexIntervalBytes: 200}})
	var readers sync.WaitGroup
	stop := make(chan struct{})
	for range 3 {
		readers.Go(func() {
			var buffer []byte
			for from := Offset(0); ; {
				end := l.EndOffset()
				c, err := l.Read(from, end, 3000, true)
				if errors.Is(err, ErrOutOfRange) && from < l.StartOffset() {
					from = l.StartOffset()
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				if c == nil {
					select {
					case <-stop:
						return
					default:
						continue
					}
				}
				if buffer, err = c.Bytes(buffer[:0]); err != nil || Header(buffer).BaseOffset() != from {
					t.Error(from, err)
				}
				from = c.NextOffset()
				c.Release()
				l.Meta(l.LastIndex() - 3)
				l.MaxTimestamp(end)
				l.Epochs()
			}
		})
	}
	for n := range 2000 {
		appendBatches(t, l, 1)
		if n%300 == 299 {
			if err := l.Trim(l.EndOffset()-500, l.LastIndex(), nil); err != nil {
				t.Error(err)
			}
		}
	}
	close(stop)
	readers.Wait()
}

func TestFlushAgeSyncsInTheBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := open(t, "/d/p", Options{FS: memoryFS(), Config: Config{FlushAge: time.Second}})
		appendBatches(t, l, 3)
		if l.SyncedOffset() != 0 {
			t.Fatal(l.SyncedOffset())
		}
		time.Sleep(1001 * time.Millisecond) // virtual
		synctest.Wait()
		if l.SyncedOffset() != 6 {
			t.Fatal(l.SyncedOffset())
		}
		l.Configure(Config{SyncOnAppend: true})
		appendBatches(t, l, 1)
		if l.SyncedOffset() != 8 {
			t.Fatal(l.SyncedOffset())
		}
		l.Configure(Config{FlushMessages: 4})
		appendBatches(t, l, 1)
		if l.SyncedOffset() != 8 {
			t.Fatal(l.SyncedOffset())
		}
		appendBatches(t, l, 1)
		if l.SyncedOffset() != 12 {
			t.Fatal(l.SyncedOffset())
		}
		l.Close()
	})
}

func TestInvalidEntriesChangeNothing(t *testing.T) {
	l := open(t, "/d/p", Options{FS: memoryFS()})
	appendBatches(t, l, 2)
	short := batchOf(1, 10, 1)
	for _, e := range []Entry{
		{Index: 2, Term: 1, Data: batchOf(1, 1, 1)},
		{Index: 4, Term: 1, Data: batchOf(1, 1, 1)},
		{Index: 3, Term: 0, Data: batchOf(1, 1, 1)},
		{Index: 3, Term: 1, Data: short[:len(short)-1]},
		{Index: 3, Term: 1, Data: append(short, 0)},
		{Index: 3, Term: 1},
		{Index: 3, Term: 1, Kind: 77},
	} {
		if _, err := l.Append([]Entry{e}); !errors.Is(err, ErrInvalid) {
			t.Fatal(err)
		}
	}
	appendBatches(t, l, 1)
	if l.EndOffset() != 6 || l.Err() != nil {
		t.Fatal(l.EndOffset(), l.Err())
	}
}

// damage flips a byte of a file.
func damage(t *testing.T, files vfs.FS, name string, position int64) {
	t.Helper()
	f, err := files.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], position); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x40
	f.WriteAt(b[:], position)
}

func TestDamageBeforeTheTailIsRefusedWithItsPlace(t *testing.T) {
	for _, c := range []struct {
		file     string
		position int64
	}{
		{"00000000000000000000.log", 70}, // sealed: found when its index is rebuilt
		{"00000000000000000016.log", 100},
		{"ctl", 30},
		{"manifest", 20},
	} {
		files := memoryFS()
		o := Options{FS: files, Config: Config{SegmentBytes: 2300, SyncOnAppend: true, IndexIntervalBytes: 300}}
		l := open(t, "/d/p", o)
		appendBatches(t, l, 12)
		if err := l.WriteCheckpoint(Checkpoint{Index: 3, State: []byte("abc")}); err != nil {
			t.Fatal(err)
		}
		l.Close()
		damage(t, files, path.Join("/d/p", c.file), c.position)
		files.Remove("/d/p/00000000000000000000.raftindex")
		files.Remove("/d/p/00000000000000000016.raftindex")
		_, err := Open("/d/p", o)
		var corrupt *CorruptError
		if !errors.As(err, &corrupt) || !errors.Is(err, ErrCorrupt) || path.Base(corrupt.File) != c.file {
			t.Fatalf("%s: %v", c.file, err)
		}
		report, err := Inspect("/d/p", InspectOptions{FS: files})
		if err != nil || report.Sound() {
			t.Fatalf("%s: %+v %v", c.file, report, err)
		}
	}
}

func TestNewerVersionIsUnsupportedNotCorrupt(t *testing.T) {
	for _, name := range []string{manifestName, checkpointName, ctlName} {
		files := memoryFS()
		l := open(t, "/d/p", Options{FS: files})
		appendBatches(t, l, 1)
		l.WriteCheckpoint(Checkpoint{Index: 1})
		l.Close()
		f, _ := files.OpenFile("/d/p/"+name, os.O_RDWR, 0)
		f.WriteAt([]byte{9}, 4)
		if _, err := Open("/d/p", Options{FS: files}); !errors.Is(err, ErrUnsupported) || errors.Is(err, ErrCorrupt) {
			t.Fatalf("%s: %v", name, err)
		}
		f.WriteAt([]byte{1, 2}, 4) // no version that there will ever be
		l, err := Open("/d/p", Options{FS: files})
		if errors.Is(err, ErrUnsupported) || errors.Is(err, ErrCorrupt) != (name != checkpointName) {
			t.Fatalf("%s: %v", name, err)
		}
		if err == nil {
			l.Close() // a checkpoint can be done without
		}
	}
}

func TestMissingAndTornIndexesAreRebuilt(t *testing.T) {
	files := memoryFS()
	o := Options{FS: files, Config: Config{SegmentBytes: 3000, IndexIntervalBytes: 300}}
	l := open(t, "/d/p", o)
	appendBatches(t, l, 30)
	l.Close()
	want, _ := vfs.ReadFile(files, "/d/p/00000000000000000000.index")
	for _, spoil := range []func(string){
		func(name string) { files.Remove(name) },
		func(name string) {
			f, _ := files.OpenFile(name, os.O_RDWR, 0)
			f.Truncate(9)
		},
	} {
		for _, suffix := range []string{".index", ".timeindex", ".raftindex"} {
			for _, s := range l.Segments() {
				spoil("/d/p/" + segmentName(s.BaseOffset) + suffix)
			}
			again := open(t, "/d/p", o)
			if again.EndOffset() != 60 {
				t.Fatal(again.EndOffset())
			}
			for o := range Offset(60) {
				c, err := again.Read(o, 60, 1, true)
				if err != nil {
					t.Fatal(err)
				}
				c.Release()
			}
			again.Close()
			if got, _ := vfs.ReadFile(files, "/d/p/00000000000000000000.index"); !bytes.Equal(got, want) || len(want) == 0 {
				t.Fatalf("rebuilt as %x, was %x", got, want)
			}
		}
	}
}

func TestDeleteAndSweep(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir+"/p", Options{})
	appendBatches(t, l, 1)
	if err := l.Delete(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir + "/p"); !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	os.MkdirAll(dir+"/q.deleted/x", 0o755)
	if err := Sweep(nil, dir, nil, nil); err != nil {
		t.Fatal(err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Fatal(entries)
	}
	if err := Remove(nil, dir+"/never", nil, nil); err != nil {
		t.Fatal(err)
	}
}

func TestSealedSegmentsKeepFewFilesOpen(t *testing.T) {
	l := open(t, t.TempDir()+"/p", Options{Config: Config{SegmentBytes: 300}})
	appendBatches(t, l, 200)
	for o := Offset(0); o < 400; o += 2 {
		c, err := l.Read(o, 400, 1, true)
		if err != nil {
			t.Fatal(err)
		}
		c.Release()
	}
	files := 0
	for _, s := range l.view.Load().segments {
		if s.file.Load() != nil {
			files++
		}
	}
	if files > openLimit+1 {
		t.Fatalf("%d of %d segments are open", files, len(l.Segments()))
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, durable := range []bool{true, false} {
		for _, size := range []int{1 << 10, 16 << 10, 128 << 10, 1 << 20} {
			b.Run(fmt.Sprintf("sync=%v/%dKiB", durable, size>>10), func(b *testing.B) {
				l := open(b, b.TempDir()+"/p", Options{Config: Config{SyncOnAppend: durable, SegmentBytes: 256 << 20}})
				data := batchOf(1, size-HeaderSize-10, 1)
				b.SetBytes(int64(len(data)))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := l.Append([]Entry{{Index: l.LastIndex() + 1, Term: 1, Kind: KindBatch, Data: data}}); err != nil {
						b.Fatal(err)
					}
					if l.EndOffset()%1000 == 0 { // keep the disk small
						l.Trim(l.EndOffset(), l.LastIndex(), nil)
					}
				}
			})
		}
	}
}

func BenchmarkRead(b *testing.B) {
	l := open(b, b.TempDir()+"/p", Options{Config: Config{SegmentBytes: 32 << 20}})
	for range 20000 {
		appendBatches(b, l, 1)
	}
	end := l.EndOffset()
	b.Run("tail", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			c, _ := l.Read(end-2, end, 1<<20, true)
			c.Release()
		}
	})
	b.Run("catching up by 64 KiB", func(b *testing.B) {
		b.ReportAllocs()
		from := Offset(0)
		for b.Loop() {
			c, err := l.Read(from, end, 64<<10, true)
			if err != nil {
				b.Fatal(err)
			}
			if from = c.NextOffset(); from >= end-1000 {
				from = 0
			}
			c.Release()
		}
	})
	b.Run("anywhere", func(b *testing.B) {
		b.ReportAllocs()
		from := Offset(0)
		for b.Loop() {
			from = (from*7919 + 104729) % (end - 1000)
			c, err := l.Read(from, end, 64<<10, true)
			if err != nil {
				b.Fatal(err)
			}
			c.Release()
		}
	})
}

// A trim used to forget the terms that had ended before the log start. When the suffix was truncated back to one of them, its batches had no term any
// more, and the next recovery took them for damage and cut them: acknowledged entries were lost.
func TestTermsSurviveATruncationDownToTheLogStart(t *testing.T) {
	files := memoryFS()
	o := Options{FS: files, Config: Config{SyncOnAppend: true}}
	l := open(t, "/d/p", o)
	appendBatches(t, l, 3)
	appendBatchesAtTerm(t, l, 4)
	if err := l.Trim(6, 0, nil); err != nil {
		t.Fatal(err)
	}
	if err := l.TruncateSuffix(4); err != nil {
		t.Fatal(err)
	}
	files.Remove("/d/p/recovery") // scan everything
	again := open(t, "/d/p", o)
	if again.LastIndex() != 3 || again.EndOffset() != 6 {
		t.Fatal(again.LastIndex(), again.EndOffset())
	}
	if epoch, ok := again.EpochOf(6); !ok || epoch != 1 {
		t.Fatal(epoch, ok)
	}
}
