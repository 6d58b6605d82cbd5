package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
)

// The bytes of a file of the journal, little endian, drawn in docs/format/journal.md. Groups begin at blocks.
const (
	block = 4096

	headerMagic   = "BJNL"
	headerVersion = 1
	headerSize    = 28

	groupMagic  = "BJGR"
	groupHeader = 32

	recordHeader = 16
)

// errDamaged: a group has the right checksum and is not one.
var errDamaged = errors.New("not a group of writes")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type kind uint8

const (
	kindWrite  kind = 1
	kindForget kind = 2
)

// record is one write, or that one owner's are forgotten.
type record struct {
	kind     kind
	owner    string // directory, relative to the journal's root
	file     string // name in it
	position int64
	data     []byte
}

// pass is one writing of a file from its beginning. Its groups carry the key, which nobody can guess: neither what is left of an earlier pass nor the bytes of a record are taken for one.
type pass struct {
	generation uint64 // passes are counted, over both files; 0: there was none
	key        uint64 // 0: the file holds nothing
}

// putHeader fills the first block of a file.
func (p pass) putHeader(b []byte) {
	clear(b[:block])
	copy(b, headerMagic)
	binary.LittleEndian.PutUint32(b[4:], headerVersion)
	binary.LittleEndian.PutUint64(b[8:], p.generation)
	binary.LittleEndian.PutUint64(b[16:], p.key)
	binary.LittleEndian.PutUint32(b[24:], crc32.Checksum(b[:24], castagnoli))
}

func parseHeader(b []byte) (pass, error) {
	if len(b) < headerSize || string(b[:4]) != headerMagic || crc32.Checksum(b[:24], castagnoli) != binary.LittleEndian.Uint32(b[24:]) {
		return pass{}, nil
	}
	if v := binary.LittleEndian.Uint32(b[4:]); v != headerVersion {
		return pass{}, fmt.Errorf("version %d, this program knows %d", v, headerVersion)
	}
	return pass{binary.LittleEndian.Uint64(b[8:]), binary.LittleEndian.Uint64(b[16:])}, nil
}

// recordSize is how much of a group a record takes, without its data.
func recordSize(owner, file string) int { return recordHeader + len(owner) + len(file) }

// appendRecord appends what comes before the data of a record.
func appendRecord(b []byte, k kind, owner, file string, position int64, size int) []byte {
	b = append(b, byte(k), byte(len(file)))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(owner)))
	b = binary.LittleEndian.AppendUint32(b, uint32(size))
	b = binary.LittleEndian.AppendUint64(b, uint64(position))
	b = append(b, owner...)
	return append(b, file...)
}

// fits says whether the names can be written.
func fits(owner, file string) bool { return len(owner) <= math.MaxUint16 && len(file) <= math.MaxUint8 }

// sealGroup fills the header of a group, which is all of b.
func sealGroup(b []byte, key, number uint64) {
	copy(b, groupMagic)
	binary.LittleEndian.PutUint32(b[8:], uint32(len(b)))
	binary.LittleEndian.PutUint32(b[12:], 0)
	binary.LittleEndian.PutUint64(b[16:], key)
	binary.LittleEndian.PutUint64(b[24:], number)
	binary.LittleEndian.PutUint32(b[4:], crc32.Checksum(b[8:], castagnoli))
}

// groupAt reads the header of a group with that key: its number and length.
func groupAt(h []byte, key uint64) (number uint64, size int64, ok bool) {
	if len(h) < groupHeader || string(h[:4]) != groupMagic || binary.LittleEndian.Uint64(h[16:]) != key {
		return 0, 0, false
	}
	size = int64(binary.LittleEndian.Uint32(h[8:]))
	return binary.LittleEndian.Uint64(h[24:]), size, size >= groupHeader
}

// whole says whether a group is as it was written.
func whole(b []byte) bool {
	return crc32.Checksum(b[8:], castagnoli) == binary.LittleEndian.Uint32(b[4:])
}

// eachRecord calls f with the records of a whole group, whose data lie in b.
func eachRecord(b []byte, f func(record) error) error {
	for b = b[groupHeader:]; len(b) > 0; {
		if len(b) < recordHeader {
			return errDamaged
		}
		r := record{kind: kind(b[0]), position: int64(binary.LittleEndian.Uint64(b[8:]))}
		name, owner, size := int(b[1]), int(binary.LittleEndian.Uint16(b[2:])), int64(binary.LittleEndian.Uint32(b[4:]))
		b = b[recordHeader:]
		if r.kind != kindWrite && r.kind != kindForget || r.position < 0 || int64(name+owner)+size > int64(len(b)) {
			return errDamaged
		}
		names := owner + name
		r.owner, r.file, r.data = string(b[:owner]), string(b[owner:names]), b[names:names+int(size)]
		b = b[names+int(size):]
		if err := f(r); err != nil {
			return err
		}
	}
	return nil
}

// blocks rounds up to whole blocks.
func blocks(size int64) int64 { return (size + block - 1) &^ (block - 1) }
