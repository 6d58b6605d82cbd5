package log

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"github.com/barnabas-log/barnabas/internal/vfs"
	"github.com/barnabas-log/barnabas/log/record"
)

const (
	// deleteHorizon is the bit of the attributes that says that the base timestamp is the time, in milliseconds, from which on the batch's tombstones may go.
	deleteHorizon = 1 << 6

	compactBlock = 1 << 20 // written at once
)

// DeleteHorizon is the time in milliseconds from which on compaction may remove the batch's tombstones; ok is false for a batch that has none set. Kafka's attribute
// bit 6: the base timestamp holds it then, and the records' timestamps are relative to it.
func (h Header) DeleteHorizon() (ms int64, ok bool) {
	return h.BaseTimestamp(), h.u16(21)&deleteHorizon != 0
}

// rewriter writes the segment that takes the place of a group.
type rewriter struct {
	*compaction
	group    []*segment
	target   *segment
	interval int64
	file     vfs.File
	merged   vfs.File // nil until there is something for it
	buffer   []byte
	written  int64
	gap      removedRun // removed batches that were not written yet
	index    Index      // of the batch at hand
	kept     []byte     // scratch: records that stay
	batch    []byte     // scratch: the batch that they make
	stay     []bool     // scratch: which records do
}

// rewrite writes a group of segments anew and swaps them.
func (c *compaction) rewrite(group []*segment) error {
	w := &rewriter{compaction: c, group: group}
	w.target = newSegment(c.log.fs, c.log.dir, group[0].base, &c.log.opened)
	w.target.makeTemporary()
	c.log.mu.Lock()
	w.interval = c.log.config.IndexIntervalBytes
	c.log.mu.Unlock()
	err := w.write()
	if err == nil {
		err = c.log.swap(group, w.target)
	}
	if err != nil {
		return w.discard(err)
	}
	c.done.SegmentsGone += len(group)
	c.done.SegmentsMade++
	for _, s := range group {
		bytes, _ := s.extent.get()
		c.done.BytesBefore += bytes
	}
	c.done.BytesAfter += w.written
	return nil
}

// names are the paths of the segment's files.
func (s *segment) names() []*string {
	return []*string{&s.path, &s.mergedPath, &s.offsets.path, &s.times.path, &s.indexes.path}
}

// makeTemporary gives the files of a segment that is not in use yet other names.
func (s *segment) makeTemporary() {
	for _, name := range s.names() {
		*name += vfs.TemporarySuffix
	}
}

// discard removes what was written for nothing. After a failed swap the log has stopped, and opening it again decides.
func (w *rewriter) discard(cause error) error {
	if w.log.Err() != nil {
		return cause
	}
	_ = w.target.retire() // was written and is not wanted
	for _, name := range w.target.names() {
		if err := removeIfThere(w.log.fs, *name); err != nil {
			return errors.Join(cause, err)
		}
	}
	return cause
}

// write makes the files, under temporary names, and makes them durable.
func (w *rewriter) write() (err error) {
	if err := w.target.create(); err != nil {
		return err
	}
	h, err := w.target.pin()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.release()) }()
	w.file = h.file
	defer func() {
		if w.merged != nil {
			err = errors.Join(err, w.merged.Close())
		}
	}()
	w.index = Index(w.group[0].firstIndex.Load())
	for _, s := range w.group {
		if err := w.segment(s); err != nil {
			return err
		}
	}
	if err := w.closeGap(); err != nil {
		return err
	}
	if err := w.flush(); err != nil {
		return err
	}
	if w.merged != nil {
		if err := w.merged.Sync(); err != nil {
			return err
		}
	}
	last := w.group[len(w.group)-1]
	if _, next := last.extent.get(); w.next() != next || w.target.lastIndex.Load() != last.lastIndex.Load() {
		return fmt.Errorf("segment %s: rewritten to offset %d and index %d, not %d and %d", segmentName(last.base), w.next(), w.target.lastIndex.Load(),
			next, last.lastIndex.Load())
	}
	w.target.compacted.Store(w.next() <= w.to)
	if err := w.target.finish(); err != nil {
		return err
	}
	if err := w.target.syncAll(); err != nil {
		return err
	}
	return w.log.fs.SyncDir(w.log.dir) // the names must be there when the swap is decided on
}

