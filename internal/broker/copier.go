package broker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/barnabas-log/barnabas/internal/vfs"
	"github.com/barnabas-log/barnabas/log"
)

// copier makes a directory like another, in rounds: each copies what has changed since the one before. While the original is in use a round may copy halves; the last one, when it is
// closed, makes it right.
type copier struct {
	from, to string
	files    map[string]copied
	bytes    *atomic.Int64
}

// copied is what a file was like before it was copied.
type copied struct {
	info os.FileInfo
	at   time.Time
	size int64 // of the copy
}

const (
	// settled is how old a file's time must be for its next change to show in it.
	settled = 2 * time.Second
	// tailBytes are compared before a longer file is taken for a continuation of its copy.
	tailBytes = 64 << 10
	// copyStep is copied between two looks at whether to go on.
	copyStep = 4 << 20
)

// newCopier makes an empty directory for the copy. Its name is that of no partition.
func newCopier(from, to string, bytes *atomic.Int64) (*copier, error) {
	if err := os.RemoveAll(to); err != nil {
		return nil, fmt.Errorf("clear the way for a copy: %w", err)
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return nil, fmt.Errorf("make directory for a copy: %w", err)
	}
	return &copier{from: from, to: to, files: map[string]copied{}, bytes: bytes}, nil
}

// round copies what has changed and says how many bytes that were. last: the original is closed, and every file is looked at closely.
func (c *copier) round(ctx context.Context, last bool) (bytes int64, err error) {
	entries, err := os.ReadDir(c.from)
	if err != nil {
		return 0, fmt.Errorf("copy a replica: %w", err)
	}
	there := map[string]bool{}
	for _, entry := range entries {
		if entry.IsDir() || log.Removed(entry.Name()) || entry.Name() == probeName {
			continue
		}
		n, err := c.file(ctx, entry.Name())
		if errors.Is(err, fs.ErrNotExist) && !last { // removed meanwhile
			continue
		}
		if err != nil {
			return bytes, fmt.Errorf("copy %s: %w", filepath.Join(c.from, entry.Name()), err)
		}
		there[entry.Name()] = true
		bytes += n
	}
	for name, known := range c.files {
		if !there[name] {
			if err := os.Remove(filepath.Join(c.to, name)); err != nil {
				return bytes, fmt.Errorf("copy a replica: %w", err)
			}
			c.bytes.Add(-known.size)
			delete(c.files, name)
		}
	}
	return bytes, nil
}

// file copies one file, as far as needed.
func (c *copier) file(ctx context.Context, name string) (int64, error) {
	source, err := os.Open(filepath.Join(c.from, name))
	if err != nil {
		return 0, err
	}
	defer func() { _ = source.Close() }()
	info, err := source.Stat()
	if err != nil {
		return 0, err
	}
	known, again := c.files[name]
	if again && known.same(info) {
		return 0, nil
	}
	target, err := os.OpenFile(filepath.Join(c.to, name), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return 0, err
	}
	from := int64(0)
	if again && strings.HasSuffix(name, ".log") && os.SameFile(known.info, info) && continues(source, target, known.size, info.Size()) {
		from = known.size
	}
	now := time.Now()
	n, err := copyFrom(ctx, target, source, from, info.Size())
	if err == nil {
		err = target.Truncate(from + n)
	}
	if err == nil {
		err = target.Sync()
	}
	if err = errors.Join(err, target.Close()); err != nil {
		return n, err
	}
	c.files[name] = copied{info: info, at: now, size: from + n}
	c.bytes.Add(from + n - known.size)
	return n, nil
}

// same says whether a file has certainly not changed since it was copied.
func (k copied) same(info os.FileInfo) bool {
	return os.SameFile(k.info, info) && k.size == info.Size() && k.info.ModTime().Equal(info.ModTime()) && k.at.Sub(info.ModTime()) > settled
}

// continues says whether a segment begins with what its copy holds: it is only ever appended to and cut, and a batch that comes to lie where another one was has a later epoch.
// So the same bytes at the end of the copy mean the same log before them.
func continues(source, target *os.File, copied, size int64) bool {
	if copied == 0 || copied > size {
		return false
	}
	n := min(copied, tailBytes)
	a, b := make([]byte, n), make([]byte, n)
	_, err := source.ReadAt(a, copied-n)
	_, err2 := target.ReadAt(b, copied-n)
	return err == nil && err2 == nil && bytes.Equal(a, b)
}

// copyFrom copies the bytes from a position to the size that the file had. It may have become shorter.
func copyFrom(ctx context.Context, target, source *os.File, from, size int64) (n int64, err error) {
	if _, err := source.Seek(from, io.SeekStart); err != nil {
		return 0, err
	}
	if _, err := target.Seek(from, io.SeekStart); err != nil {
		return 0, err
	}
	for from+n < size {
		if err := ctx.Err(); err != nil {
			return n, err
		}
		step, err := io.CopyN(target, source, min(copyStep, size-from-n))
		n += step
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// finish gives the copy its name, durably.
func (c *copier) finish(name string) error {
	files := vfs.OS{}
	topic := filepath.Dir(name)
	err := files.SyncDir(c.to)
	if err == nil {
		err = os.RemoveAll(name) // of an earlier move that was not completed
	}
	if err == nil {
		err = os.Rename(c.to, name)
	}
	if err == nil {
		err = files.SyncDir(topic)
	}
	if err == nil {
		err = files.SyncDir(filepath.Dir(topic))
	}
	if err != nil {
		return fmt.Errorf("complete the copy of a replica: %w", err)
	}
	return nil
}
