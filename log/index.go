package log

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"sort"
	"sync/atomic"

	"github.com/barnabas-log/barnabas/internal/vfs"
)

// An index file is a row of entries of fixed size, both columns rising. Big endian, as Kafka writes them:
//
//	.index      relative last offset u32, position u32      of a batch every IndexIntervalBytes
//	.timeindex  timestamp i64, relative last offset u32     the largest timestamp so far and the batch that brought it
//	.raftindex  96 bytes of header (see seal.go), then: relative index u32, position u32   of the same batches as .index
//
// Offsets are relative to the segment's base offset, indexes to the index of its first batch.
type indexKind struct {
	suffix    string
	entrySize int
	keySize   int
	header    int64
}

const timeEntrySize = 12

var (
	offsetIndexKind = indexKind{".index", 8, 4, 0}
	timeIndexKind   = indexKind{".timeindex", timeEntrySize, 8, 0}
	raftIndexKind   = indexKind{".raftindex", 8, 4, sealSize}
)

func (k indexKind) entry(b []byte) (key, value int64) {
	if k.keySize == 8 {
		return int64(binary.BigEndian.Uint64(b)), int64(binary.BigEndian.Uint32(b[8:]))
	}
	return int64(binary.BigEndian.Uint32(b)), int64(binary.BigEndian.Uint32(b[4:]))
}

func (k indexKind) append(b []byte, key, value int64) []byte {
	if k.keySize == 8 {
		b = binary.BigEndian.AppendUint64(b, uint64(key))
	} else {
		b = binary.BigEndian.AppendUint32(b, uint32(key))
	}
	return binary.BigEndian.AppendUint32(b, uint32(value))
}

// index is one index file and the entries that were not written to it yet. One goroutine adds and flushes; any may search.
// The file is opened for each use: an index is not needed to read where the last reader stopped.
type index struct {
	kind indexKind
	fs   vfs.FS
	path string

	state atomic.Pointer[indexState]

	// The writer's own.
	count     int // entries in all
	lastKey   int64
	lastValue int64
	crc       uint32 // of the entries in the file
}

// indexState is what a search sees: entries in the file, then those in memory. Only tail[:bytes] may be read.
type indexState struct {
	flushed int
	tail    []byte
	bytes   atomic.Int32
}

func newIndex(files vfs.FS, kind indexKind, base string) *index {
	x := &index{kind: kind, fs: files, path: base + kind.suffix, lastKey: -1, lastValue: -1}
	x.state.Store(&indexState{})
	return x
}

