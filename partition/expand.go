package partition

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/barnabas-log/barnabas/log/record"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// expander expands compressed records piece by piece, so that checking a batch needs no memory for all of it. Expanders are used again: the readers
// of most codecs are expensive to make.
type expander struct {
	source bytes.Reader
	gzip   gzip.Reader
	lz4    *lz4.Reader
	zstd   *zstd.Decoder
	snappy snappyReader
	window []byte
}

const (
	windowBytes = 64 << 10 // grows to the largest record
	// largeWindow: windows beyond it exist one at a time in the process, whatever clients send.
	largeWindow = 4 << 20
	// maxZstdWindow is what a zstd frame may demand.
	maxZstdWindow = 64 << 20
)

var (
	expanders = sync.Pool{New: func() any { return &expander{window: make([]byte, windowBytes)} }}
	// oneLargeWindow is a lock that is held while a window is larger than largeWindow.
	oneLargeWindow sync.Mutex
)

// open gives the expansion of b.
func (e *expander) open(codec record.Codec, b []byte) (io.Reader, error) {
	e.source.Reset(b)
	switch codec {
	case record.Gzip:
		return &e.gzip, e.gzip.Reset(&e.source)
	case record.Snappy:
		return &e.snappy, e.snappy.reset(b)
	case record.LZ4:
		if e.lz4 == nil {
			e.lz4 = lz4.NewReader(&e.source)
		} else {
			e.lz4.Reset(&e.source)
		}
		return e.lz4, nil
	case record.Zstd:
		if e.zstd == nil {
			var err error
			if e.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxZstdWindow), zstd.WithDecoderLowmem(true)); err != nil {
				return nil, err
			}
		}
		return e.zstd, e.zstd.Reset(&e.source)
	}
	return nil, fmt.Errorf("unknown codec %d", codec)
}

// close makes e ready for another batch; nothing of this one is kept alive.
func (e *expander) close() {
	e.source.Reset(nil)
	e.snappy.rest, e.snappy.unread = nil, nil
	expanders.Put(e)
}

// compressed checks the records inside a compressed batch.
func (w *recordWalker) compressed(codec int, b []byte) error {
	e := expanders.Get().(*expander)
	defer e.close()
	reader, err := e.open(record.Codec(codec), b)
	if err != nil {
		return fmt.Errorf("%w: %v: %w", ErrCorrupt, record.Codec(codec), err)
	}
	s := recordStream{reader: reader, window: e.window, limit: w.limit}
	defer s.release()
	return w.stream(&s)
}

// stream checks the records that s consists of.
func (w *recordWalker) stream(s *recordStream) error {
	for i := range w.count {
		b, err := s.next(i)
		if err != nil {
			return err
		}
		if err := w.one(i, b); err != nil {
			return err
		}
	}
	return s.finish()
}

func invalidIf(wrong bool, i int32, reason string) error {
	if !wrong {
		return nil
	}
	return invalid(i, reason)
}

// recordStream cuts a stream into records.
type recordStream struct {
	reader     io.Reader
	window     []byte
	start, end int   // what is read and not used yet
	total      int64 // bytes read
	limit      int64 // of total
	ended      bool
	locked     bool // holds oneLargeWindow
}

// next is the bytes of record i behind its length, valid until the next call.
func (s *recordStream) next(i int32) ([]byte, error) {
	for need := 1; ; {
		length, n := binary.Varint(s.window[s.start:s.end])
		switch {
		case n < 0 || n > 0 && (length < 0 || length > s.limit):
			return nil, invalid(i, "length does not fit")
		case n > 0 && int64(s.end-s.start-n) >= length:
			b := s.window[s.start+n : s.start+n+int(length)]
			s.start += n + int(length)
			return b, nil
		case n > 0:
			need = n + int(length)
		default:
			need = s.end - s.start + 1
		}
		if more, err := s.fill(need); err != nil || !more {
			return nil, errors.Join(err, invalidIf(err == nil, i, "length does not fit"))
		}
	}
}

// finish says that nothing may follow.
func (s *recordStream) finish() error {
	more := s.end > s.start
	if !more {
		var err error
		if more, err = s.fill(1); err != nil {
			return err
		}
	}
	return invalidIf(more, -1, "bytes after the last record")
}

// fill reads on, at best until need bytes are there; false when there are no more than before.
func (s *recordStream) fill(need int) (more bool, err error) {
	before := s.end - s.start
	for !s.ended && s.end-s.start < need {
		s.makeRoom(need)
		n, err := s.reader.Read(s.window[s.end:])
		s.end += n
		s.total += int64(n)
		if s.total > s.limit {
			return false, fmt.Errorf("%w: it expands to more than %d bytes", ErrTooLarge, s.limit)
		}
		if err != nil && err != io.EOF {
			return false, fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
		s.ended = err == io.EOF
	}
	return s.end-s.start > before, nil
}

// makeRoom leaves some room behind end. The window grows with what has come, never with what a length only claims.
func (s *recordStream) makeRoom(need int) {
	if s.end < len(s.window) && s.start+need <= len(s.window) {
		return
	}
	if s.start > 0 {
		copy(s.window, s.window[s.start:s.end])
		s.start, s.end = 0, s.end-s.start
	}
	if s.end < len(s.window) {
		return
	}
	size := 2 * len(s.window)
	if size > largeWindow && !s.locked {
		oneLargeWindow.Lock()
		s.locked = true
	}
	larger := make([]byte, size)
	copy(larger, s.window[:s.end])
	s.window = larger
}

func (s *recordStream) release() {
	if s.locked {
		oneLargeWindow.Unlock()
	}
}

// snappyReader reads a raw snappy block or the stream of the Java library, block by block.
type snappyReader struct {
	rest   []byte // blocks to come, with their lengths
	block  []byte // what is expanded
	unread []byte // of block
}

var xerialMagic = []byte{0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0}

const xerialHeaderSize = 16 // the magic and two versions

func (r *snappyReader) reset(b []byte) error {
	r.rest, r.unread = nil, nil
	if !bytes.HasPrefix(b, xerialMagic) {
		return r.expand(b)
	}
	if len(b) < xerialHeaderSize {
		return fmt.Errorf("frame header of %d bytes", len(b))
	}
	r.rest = b[xerialHeaderSize:]
	return nil
}

func (r *snappyReader) expand(b []byte) error {
	n, err := s2.DecodedLen(b)
	if err != nil {
		return err
	}
	if n/64 > len(b) || n > maxExpandedBytes { // no snappy block expands that much: do not believe its length
		return fmt.Errorf("%d bytes claim to expand to %d", len(b), n)
	}
	if cap(r.block) > largeWindow {
		r.block = nil
	}
	r.block, err = s2.Decode(r.block[:cap(r.block)], b)
	r.unread = r.block
	return err
}

// Read implements io.Reader.
func (r *snappyReader) Read(b []byte) (int, error) {
	for len(r.unread) == 0 {
		if len(r.rest) == 0 {
			return 0, io.EOF
		}
		if len(r.rest) < 4 {
			return 0, io.ErrUnexpectedEOF
		}
		size := int64(binary.BigEndian.Uint32(r.rest))
		r.rest = r.rest[4:]
		if size > int64(len(r.rest)) {
			return 0, io.ErrUnexpectedEOF
		}
		if err := r.expand(r.rest[:size]); err != nil {
			return 0, err
		}
		r.rest = r.rest[size:]
	}
	n := copy(b, r.unread)
	r.unread = r.unread[n:]
	return n, nil
}
