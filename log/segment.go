package log

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path"
	"sync"
	"sync/atomic"

	"github.com/barnabas-log/barnabas/internal/vfs"
)

const logSuffix = ".log"

// segment is one .log file with its indexes. One goroutine appends, any may read what bounds gives.
type segment struct {
	fs   vfs.FS
	base Offset
	path string // of the .log file
	// mergedPath is that of the .merged file, which few segments have (mergedBytes > 0).
	mergedPath  string
	mergedBytes int64

	offsets *index
	times   *index
	indexes *index

	firstIndex atomic.Uint64 // of the first batch; 0 while there is none
	lastIndex  atomic.Uint64 // of the last batch
	extent     extent
	maximum    maximum
	// firstTimestamp is the largest of the first batch that has one (those that compaction emptied have none), or noTimestamp.
	firstTimestamp atomic.Int64
	isSealed       atomic.Bool
	compacted      atomic.Bool  // compaction has been over all of it
	doubted        atomic.Bool  // an index file is damaged
	missing        atomic.Int64 // bytes at the end that the file was found to have lost

	// hints remember where readers stopped: offset after the chunk, relative to base, and its position.
	hints [8]atomic.Uint64

	opened *openFiles
	// syncMu is held across every fsync of the .log file, and guards syncErr: the system says once that it failed to write, and to whoever asks first.
	syncMu  sync.Mutex
	syncErr error
	file    atomic.Pointer[handle]
	mu      sync.Mutex // guards the opening of file
	fate    atomic.Int32

	// The writer's own.
	sinceIndex int64 // bytes since the batch of the last index entry, that batch included
}

// The fates of a segment. One that is replaced by compaction is gone like one that is removed, but whoever looks again finds its entries elsewhere.
const (
	segmentLive = iota
	segmentRemoved
	segmentReplaced
)

// gone is ErrNotFound for a segment that was removed, errReplaced for one that was compacted. Whoever opens a file of the segment by name asks it afterwards: the
// file may be its successor's.
func (s *segment) gone() error {
	switch s.fate.Load() {
	case segmentRemoved:
		return ErrNotFound
	case segmentReplaced:
		return errReplaced
	}
	return nil
}

// extent is the pair of length and next offset, read without a lock: the version is odd while they change.
type extent struct {
	version atomic.Uint32
	bytes   atomic.Int64
	next    atomic.Int64
}

func (e *extent) set(bytes int64, next Offset) {
	e.version.Add(1)
	e.bytes.Store(bytes)
	e.next.Store(int64(next))
	e.version.Add(1)
}

func (e *extent) get() (bytes int64, next Offset) {
	for {
		version := e.version.Load()
		bytes, next = e.bytes.Load(), Offset(e.next.Load())
		if version&1 == 0 && e.version.Load() == version {
			return bytes, next
		}
	}
}

// maximum is the largest timestamp of a segment and the last offset of the batch that brought it, kept like extent.
type maximum struct {
	version   atomic.Uint32
	timestamp atomic.Int64
	offset    atomic.Int64
}

func (m *maximum) set(timestamp int64, offset Offset) {
	m.version.Add(1)
	m.timestamp.Store(timestamp)
	m.offset.Store(int64(offset))
	m.version.Add(1)
}

func (m *maximum) get() (timestamp int64, offset Offset) {
	for {
		version := m.version.Load()
		timestamp, offset = m.timestamp.Load(), Offset(m.offset.Load())
		if version&1 == 0 && m.version.Load() == version {
			return timestamp, offset
		}
	}
}

// noTimestamp is Kafka's "none".
const noTimestamp = -1

func segmentName(base Offset) string { return fmt.Sprintf("%020d", int64(base)) }

// newSegment gives an empty segment without touching the disk.
func newSegment(files vfs.FS, dir string, base Offset, opened *openFiles) *segment {
	stem := path.Join(dir, segmentName(base))
	s := &segment{fs: files, base: base, path: stem + logSuffix, mergedPath: stem + mergedSuffix, opened: opened,
		offsets: newIndex(files, offsetIndexKind, stem),
		times:   newIndex(files, timeIndexKind, stem),
		indexes: newIndex(files, raftIndexKind, stem),
	}
	s.extent.set(0, base)
	s.maximum.set(noTimestamp, base)
	s.firstTimestamp.Store(noTimestamp)
	return s
}

