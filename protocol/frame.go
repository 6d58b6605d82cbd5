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

	"github.com/barnabas-log/barnabas/internal/hugepage"
)

const (
	// smallFrame is what a connection may send of a frame before it is charged to the budget. A frame that is larger shows, by sending this
	// much, that it means it.
	smallFrame = 64 << 10
	// growth bounds how much more memory than has arrived a frame may hold: 16 MiB when a small frame's worth is there.
	growth = 256

	minClass, maxClass = 10, 24 // pooled buffers hold 2^class bytes: 1 KiB to 16 MiB
)

// buffers holds free frame buffers, one pool for each power of two.
var buffers [maxClass - minClass + 1]sync.Pool

// pooled is a buffer that goes back to its pool. The box travels with it, so that giving it back allocates nothing.
type pooled struct{ b []byte }

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

// frame is one request, without the size prefix.
type frame struct {
	bytes  []byte // all of it, but the batches that were cut out
	cuts   []cut  // in order, those that nobody has asked for yet
	size   int    // bytes on the wire
	buffer *pooled
	body   *pooled // what was cut out; nil: nothing
	charge int64
	budget *budget
}

// records is the batch of the produce's partition of that number, of which the decoder found in. Numbers must not fall from call to call. summed says that the sum of what its checksum covers
// is known.
func (f *frame) records(number int, in []byte) (records []byte, sum uint32, summed bool) {
	for len(f.cuts) > 0 && f.cuts[0].number < number {
		f.cuts = f.cuts[1:]
	}
	if len(f.cuts) == 0 || f.cuts[0].number != number {
		return in, 0, false
	}
	return f.cuts[0].records, f.cuts[0].sum, true
}

// release gives buffers and charge back. Nothing may refer to the bytes any more.
func (f *frame) release() {
	if f.buffer != nil {
		f.buffer.free()
	}
	if f.body != nil {
		f.body.free()
	}
	f.discharge()
}

// discharge gives the charge back but leaves the bytes to the garbage collector, because something may still refer to them.
func (f *frame) discharge() {
	if f.charge > 0 {
		f.budget.give(f.charge)
	}
	f.charge, f.bytes, f.cuts, f.buffer, f.body = 0, nil, nil, nil, nil
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
func readFrame(ctx context.Context, r io.Reader, size int, b *budget, resume func(), where whereabouts) (*frame, error) {
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
	f := &frame{size: size, buffer: buffer, charge: charge, budget: b}
	all := false
	defer func() {
		if !all { // or a panic on the way
			f.discharge()
		}
	}()
	if mayTakeApart(buffer.b, size) {
		err = f.readApart(r, have, where)
	} else {
		err = f.readWhole(r, have)
	}
	if err != nil {
		return nil, unexpected(err)
	}
	all = true
	return f, nil
}

// readWhole reads what follows behind have bytes of the frame.
func (f *frame) readWhole(r io.Reader, have int) error {
	for have < f.size {
		larger := newBuffer(min(f.size, have*growth))
		copy(larger.b, f.buffer.b[:have])
		f.buffer.free()
		f.buffer = larger
		want := min(f.size, len(larger.b))
		if _, err := io.ReadFull(r, larger.b[have:want]); err != nil {
			return err
		}
		have = want
	}
	f.bytes = f.buffer.b[:f.size:f.size]
	return nil
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
