package log

import (
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

const sendfileKnown = true

// maxSendfile bounds one sendfile call, so that a deadline is looked at now and then.
const maxSendfile = 1 << 24

// sendBytes sends b. more: something follows that shares its packet.
func sendBytes(raw syscall.RawConn, b []byte, more bool) error {
	flags := unix.MSG_NOSIGNAL
	if more {
		flags |= unix.MSG_MORE
	}
	var cause error
	err := raw.Write(func(socket uintptr) bool {
		for len(b) > 0 {
			n, err := unix.SendmsgN(int(socket), b, nil, nil, flags)
			if n > 0 {
				b = b[n:]
			}
			if again, wait := verdictOf(err, &cause); !again {
				return !wait
			}
		}
		return true
	})
	if err == nil {
		err = cause
	}
	return err
}

// sendFile sends size bytes of the file from position on. It does not move the file's own position.
func sendFile(raw syscall.RawConn, file int, position int64, size int) error {
	var cause error
	err := raw.Write(func(socket uintptr) bool {
		for size > 0 {
			n, err := unix.Sendfile(int(socket), file, &position, min(size, maxSendfile))
			if n > 0 {
				size -= n
			} else if err == nil {
				err = io.ErrUnexpectedEOF // the file is shorter than its index says
			}
			if again, wait := verdictOf(err, &cause); !again {
				return !wait
			}
		}
		return true
	})
	if err == nil {
		err = cause
	}
	return err
}

// Cached says whether all of the chunk is in the page cache, so that nobody who sends it waits for the disk. false where that cannot be told (before Linux 6.5).
func (c *Chunk) Cached() bool {
	fd, position, ok := c.File()
	if !ok || c.size == 0 {
		return false
	}
	page := int64(os.Getpagesize())
	from := position / page * page
	end := (position + int64(c.size) + page - 1) / page * page
	var have unix.Cachestat_t
	err := unix.Cachestat(uint(fd), &unix.CachestatRange{Off: uint64(from), Len: uint64(end - from)}, &have, 0)
	return err == nil && have.Cache >= uint64((end-from)/page)
}

// verdictOf says whether to go on after a call, or else whether to wait until the socket takes more; neither is an error, which goes to cause.
func verdictOf(err error, cause *error) (again, wait bool) {
	switch err {
	case nil, unix.EINTR:
		return true, false
	case unix.EAGAIN:
		return false, true
	}
	*cause = err
	return false, false
}