// create makes the file empty.
func (x *index) create() error {
	f, err := x.fs.OpenFile(x.path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	return f.Close()
}

// add appends an entry in memory.
func (x *index) add(key, value int64) {
	x.count++
	x.lastKey, x.lastValue = key, value
	s := x.state.Load()
	used := int(s.bytes.Load())
	if used+x.kind.entrySize > len(s.tail) {
		grown := &indexState{flushed: s.flushed, tail: make([]byte, max(8*x.kind.entrySize, 2*len(s.tail)))}
		copy(grown.tail, s.tail[:used])
		grown.bytes.Store(int32(used))
		s = grown
		x.state.Store(s)
	}
	x.kind.append(s.tail[used:used], key, value)
	s.bytes.Store(int32(used + x.kind.entrySize))
}

// pending is how many entries wait for flush.
func (x *index) pending() int { return int(x.state.Load().bytes.Load()) / x.kind.entrySize }

// flush writes the entries in memory to the file. Nothing is synced.
func (x *index) flush() error {
	s := x.state.Load()
	tail := s.tail[:s.bytes.Load()]
	if len(tail) == 0 {
		return nil
	}
	f, err := x.fs.OpenFile(x.path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(tail, x.kind.header+int64(s.flushed*x.kind.entrySize))
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	x.crc = crc32.Update(x.crc, castagnoli, tail)
	x.state.Store(&indexState{flushed: s.flushed + len(tail)/x.kind.entrySize})
	return nil
}

// sync makes the file durable.
func (x *index) sync() error {
	f, err := x.fs.OpenFile(x.path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// search finds the last entry for which keep is true; keep must be true for a prefix of the entries. ok is false when it is true for none.
func (x *index) search(keep func(key, value int64) bool) (key, value int64, ok bool, err error) {
	for {
		s := x.state.Load()
		key, value, ok, err = x.searchState(s, keep)
		if !errors.Is(err, io.ErrUnexpectedEOF) || x.state.Load() == s {
			return key, value, ok, err
		}
		// The file became shorter while it was read: the entries that are left were published before.
	}
}

func (x *index) searchState(s *indexState, keep func(key, value int64) bool) (key, value int64, ok bool, err error) {
	size := x.kind.entrySize
	tail := s.tail[:s.bytes.Load()]
	if b := lastKept(x.kind, tail, keep); b != nil {
		key, value = x.kind.entry(b)
		return key, value, true, nil
	}
	if s.flushed == 0 {
		return 0, 0, false, nil
	}
	f, err := x.fs.OpenFile(x.path, os.O_RDONLY, 0)
	if err != nil {
		return 0, 0, false, err
	}
	defer f.Close()
	// Halve the range until it fits the buffer, then read it whole. Entries before low are kept, those from high on are not.
	var buffer [4096]byte
	low, high := 0, s.flushed
	for (high-low)*size > len(buffer) {
		middle := (low + high) / 2
		if err := readFull(f, buffer[:size], x.kind.header+int64(middle*size)); err != nil {
			return 0, 0, false, fmt.Errorf("search %s: %w", x.path, err)
		}
		if keep(x.kind.entry(buffer[:size])) {
			low = middle // keep it in the range: it may be the answer
		} else {
			high = middle
		}
	}
	b := buffer[:(high-low)*size]
	if err := readFull(f, b, x.kind.header+int64(low*size)); err != nil {
		return 0, 0, false, fmt.Errorf("search %s: %w", x.path, err)
	}
	if b = lastKept(x.kind, b, keep); b == nil {
		return 0, 0, false, nil
	}
	key, value = x.kind.entry(b)
	return key, value, true, nil
}

func lastKept(kind indexKind, b []byte, keep func(key, value int64) bool) []byte {
	size := kind.entrySize
	n := sort.Search(len(b)/size, func(k int) bool { return !keep(kind.entry(b[k*size:])) })
	if n == 0 {
		return nil
	}
	return b[(n-1)*size:]
}

// load takes over the first count entries of the file, whose checksum must be crc, and cuts off the rest. ok is false if the file does not hold them.
func (x *index) load(count int, crc uint32) (ok bool, err error) {
	f, err := x.fs.OpenFile(x.path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	b := make([]byte, count*x.kind.entrySize)
	if readFull(f, b, x.kind.header) != nil || crc32.Checksum(b, castagnoli) != crc {
		return false, nil
	}
	if count == 0 {
		err = f.Truncate(0)
	} else {
		err = f.Truncate(x.kind.header + int64(len(b)))
		x.lastKey, x.lastValue = x.kind.entry(b[len(b)-x.kind.entrySize:])
	}
	x.count, x.crc = count, crc
	x.state.Store(&indexState{flushed: count})
	return true, err
}

// sealed takes over a finished file of that many entries.
func (x *index) sealed(count int) {
	x.count = count
	x.state.Store(&indexState{flushed: count})
}

// cut gives a new index with the entries for which keep is true, in the same file.
func (x *index) cut(keep func(key, value int64) bool) (*index, error) {
	all, err := x.all()
	if err != nil {
		return nil, err
	}
	size := x.kind.entrySize
	n := sort.Search(len(all)/size, func(k int) bool { return !keep(x.kind.entry(all[k*size:])) })
	flushed := min(n, x.state.Load().flushed)
	x.lower(flushed, all[flushed*size:n*size])
	shorter := &index{kind: x.kind, fs: x.fs, path: x.path, lastKey: -1, lastValue: -1}
	ok, err := shorter.load(flushed, crc32.Checksum(all[:flushed*size], castagnoli))
	if err == nil && !ok {
		err = fmt.Errorf("cut %s: it does not hold the %d entries that were written", x.path, flushed)
	}
	if err != nil {
		return nil, err
	}
	for k := flushed; k < n; k++ {
		shorter.add(x.kind.entry(all[k*size:]))
	}
	return shorter, nil
}

// lower makes those who search find only the first entries of the file, and tail. Called before the file is cut.
func (x *index) lower(flushed int, tail []byte) {
	s := &indexState{flushed: flushed, tail: tail}
	s.bytes.Store(int32(len(tail)))
	x.state.Store(s)
}

// all gives every entry, encoded.
func (x *index) all() ([]byte, error) {
	s := x.state.Load()
	b := make([]byte, s.flushed*x.kind.entrySize)
	if len(b) > 0 {
		f, err := x.fs.OpenFile(x.path, os.O_RDONLY, 0)
		if err != nil {
			return nil, err
		}
		err = readFull(f, b, x.kind.header)
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, fmt.Errorf("read %s: %w", x.path, err)
		}
	}
	return append(b, s.tail[:s.bytes.Load()]...), nil
}

// checkEntries says whether b is a row of entries with both columns rising, from positions or offsets below limit.
func (k indexKind) checkEntries(b []byte, limit int64) error {
	if len(b)%k.entrySize != 0 {
		return fmt.Errorf("%d bytes are no multiple of %d", len(b), k.entrySize)
	}
	lastKey, lastValue := int64(-1), int64(-1)
	for at := 0; at < len(b); at += k.entrySize {
		key, value := k.entry(b[at:])
		if key <= lastKey || value <= lastValue || value >= limit {
			return fmt.Errorf("entry (%d, %d) after (%d, %d), limit %d", key, value, lastKey, lastValue, limit)
		}
		lastKey, lastValue = key, value
	}
	return nil
}

// readFull reads exactly len(b) bytes; io.ErrUnexpectedEOF when there are fewer.
func readFull(f vfs.File, b []byte, position int64) error {
	n, err := f.ReadAt(b, position)
	if n == len(b) {
		return nil
	}
	if err == nil || err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
