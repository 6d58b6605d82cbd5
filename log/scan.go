package log

import (
	"fmt"
	"hash/crc32"
	"io"
	"sync"

	"github.com/barnabas-log/barnabas/internal/vfs"
)

const (
	headerBlock = 8 << 10 // read at once while walking over headers
	scanBlock   = 1 << 20 // read at once while verifying
)

var headerBlocks = sync.Pool{New: func() any { return new([headerBlock]byte) }}

// walkHeaders calls f with the header of every batch in [from, to), both batch boundaries, until it returns false. The header is valid during the call.
func walkHeaders(file vfs.File, name string, from, to int64, f func(position int64, h Header) bool) error {
	block := headerBlocks.Get().(*[headerBlock]byte)
	defer headerBlocks.Put(block)
	start, filled := from, int64(0) // block[:filled] holds the file from start on
	for position := from; position < to; {
		if position+HeaderSize > start+filled {
			n, err := file.ReadAt(block[:min(headerBlock, to-position)], position)
			if n < HeaderSize && position+HeaderSize <= to { // a short block is fine: the end may have been truncated meanwhile
				if err == nil || err == io.EOF {
					err = io.ErrUnexpectedEOF
				}
				return fmt.Errorf("read %s at %d: %w", name, position, err)
			}
			start, filled = position, int64(n)
		}
		if position+HeaderSize > start+filled {
			return &CorruptError{name, position, "batch header is cut off"}
		}
		h := Header(block[position-start:][:HeaderSize])
		if err := h.checkShape(to - position); err != nil {
			return &CorruptError{name, position, err.Error()}
		}
		if !f(position, h) {
			return nil
		}
		position += int64(h.Size())
	}
	return nil
}

// scanner reads whole batches one after another, for verification.
type scanner struct {
	file   vfs.File
	size   int64 // of the file
	buffer []byte
	start  int64 // of buffer in the file
}

// at gives the bytes [position, position+n) of the file, which must exist; they are valid until the next call.
func (s *scanner) at(position, n int64) ([]byte, error) {
	if position < s.start || position+n > s.start+int64(len(s.buffer)) {
		want := min(max(n, scanBlock), s.size-position)
		if int64(cap(s.buffer)) < want {
			s.buffer = make([]byte, want)
		}
		s.buffer = s.buffer[:want]
		s.start = position
		if err := readFull(s.file, s.buffer, position); err != nil {
			s.buffer = s.buffer[:0]
			return nil, err
		}
	}
	return s.buffer[position-s.start:][:n], nil
}

// batch gives the batch at position. reason says what is wrong with it, err that it could not be read.
func (s *scanner) batch(position int64) (b []byte, reason string, err error) {
	left := s.size - position
	if left < HeaderSize {
		return nil, fmt.Sprintf("%d bytes are less than a batch header", left), nil
	}
	b, err = s.at(position, HeaderSize)
	if err != nil {
		return nil, "", err
	}
	if err := Header(b).checkShape(left); err != nil {
		return nil, err.Error(), nil
	}
	b, err = s.at(position, int64(Header(b).Size()))
	if err != nil {
		return nil, "", err
	}
	if crc := crc32.Checksum(b[21:], castagnoli); crc != Header(b).CRC() {
		return nil, fmt.Sprintf("batch checksum mismatch: %08x, not %08x", crc, Header(b).CRC()), nil
	}
	return b, "", nil
}

// cut says whether the file ends before the batch that begins at position does.
func (s *scanner) cut(position int64) (bool, error) {
	left := s.size - position
	if left < HeaderSize {
		return true, nil
	}
	b, err := s.at(position, HeaderSize)
	return err == nil && Header(b).Magic() == 2 && int64(Header(b).Size()) > left, err
}

// sequence follows index, offset and term from batch to batch.
type sequence struct {
	controls controls
	epochs   epochTable
	last     Index  // of the last batch, or of the floor
	next     Offset // that the next batch must have
}

// accept checks that the batch follows and gives its index, the first one of a merged batch; reason says why it does not.
func (q *sequence) accept(h Header) (i Index, reason string) {
	if h.BaseOffset() != q.next {
		return 0, fmt.Sprintf("base offset %d where %d must follow", h.BaseOffset(), q.next)
	}
	i = q.controls.batchFrom(q.last + 1)
	for k := q.controls.from(q.last + 1); k < len(q.controls) && q.controls[k].index < i; k++ {
		if q.controls[k].next != q.next {
			return 0, fmt.Sprintf("offset %d where ctl has entry %d at %d", q.next, q.controls[k].index, q.controls[k].next)
		}
	}
	if term := q.epochs.termAt(i); int32(term) != h.LeaderEpoch() {
		return 0, fmt.Sprintf("leader epoch %d where index %d has term %d", h.LeaderEpoch(), i, term)
	}
	if n := Index(h.members()); n > 1 {
		if q.controls.from(i+1) != q.controls.from(i+n) {
			return 0, fmt.Sprintf("merged batch of %d where ctl has an entry among the indexes from %d on", n, i)
		}
		q.last, q.next = i+n-1, h.next()
		return i, ""
	}
	q.last, q.next = i, h.next()
	return i, ""
}
