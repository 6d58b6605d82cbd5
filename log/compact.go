package log

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/barnabas-log/barnabas/log/record"
)

// CompactOptions say what a compaction may do. See PlanCompaction for From and To.
type CompactOptions struct {
	// From is where the keys that were not looked at before begin, To where compaction ends. Everything before To must be applied and covered by a checkpoint.
	From, To Offset
	// Now is the time that tombstones are judged by.
	Now time.Time
	// DeleteRetention is delete.retention.ms: how long a tombstone stays after compaction met it first.
	DeleteRetention time.Duration
	// KeepTombstones is from where on tombstones stay whatever their age: a replica may still hold what they delete, and lack them.
	KeepTombstones Offset
	// LastBatches are the base offsets of the last batches of producers, by producer id. Such a batch stays, empty if need be, so that a replica that is
	// built from this log knows the producer.
	LastBatches map[int64]Offset
	// BufferBytes bounds the memory for keys, log.cleaner.dedupe.buffer.size; more keys take more passes. 0 is 128 MiB.
	BufferBytes int64
	// Throttle is called with a number of bytes that were read or written; it waits as long as it likes, and an error ends the compaction. nil: no limit.
	Throttle func(bytes int) error
}

const defaultCompactBuffer = 128 << 20

// Compacted is what a compaction did.
type Compacted struct {
	Passes        int
	BytesRead     int64 // from segments, the keys of the first look included
	BytesBefore   int64 // of the segments that were replaced
	BytesAfter    int64 // of those that replace them
	Records       int64 // looked at while rewriting
	RecordsKept   int64
	SegmentsGone  int // replaced
	SegmentsMade  int
	LargestMemory int64 // for keys, in bytes
}

// errInterrupted: the log was trimmed, reset or closed while it was compacted. What was done until then stays.
var errInterrupted = errors.New("compaction was interrupted")

// Compact keeps, of all records before o.To, the last one of each key, and those without a key. Offsets and indexes do not change: what is removed leaves empty
// batches (see merged.go). It works beside everything else, one compaction at a time: it writes new segments and swaps them in, a group of old ones for
// each, from the oldest to the newest; a crash leaves each group as it was or as it becomes. Control batches stay as they are.
//
// An error before a swap (no room, Throttle) leaves the log as it is and usable; one during a swap stops it (ErrFailed).
func (l *Log) Compact(o CompactOptions) (Compacted, error) {
	l.compactMu.Lock()
	defer l.compactMu.Unlock()
	if o.BufferBytes == 0 {
		o.BufferBytes = defaultCompactBuffer
	}
	if o.Throttle == nil {
		o.Throttle = func(int) error { return nil }
	}
	c := &compaction{log: l, o: o}
	err := c.run()
	if errors.Is(err, errInterrupted) {
		err = nil
	}
	if err != nil {
		err = fmt.Errorf("compact %s: %w", l.dir, err)
	}
	l.metrics.compacted(&c.done)
	return c.done, err
}

// compaction is the state of Compact.
type compaction struct {
	log  *Log
	o    CompactOptions
	done Compacted
	keys *keyMap
	to   Offset // end of the pass: keys know nothing of what follows

	hashes   []keyHash // scratch: of a batch
	expanded []byte    // scratch: its records
	waste    uint64    // what fetch gives, so that it is not optimized away
}

func (c *compaction) run() error {
	from := c.o.From
	for {
		if err := c.log.usable(); err != nil {
			return err
		}
		segments := c.candidates()
		if len(segments) == 0 {
			return nil
		}
		_, end := segments[len(segments)-1].extent.get()
		if from = max(from, segments[0].base); from >= end {
			return nil
		}
		c.keys = newKeyMap(c.o.BufferBytes)
		if err := c.collect(segments, from, end); err != nil {
			return err
		}
		c.done.Passes++
		c.done.LargestMemory = max(c.done.LargestMemory, c.keys.bytes)
		if c.to == from {
			return fmt.Errorf("the keys of the batch at offset %d do not fit %d bytes", from, c.o.BufferBytes)
		}
		for _, group := range c.groups(segments) {
			if err := c.rewrite(group); err != nil {
				return err
			}
		}
		from = c.to
	}
}

// candidates are the segments that may be rewritten: finished, durable and before To.
func (c *compaction) candidates() []*segment {
	l := c.log
	l.mu.Lock()
	defer l.mu.Unlock()
	segments := l.view.Load().segments
	for k, s := range segments {
		_, next := s.extent.get()
		if !s.isSealed.Load() || next > c.o.To || s.base >= l.points.current.base || slices.Contains(l.unsynced, s) {
			return slices.Clone(segments[:k])
		}
	}
	return nil // the last one is the active one: not reached
}

