package log

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// seal is the summary of a finished segment. It stands in front of .raftindex, so that opening a log reads 96 bytes of a sealed segment. Big endian
// like the rest of that file:
//
//	0 magic "BRIX"      12 offset of bases below: eight i64      76 entries of .index u32
//	4 version u32          base offset, first index, last        80 entries of .timeindex u32
//	8 flags u32            index, next offset, bytes of .log,    84 entries of .raftindex u32
//	  1 compacted          first timestamp, max timestamp,       88 bytes of .merged u32
//	                       offset of the max timestamp           92 CRC32C of the 92 bytes before
type seal struct {
	base           Offset
	firstIndex     Index
	lastIndex      Index
	next           Offset
	bytes          int64
	firstTimestamp int64
	maxTimestamp   int64
	maxOffset      Offset
	entries        [3]int // of .index, .timeindex, .raftindex
	compacted      bool
	merged         int64 // bytes of .merged, 0: there is none
}

const (
	sealSize    = 96
	sealMagic   = "BRIX"
	sealVersion = 1

	sealCompacted = 1 // flag: compaction has been over all of the segment
)

func (s *seal) encode() []byte {
	b := append(make([]byte, 0, sealSize), sealMagic...)
	b = binary.BigEndian.AppendUint32(b, sealVersion)
	var flags uint32
	if s.compacted {
		flags |= sealCompacted
	}
	b = binary.BigEndian.AppendUint32(b, flags)
	for _, v := range []int64{int64(s.base), int64(s.firstIndex), int64(s.lastIndex), int64(s.next), s.bytes, s.firstTimestamp,
		s.maxTimestamp, int64(s.maxOffset)} {
		b = binary.BigEndian.AppendUint64(b, uint64(v))
	}
	for _, n := range s.entries {
		b = binary.BigEndian.AppendUint32(b, uint32(n))
	}
	b = binary.BigEndian.AppendUint32(b, uint32(s.merged))
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func decodeSeal(b []byte) (*seal, error) {
	if len(b) != sealSize || string(b[:4]) != sealMagic {
		return nil, errors.New("no seal")
	}
	if v := binary.BigEndian.Uint32(b[4:]); v != sealVersion {
		return nil, fmt.Errorf("seal version %d", v)
	}
	if crc32.Checksum(b[:92], castagnoli) != binary.BigEndian.Uint32(b[92:]) {
		return nil, errors.New("seal checksum mismatch")
	}
	at := func(k int) int64 { return int64(binary.BigEndian.Uint64(b[12+8*k:])) }
	s := &seal{base: Offset(at(0)), firstIndex: Index(at(1)), lastIndex: Index(at(2)), next: Offset(at(3)), bytes: at(4),
		firstTimestamp: at(5), maxTimestamp: at(6), maxOffset: Offset(at(7))}
	s.compacted = binary.BigEndian.Uint32(b[8:])&sealCompacted != 0
	s.merged = int64(binary.BigEndian.Uint32(b[88:]))
	for k := range s.entries {
		s.entries[k] = int(binary.BigEndian.Uint32(b[76+4*k:]))
	}
	return s, nil
}
