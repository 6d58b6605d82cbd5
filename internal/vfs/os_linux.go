package vfs

import (
	"io"

	"golang.org/x/sys/unix"
)

// maxVectors is what one pwritev call takes (IOV_MAX).
const maxVectors = 1024

// Sync is fdatasync: content and length, without the time stamps.
func (f *osFile) Sync() error {
	for {
		switch err := fdatasync(f.File.Fd()); err {
		case 0:
			return nil
		case unix.EINTR:
		default:
			return err
		}
	}
}

// Forget is posix_fadvise with DONTNEED.
func (f *osFile) Forget(position int64) {
	_ = unix.Fadvise(int(f.File.Fd()), position, 0, unix.FADV_DONTNEED)
}

// WritevAt is pwritev, repeated until everything is written.
func (f *osFile) WritevAt(buffers [][]byte, position int64) (int64, error) {
	if len(buffers) == 1 {
		n, err := f.WriteAt(buffers[0], position)
		return int64(n), err
	}
	rest := make([][]byte, len(buffers))
	copy(rest, buffers)
	var written int64
	for len(rest) > 0 {
		n, err := unix.Pwritev(int(f.File.Fd()), rest[:min(len(rest), maxVectors)], position+written)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return written, err
		}
		if n == 0 && len(rest[0]) > 0 {
			return written, io.ErrShortWrite
		}
		written += int64(n)
		rest = advance(rest, n)
	}
	return written, nil
}

// advance drops the first n bytes of the buffers, and buffers that are empty.
func advance(buffers [][]byte, n int) [][]byte {
	for len(buffers) > 0 && n >= len(buffers[0]) {
		n -= len(buffers[0])
		buffers = buffers[1:]
	}
	if n > 0 {
		buffers[0] = buffers[0][n:]
	}
	return buffers
}