func (w *rewriter) next() Offset {
	_, next := w.target.extent.get()
	return next
}

// segment takes over what stays of a segment.
func (w *rewriter) segment(s *segment) error {
	h, err := w.pin(s)
	if err != nil {
		return err
	}
	defer h.release()
	bytes, _ := s.extent.get()
	read := scanner{file: h.file, size: bytes}
	list := *w.log.controls.Load()
	for position := int64(0); position < bytes; {
		b, err := w.read(&read, s, position)
		if err != nil {
			return err
		}
		position += int64(len(b))
		n := Index(Header(b).members())
		if err := w.take(s, b); err != nil {
			return err
		}
		w.index = list.batchFrom(w.index + n)
	}
	return nil
}

// take decides on a batch.
func (w *rewriter) take(s *segment, h Header) error {
	w.done.Records += int64(h.Count())
	switch {
	case h.BaseOffset() >= w.to, h.Control(): // not looked at yet; markers belong to their transactions
		w.done.RecordsKept += int64(h.Count())
		return w.keep(h)
	case h.Count() == 0 && h.ProducerID() < 0:
		list, err := s.sizesOf(h)
		if errors.Is(err, ErrNotFound) {
			err = errInterrupted
		}
		if err != nil {
			return err
		}
		return w.drop(h, list)
	case h.Count() == 0:
		return w.dropBatch(h)
	}
	b, err := w.filter(h)
	if err != nil {
		return err
	}
	if b == nil {
		return w.dropBatch(h)
	}
	w.done.RecordsKept += int64(b.Count())
	return w.keep(b)
}

// dropBatch drops a batch of which no record stays, but never the last one of its producer.
func (w *rewriter) dropBatch(h Header) error {
	base, next := h.BaseOffset(), h.next()
	if last, known := w.o.LastBatches[h.ProducerID()]; h.ProducerID() < 0 || !known || last != base {
		return w.drop(h, sizes{{1, int64(next - base)}})
	}
	b := emptyBatch(base, next, Term(uint32(h.LeaderEpoch())))
	copy(b[43:57], h[43:57]) // producer id and epoch, base sequence
	binary.BigEndian.PutUint16(b[21:], h.u16(21)&(1<<4))
	sumBatch(b)
	return w.keep(b)
}

// drop lets an empty batch, merged or not, or one that becomes empty, go into the gap.
func (w *rewriter) drop(h Header, list sizes) error {
	term := Term(uint32(h.LeaderEpoch()))
	if !w.gap.takes(w.index, h.next(), term, int64(h.members()), list) {
		if err := w.closeGap(); err != nil {
			return err
		}
	}
	w.gap.add(w.index, h.BaseOffset(), h.next(), term, list)
	return nil
}

// closeGap writes what stands for the batches that were removed last.
func (w *rewriter) closeGap() error {
	if w.gap.batches == 0 {
		return nil
	}
	b, table := w.gap.batch(w.target.mergedBytes)
	first := w.gap.first
	w.gap.batches = 0
	if table != nil {
		if err := w.writeTable(table); err != nil {
			return err
		}
	}
	return w.put(b, first)
}

