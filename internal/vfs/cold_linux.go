package vfs

import (
	"fmt"
	"io"
	"sync"

	"github.com/barnabas-log/barnabas/internal/hugepage"
	"golang.org/x/sys/unix"
)

// mostVectors is how many ranges of memory one write may consist of.
const mostVectors = 64

// The states of the second descriptor, which writes around the page cache.
const (
	directUnknown = 0  // not opened yet
	directRefused = -1 // the file system does not do it
)

// staging has memory for what does not lie in memory as it will on the disk: a large page each (docs/decisions/0026), which is how much is copied at most for one write.
var staging sync.Pool

// WriteColdAt writes whole blocks with O_DIRECT, and the ends of the range as usual. A buffer that lies in memory as it will on the disk, at the same place in a block, is written from there; others are
// copied to memory that is aligned. Not at the same time as Close or another WriteColdAt.
func (f *osFile) WriteColdAt(buffers [][]byte, position int64) (written int64, err error) {
	var total int64
	for _, b := range buffers {
		total += int64(len(b))
	}
	if total < block || !f.openDirect() {
		return f.WritevAt(buffers, position)
	}
	page, _ := staging.Get().(*hugepage.Page)
	if page == nil {
		if page, err = hugepage.NewPage(); err != nil {
			return f.WritevAt(buffers, position) // no memory to write from
		}
	}
	defer staging.Put(page)
	return f.writeCold(buffers, position, total, page.B)
}

// writeCold writes the buffers, of total bytes, with space to copy to.
func (f *osFile) writeCold(buffers [][]byte, position, total int64, space []byte) (written int64, err error) {
	rest := advance(append([][]byte(nil), buffers...), 0)
	for written < total {
		at, left := position+written, total-written
		if f.direct == directRefused {
			n, err := f.WritevAt(rest, at)
			return written + n, err
		}
		var n int
		if in := at % block; in != 0 || left < block {
			end := space[:min(left, block-in)]
			fill(end, rest)
			n, err = f.WriteAt(end, at)
		} else {
			n, err = f.writeBlocks(gather(rest, left&^(block-1), space), at)
		}
		written += int64(n)
		if err != nil {
			return written, err
		}
		rest = advance(rest, n)
	}
	return written, nil
}

// gather gives the first bytes of the buffers, at most size, in whole blocks: where they lie if that is aligned, else copied to space, which is.
func gather(buffers [][]byte, size int64, space []byte) (vectors [][]byte) {
	rest, left := append([][]byte(nil), buffers...), int(size)
	copied := false // the last vector is in space
	for left > 0 && len(vectors) < mostVectors {
		b := rest[0]
		n := min(len(b), left) &^ (block - 1)
		if n > 0 && misaligned(b) == 0 {
			vectors, copied = append(vectors, b[:n]), false
		} else {
			n = min((len(b)+block-1)&^(block-1), left, len(space)) // with what fills its last block
			if n == 0 {
				break
			}
			fill(space[:n], rest)
			if last := len(vectors) - 1; copied {
				vectors[last] = vectors[last][:len(vectors[last])+n] // they lie behind each other
			} else {
				vectors, copied = append(vectors, space[:n]), true
			}
			space = space[n:]
		}
		left -= n
		rest = advance(rest, n)
	}
	return vectors
}

// fill copies the first len(dst) bytes of the buffers.
func fill(dst []byte, buffers [][]byte) {
	for _, b := range buffers {
		if len(dst) == 0 {
			return
		}
		dst = dst[copy(dst, b):]
	}
}

// writeBlocks writes whole blocks around the page cache, perhaps not all, and none if that turns out to be refused.
func (f *osFile) writeBlocks(vectors [][]byte, position int64) (int, error) {
	for {
		n, err := pwritev(uintptr(f.direct), vectors, position)
		switch {
		case err == unix.EINTR:
		case err == unix.EINVAL: // it can be opened, and not be used
			f.closeDirect()
			f.direct = directRefused
			return 0, nil
		case err != 0:
			return 0, fmt.Errorf("write %s: %w", f.Name(), err)
		case n == 0:
			return 0, fmt.Errorf("write %s: %w", f.Name(), io.ErrShortWrite)
		default:
			return n, nil
		}
	}
}

// openDirect reports whether the file can be written around the page cache.
func (f *osFile) openDirect() bool {
	if f.direct == directUnknown {
		fd, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", f.File.Fd()), unix.O_WRONLY|unix.O_DIRECT|unix.O_CLOEXEC, 0) // the same file, whatever its name is by now
		f.direct = fd
		if err != nil {
			f.direct = directRefused
		}
	}
	return f.direct > 0
}

func (f *osFile) closeDirect() error {
	if f.direct <= 0 {
		return nil
	}
	fd := f.direct
	f.direct = directUnknown
	return unix.Close(fd)
}
