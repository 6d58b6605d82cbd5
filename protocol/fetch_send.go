package protocol

import (
	"fmt"
	"time"

	"github.com/barnabas-log/barnabas/log"
)

// maxCopied is the size of a reply up to which its records are copied into it, so that one system call sends everything. Above, they go from
// the file to the socket.
const maxCopied = 64 << 10

// send encodes the reply and sends it. The chunks stay the caller's to release.
func (r *fetchReply) send(c *conn) error {
	buffer := newBuffer(4 << 10)
	defer func() { buffer.free() }()
	b, splices := r.encode(buffer.b[:0], c.splices[:0])
	c.splices = splices[:0]
	defer clear(splices)
	if cap(b) > cap(buffer.b) && cap(b) <= maxKeptReply {
		buffer.b = b
	}
	r.size = len(b)
	for _, s := range splices {
		r.size += s.Range.Size()
	}
	if r.size <= maxCopied || c.raw == nil || !log.CanSend(splices) {
		return sendCopied(c, b, splices, r.size)
	}
	if err := c.nc.SetWriteDeadline(time.Now().Add(c.idle)); err != nil {
		return err
	}
	if err := log.Send(c.raw, b, splices); err != nil {
		return fmt.Errorf("write a reply: %w", err)
	}
	return nil
}

// sendCopied sends the reply, of size bytes, through memory, in pieces of at most about maxCopied and one chunk.
func sendCopied(c *conn, b []byte, splices []log.Piece, size int) error {
	if len(splices) == 0 {
		return c.write(b)
	}
	buffer := newBuffer(min(size, maxCopied))
	defer func() { buffer.free() }()
	out, from := buffer.b[:0], 0
	for _, s := range splices {
		out = append(out, b[from:s.At]...)
		from = s.At
		before := len(out)
		var err error
		if out, err = s.Range.Bytes(out); err != nil {
			return fmt.Errorf("read records for a reply: %w", err)
		}
		if n := len(out) - before; n != s.Range.Size() {
			return fmt.Errorf("read records for a reply: %d bytes of %d", n, s.Range.Size())
		}
		if len(out) >= maxCopied {
			if err := c.write(out); err != nil {
				return err
			}
			out = out[:0]
		}
	}
	out = append(out, b[from:]...)
	if len(out) == 0 {
		return nil
	}
	return c.write(out)
}
