//go:build unix

package protocol

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// hungUp waits until the client hangs up (true), sends something, or the read deadline passes.
func hungUp(raw syscall.RawConn) (gone bool) {
	var peek [1]byte
	err := raw.Read(func(fd uintptr) bool {
		n, _, err := unix.Recvfrom(int(fd), peek[:], unix.MSG_PEEK)
		for err == unix.EINTR {
			n, _, err = unix.Recvfrom(int(fd), peek[:], unix.MSG_PEEK)
		}
		if err == unix.EAGAIN {
			return false
		}
		gone = n == 0 || err != nil
		return true
	})
	return gone && err == nil
}