func (w *rewriter) writeTable(table []byte) error {
	if w.merged == nil {
		f, err := w.log.fs.OpenFile(w.target.mergedPath, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
		if err != nil {
			return err
		}
		w.merged = f
	}
	if _, err := w.merged.WriteAt(table, w.target.mergedBytes); err != nil {
		return err
	}
	w.target.mergedBytes += int64(len(table))
	return w.pause(len(table))
}

// keep writes a batch behind what was removed before it.
func (w *rewriter) keep(b []byte) error {
	if err := w.closeGap(); err != nil {
		return err
	}
	return w.put(b, w.index)
}

func (w *rewriter) put(b []byte, i Index) error {
	position := w.written + int64(len(w.buffer))
	w.target.note(b, i, position, w.interval)
	w.target.extent.set(position+int64(len(b)), Header(b).next())
	w.buffer = append(w.buffer, b...)
	if len(w.buffer) >= compactBlock {
		return w.flush()
	}
	return nil
}

func (w *rewriter) flush() error {
	if len(w.buffer) == 0 {
		return nil
	}
	if _, err := w.file.WriteAt(w.buffer, w.written); err != nil {
		return err
	}
	w.written += int64(len(w.buffer))
	n := len(w.buffer)
	w.buffer = w.buffer[:0]
	if w.target.offsets.pending() >= pendingLimit {
		if err := w.target.flushIndexes(); err != nil {
			return err
		}
	}
	return w.pause(n)
}

// filter gives the batch with the records that stay: h itself if all do, nil if none does.
func (w *rewriter) filter(h Header) (Header, error) {
	payload, err := w.expand(h)
	if err != nil {
		return nil, err
	}
	if err := w.hash(h, payload); err != nil {
		return nil, err
	}
	f := filter{rewriter: w, h: h, horizon: -1}
	f.oldHorizon, f.hadHorizon = h.DeleteHorizon()
	w.stay = w.stay[:0]
	if err := record.EachRaw(payload, h.Count(), f.look); err != nil {
		return nil, batchError(h, err)
	}
	switch {
	case f.remain == 0:
		return nil, nil
	case f.tombstones && !f.hadHorizon:
		f.horizon = w.o.Now.UnixMilli() + w.o.DeleteRetention.Milliseconds()
	case f.remain == h.Count():
		return h, nil
	}
	return f.rebuild(payload)
}

// filter is what was found out about a batch.
type filter struct {
	*rewriter
	h          Header
	oldHorizon int64
	hadHorizon bool
	remain     int32
	tombstones bool  // some stay
	maximum    int64 // timestamp of those that stay
	horizon    int64 // to be set, or -1
}

// stays says whether the next record does: the last one of its key, unless it is a tombstone whose time has come.
func (f *filter) stays(r *record.Raw) bool {
	if r.Key == nil {
		return true
	}
	k := f.hashes[len(f.stay)]
	o := k.offset
	if last, known := f.keys.last(k); known && last > o {
		return false
	}
	return !(r.Tombstone && f.hadHorizon && f.oldHorizon <= f.o.Now.UnixMilli() && o < f.o.KeepTombstones)
}

func (f *filter) look(r *record.Raw) error {
	stays := f.stays(r)
	f.stay = append(f.stay, stays)
	if !stays {
		return nil
	}
	timestamp := f.h.BaseTimestamp() + r.TimestampDelta
	if f.remain == 0 || timestamp > f.maximum {
		f.maximum = timestamp
	}
	f.remain++
	f.tombstones = f.tombstones || r.Tombstone && r.Key != nil
	return nil
}

// rebuild makes the batch of the records that stay, in the codec that it had. Records are taken over as they are, but for their timestamps' base when that
// becomes the delete horizon.
func (f *filter) rebuild(payload []byte) (Header, error) {
	w, h := f.rewriter, f.h
	w.kept = w.kept[:0]
	k := -1
	err := record.EachRaw(payload, h.Count(), func(r *record.Raw) error {
		k++
		switch {
		case !w.stay[k]:
		case f.horizon >= 0:
			w.kept = r.AppendAt(w.kept, h.BaseTimestamp()+r.TimestampDelta-f.horizon)
		default:
			w.kept = append(w.kept, r.Bytes...)
		}
		return nil
	})
	if err != nil {
		return nil, batchError(h, err)
	}
	w.batch = append(w.batch[:0], h[:HeaderSize]...)
	if w.batch, err = record.Compress(w.batch, record.Codec(h.Codec()), w.kept); err != nil {
		return nil, batchError(h, err)
	}
	b := w.batch
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)-prefixSize))
	if f.horizon >= 0 {
		binary.BigEndian.PutUint16(b[21:], h.u16(21)|deleteHorizon)
		binary.BigEndian.PutUint64(b[27:], uint64(f.horizon))
	}
	if !h.LogAppendTime() {
		binary.BigEndian.PutUint64(b[35:], uint64(f.maximum))
	}
	binary.BigEndian.PutUint32(b[57:], uint32(f.remain))
	sumBatch(b)
	return b, nil
}
