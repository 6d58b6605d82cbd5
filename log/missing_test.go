package log

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/barnabas-log/barnabas/internal/vfs"
)

// cutShort takes bytes away from the first segment of an open log, which has several.
func cutShort(t *testing.T) (l *Log, path string, has int64) {
	t.Helper()
	dir, o, _, _ := damaged(t)
	l = open(t, dir, o)
	t.Cleanup(func() { l.Close() })
	path = filepath.Join(dir, segmentName(0)+".log")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	has = info.Size() * 2 / 3
	if err := os.Truncate(path, has); err != nil {
		t.Fatal(err)
	}
	return l, path, has
}

func wantsMissing(t *testing.T, err error, path string, has int64) {
	t.Helper()
	var corrupt *CorruptError
	if !errors.As(err, &corrupt) || corrupt.File != path || corrupt.Position != has {
		t.Errorf("%v, wanted damage of %s at %d", err, path, has)
	}
}

func TestWhatIsLeftOfASegmentThatLostItsEndIsRead(t *testing.T) {
	l, path, has := cutShort(t)
	c, err := l.Read(0, l.EndOffset(), 1<<20, true)
	if err != nil {
		t.Fatal(err)
	}
	whole := c.NextOffset()
	if _, err := c.Bytes(nil); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatalf("bytes that are not there: %v", err)
	}
	wantsMissing(t, c.Recheck(), path, has)
	c.Release()

	next := Offset(0)
	for {
		c, err := l.Read(next, l.EndOffset(), 1<<20, true)
		if err != nil {
			wantsMissing(t, err, path, has)
			break
		}
		if b, err := c.Bytes(nil); err != nil || len(b) != c.Size() {
			t.Fatal(len(b), c.Size(), err)
		}
		next = c.NextOffset()
		c.Release()
	}
	if next == 0 || next >= whole {
		t.Errorf("read up to %d of %d", next, whole)
	}
	c, err = l.Read(whole, l.EndOffset(), 1<<20, true)
	if err != nil {
		t.Fatalf("the next segment: %v", err)
	}
	c.Release()
}

func TestWhoLooksForAMissingBatchSaysSo(t *testing.T) {
	l, path, has := cutShort(t)
	_, next := l.view.Load().segments[0].extent.get()
	_, err := l.Read(next-1, l.EndOffset(), 1, true)
	wantsMissing(t, err, path, has)
}

func TestScrubFindsAMissingEndForReaders(t *testing.T) {
	l, path, has := cutShort(t)
	_, err := l.Scrub(0, unthrottled)
	wantsMissing(t, err, path, has)
	c, err := l.Read(0, l.EndOffset(), 1<<20, true)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Release()
	if _, err := c.Bytes(nil); err != nil {
		t.Errorf("after the scrub: %v", err)
	}
}

// interrupted lets something happen the first time that somebody asks for a file's size, before the answer is found or before it is given.
type interrupted struct {
	vfs.FS
	before, after func()
}

type interruptedFile struct {
	vfs.File
	fs *interrupted
}

func (f *interrupted) OpenFile(name string, flag int, perm os.FileMode) (vfs.File, error) {
	file, err := f.FS.OpenFile(name, flag, perm)
	return &interruptedFile{file, f}, err
}

func (f *interruptedFile) Size() (int64, error) {
	before, after := f.fs.before, f.fs.after
	f.fs.before, f.fs.after = nil, nil
	if before != nil {
		before()
	}
	size, err := f.File.Size()
	if after != nil {
		after()
	}
	return size, err
}

// TestWhoMeasuresBesideTheWriterFindsNothingMissing lets the active segment grow, or be cut, while its file is measured.
func TestWhoMeasuresBesideTheWriterFindsNothingMissing(t *testing.T) {
	for name, interrupt := range map[string]func(*testing.T, *Log, *interrupted){
		"grows before": func(t *testing.T, l *Log, f *interrupted) { f.before = func() { appendBatches(t, l, 1) } },
		"grows after":  func(t *testing.T, l *Log, f *interrupted) { f.after = func() { appendBatches(t, l, 1) } },
		"cut before":   func(t *testing.T, l *Log, f *interrupted) { f.before = func() { cutLast(t, l) } },
		"cut after":    func(t *testing.T, l *Log, f *interrupted) { f.after = func() { cutLast(t, l) } },
	} {
		t.Run(name, func(t *testing.T) {
			files := &interrupted{FS: memoryFS()}
			l := open(t, "/d/p", Options{FS: files})
			appendBatches(t, l, 3)
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			l = open(t, "/d/p", Options{FS: files}) // what is there is durable: it is scrubbed
			interrupt(t, l, files)
			if _, err := l.Scrub(0, func(int) error { return nil }); err != nil && !errors.Is(err, ErrNotFound) {
				t.Error(err)
			}
			if files.before != nil || files.after != nil {
				t.Error("nobody measured")
			}
		})
	}
}

func cutLast(t *testing.T, l *Log) {
	t.Helper()
	if err := l.TruncateSuffix(l.LastIndex()); err != nil {
		t.Fatal(err)
	}
}
