package main

import (
	"io"
	"net"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// discard makes the kernel drop the next n bytes that come in, without copying them to us.
func discard(c *net.TCPConn, n int) error {
	conn, err := c.SyscallConn()
	if err != nil {
		return err
	}
	space := make([]byte, 1) // Linux wants an address; MSG_TRUNC leaves it alone
	for n > 0 {
		var got int
		var failed error
		err := conn.Read(func(fd uintptr) bool {
			got, failed = dropFrom(int(fd), space, n)
			return failed != unix.EAGAIN
		})
		if err != nil {
			return err
		}
		if failed == unix.EINTR {
			continue
		}
		if failed != nil {
			return failed
		}
		if got == 0 {
			return io.ErrUnexpectedEOF
		}
		n -= got
	}
	return nil
}

// dropFrom receives up to n bytes of fd into nowhere.
func dropFrom(fd int, space []byte, n int) (int, error) {
	got, _, errno := unix.Syscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&space[0])), uintptr(n), unix.MSG_TRUNC, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(got), nil
}

// datasync makes what was written durable.
func datasync(f *os.File) error { return unix.Fdatasync(int(f.Fd())) }

// allocate makes a file take up room on its disk from at on, without writing.
func allocate(f *os.File, at, size int64) error { return unix.Fallocate(int(f.Fd()), 0, at, size) }
