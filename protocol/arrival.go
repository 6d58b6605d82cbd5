package protocol

import (
	"encoding/binary"
	"hash/crc32"
	"io"
	"unsafe"

	"github.com/barnabas-log/barnabas/log"
)

// A large produce is taken apart while it arrives: its batches, which are nearly all of it, go to memory of their own, each to the place in a page that it will have on the disk, so that
// the log can write it around the page cache without moving it, and each is summed while it is in the processor's cache. What remains is a small request whose batches are empty, which
// is decoded as any other. Whatever is wrong with a frame stays in that remainder, for the decoder to find. docs/decisions/0026.

const (
	// apartFrom is from where on a produce is taken apart: less would still be in the processor's cache when its batches are checked.
	apartFrom = 256 << 10
	// apartTo is up to where: a larger one is given memory as it arrives.
	apartTo = smallFrame * growth
	// portion is how much of a batch is read at a time. It must stay in the cache until it was summed.
	portion = 64 << 10
	// sip is how much is read at a time, and copied, of what lies between large batches.
	sip = 16 << 10
	// cutFrom is how large a batch must be to be taken out. It bounds how many there are.
	cutFrom = 512
	// alignFrom is how large one must be to be laid where the disk wants it.
	alignFrom = 64 << 10
	// memoryPage is what O_DIRECT aligns to at most.
	memoryPage = 4 << 10
)

