package history

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// A payload is, in big endian:
//
//	magic 4 bytes · producer 4 · number 8 · CRC-32C of all the rest 4 · filler
//
// The filler follows from the id, so that records differ everywhere and compress badly.
const (
	payloadMagic  = 0xBA24ABA5
	payloadHeader = 20
)

// ErrPayload means that a payload is not one that NewPayload made, byte for byte.
var ErrPayload = errors.New("not a payload of a history, or a damaged one")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// NewPayload makes the payload of a record, size bytes long, at least 20.
func NewPayload(id ID, size int) []byte {
	b := make([]byte, max(size, payloadHeader))
	binary.BigEndian.PutUint32(b, payloadMagic)
	binary.BigEndian.PutUint32(b[4:], uint32(id.Producer))
	binary.BigEndian.PutUint64(b[8:], uint64(id.Number))
	state := uint64(id.Producer)<<40 ^ uint64(id.Number)
	for i := payloadHeader; i < len(b); i++ {
		if (i-payloadHeader)%8 == 0 { // splitmix64
			state += 0x9e3779b97f4a7c15
		}
		z := (state ^ state>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		b[i] = byte(z >> (8 * ((i - payloadHeader) % 8)))
	}
	binary.BigEndian.PutUint32(b[16:], payloadSum(b))
	return b
}

// ParsePayload says which record a payload belongs to, or ErrPayload.
func ParsePayload(b []byte) (ID, error) {
	if len(b) < payloadHeader || binary.BigEndian.Uint32(b) != payloadMagic || binary.BigEndian.Uint32(b[16:]) != payloadSum(b) {
		return ID{}, ErrPayload
	}
	return ID{int32(binary.BigEndian.Uint32(b[4:])), int64(binary.BigEndian.Uint64(b[8:]))}, nil
}

func payloadSum(b []byte) uint32 {
	sum := crc32.Checksum(b[:16], castagnoli)
	return crc32.Update(sum, castagnoli, b[payloadHeader:])
}