func (s *segment) allIndexes() [3]*index { return [3]*index{s.offsets, s.times, s.indexes} }

// create makes the files, empty. Their names are not durable yet.
func (s *segment) create() error {
	f, err := s.fs.OpenFile(s.path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	for _, x := range s.allIndexes() {
		if err := x.create(); err != nil {
			return err
		}
	}
	return nil
}

// handle is an open .log file, counted: the last to release it closes it.
type handle struct {
	file vfs.File
	refs atomic.Int32
}

func (h *handle) acquire() bool {
	for {
		n := h.refs.Load()
		if n == 0 {
			return false
		}
		if h.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (h *handle) release() error {
	if h.refs.Add(-1) == 0 {
		return h.file.Close()
	}
	return nil
}

// pin gives the open file, which the caller must release. Only a file that is not open costs a lock. ErrNotFound if the segment was removed, errReplaced if it was compacted.
func (s *segment) pin() (*handle, error) {
	if h := s.file.Load(); h != nil && h.acquire() {
		return h, nil
	}
	h, opened, err := s.open()
	if opened && s.isSealed.Load() {
		s.opened.add(s)
	}
	return h, err
}

func (s *segment) open() (h *handle, opened bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.gone(); err != nil {
		return nil, false, err
	}
	if h := s.file.Load(); h != nil && h.acquire() {
		return h, false, nil
	}
	f, err := s.fs.OpenFile(s.path, os.O_RDWR, 0)
	if err != nil {
		return nil, false, fmt.Errorf("open segment: %w", err)
	}
	h = &handle{file: f}
	h.refs.Store(2) // the segment's and the caller's
	s.file.Store(h)
	return h, true, nil
}

// unpin closes the file once its readers are done.
func (s *segment) unpin() error {
	if h := s.file.Swap(nil); h != nil {
		return h.release()
	}
	return nil
}

// retire makes the segment unreadable for those who come later.
func (s *segment) retire() error { return s.retireAs(segmentRemoved) }

func (s *segment) retireAs(fate int32) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fate.CompareAndSwap(segmentLive, fate)
	return s.unpin()
}

// search is x.search, with the error of gone when the index went away because the segment did.
func (s *segment) search(x *index, keep func(key, value int64) bool) (key, value int64, ok bool, err error) {
	key, value, ok, err = x.search(keep)
	if gone := s.gone(); gone == errReplaced || gone != nil && errors.Is(err, os.ErrNotExist) {
		err = gone
	} else if err != nil { // it can be done without: everything is found from the beginning of the segment as well
		s.doubt()
		return 0, 0, false, nil
	}
	return key, value, ok, err
}

// doubt takes note that an index file is damaged or gone. Whoever scrubs makes it anew.
func (s *segment) doubt() { s.doubted.Store(true) }

// unlink removes the files, .log last but one sync: without it the others mean nothing.
func (s *segment) unlink() error {
	if err := s.retire(); err != nil {
		return err
	}
	for _, x := range s.allIndexes() {
		if err := removeIfThere(s.fs, x.path); err != nil {
			return err
		}
	}
	if s.mergedBytes > 0 {
		if err := removeIfThere(s.fs, s.mergedPath); err != nil {
			return err
		}
	}
	return removeIfThere(s.fs, s.path)
}

func removeIfThere(files vfs.FS, name string) error {
	if err := files.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// mustRoll says whether the batch belongs into a new segment. It depends on the batches and the configuration only.
func (s *segment) mustRoll(h Header, size int64, i Index, position int64, c *Config) bool {
	if position == 0 {
		return false
	}
	return position+size > c.SegmentBytes ||
		s.firstTimestamp.Load() >= 0 && h.MaxTimestamp()-s.firstTimestamp.Load() > c.SegmentAge.Milliseconds() ||
		int64(s.offsets.count) >= c.SegmentIndexBytes/8 ||
		int64(s.times.count) >= c.SegmentIndexBytes/timeEntrySize-1 ||
		int64(h.LastOffset()-s.base) > math.MaxInt32 ||
		uint64(i)-s.firstIndex.Load() > math.MaxUint32
}

// note enters a batch at position into the indexes. The rules are Kafka's, applied batch by batch.
func (s *segment) note(h Header, i Index, position int64, interval int64) {
	last := h.LastOffset()
	if s.firstTimestamp.Load() < 0 {
		s.firstTimestamp.Store(h.MaxTimestamp())
	}
	if position == 0 {
		s.firstIndex.Store(uint64(i))
	}
	if timestamp, _ := s.maximum.get(); h.MaxTimestamp() > timestamp {
		s.maximum.set(h.MaxTimestamp(), last)
	}
	if s.sinceIndex > interval {
		s.offsets.add(int64(last-s.base), position)
		s.indexes.add(int64(uint64(i)-s.firstIndex.Load()), position)
		s.noteTime()
		s.sinceIndex = 0
	}
	s.sinceIndex += int64(h.Size())
	s.lastIndex.Store(uint64(i) + uint64(h.members()-1))
}

// noteTime enters the largest timestamp so far, if it is not there yet.
func (s *segment) noteTime() {
	timestamp, offset := s.maximum.get()
	if timestamp > s.times.lastKey && timestamp >= 0 {
		s.times.add(timestamp, int64(offset-s.base))
	}
}

func (s *segment) flushIndexes() error {
	for _, x := range s.allIndexes() {
		if err := x.flush(); err != nil {
			return err
		}
	}
	return nil
}

// finish writes the indexes and the seal. Nothing is synced.
func (s *segment) finish() error {
	s.noteTime()
	if err := s.flushIndexes(); err != nil {
		return err
	}
	if err := s.writeSeal(s.summary().encode()); err != nil {
		return err
	}
	s.isSealed.Store(true)
	return nil
}

func (s *segment) writeSeal(b []byte) error {
	f, err := s.fs.OpenFile(s.indexes.path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, 0)
	return errors.Join(err, f.Close())
}

func (s *segment) summary() *seal {
	bytes, next := s.extent.get()
	timestamp, offset := s.maximum.get()
	return &seal{base: s.base, firstIndex: Index(s.firstIndex.Load()), lastIndex: Index(s.lastIndex.Load()), next: next, bytes: bytes,
		firstTimestamp: s.firstTimestamp.Load(), maxTimestamp: timestamp, maxOffset: offset,
		entries: [3]int{s.offsets.count, s.times.count, s.indexes.count}, compacted: s.compacted.Load(), merged: s.mergedBytes}
}

// restore takes over what a seal says.
func (s *segment) restore(from *seal) {
	s.firstIndex.Store(uint64(from.firstIndex))
	s.lastIndex.Store(uint64(from.lastIndex))
	s.extent.set(from.bytes, from.next)
	s.maximum.set(from.maxTimestamp, from.maxOffset)
	s.firstTimestamp.Store(from.firstTimestamp)
	for k, x := range s.allIndexes() {
		x.sealed(from.entries[k])
	}
	s.compacted.Store(from.compacted)
	s.mergedBytes = from.merged
	s.isSealed.Store(true)
}

// syncAll makes the .log file and the indexes durable.
func (s *segment) syncAll() error {
	if err := s.syncData(); err != nil {
		return err
	}
	for _, x := range s.allIndexes() {
		if err := x.sync(); err != nil {
			return err
		}
	}
	return nil
}

// syncData makes the .log file durable. Once that has failed it fails for ever.
func (s *segment) syncData() error {
	h, err := s.pin()
	if err != nil {
		return err
	}
	s.syncMu.Lock()
	if s.syncErr == nil {
		s.syncErr = h.file.Sync()
	}
	err = s.syncErr
	s.syncMu.Unlock()
	return errors.Join(err, h.release())
}

// hint gives the position at which a reader stopped that read up to o.
func (s *segment) hint(o Offset) (position int64, ok bool) {
	relative := uint64(o - s.base)
	v := s.hints[relative%uint64(len(s.hints))].Load()
	if v == 0 || v>>32 != relative {
		return 0, false
	}
	return int64(uint32(v)), true
}

func (s *segment) setHint(o Offset, position int64) {
	relative := uint64(o - s.base)
	if relative <= math.MaxUint32 {
		s.hints[relative%uint64(len(s.hints))].Store(relative<<32 | uint64(position))
	}
}

func (s *segment) info(active bool) SegmentInfo {
	bytes, next := s.extent.get()
	timestamp, _ := s.maximum.get()
	return SegmentInfo{BaseOffset: s.base, NextOffset: next, LastIndex: Index(s.lastIndex.Load()), Bytes: bytes,
		FirstTimestamp: s.firstTimestamp.Load(), MaxTimestamp: timestamp, Active: active, Compacted: s.compacted.Load()}
}
