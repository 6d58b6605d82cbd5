package log

import (
	"fmt"
	"math"
	"path"
	"time"

	"github.com/barnabas-log/barnabas/internal/vfs"
)

// Append stores entries, whose indexes must follow LastIndex without a gap and whose terms must not fall. It stamps base offset and leader epoch into
// each batch in place. On return they are readable, and durable if SyncOnAppend.
//
// ErrInvalid means that nothing was written. Any other failure is fatal to this log: later calls return ErrFailed.
// Single writer: Append, TruncateSuffix, Reset and Close are never called concurrently with each other.
func (l *Log) Append(entries []Entry) ([]Meta, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return nil, err
	}
	if len(entries) == 0 {
		return nil, nil
	}
	if err := l.checkLocked(entries); err != nil {
		return nil, err
	}
	metas, records := l.stampLocked(entries)
	if records != nil {
		if err := l.appendControlsLocked(entries, metas, records); err != nil {
			return nil, l.fail(err)
		}
	}
	if err := l.appendBatchesLocked(entries, metas, records != nil); err != nil {
		return nil, l.fail(err)
	}
	l.metrics.appended(metas)
	return metas, nil
}

// checkLocked refuses what is the caller's mistake before anything is written.
func (l *Log) checkLocked(entries []Entry) error {
	index, term := l.LastIndex(), l.lastTerm
	for k := range entries {
		e := &entries[k]
		if e.Index != index+1 {
			return fmt.Errorf("append index %d after %d: %w", e.Index, index, ErrInvalid)
		}
		if e.Term < term || e.Term > math.MaxInt32 {
			return fmt.Errorf("append index %d with term %d after term %d: %w", e.Index, e.Term, term, ErrInvalid)
		}
		if err := checkEntry(e); err != nil {
			return fmt.Errorf("append index %d: %w", e.Index, err)
		}
		index, term = e.Index, e.Term
	}
	return nil
}

func checkEntry(e *Entry) error {
	switch {
	case e.Kind > KindCommand:
		return fmt.Errorf("%w: kind %d", ErrInvalid, e.Kind)
	case len(e.Data) > math.MaxInt32-ctlRecordSize:
		return fmt.Errorf("%w: %d bytes", ErrInvalid, len(e.Data))
	case e.Kind != KindBatch:
		return nil
	}
	h := Header(e.Data)
	if err := h.checkShape(int64(len(h))); err != nil {
		return err
	}
	if h.Size() != len(h) {
		return fmt.Errorf("%w: batch of %d bytes in %d", ErrInvalid, h.Size(), len(h))
	}
	if n := h.members(); n > 1 {
		return fmt.Errorf("%w: a merged batch of %d", ErrInvalid, n)
	}
	return nil
}

// stampLocked gives every entry its place and encodes what goes to ctl.
func (l *Log) stampLocked(entries []Entry) (metas []Meta, records []byte) {
	metas = make([]Meta, len(entries))
	next, term := l.EndOffset(), l.lastTerm
	for k := range entries {
		e := &entries[k]
		m := Meta{Index: e.Index, Term: e.Term, Kind: e.Kind, BaseOffset: next, NextOffset: next, Size: len(e.Data)}
		record := control{index: e.Index, term: e.Term, kind: e.Kind, next: next}
		switch {
		case e.Kind != KindBatch:
			records = appendControl(records, record, e.Data)
		case e.Term > term:
			record.kind = kindEpoch
			records = appendControl(records, record, nil)
		}
		if e.Kind == KindBatch {
			stamp(e.Data, next, e.Term)
			next = Header(e.Data).next()
			m.NextOffset = next
		}
		term = e.Term
		metas[k] = m
	}
	return metas, records
}

