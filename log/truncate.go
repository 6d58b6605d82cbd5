package log

import (
	"fmt"
	"slices"

	"github.com/barnabas-log/barnabas/internal/vfs"
)

// TruncateSuffix removes every entry from index i on (a Raft conflict). Durable on return.
//
//	           i
//	|##########|xxxxxxxxx|        x goes; with i > LastIndex nothing does; i <= FirstIndex-1 is ErrOutOfRange
//
// The middle of a merged batch, which compaction left, cannot be cut: what is compacted is committed, and nobody asks for it. The log fails then.
//
// Order: the recovery point is lowered, durably; later segments go, the newest first; the segment of i is cut; then ctl. A crash in between leaves
// entries that recovery keeps or drops as a tail: the caller was not told that they are gone.
func (l *Log) TruncateSuffix(i Index) error {
	l.syncMu.Lock()
	defer l.syncMu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	if i > l.LastIndex() {
		return nil
	}
	if i < l.FirstIndex() {
		return fmt.Errorf("truncate from index %d, the first is %d: %w", i, l.FirstIndex(), ErrOutOfRange)
	}
	if err := l.truncateLocked(i); err != nil {
		return l.fail(fmt.Errorf("truncate from index %d: %w", i, err))
	}
	return nil
}

func (l *Log) truncateLocked(i Index) error {
	if err := l.leaveJournalLocked(); err != nil {
		return err
	}
	list := *l.controls.Load()
	first, k, position := list.batchFrom(i), -1, int64(0)
	end := l.EndOffset()
	if first <= l.LastIndex() {
		place, err := l.locate(first)
		if err != nil {
			return err
		}
		if place.removed {
			return fmt.Errorf("%w: compaction has removed the batch", ErrInvalid)
		}
		k = slices.Index(l.view.Load().segments, place.segment)
		position, end = place.position, place.BaseOffset
	}
	l.last.Store(uint64(i - 1)) // from here on readers do not find what goes
	l.end.Store(int64(end))
	l.recent.reset()
	if k >= 0 {
		if err := l.truncateSegments(k, position, end, i); err != nil {
			return err
		}
	}
	keep := list.from(i)
	if keep < len(list) {
		if err := l.lowerCtl(list[keep].position); err != nil {
			return err
		}
		if err := l.ctl.truncate(list[keep].position); err != nil {
			return err
		}
		list = slices.Clone(list[:keep])
		l.controls.Store(&list)
	}
	table := slices.Clone(l.epochs.Load().before(i))
	l.epochs.Store(&table)
	l.lastTerm = max(table.termAt(i-1), l.floor.Load().Term)
	if k < 0 {
		return nil
	}
	l.synced.Store(int64(end)) // everything that stays was synced on the way
	active := l.view.Load().active()
	if err := active.flushIndexes(); err != nil {
		return err
	}
	return l.points.advance(pointAt(active, l.lastBatchLocked(), l.ctl.size))
}

// lowerCtl makes recovery expect no more of ctl than bytes.
func (l *Log) lowerCtl(bytes int64) error {
	if l.points.current.ctlBytes <= bytes {
		return nil
	}
	lowered := l.points.current
	lowered.ctlBytes = bytes
	return l.points.lower(lowered)
}

// truncateSegments cuts the kth segment at position, where offset end is, and removes those after it.
func (l *Log) truncateSegments(k int, position int64, end Offset, i Index) error {
	segments := l.view.Load().segments
	target := segments[k]
	if err := l.syncFilesBefore(target); err != nil {
		return err
	}
	lowered := point{base: target.base, next: target.base, ctlBytes: ctlHeaderSize}
	if err := l.points.lower(lowered); err != nil {
		return err
	}
	for _, s := range slices.Backward(segments[k+1:]) {
		if err := s.unlink(); err != nil {
			return err
		}
		if err := l.fs.SyncDir(l.dir); err != nil {
			return err
		}
	}
	shorter, err := l.cutSegment(target, position, end)
	if err != nil {
		return err
	}
	l.publishSegments(append(slices.Clone(segments[:k]), shorter))
	return target.retire()
}

// syncFilesBefore makes the segments before the target durable, so that the recovery point may lie in the target.
func (l *Log) syncFilesBefore(target *segment) error {
	for _, s := range l.unsynced {
		if s.base < target.base {
			if err := s.syncAll(); err != nil {
				return err
			}
		}
	}
	l.unsynced = nil
	return nil
}