// Produce's first version with flexible fields, the first that names topics by id, and the last.
const (
	produceFlexible = 9
	produceByID     = 13
	maxProduce      = 13
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// cut is a batch that was taken out of a produce.
type cut struct {
	number  int // of the request's partitions, in order
	records []byte
	sum     uint32 // CRC-32C of records[log.ChecksumFrom:]
}

// whereabouts says where in its file a partition's next batch will begin, in bytes; negative: that is not known. The topic is named by name, or by id where that is empty.
type whereabouts func(name []byte, id [16]byte, partition int32) int64

// arrival reads one produce.
type arrival struct {
	r     io.Reader
	head  []byte  // what was read and not used yet
	more  *pooled // where more is read to; nil: only the beginning was needed so far
	left  int     // bytes of the frame that were not used, those of head included
	where whereabouts

	rest []byte // the frame without the batches that were taken out. It overwrites the head that was there first, and never overtakes it
	body *pooled
	used int // of body
	cuts []cut

	flexible bool
	bad      bool // it does not hold what it announces
	err      error
}

// mayTakeApart says whether a frame of so many bytes, which begins like head, is a produce that is worth it.
func mayTakeApart(head []byte, size int) bool {
	if size < apartFrom || size > apartTo || int16(binary.BigEndian.Uint16(head)) != keyProduce {
		return false
	}
	version := int16(binary.BigEndian.Uint16(head[2:]))
	return version >= minProduceServed && version <= maxProduce
}

// readApart reads a produce of which have bytes are in the buffer.
func (f *frame) readApart(r io.Reader, have int, where whereabouts) error {
	head := f.buffer.b[:have]
	a := arrival{r: r, head: head, left: f.size, where: where, rest: head[:0]}
	a.request()
	a.bad = false
	a.take(a.left) // behind what is wrong, or behind the request
	if a.more != nil {
		a.more.free()
	}
	f.bytes, f.body, f.cuts = a.rest, a.body, a.cuts
	return a.err
}

// request walks over header and body as the version lays them out.
func (a *arrival) request() {
	b := a.take(8)
	if a.over() {
		return
	}
	version := int16(binary.BigEndian.Uint16(b[2:]))
	a.take(a.int16()) // client id
	a.flexible = version >= produceFlexible
	a.tags()
	a.text() // transactional id
	a.take(2 + 4)
	number := 0
	for topics := a.count(); topics > 0 && !a.over(); topics-- {
		var name []byte
		var id [16]byte
		if version >= produceByID {
			copy(id[:], a.take(len(id)))
		} else {
			name = a.text()
		}
		for partitions := a.count(); partitions > 0 && !a.over(); partitions-- {
			if b := a.take(4); !a.over() {
				a.records(number, name, id, int32(binary.BigEndian.Uint32(b)))
			}
			a.tags()
			number++
		}
		a.tags()
	}
}

// over says that there is no more to be read.
func (a *arrival) over() bool { return a.bad || a.err != nil }

// take moves n bytes to the rest, and returns them there, where they stay: nil if there are none, or not as many.
func (a *arrival) take(n int) []byte {
	if n <= 0 || a.over() {
		return nil
	}
	if n > a.left {
		a.bad = true
		return nil
	}
	at := len(a.rest)
	for n > 0 && a.ready() {
		m := min(n, len(a.head))
		a.rest = append(a.rest, a.head[:m]...)
		a.head, a.left, n = a.head[m:], a.left-m, n-m
	}
	if n > 0 {
		return nil
	}
	return a.rest[at:]
}

// ready reads more of the frame, which is not at its end, if nothing is there.
func (a *arrival) ready() bool {
	if len(a.head) > 0 {
		return true
	}
	if a.more == nil {
		a.more = newBuffer(sip)
	}
	n, err := io.ReadAtLeast(a.r, a.more.b[:min(a.left, sip)], 1)
	a.head, a.err = a.more.b[:n], err
	return err == nil
}

func (a *arrival) int16() int {
	if b := a.take(2); b != nil {
		return int(int16(binary.BigEndian.Uint16(b)))
	}
	return 0
}

func (a *arrival) int32() int {
	if b := a.take(4); b != nil {
		return int(int32(binary.BigEndian.Uint32(b)))
	}
	return 0
}

func (a *arrival) uvarint() (v uint64) {
	for shift := 0; shift < 5*7; shift += 7 {
		b := a.take(1)
		if b == nil {
			return 0
		}
		v |= uint64(b[0]&0x7F) << shift
		if b[0] < 0x80 {
			return v
		}
	}
	a.bad = true
	return 0
}

// count is the length of an array or of bytes; -1 is null.
func (a *arrival) count() int {
	if a.flexible {
		return int(a.uvarint()) - 1
	}
	return a.int32()
}

// text takes a string that may be null.
func (a *arrival) text() []byte {
	if a.flexible {
		return a.take(a.count())
	}
	return a.take(a.int16())
}

func (a *arrival) tags() {
	if !a.flexible {
		return
	}
	for n := a.uvarint(); n > 0 && !a.over(); n-- {
		a.uvarint()
		a.take(int(a.uvarint()))
	}
}

// records takes a partition's batch out, or leaves it where it is if it is small.
func (a *arrival) records(number int, name []byte, id [16]byte, partition int32) {
	before := len(a.rest)
	n := a.count()
	if n < cutFrom || n > a.left || a.over() {
		a.take(n)
		return
	}
	none := []byte{0, 0, 0, 0}
	if a.flexible {
		none = []byte{1}
	}
	a.rest = append(a.rest[:before], none...)
	position := int64(-1)
	if n >= alignFrom {
		position = a.where(name, id, partition)
	}
	b := a.space(n, position)
	a.cuts = append(a.cuts, cut{number, b, a.read(b)})
}

// space gives memory for the next n bytes, which begin in a page where the position is in its, if that is not negative.
func (a *arrival) space(n int, position int64) []byte {
	if a.body == nil {
		most := a.left + (a.left/alignFrom+1)*memoryPage
		a.body = newBuffer(max(a.left, min(most, 1<<maxClass))) // rather out of place than larger than any that is kept
	}
	if position >= 0 {
		gap := int(uintptr(position)-uintptr(unsafe.Pointer(unsafe.SliceData(a.body.b[a.used:])))) & (memoryPage - 1)
		if a.used+gap+a.left <= len(a.body.b) {
			a.used += gap
		}
	}
	b := a.body.b[a.used : a.used+n : a.used+n]
	a.used += n
	return b
}

// read fills b, and returns the sum of what a batch's checksum covers, each portion of which is summed as it comes.
func (a *arrival) read(b []byte) (sum uint32) {
	for have := 0; have < len(b); {
		var n int
		if len(a.head) == 0 && len(b)-have >= sip {
			n, a.err = io.ReadAtLeast(a.r, b[have:min(len(b), have+portion)], 1)
		} else if a.ready() {
			n = copy(b[have:], a.head)
			a.head = a.head[n:]
		}
		if a.err != nil {
			return 0
		}
		sum = crc32.Update(sum, castagnoli, b[max(have, min(have+n, log.ChecksumFrom)):have+n])
		have, a.left = have+n, a.left-n
	}
	return sum
}