// pause accounts for bytes, and ends a compaction that is not wanted any more.
func (c *compaction) pause(bytes int) error {
	if c.log.stopCompact.Load() {
		return errInterrupted
	}
	return c.o.Throttle(bytes)
}

// collect looks at the keys from an offset on, up to end or until there is no more room, and notes where it ended.
func (c *compaction) collect(segments []*segment, from, end Offset) error {
	c.to = from
	for _, s := range segments {
		if _, next := s.extent.get(); next <= from {
			continue
		}
		full, err := c.collectSegment(s, from)
		if err != nil || full {
			return err
		}
	}
	c.to = end
	return nil
}

func (c *compaction) collectSegment(s *segment, from Offset) (full bool, err error) {
	h, err := c.pin(s)
	if err != nil {
		return false, err
	}
	defer h.release()
	bytes, _ := s.extent.get()
	read := scanner{file: h.file, size: bytes}
	for position := int64(0); position < bytes; {
		b, err := c.read(&read, s, position)
		if err != nil {
			return false, err
		}
		position += int64(len(b))
		header := Header(b)
		if header.BaseOffset() < from || header.Count() == 0 || header.Control() {
			continue
		}
		if full, err := c.collectBatch(header); full || err != nil {
			return full, err
		}
		c.to = header.next()
	}
	return false, nil
}

func (c *compaction) collectBatch(h Header) (full bool, err error) {
	payload, err := c.expand(h)
	if err != nil {
		return false, err
	}
	if err := c.hash(h, payload); err != nil {
		return false, err
	}
	for _, k := range c.hashes {
		if k.offset >= 0 && !c.keys.put(k) {
			return true, nil
		}
	}
	return false, nil
}

// hash fills hashes with the keys of a batch's records; those without a key have no offset.
func (c *compaction) hash(h Header, payload []byte) error {
	c.hashes = c.hashes[:0]
	base := h.BaseOffset()
	err := record.EachRaw(payload, h.Count(), func(r *record.Raw) error {
		if r.Key == nil {
			c.hashes = append(c.hashes, keyHash{offset: -1})
		} else {
			c.hashes = append(c.hashes, c.keys.hash(r.Key, base+Offset(r.OffsetDelta)))
		}
		return nil
	})
	c.waste += c.keys.fetch(c.hashes)
	return batchError(h, err)
}

func batchError(h Header, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("batch at offset %d: %w", h.BaseOffset(), err)
}

// expand gives the records of a batch, valid until the next call.
func (c *compaction) expand(h Header) ([]byte, error) {
	if h.Codec() == int(record.None) {
		return h[HeaderSize:], nil
	}
	b, err := record.AppendDecompressed(c.expanded[:0], record.Codec(h.Codec()), h[HeaderSize:], searchExpansion)
	if err != nil {
		return nil, batchError(h, err)
	}
	c.expanded = b
	return b, nil
}

func (c *compaction) pin(s *segment) (*handle, error) {
	h, err := s.pin()
	if errors.Is(err, ErrNotFound) {
		err = errInterrupted
	}
	return h, err
}

// read gives the batch at a position, verified.
func (c *compaction) read(from *scanner, s *segment, position int64) ([]byte, error) {
	b, reason, err := from.batch(position)
	if err != nil {
		return nil, fmt.Errorf("read segment %s at %d: %w", segmentName(s.base), position, err)
	}
	if reason != "" {
		if s.gone() != nil {
			return nil, errInterrupted
		}
		return nil, &CorruptError{s.path, position, reason}
	}
	c.done.BytesRead += int64(len(b))
	return b, c.pause(len(b))
}

// groups says which segments become one: neighbours that fit one segment as they are. One that the pass covers only in part stays alone.
func (c *compaction) groups(segments []*segment) [][]*segment {
	c.log.mu.Lock()
	limit := c.log.config.SegmentBytes
	c.log.mu.Unlock()
	var groups [][]*segment
	var bytes int64
	for _, s := range segments {
		if s.base >= c.to {
			break
		}
		size, next := s.extent.get()
		if n := len(groups); n > 0 && next <= c.to {
			first := groups[n-1][0]
			if bytes+size <= limit && int64(next-first.base) <= math.MaxInt32 && s.lastIndex.Load()-first.firstIndex.Load() <= math.MaxUint32 {
				groups[n-1] = append(groups[n-1], s)
				bytes += size
				continue
			}
		}
		groups = append(groups, []*segment{s})
		bytes = size
	}
	return groups
}
