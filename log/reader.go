package log

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"sync"
)

// Chunk is a range of one segment's file, pinned until Release: it stays readable when the segment is removed meanwhile.
type Chunk struct {
	segment  *segment
	handle   *handle
	position int64
	size     int
	next     Offset
}

var chunks = sync.Pool{New: func() any { return new(Chunk) }}

// Size is the length in bytes.
func (c *Chunk) Size() int { return c.size }

// Bytes reads the range into memory (dst is appended to).
func (c *Chunk) Bytes(dst []byte) ([]byte, error) {
	at := len(dst)
	dst = grow(dst, c.size)
	if err := readFull(c.handle.file, dst[at:], c.position); err != nil {
		return dst[:at], fmt.Errorf("read %d bytes of a segment at %d: %w", c.size, c.position, err)
	}
	return dst, nil
}

// ReadAt reads from the range, like io.ReaderAt: position 0 is the first byte of the chunk.
func (c *Chunk) ReadAt(b []byte, position int64) (int, error) {
	if position < 0 || position >= int64(c.size) {
		return 0, io.EOF
	}
	short := int64(len(b)) > int64(c.size)-position
	if short {
		b = b[:int64(c.size)-position]
	}
	n, err := c.handle.file.ReadAt(b, c.position+position)
	if err == nil && short {
		err = io.EOF
	}
	return n, err
}

// File gives the file descriptor and the position for sendfile; ok is false on a file system without descriptors.
func (c *Chunk) File() (fd uintptr, position int64, ok bool) {
	fd, ok = c.handle.file.Fd()
	return fd, c.position, ok
}

// NextOffset is the offset after the last record of the chunk.
func (c *Chunk) NextOffset() Offset { return c.next }

// Release unpins the segment. Call exactly once; the chunk is not to be used after.
func (c *Chunk) Release() {
	h := c.handle
	*c = Chunk{}
	chunks.Put(c)
	h.release() // the file was read only: nothing is lost with an error
}

func grow(b []byte, n int) []byte {
	if cap(b)-len(b) < n {
		larger := make([]byte, len(b), len(b)+n)
		copy(larger, b)
		b = larger
	}
	return b[:len(b)+n]
}

// Read returns whole batches from the one that contains offset from, none that reaches limit or beyond, at most maxBytes of them; the first batch is
// returned even when it is larger, if atLeastOne. One call reads from one segment. nil, nil when from == limit, when nothing fits, or when
// compaction has just merged what is asked for with what lies beyond an older limit.
// ErrOutOfRange when from is before StartOffset or after limit or EndOffset. The chunk must be released. Never takes a lock while the segment's
// file is open, which the active one's is.
func (l *Log) Read(from, limit Offset, maxBytes int, atLeastOne bool) (*Chunk, error) {
	for {
		c, err := l.readOnce(from, limit, maxBytes, atLeastOne)
		if !errors.Is(err, ErrNotFound) {
			return c, err
		}
		// The segment went away between looking it up and opening it: look again, and find that it is out of range, or elsewhere.
		if l.closed.Load() {
			return nil, ErrClosed
		}
		if err := l.Err(); err != nil {
			return nil, err
		}
		runtime.Gosched()
	}
}

func (l *Log) readOnce(from, limit Offset, maxBytes int, atLeastOne bool) (*Chunk, error) {
	if l.closed.Load() {
		return nil, ErrClosed
	}
	limit = min(limit, l.EndOffset())
	if from < l.StartOffset() || from > limit {
		return nil, ErrOutOfRange
	}
	if from == limit {
		return nil, nil
	}
	v := l.view.Load()
	s := v.segments[v.at(from)]
	if from < s.base {
		return nil, ErrNotFound // the list is older than StartOffset: look again
	}
	h, err := s.pin()
	if err != nil {
		return nil, err
	}
	start, end, next, err := l.bounds(s, h, from, limit, int64(min(max(maxBytes, 0), math.MaxInt32)), atLeastOne)
	if err == nil && end > start {
		end, next, err = s.present(h, start, end, next)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = cmp.Or(s.measure(h), err)
	}
	if err != nil || end == start {
		h.release()
		return nil, err
	}
	s.setHint(next, end)
	l.touch()
	c := chunks.Get().(*Chunk)
	*c = Chunk{segment: s, handle: h, position: start, size: int(end - start), next: next}
	return c, nil
}

