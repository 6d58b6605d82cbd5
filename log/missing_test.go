package log

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
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
