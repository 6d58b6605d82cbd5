package log

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"

	"github.com/barnabas-log/barnabas/internal/vfs"
)

const (
	recoveryName    = "recovery"
	recoveryMagic   = "BREC"
	recoveryVersion = 1
	slotSize        = 152
	slotDistance    = 512

	// pointInterval is how many bytes may be appended before the recovery point moves: what is scanned after a crash.
	pointInterval = 4 << 20
	// pendingLimit is how many index entries may wait in memory for the recovery point to move.
	pendingLimit = 1024
)

// point says where recovery begins: everything before it is durable, and damage there is corruption. It carries what the writer knew there. The
// file holds two slots, written in turn and without an fsync: a lost one costs a longer scan. Before a truncation both are lowered and synced.
type point struct {
	sequence uint64
	base     Offset // of the segment
	position int64
	next     Offset
	ctlBytes int64
	// Of the segment up to position.
	firstIndex     Index
	lastIndex      Index // of the last batch, in this segment or before
	firstTimestamp int64
	maxTimestamp   int64
	maxOffset      Offset
	sinceIndex     int64
	entries        [3]int
	checksums      [3]uint32
}

// pointAt describes the end of a segment whose indexes are flushed.
func pointAt(s *segment, lastIndex Index, ctlBytes int64) point {
	bytes, next := s.extent.get()
	timestamp, offset := s.maximum.get()
	p := point{base: s.base, position: bytes, next: next, ctlBytes: ctlBytes, lastIndex: lastIndex,
		firstIndex: Index(s.firstIndex.Load()), firstTimestamp: s.firstTimestamp.Load(), maxTimestamp: timestamp, maxOffset: offset,
		sinceIndex: s.sinceIndex}
	for k, x := range s.allIndexes() {
		p.entries[k], p.checksums[k] = x.count, x.crc
	}
	return p
}

func (p *point) encode() []byte {
	e := encoder{b: append(make([]byte, 0, slotSize), recoveryMagic...)}
	e.u32(recoveryVersion)
	e.u64(p.sequence)
	for _, v := range []int64{int64(p.base), p.position, int64(p.next), p.ctlBytes, int64(p.firstIndex), int64(p.lastIndex),
		p.firstTimestamp, p.maxTimestamp, int64(p.maxOffset), p.sinceIndex} {
		e.u64(uint64(v))
	}
	for k := range p.entries {
		e.u32(uint32(p.entries[k]))
		e.u32(p.checksums[k])
	}
	e.b = append(e.b, make([]byte, slotSize-4-len(e.b))...)
	e.u32(crc32.Checksum(e.b, castagnoli))
	return e.b
}

// decodePoint fails on anything that this program did not write whole.
func decodePoint(b []byte) (*point, error) {
	if len(b) < slotSize || string(b[:4]) != recoveryMagic {
		return nil, errors.New("no recovery point")
	}
	b = b[:slotSize]
	if binary.LittleEndian.Uint32(b[4:]) != recoveryVersion {
		return nil, fmt.Errorf("recovery point version %d", binary.LittleEndian.Uint32(b[4:]))
	}
	if crc32.Checksum(b[:slotSize-4], castagnoli) != binary.LittleEndian.Uint32(b[slotSize-4:]) {
		return nil, errors.New("recovery point checksum mismatch")
	}
	d := decoder{b: b[8:]}
	p := &point{sequence: d.u64(), base: Offset(d.u64()), position: int64(d.u64()), next: Offset(d.u64()), ctlBytes: int64(d.u64()),
		firstIndex: Index(d.u64()), lastIndex: Index(d.u64()), firstTimestamp: int64(d.u64()), maxTimestamp: int64(d.u64()),
		maxOffset: Offset(d.u64()), sinceIndex: int64(d.u64())}
	for k := range p.entries {
		p.entries[k], p.checksums[k] = int(d.u32()), d.u32()
	}
	return p, nil
}

// readPoint gives the newest point, or nil when none can be read: then everything is scanned.
func readPoint(files vfs.FS, name string) *point {
	b, err := vfs.ReadFile(files, name)
	if err != nil {
		return nil
	}
	var best *point
	for at := 0; at < len(b) && at <= slotDistance; at += slotDistance {
		if p, err := decodePoint(b[at:]); err == nil && (best == nil || p.sequence > best.sequence) {
			best = p
		}
	}
	return best
}

// pointFile writes the slots. The writer's own.
type pointFile struct {
	fs      vfs.FS
	path    string
	current point
}

// advance moves the point, to be seen by whoever recovers after the process died, but not surely after the machine did.
func (f *pointFile) advance(p point) error { return f.write(p, 1, false) }

// lower moves the point back and makes that durable in both slots.
func (f *pointFile) lower(p point) error { return f.write(p, 2, true) }

func (f *pointFile) write(p point, slots int, durably bool) error {
	file, err := f.fs.OpenFile(f.path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("write recovery point: %w", err)
	}
	for range slots {
		p.sequence = f.current.sequence + 1
		f.current = p
		if _, err = file.WriteAt(p.encode(), int64(p.sequence%2)*slotDistance); err != nil {
			break
		}
	}
	if err == nil && durably {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("write recovery point: %w", err)
	}
	return nil
}