// bounds finds the range that Read answers: from where the batch of offset from begins, to where the last batch ends that fits.
func (l *Log) bounds(s *segment, h *handle, from, limit Offset, maxBytes int64, atLeastOne bool) (start, end int64, next Offset, err error) {
	bytes, last := s.extent.get()
	if from >= last {
		return 0, 0, 0, ErrNotFound // truncated meanwhile, or the next segment has just begun: look again
	}
	if start, err = l.startOf(s, h, from, bytes); err != nil {
		return 0, 0, 0, err
	}
	if limit >= last && bytes-start <= maxBytes {
		return start, bytes, last, nil
	}
	if end, next, ok := l.recentEnd(s, start, limit, maxBytes); ok {
		return start, end, next, nil
	}
	// Begin at the last indexed batch within the range, then go from header to header.
	walk := start
	key, value, ok, err := s.search(s.offsets, func(key, value int64) bool {
		return value <= start+maxBytes && s.base+Offset(key) < limit && value < bytes
	})
	if err != nil {
		return 0, 0, 0, err
	}
	end, next = start, from
	if ok && value > start {
		walk, end = value, value
		next = s.base + Offset(key) // replaced below when the batch fits
	}
	first, astray := true, false
	err = walkHeaders(h.file, s.path, walk, bytes, func(position int64, h Header) bool {
		if astray = first && position > start && h.LastOffset() != s.base+Offset(key); astray {
			return false
		}
		size := int64(h.Size())
		fits := position+size-start <= maxBytes || position == start && atLeastOne
		if h.LastOffset() >= limit || !fits {
			if first && position > start {
				next = h.BaseOffset()
			}
			return false
		}
		first = false
		end, next = position+size, h.next()
		return true
	})
	if walk > start && (astray || err != nil && first) { // the index has led astray: a smaller range is found without it
		s.doubt()
		end, next, err = start, from, walkHeaders(h.file, s.path, start, bytes, func(position int64, h Header) bool {
			size := int64(h.Size())
			if h.LastOffset() >= limit || position+size-start > maxBytes && !(position == start && atLeastOne) {
				return false
			}
			end, next = position+size, h.next()
			return true
		})
	}
	return start, end, next, err
}

// startOf finds where the batch begins that holds the offset.
func (l *Log) startOf(s *segment, h *handle, o Offset, bytes int64) (int64, error) {
	if o == s.base {
		return 0, nil
	}
	if position, ok := s.hint(o); ok && position < bytes {
		return position, nil
	}
	if e := l.recent.offset(o, s); e != nil {
		return e.position, nil
	}
	relative := int64(o - s.base)
	_, walk, ok, err := s.search(s.offsets, func(key, value int64) bool { return key <= relative && value < bytes })
	if err != nil {
		return 0, err
	}
	if !ok {
		walk = 0
	}
	found, err := walkTo(h, s.path, walk, bytes, o)
	if err != nil && walk > 0 && !errors.Is(err, ErrNotFound) { // the index may have led astray
		if found, err = walkTo(h, s.path, 0, bytes, o); err == nil {
			s.doubt()
		}
	}
	return found, err
}

// walkTo goes from header to header, from a batch that begins at walk, to the one that holds the offset.
func walkTo(h *handle, name string, walk, bytes int64, o Offset) (int64, error) {
	found, past := int64(-1), false
	err := walkHeaders(h.file, name, walk, bytes, func(position int64, h Header) bool {
		if past = h.BaseOffset() > o; !past && h.LastOffset() >= o {
			found = position
		}
		return found < 0 && !past
	})
	switch {
	case err == nil && past:
		err = &CorruptError{name, walk, fmt.Sprintf("no batch from here on holds offset %d", o)}
	case err == nil && found < 0:
		err = ErrNotFound
	}
	return found, err
}

// recentEnd answers from memory where the last batch ends that lies before limit and within maxBytes, if that batch is a recent one.
func (l *Log) recentEnd(s *segment, start int64, limit Offset, maxBytes int64) (end int64, next Offset, ok bool) {
	e := l.recent.before(func(e *located) bool {
		return e.segment.base > s.base || e.segment == s && (e.NextOffset > limit || e.end()-start > maxBytes)
	})
	if e == nil || e.segment != s || e.end() <= start {
		return 0, 0, false
	}
	return e.end(), e.NextOffset, true
}

// Scan calls f with the header of every batch from the one that contains from to the end, until f returns false. The header is valid during the call.
// from may lie before StartOffset, down to Floor().Offset: whoever rebuilds state from the headers needs those too.
func (l *Log) Scan(from Offset, f func(Header) bool) error {
	if from < l.Floor().Offset || from > l.EndOffset() {
		return ErrOutOfRange
	}
	return l.scan(from, l.EndOffset(), func(_ *segment, _ *handle, _ int64, h Header) bool { return f(h) })
}

// scan walks over the batches from the one that holds offset from up to the one that holds limit-1.
func (l *Log) scan(from, limit Offset, f func(s *segment, file *handle, position int64, h Header) bool) error {
	for more := true; more && from < limit; {
		if l.closed.Load() {
			return ErrClosed
		}
		v := l.view.Load()
		s := v.segments[v.at(from)]
		h, err := s.pin()
		if errors.Is(err, errReplaced) {
			runtime.Gosched()
			continue
		}
		if err != nil {
			return err
		}
		next, err := l.scanSegment(s, h, from, func(position int64, header Header) bool {
			more = header.BaseOffset() < limit && f(s, h, position, header)
			return more
		})
		h.release()
		if errors.Is(err, errReplaced) { // found out before f was called
			runtime.Gosched()
			continue
		}
		if err != nil {
			return err
		}
		if next <= from {
			return nil
		}
		from = next
	}
	return nil
}

// scanSegment walks over the batches of one segment and gives the offset after the last.
func (l *Log) scanSegment(s *segment, h *handle, from Offset, f func(position int64, h Header) bool) (Offset, error) {
	bytes, next := s.extent.get()
	if from >= next {
		return next, nil
	}
	start, err := l.startOf(s, h, from, bytes)
	if err != nil {
		return 0, err
	}
	return next, walkHeaders(h.file, s.path, start, bytes, f)
}