// appendControlsLocked writes and syncs the records of ctl, ahead of the batches.
func (l *Log) appendControlsLocked(entries []Entry, metas []Meta, records []byte) error {
	position := l.ctl.size
	if err := l.ctl.append(records); err != nil {
		return err
	}
	list, table := *l.controls.Load(), *l.epochs.Load()
	for k := range entries {
		m := &metas[k]
		c := control{index: m.Index, term: m.Term, kind: m.Kind, next: m.BaseOffset, position: position, size: m.Size}
		begins := len(table) == 0 || table[len(table)-1].term < m.Term
		if m.Kind == KindBatch {
			if m.Term <= l.termBefore(metas, k) {
				continue
			}
			c.kind, c.size = kindEpoch, 0
		}
		list = append(list, c)
		position = c.end()
		if begins {
			table = table.with(epochBegin{m.Term, m.Index, m.BaseOffset})
		}
	}
	l.controls.Store(&list)
	l.epochs.Store(&table)
	return nil
}

// termBefore is the term of the entry before the kth.
func (l *Log) termBefore(metas []Meta, k int) Term {
	if k == 0 {
		return l.lastTerm
	}
	return metas[k-1].Term
}

// appendBatchesLocked writes the batches, syncs, and lets readers see the entries.
func (l *Log) appendBatchesLocked(entries []Entry, metas []Meta, control bool) error {
	places := make([]located, len(metas))
	run := run{log: l, segment: l.view.Load().active()}
	run.begin()
	for k := range entries {
		places[k] = located{Meta: metas[k], segment: run.segment, position: run.position}
		if entries[k].Kind != KindBatch {
			continue
		}
		h := Header(entries[k].Data)
		size := int64(len(h))
		if run.segment.mustRoll(h, size, metas[k].Index, run.position, &l.config) {
			if err := run.write(); err != nil {
				return err
			}
			if err := l.rollLocked(); err != nil {
				return err
			}
			run.segment, run.first = l.view.Load().active(), k
			run.begin()
		}
		places[k].segment, places[k].position = run.segment, run.position
		run.segment.note(h, metas[k].Index, run.position, l.config.IndexIntervalBytes)
		run.add(h, h.next())
	}
	if err := run.write(); err != nil {
		return err
	}
	if run.written && l.config.SyncOnAppend {
		if err := l.secureLocked(&run, entries[run.first:]); err != nil {
			return err
		}
	}
	l.publishLocked(places, l.config.SyncOnAppend && (run.written || l.synced.Load() == l.end.Load()))
	return l.afterAppendLocked(run.segment, control)
}

// secureLocked makes what a run has written to its present segment durable: in the journal if it is little, which then takes care that it becomes durable in the segment.
func (l *Log) secureLocked(r *run, entries []Entry) error {
	if l.journal != nil && r.position-r.begun <= journalLimit {
		for k := range entries {
			if entries[k].Kind == KindBatch {
				l.buffers = append(l.buffers, entries[k].Data)
			}
		}
		ok := l.journal.Write(l.owner, path.Base(r.segment.path), journaled{l, r.segment}, r.begun, l.buffers)
		clear(l.buffers) // do not keep the caller's memory
		l.buffers = l.buffers[:0]
		if ok {
			return nil
		}
		l.metrics.journalRefused.Inc()
	}
	return l.syncActive(r.segment)
}

func (l *Log) syncActive(s *segment) error {
	l.acquireSlot()
	defer l.releaseSlot()
	defer l.metrics.synced(time.Now())
	return s.syncData()
}

// publishLocked lets readers see the entries. durable says that the active segment was synced.
func (l *Log) publishLocked(places []located, durable bool) {
	for k := range places {
		l.recent.add(places[k])
	}
	last := &places[len(places)-1]
	l.lastTerm = last.Term
	if durable && len(l.unsynced) == 0 {
		l.synced.Store(int64(last.NextOffset))
	}
	l.end.Store(int64(last.NextOffset))
	l.last.Store(uint64(last.Index))
}

