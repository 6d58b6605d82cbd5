package protocol

import (
	"fmt"
	"io"
	"syscall"

	"golang.org/x/sys/unix"
)

const sendFileKnown = true

// maxSendFile bounds one sendfile call, so that a deadline is looked at now and then.
const maxSendFile = 1 << 24

// sendFiles sends b with the records spliced in from their files. The bytes in front of records are sent with MSG_MORE, so that they share a
// packet.
func sendFiles(raw syscall.RawConn, b []byte, splices []splice) error {
	from := 0
	for _, s := range splices {
		if err := sendAll(raw, b[from:s.at], unix.MSG_MORE); err != nil {
			return err
		}
		from = s.at
		fd, position, _ := s.chunk.File()
		if err := sendFile(raw, int(fd), position, s.chunk.Size()); err != nil {
			return err
		}
	}
	return sendAll(raw, b[from:], 0)
}

// sendAll sends b with flags.
func sendAll(raw syscall.RawConn, b []byte, flags int) error {
	var cause error
	err := raw.Write(func(socket uintptr) bool {
		for len(b) > 0 {
			n, err := unix.SendmsgN(int(socket), b, nil, nil, flags|unix.MSG_NOSIGNAL)
			switch {
			case err == unix.EINTR:
			case err == unix.EAGAIN:
				return false
			case err != nil:
				cause = err
				return true
			default:
				b = b[n:]
			}
		}
		return true
	})
	if err == nil {
		err = cause
	}
	if err != nil {
		return fmt.Errorf("write a reply: %w", err)
	}
	return nil
}

// sendFile sends size bytes of the file from position on. It does not move the file's own position.
func sendFile(raw syscall.RawConn, file int, position int64, size int) error {
	var cause error
	err := raw.Write(func(socket uintptr) bool {
		for size > 0 {
			n, err := unix.Sendfile(int(socket), file, &position, min(size, maxSendFile))
			switch {
			case err == unix.EINTR:
			case err == unix.EAGAIN:
				return false
			case err != nil:
				cause = err
				return true
			case n == 0:
				cause = io.ErrUnexpectedEOF // the file is shorter than its index says
				return true
			default:
				size -= n
			}
		}
		return true
	})
	if err == nil {
		err = cause
	}
	if err != nil {
		return fmt.Errorf("send records: %w", err)
	}
	return nil
}
