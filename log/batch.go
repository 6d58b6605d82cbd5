package log

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// Header is a zero-copy view of the fixed 61 bytes in front of a Kafka v2 record batch. It may be longer, but never shorter.
//
//	 0 base offset          i64   outside the CRC
//	 8 length of the rest   i32   outside the CRC
//	12 partition leader epoch i32 outside the CRC
//	16 magic (2)            i8    outside the CRC
//	17 CRC32C of the rest   u32
//	21 attributes           i16   codec 0-2, append time 3, transactional 4, control 5
//	23 last offset delta    i32
//	27 base timestamp       i64
//	35 max timestamp        i64
//	43 producer id          i64
//	51 producer epoch       i16
//	53 base sequence        i32
//	57 count                i32
type Header []byte

// HeaderSize is the length of a v2 batch header in bytes.
const HeaderSize = 61

// prefixSize is what the length field does not count.
const prefixSize = 12

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (h Header) u16(at int) uint16 { return binary.BigEndian.Uint16(h[at:]) }
func (h Header) u32(at int) uint32 { return binary.BigEndian.Uint32(h[at:]) }
func (h Header) u64(at int) uint64 { return binary.BigEndian.Uint64(h[at:]) }

// BaseOffset is the offset of the first record.
func (h Header) BaseOffset() Offset { return Offset(h.u64(0)) }

// Size is the length of the whole batch in bytes, header included, as the header says.
func (h Header) Size() int { return int(int32(h.u32(8))) + prefixSize }

// LeaderEpoch is the term in which the batch was appended.
func (h Header) LeaderEpoch() int32 { return int32(h.u32(12)) }

// Magic is the format version, 2.
func (h Header) Magic() int8 { return int8(h[16]) }

// CRC is the checksum that the batch carries.
func (h Header) CRC() uint32 { return h.u32(17) }

// Attributes are the raw bits.
func (h Header) Attributes() int16 { return int16(h.u16(21)) }

// Codec is the compression: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd.
func (h Header) Codec() int { return int(h.u16(21) & 7) }

// LogAppendTime says that all records carry MaxTimestamp.
func (h Header) LogAppendTime() bool { return h.u16(21)&(1<<3) != 0 }

// Transactional says that the batch belongs to a transaction.
func (h Header) Transactional() bool { return h.u16(21)&(1<<4) != 0 }

// Control says that the batch holds a transaction marker.
func (h Header) Control() bool { return h.u16(21)&(1<<5) != 0 }

// LastOffset is the offset of the last record.
func (h Header) LastOffset() Offset { return h.BaseOffset() + Offset(h.LastOffsetDelta()) }

// LastOffsetDelta is LastOffset relative to BaseOffset.
func (h Header) LastOffsetDelta() int32 { return int32(h.u32(23)) }

// BaseTimestamp is what the records' timestamps are relative to, in milliseconds.
func (h Header) BaseTimestamp() int64 { return int64(h.u64(27)) }

// MaxTimestamp is the largest timestamp of a record, in milliseconds.
func (h Header) MaxTimestamp() int64 { return int64(h.u64(35)) }

// ProducerID is -1 for a producer that is not idempotent.
func (h Header) ProducerID() int64 { return int64(h.u64(43)) }

// ProducerEpoch goes with ProducerID.
func (h Header) ProducerEpoch() int16 { return int16(h.u16(51)) }

// BaseSequence is the producer's number of the first record.
func (h Header) BaseSequence() int32 { return int32(h.u32(53)) }

// Count is the number of records.
func (h Header) Count() int32 { return int32(h.u32(57)) }

// next is the offset after the last record.
func (h Header) next() Offset { return h.LastOffset() + 1 }

// checkShape says whether the header can be one, with a size of at most limit bytes.
func (h Header) checkShape(limit int64) error {
	if len(h) < HeaderSize {
		return fmt.Errorf("%w: %d bytes are less than a batch header", ErrInvalid, len(h))
	}
	if h.Magic() != 2 {
		return fmt.Errorf("%w: batch magic %d", ErrInvalid, h.Magic())
	}
	if size := int64(h.Size()); size < HeaderSize || size > limit {
		return fmt.Errorf("%w: batch of %d bytes where %d are left", ErrInvalid, size, limit)
	}
	if h.LastOffsetDelta() < 0 {
		return fmt.Errorf("%w: last offset delta %d", ErrInvalid, h.LastOffsetDelta())
	}
	return nil
}

// ChecksumFrom is where what a batch's CRC covers begins; it goes to the batch's end.
const ChecksumFrom = 21

// CheckBatch says whether b is exactly one well-formed v2 batch with a right CRC; it does not look into the records. Errors are ErrInvalid.
func CheckBatch(b []byte) error {
	if err := checkForm(b); err != nil {
		return err
	}
	return checkSum(b, crc32.Checksum(b[ChecksumFrom:], castagnoli))
}

// CheckSummedBatch is CheckBatch for whoever has computed the CRC-32C of b from ChecksumFrom on already.
func CheckSummedBatch(b []byte, sum uint32) error {
	if err := checkForm(b); err != nil {
		return err
	}
	return checkSum(b, sum)
}

func checkSum(b []byte, sum uint32) error {
	if crc := Header(b).CRC(); sum != crc {
		return fmt.Errorf("%w: batch checksum mismatch: %08x, not %08x", ErrInvalid, sum, crc)
	}
	return nil
}

// checkForm is CheckBatch without the CRC.
func checkForm(b []byte) error {
	h := Header(b)
	if err := h.checkShape(int64(len(b))); err != nil {
		return err
	}
	if h.Size() != len(b) {
		return fmt.Errorf("%w: batch of %d bytes in %d", ErrInvalid, h.Size(), len(b))
	}
	if h.Codec() > 4 {
		return fmt.Errorf("%w: codec %d", ErrInvalid, h.Codec())
	}
	if h.Count() < 0 || int64(h.Count()) > int64(h.LastOffsetDelta())+1 {
		return fmt.Errorf("%w: %d records over %d offsets", ErrInvalid, h.Count(), int64(h.LastOffsetDelta())+1)
	}
	return nil
}

// SetLogAppendTime rewrites the header for LogAppendTime, in milliseconds, and recomputes the CRC. b must have passed CheckBatch.
func SetLogAppendTime(b []byte, ms int64) {
	h := Header(b)
	binary.BigEndian.PutUint16(b[21:], h.u16(21)|1<<3)
	binary.BigEndian.PutUint64(b[35:], uint64(ms))
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], castagnoli))
}

// stamp writes what the log decides; both fields lie outside the CRC.
func stamp(b []byte, base Offset, term Term) {
	binary.BigEndian.PutUint64(b, uint64(base))
	binary.BigEndian.PutUint32(b[12:], uint32(term))
}
