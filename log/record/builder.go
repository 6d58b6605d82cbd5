package record

import (
	"encoding/binary"
	"hash/crc32"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Builder builds one uncompressed v2 batch. The zero value builds a plain batch of no producer once Reset was called or New was used.
type Builder struct {
	// ProducerID, ProducerEpoch and BaseSequence are -1 for a batch of no idempotent producer.
	ProducerID    int64
	ProducerEpoch int16
	BaseSequence  int32
	// Transactional and Control set the bits of the attributes.
	Transactional bool
	Control       bool

	buffer        []byte
	count         int32
	baseTimestamp int64
	maxTimestamp  int64
	scratch       []byte
}

// New gives a builder of plain batches.
func New() *Builder {
	b := &Builder{}
	b.Reset()
	return b
}

// Reset starts a new plain batch. Batches that were built earlier stay valid.
func (b *Builder) Reset() {
	*b = Builder{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1, scratch: b.scratch}
}

// Count is how many records were added.
func (b *Builder) Count() int { return int(b.count) }

// Size is the length of the batch in bytes so far.
func (b *Builder) Size() int { return max(len(b.buffer), headerSize) }

// Add adds a record. Its Offset is ignored: records are numbered in the order in which they are added.
func (b *Builder) Add(r Record) {
	if b.count == 0 {
		b.buffer = append(b.buffer[:0], make([]byte, headerSize)...)
		b.baseTimestamp, b.maxTimestamp = r.Timestamp, r.Timestamp
	}
	b.maxTimestamp = max(b.maxTimestamp, r.Timestamp)
	body := append(b.scratch[:0], 0)
	body = binary.AppendVarint(body, r.Timestamp-b.baseTimestamp)
	body = binary.AppendVarint(body, int64(b.count))
	body = appendBytes(body, r.Key)
	body = appendBytes(body, r.Value)
	body = binary.AppendVarint(body, int64(len(r.Headers)))
	for _, h := range r.Headers {
		body = binary.AppendVarint(body, int64(len(h.Key)))
		body = append(body, h.Key...)
		body = appendBytes(body, h.Value)
	}
	b.scratch = body
	b.buffer = binary.AppendVarint(b.buffer, int64(len(body)))
	b.buffer = append(b.buffer, body...)
	b.count++
}

// Batch is the batch with its CRC, base offset 0 and leader epoch -1; nil when no record was added. It aliases the builder until Reset.
func (b *Builder) Batch() []byte {
	if b.count == 0 {
		return nil
	}
	h := b.buffer
	var attributes uint16
	if b.Transactional {
		attributes |= 1 << 4
	}
	if b.Control {
		attributes |= 1 << 5
	}
	binary.BigEndian.PutUint64(h[atBaseOffset:], 0)
	binary.BigEndian.PutUint32(h[atLength:], uint32(len(h)-12))
	binary.BigEndian.PutUint32(h[atLeaderEpoch:], ^uint32(0))
	h[atMagic] = 2
	binary.BigEndian.PutUint16(h[atAttributes:], attributes)
	binary.BigEndian.PutUint32(h[atLastOffsetDelta:], uint32(b.count-1))
	binary.BigEndian.PutUint64(h[atBaseTimestamp:], uint64(b.baseTimestamp))
	binary.BigEndian.PutUint64(h[atMaxTimestamp:], uint64(b.maxTimestamp))
	binary.BigEndian.PutUint64(h[atProducerID:], uint64(b.ProducerID))
	binary.BigEndian.PutUint16(h[atProducerEpoch:], uint16(b.ProducerEpoch))
	binary.BigEndian.PutUint32(h[atBaseSequence:], uint32(b.BaseSequence))
	binary.BigEndian.PutUint32(h[atCount:], uint32(b.count))
	binary.BigEndian.PutUint32(h[atCRC:], crc32.Checksum(h[atAttributes:], castagnoli))
	return h
}

// appendBytes appends a length and the bytes; nil has the length -1.
func appendBytes(dst, b []byte) []byte {
	if b == nil {
		return binary.AppendVarint(dst, -1)
	}
	dst = binary.AppendVarint(dst, int64(len(b)))
	return append(dst, b...)
}
