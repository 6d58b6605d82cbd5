package log

import (
	"bytes"
	"os"
	"path"
	"testing"
	"testing/synctest"
	"time"

	"github.com/barnabas-log/barnabas/internal/metrics"
	"github.com/barnabas-log/barnabas/internal/vfs"
)

// counting counts the cold writes of a file system.
type counting struct {
	vfs.FS
	cold  int
	bytes int64 // written cold
}

type countingFile struct {
	vfs.File
	fs *counting
}

func (c *counting) OpenFile(name string, flag int, perm os.FileMode) (vfs.File, error) {
	f, err := c.FS.OpenFile(name, flag, perm)
	return &countingFile{f, c}, err
}

func (f *countingFile) WriteColdAt(buffers [][]byte, position int64) (int64, error) {
	f.fs.cold++
	n, err := f.File.WriteColdAt(buffers, position)
	f.fs.bytes += n
	return n, err
}

func appendOne(t *testing.T, l *Log, data []byte) Meta {
	t.Helper()
	metas, err := l.Append([]Entry{{Index: l.LastIndex() + 1, Term: 1, Kind: KindBatch, Data: data}})
	if err != nil {
		t.Fatal(err)
	}
	return metas[0]
}

// Much at a time is written around the page cache where nobody has read for a while, and the file is the same.
func TestColdAppends(t *testing.T) {
	dir, reference := t.TempDir()+"/p", t.TempDir()+"/p"
	synctest.Test(t, func(t *testing.T) {
		files := &counting{FS: vfs.OS{}}
		figures := metrics.New()
		l := open(t, dir, Options{FS: files, Metrics: NewMetrics(figures), Config: Config{SyncOnAppend: true}, SyncSlots: make(chan struct{}, 1)})
		other := open(t, reference, Options{})
		var last Meta
		both := func(size, cold int, when string) {
			t.Helper()
			data := batchOf(1, size, 1)
			files.cold = 0
			last = appendOne(t, l, bytes.Clone(data))
			if files.cold != cold {
				t.Fatalf("%s: %d cold writes, want %d", when, files.cold, cold)
			}
			appendOne(t, other, data)
		}
		both(1000, 0, "a small append")
		both(coldFrom, 1, "a large append")
		both(coldFrom+12345, 1, "another")
		for name, read := range map[string]func() (*Chunk, error){
			"by a consumer":           func() (*Chunk, error) { return l.Read(l.EndOffset()-1, l.EndOffset(), 1, true) },
			"of what is old":          func() (*Chunk, error) { return l.Read(0, l.EndOffset(), 1, true) },
			"for a follower":          func() (*Chunk, error) { return l.ChunkOf(last) },
			"for a follower, in part": func() (*Chunk, error) { _, err := l.Data(nil, last); return nil, err },
		} {
			c, err := read()
			if err != nil {
				t.Fatal(name, err)
			}
			if c != nil {
				c.Release()
			}
			both(coldFrom, 0, "after a read "+name)
			time.Sleep(warmAfterRead - time.Nanosecond)
			both(coldFrom, 0, "a while after a read "+name)
			time.Sleep(time.Nanosecond)
			both(coldFrom, 1, "long after a read "+name)
		}
		if counted, _ := figures.Value("log_cold_bytes_total"); counted != float64(files.bytes) || counted < 6*coldFrom {
			t.Errorf("%v bytes counted, %d written cold", counted, files.bytes)
		}
		name := path.Base(l.view.Load().active().path)
		a, errA := os.ReadFile(path.Join(l.Dir(), name))
		b, errB := os.ReadFile(path.Join(other.Dir(), name))
		if errA != nil || errB != nil || !bytes.Equal(a, b) {
			t.Fatal("the files differ", errA, errB)
		}
	})
}

func TestNoColdWriteWhereNothingIsSynced(t *testing.T) {
	files := &counting{FS: memoryFS()}
	l := open(t, "/d/p", Options{FS: files, noFlusher: true})
	appendOne(t, l, batchOf(1, 4<<20, 1))
	if files.cold != 0 {
		t.Fatal("a write waited for the disk")
	}
}
