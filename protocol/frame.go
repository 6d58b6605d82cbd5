package protocol

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"sync"
	"unsafe"

	"github.com/barnabas-log/barnabas/internal/checksum"
	"github.com/barnabas-log/barnabas/internal/hugepage"
)

const (
	// smallFrame is what a connection may send of a frame before it is charged to the budget. A frame that is larger shows, by sending this
	// much, that it means it.
	smallFrame = 64 << 10
	// growth bounds how much more memory than has arrived a frame may hold: 16 MiB when a small frame's worth is there.
	growth = 256
	// summedFrom is from where on the pieces of a produce are summed as they arrive: less would still be in the processor's cache when its batches are checked.
	summedFrom = 256 << 10
	// portion is how much of it is read at a time. It must stay in the cache until it was summed.
	portion = 64 << 10

	minClass, maxClass = 10, 24 // pooled buffers hold 2^class bytes: 1 KiB to 16 MiB
)

// buffers holds free frame buffers, one pool for each power of two.
var buffers [maxClass - minClass + 1]sync.Pool

// pooled is a buffer that goes back to its pool. The box travels with it, so that giving it back allocates nothing.
type pooled struct {
	b    []byte
	sums checksum.Pieces // of a frame's bytes, where summed says so
}

// newBuffer gives a buffer of at least n bytes; above the largest class it is of exactly n bytes and never pooled.
func newBuffer(n int) *pooled {
	class := max(bits.Len(uint(max(n, 1)-1)), minClass)
	if class > maxClass {
		return &pooled{b: make([]byte, n)}
	}
	if p, _ := buffers[class-minClass].Get().(*pooled); p != nil {
		return p
	}
	return &pooled{b: hugepage.Make(1 << class)}
}

func (p *pooled) free() {
	class := bits.Len(uint(cap(p.b) - 1))
	if class >= minClass && class <= maxClass && cap(p.b) == 1<<class {
		p.b = p.b[:cap(p.b)]
		buffers[class-minClass].Put(p)
	}
}

// frame is the bytes of one request, without the size prefix.
type frame struct {
	bytes  []byte
	buffer *pooled
	charge int64
	budget *budget
	summed bool // the buffer has the sums of its pieces
}

// release gives buffer and charge back. Nothing may refer to the bytes any more.
func (f *frame) release() {
	if f.buffer != nil {
		f.buffer.free()
	}
	f.discharge()
}

// discharge gives the charge back but leaves the bytes to the garbage collector, because something may still refer to them.
func (f *frame) discharge() {
	if f.charge > 0 {
		f.budget.give(f.charge)
	}
	f.charge, f.bytes, f.buffer, f.summed = 0, nil, nil, false
}

// reserve raises the charge to n before the request is decoded, when decoding takes more than the frame itself. It gives the frame's own charge
// back first: nobody waits for the budget while holding a part of it.
func (f *frame) reserve(ctx context.Context, n int64) error {
	if n <= f.charge {
		return nil
	}
	f.budget.give(f.charge)
	f.charge = 0
	charge, err := f.budget.take(ctx, n)
	if err != nil {
		return err
	}
	f.charge = charge
	return nil
}

// errFrameSize is wrapped by the error for a size prefix that cannot be right.
var errFrameSize = errors.New("frame size out of range")

// readSize reads the size prefix of the next frame. io.EOF means that the client hung up between two frames.
func readSize(r *bufio.Reader, limit int) (int, error) {
	prefix, err := r.Peek(4)
	if err != nil {
		if err == io.EOF && len(prefix) > 0 {
			err = io.ErrUnexpectedEOF
		}
		return 0, err
	}
	size := int32(binary.BigEndian.Uint32(prefix))
	if size <= 0 || int(size) > limit {
		return 0, fmt.Errorf("%w: %d, the limit is %d", errFrameSize, size, limit)
	}
	_, err = r.Discard(4)
	return int(size), err
}

// readFrame reads the size bytes of a frame. Its buffer grows with what arrives. resume is called after a wait for the budget, which does not count
// as the client's time.
func readFrame(ctx context.Context, r io.Reader, size int, b *budget, resume func()) (*frame, error) {
	have := min(size, smallFrame)
	buffer := newBuffer(have)
	if _, err := io.ReadFull(r, buffer.b[:have]); err != nil {
		buffer.free()
		return nil, unexpected(err)
	}
	charge, err := b.take(ctx, int64(size))
	if err != nil {
		buffer.free()
		return nil, err
	}
	if have < size {
		resume()
	}
	summed := size >= summedFrom && int16(binary.BigEndian.Uint16(buffer.b)) == keyProduce
	if summed {
		buffer.sums.Reset()
		buffer.sums.Grow(buffer.b[:have])
	}
	for have < size {
		larger := newBuffer(min(size, have*growth))
		copy(larger.b, buffer.b[:have])
		larger.sums, buffer.sums = buffer.sums, larger.sums
		buffer.free()
		buffer = larger
		want := min(size, len(buffer.b))
		if summed {
			err = readSummed(r, buffer, have, want)
		} else {
			_, err = io.ReadFull(r, buffer.b[have:want])
		}
		if err != nil {
			buffer.free()
			b.give(charge)
			return nil, unexpected(err)
		}
		have = want
	}
	f := &frame{bytes: buffer.b[:size:size], buffer: buffer, charge: charge, budget: b, summed: summed}
	return f, nil
}

// readSummed reads buffer.b[have:want] and sums it, each portion while it is in the cache.
func readSummed(r io.Reader, buffer *pooled, have, want int) error {
	for have < want {
		n, err := r.Read(buffer.b[have:min(want, have+portion)])
		buffer.sums.Grow(buffer.b[have : have+n])
		if have += n; err != nil && have < want {
			return err
		}
	}
	return nil
}

// checksum is the CRC-32C of part, which lies in the frame, if the frame's pieces were summed.
func (f *frame) checksum(part []byte) (sum uint32, ok bool) {
	if !f.summed || len(part) == 0 {
		return 0, false
	}
	from := uintptr(unsafe.Pointer(unsafe.SliceData(part))) - uintptr(unsafe.Pointer(unsafe.SliceData(f.bytes)))
	if from >= uintptr(len(f.bytes)) || len(part) > len(f.bytes)-int(from) {
		return 0, false
	}
	return f.buffer.sums.Of(f.bytes, int(from), int(from)+len(part)), true
}

// unexpected turns the end of the stream in the middle of a frame into what it is.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// header is what precedes a request's body.
type header struct {
	key, version int16
	correlation  int32
}

// parseHeader reads the part of the header that all its versions share; rest begins with the client id.
func parseHeader(b []byte) (h header, rest []byte, err error) {
	if len(b) < 8 {
		return h, nil, fmt.Errorf("request header: %d bytes are too few", len(b))
	}
	h.key = int16(binary.BigEndian.Uint16(b))
	h.version = int16(binary.BigEndian.Uint16(b[2:]))
	h.correlation = int32(binary.BigEndian.Uint32(b[4:]))
	return h, b[8:], nil
}

// parseClient reads the client id (never compact, null is the same as empty) and, in header v2, skips the tags; body is what follows.
func parseClient(b []byte, flexible bool) (id, body []byte, err error) {
	r := scanner{b: b}
	n := int(int16(r.uint16()))
	if n > 0 {
		id = r.span(n)
	}
	if flexible {
		r.tags(nil)
	}
	if r.bad {
		return nil, nil, errors.New("request header: cut short")
	}
	return id, r.b, nil
}