// cutSegment gives the segment anew, with the batches before position only. Readers of the old one keep their file.
func (l *Log) cutSegment(old *segment, position int64, end Offset) (*segment, error) {
	s := newSegment(l.fs, l.dir, old.base, &l.opened)
	h, err := s.pin()
	if err != nil {
		return nil, err
	}
	defer h.release()
	old.extent.set(position, end)
	if err := h.file.Truncate(position); err != nil {
		return nil, err
	}
	if err := h.file.Sync(); err != nil {
		return nil, err
	}
	if position == 0 {
		for _, x := range old.allIndexes() {
			x.lower(0, nil)
		}
		for _, x := range s.allIndexes() {
			if err := x.create(); err != nil {
				return nil, err
			}
		}
		return s, nil
	}
	relative := int64(end - s.base)
	below := func(_, value int64) bool { return value < position }
	if s.offsets, err = old.offsets.cut(below); err != nil {
		return nil, err
	}
	if s.indexes, err = old.indexes.cut(below); err != nil {
		return nil, err
	}
	if s.times, err = old.times.cut(func(_, value int64) bool { return value < relative }); err != nil {
		return nil, err
	}
	s.firstIndex.Store(old.firstIndex.Load())
	s.firstTimestamp.Store(old.firstTimestamp.Load())
	s.mergedBytes = old.mergedBytes // what is beyond the cut is not referred to any more
	s.extent.set(position, end)
	return s, l.recount(s, h.file, position)
}

// recount finds the largest timestamp and the last index of a segment that was cut, reading from the last index entries on.
func (l *Log) recount(s *segment, file vfs.File, end int64) error {
	from, i := int64(0), Index(s.firstIndex.Load())
	if s.indexes.count > 0 {
		from, i = s.indexes.lastValue, i+Index(s.indexes.lastKey)
	}
	s.sinceIndex = end - from
	list := *l.controls.Load()
	at := i - 1
	err := walkHeaders(file, s.path, from, end, func(_ int64, h Header) bool {
		at = list.batchFrom(at+1) + Index(h.members()-1)
		s.lastIndex.Store(uint64(at))
		return true
	})
	if err != nil {
		return err
	}
	begin := int64(0) // of the batches that the time index does not cover
	if s.times.count > 0 {
		s.maximum.set(s.times.lastKey, s.base+Offset(s.times.lastValue))
		key := s.times.lastValue
		_, value, ok, err := s.offsets.search(func(k, _ int64) bool { return k <= key })
		if err != nil {
			return err
		}
		if ok {
			begin = value
		}
	}
	return walkHeaders(file, s.path, begin, end, func(_ int64, h Header) bool {
		if timestamp, _ := s.maximum.get(); h.MaxTimestamp() > timestamp {
			s.maximum.set(h.MaxTimestamp(), h.LastOffset())
		}
		return true
	})
}

// Reset discards everything and starts after floor (a snapshot was installed). Durable on return; the commit point is a manifest that says that a
// reset is under way, and Open finishes it. The checkpoint becomes one of the floor: its index, term, offset and state.
func (l *Log) Reset(floor Floor) error {
	l.syncMu.Lock()
	defer l.syncMu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.checkpointMu.Lock()
	defer l.checkpointMu.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	if floor.Offset < 0 || floor.Start < 0 {
		return fmt.Errorf("reset to offset %d, start %d: %w", floor.Offset, floor.Start, ErrInvalid)
	}
	if err := l.resetLocked(floor); err != nil {
		return l.fail(fmt.Errorf("reset after index %d: %w", floor.Index, err))
	}
	return nil
}

func (l *Log) resetLocked(floor Floor) error {
	if err := l.leaveJournalLocked(); err != nil {
		return err
	}
	floor.Configuration = slices.Clone(floor.Configuration)
	floor.State = slices.Clone(floor.State)
	m := &manifest{resetting: true, floor: floor}
	if floor.Index > 0 {
		m.epochs = epochTable{{floor.Term, floor.Index, floor.Offset}}
	}
	if err := m.write(l.fs, l.dir); err != nil {
		return err
	}
	l.start.Store(int64(floor.Offset)) // from here on readers do not find what goes
	l.end.Store(int64(floor.Offset))
	l.last.Store(uint64(floor.Index))
	for _, s := range l.view.Load().segments {
		if err := s.retire(); err != nil {
			return err
		}
	}
	l.unsynced = nil
	l.points.current = point{}
	return l.restart(m)
}

// Delete closes the log and removes its directory.
func (l *Log) Delete() error {
	_ = l.Close() // what it could not write is to be removed
	return Remove(l.fs, l.dir, nil, nil)
}
