package vfs

import (
	"fmt"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// block is what O_DIRECT wants positions, lengths and memory to be multiples of: no disk or file system in use wants more.
	block = 4096
	// piece is how many bytes go to the disk in one write.
	piece = 1 << 20
)

// The states of the second descriptor, which writes around the page cache.
const (
	directUnknown = 0  // not opened yet
	directRefused = -1 // the file system does not do it
)

// aligned are buffers for such writes.
var aligned = sync.Pool{New: func() any {
	b := make([]byte, piece+block-1)
	at := -int(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) & (block - 1)
	b = b[at : at+piece]
	return &b
}}

// WriteColdAt writes whole blocks with O_DIRECT, from memory that is aligned, and the ends of the range as usual. Not at the same time as Close or another WriteColdAt.
func (f *osFile) WriteColdAt(buffers [][]byte, position int64) (written int64, err error) {
	var total int64
	for _, b := range buffers {
		total += int64(len(b))
	}
	if total < 2*block || !f.openDirect() {
		return f.WritevAt(buffers, position)
	}
	pooled := aligned.Get().(*[]byte)
	defer aligned.Put(pooled)
	rest := append([][]byte(nil), buffers...)
	for written < total {
		at := position + written
		b := (*pooled)[:min(total-written, piece)]
		direct := at%block == 0 && len(b) >= block
		if direct {
			b = b[:len(b)&^(block-1)]
		} else {
			b = b[:min(int64(len(b)), block-at%block)]
		}
		fill(b, rest)
		n, err := f.writeBlock(b, at, direct)
		written += int64(n)
		if err != nil {
			return written, err
		}
		rest = advance(rest, n)
	}
	return written, nil
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

func (f *osFile) writeBlock(b []byte, position int64, direct bool) (int, error) {
	for direct && f.direct > 0 {
		n, err := unix.Pwrite(f.direct, b, position)
		switch {
		case err == unix.EINTR:
		case err == unix.EINVAL: // it can be opened, and not be used
			f.closeDirect()
			f.direct = directRefused
		case err != nil:
			return max(n, 0), fmt.Errorf("write %s: %w", f.Name(), err)
		case n > 0:
			return n, nil
		default:
			direct = false
		}
	}
	return f.WriteAt(b, position)
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
