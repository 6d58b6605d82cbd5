package log

import (
	"fmt"
	"syscall"
)

// Range is a range of record batches in a segment's file: a *Chunk.
type Range interface {
	Size() int
	Bytes(dst []byte) ([]byte, error)
	File() (fd uintptr, position int64, ok bool)
	Release()
}

var _ Range = (*Chunk)(nil)

// Piece is a range that belongs before the byte At of a message.
type Piece struct {
	At    int
	Range Range
}

// CanSend says whether Send can send these from their files.
func CanSend(pieces []Piece) bool {
	for _, p := range pieces {
		if _, _, ok := p.Range.File(); !ok {
			return false
		}
	}
	return sendfileKnown
}

// Join appends b with the pieces in it to dst.
func Join(dst, b []byte, pieces []Piece) (_ []byte, err error) {
	from := 0
	for _, p := range pieces {
		dst = append(dst, b[from:p.At]...)
		from = p.At
		before := len(dst)
		if dst, err = p.Range.Bytes(dst); err != nil {
			return dst, err
		}
		if n := len(dst) - before; n != p.Range.Size() {
			return dst, fmt.Errorf("%d bytes of %d", n, p.Range.Size())
		}
	}
	return append(dst, b[from:]...), nil
}

// Send sends b with the pieces in it, which go from their files to the socket without passing through this process. It must be possible: see CanSend. After an error nobody knows how much
// was sent. io.ErrUnexpectedEOF: a file is shorter than its log says (see Chunk.Recheck).
func Send(raw syscall.RawConn, b []byte, pieces []Piece) error {
	from := 0
	for _, p := range pieces {
		if err := sendBytes(raw, b[from:p.At], true); err != nil {
			return err
		}
		from = p.At
		fd, position, _ := p.Range.File()
		if err := sendFile(raw, int(fd), position, p.Range.Size()); err != nil {
			return fmt.Errorf("send records: %w", err)
		}
	}
	return sendBytes(raw, b[from:], false)
}