// afterAppendLocked moves the recovery point now and then, or flushes as the configuration says.
func (l *Log) afterAppendLocked(s *segment, control bool) error {
	if l.config.SyncOnAppend {
		if len(l.unsynced) > 0 { // the mode was switched on: catch up once
			return l.syncLocked()
		}
		bytes, next := s.extent.get()
		current := &l.points.current
		if !control && current.base == s.base && bytes-current.position < pointInterval && s.offsets.pending() < pendingLimit &&
			int64(next) == l.synced.Load() {
			return nil
		}
		if err := s.flushIndexes(); err != nil {
			return err
		}
		return l.syncedLocked(pointAt(s, l.lastBatchLocked(), l.ctl.size))
	}
	if l.end.Load()-l.synced.Load() >= l.config.FlushMessages {
		return l.syncLocked()
	}
	if s.offsets.pending() >= pendingLimit {
		return s.flushIndexes()
	}
	return nil
}

const (
	// gatherLimit is up to where several batches are copied together: below it one copy is cheaper than the vectors.
	gatherLimit = 32 << 10
	// coldFrom is from where writing around the page cache is cheaper than through it (docs/decisions/0018, 0023).
	coldFrom = 256 << 10
	// journalLimit is up to which size an append goes through the journal: beyond it writing it twice costs more than an fdatasync of its own (docs/decisions/0020).
	journalLimit = 32 << 10
	// warmAfterRead is for how long everything is written through the page cache after somebody read the log.
	warmAfterRead = 10 * time.Minute
)

// aroundLocked says whether a write of so many bytes goes around the page cache: much at a time, that waits for the disk anyway, to a log that nobody reads.
func (l *Log) aroundLocked(bytes int64) bool {
	if bytes < coldFrom || !l.config.SyncOnAppend {
		return false
	}
	now := time.Now()
	if l.wasRead.CompareAndSwap(true, false) {
		l.readAt = now
	}
	return now.Sub(l.readAt) >= warmAfterRead
}

// touch notes that somebody reads what was appended.
func (l *Log) touch() {
	if !l.wasRead.Load() {
		l.wasRead.Store(true)
	}
}

// run is the part of an Append that goes to one segment, in one write.
type run struct {
	log      *Log
	segment  *segment
	first    int   // which entry is the first of this segment's
	begun    int64 // where the segment ended before
	from     int64 // where the next write begins
	position int64 // where the next batch goes
	next     Offset
	written  bool // something was written to the present segment
}

func (r *run) begin() {
	r.from, r.next = r.segment.extent.get()
	r.begun, r.position = r.from, r.from
	r.written = false
	r.log.buffers = r.log.buffers[:0]
}

func (r *run) add(batch []byte, next Offset) {
	r.log.buffers = append(r.log.buffers, batch)
	r.position += int64(len(batch))
	r.next = next
}

func (r *run) write() error {
	l := r.log
	if len(l.buffers) == 0 {
		return nil
	}
	defer func() {
		clear(l.buffers) // do not keep the caller's memory
		l.buffers = l.buffers[:0]
	}()
	h, err := r.segment.pin()
	if err != nil {
		return err
	}
	defer h.release()
	buffers := l.buffers
	if len(buffers) > 1 && r.position-r.from <= gatherLimit {
		l.gather = l.gather[:0]
		for _, b := range buffers {
			l.gather = append(l.gather, b...)
		}
		_, err = h.file.WriteAt(l.gather, r.from)
	} else if l.aroundLocked(r.position - r.from) {
		_, err = l.writeCold(h.file, buffers, r.from)
	} else {
		_, err = h.file.WritevAt(buffers, r.from)
	}
	if err != nil {
		return fmt.Errorf("append to segment %s at %d: %w", segmentName(r.segment.base), r.from, err)
	}
	r.segment.extent.set(r.position, r.next)
	r.from = r.position
	r.written = true
	return nil
}

// writeCold writes around the page cache, as one of a bounded number at a time: it waits for the disk, and may need memory.
func (l *Log) writeCold(f vfs.File, buffers [][]byte, position int64) (int64, error) {
	l.acquireSlot()
	defer l.releaseSlot()
	n, err := f.WriteColdAt(buffers, position)
	l.metrics.coldBytes.Add(float64(n))
	return n, err
}
