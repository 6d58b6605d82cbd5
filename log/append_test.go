package log

import (
	"bytes"
	"os"
	"path"
	"testing"

	"github.com/barnabas-log/barnabas/internal/vfs"
)

// counting counts the cold writes of a file system.
type counting struct {
	vfs.FS
	cold int
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
	return f.File.WriteColdAt(buffers, position)
}

func appendCold(t *testing.T, l *Log, data []byte) {
	t.Helper()
	if _, err := l.AppendCold([]Entry{{Index: l.LastIndex() + 1, Term: 1, Kind: KindBatch, Data: data}}); err != nil {
		t.Fatal(err)
	}
}

// Much at a time is written around the page cache on a replica whose end nobody reads, and the file is the same.
func TestColdAppends(t *testing.T) {
	files := &counting{FS: vfs.OS{}}
	l := open(t, t.TempDir()+"/p", Options{FS: files, Config: Config{SyncOnAppend: true}})
	other := open(t, t.TempDir()+"/p", Options{})
	both := func(size int) {
		data := batchOf(1, size, 1)
		appendCold(t, l, bytes.Clone(data))
		if _, err := other.Append([]Entry{{Index: other.LastIndex() + 1, Term: 1, Kind: KindBatch, Data: data}}); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(cold int, when string) {
		t.Helper()
		if files.cold != cold {
			t.Fatalf("%s: %d cold writes, want %d", when, files.cold, cold)
		}
	}
	both(1000)
	expect(0, "a small append")
	both(coldFrom)
	both(coldFrom + 12345)
	expect(2, "large appends")
	c, err := l.Read(l.EndOffset()-1, l.EndOffset(), 1, true)
	if err != nil {
		t.Fatal(err)
	}
	c.Release()
	for written := 0; written < warmAfterRead; written += 8 << 20 {
		both(8 << 20)
	}
	expect(2, "after a read of the end")
	both(8 << 20)
	expect(3, "long after a read of the end")
	name := path.Base(l.view.Load().active().path)
	a, errA := os.ReadFile(path.Join(l.Dir(), name))
	b, errB := os.ReadFile(path.Join(other.Dir(), name))
	if errA != nil || errB != nil || !bytes.Equal(a, b) {
		t.Fatal("the files differ", errA, errB)
	}
}

func TestNoColdWriteWhereNothingIsSynced(t *testing.T) {
	files := &counting{FS: memoryFS()}
	l := open(t, "/d/p", Options{FS: files, noFlusher: true})
	appendCold(t, l, batchOf(1, 4<<20, 1))
	if files.cold != 0 {
		t.Fatal("a write waited for the disk")
	}
}
