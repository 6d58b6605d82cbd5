package log

import (
	"errors"

	"github.com/barnabas-log/barnabas/log/record"
)

// Timed is the answer to a search by time.
type Timed struct {
	Offset    Offset
	Timestamp int64 // milliseconds since 1970
	Epoch     int32 // leader epoch of the batch found
}

// searchExpansion is how far a batch may expand while a search looks into it.
const searchExpansion = 256 << 20

// OffsetForTime finds the first record with a timestamp of at least ms and an offset in [StartOffset, limit). ok is false if there is none. A batch
// that cannot be decoded answers with its first offset.
func (l *Log) OffsetForTime(ms int64, limit Offset) (t Timed, ok bool, err error) {
	for {
		start := l.StartOffset()
		t, ok, err = l.offsetForTime(ms, start, limit)
		if !l.lookAgain(err, start) {
			return t, ok, err
		}
	}
}

// lookAgain says whether a search failed because a segment was trimmed away or compacted meanwhile.
func (l *Log) lookAgain(err error, start Offset) bool {
	return errors.Is(err, errReplaced) && l.usable() == nil || errors.Is(err, ErrNotFound) && start != l.StartOffset()
}

func (l *Log) offsetForTime(ms int64, start, limit Offset) (t Timed, ok bool, err error) {
	limit = min(limit, l.EndOffset())
	v := l.view.Load()
	for k := v.at(start); k < len(v.segments); k++ {
		s := v.segments[k]
		if s.base >= limit {
			break
		}
		if timestamp, _ := s.maximum.get(); timestamp < ms {
			continue
		}
		t, ok, err = l.timeInSegment(s, ms, max(start, s.base), limit)
		if ok || err != nil {
			return t, ok, err
		}
	}
	return Timed{}, false, nil
}

// timeInSegment searches one segment for the first record of at least ms within [start, limit).
func (l *Log) timeInSegment(s *segment, ms int64, start, limit Offset) (t Timed, ok bool, err error) {
	// Everything up to an index entry with a smaller timestamp is older; an entry that equals ms is the first batch that reached it.
	_, relative, indexed, err := s.search(s.times, func(key, _ int64) bool { return key <= ms })
	if err != nil {
		return t, false, err
	}
	if indexed {
		start = max(start, s.base+Offset(relative))
	}
	h, err := s.pin()
	if err != nil {
		return t, false, err
	}
	defer h.release()
	low := max(l.StartOffset(), s.base)
	var inner error
	_, err = l.scanSegment(s, h, start, func(position int64, header Header) bool {
		if header.BaseOffset() >= limit {
			return false
		}
		if header.MaxTimestamp() >= ms {
			t, ok, inner = firstRecord(h, position, header, low, limit, func(timestamp int64) bool { return timestamp >= ms })
		}
		return !ok && inner == nil
	})
	return t, ok, errors.Join(err, inner)
}

// firstRecord looks into a batch for the first record within [start, limit) whose timestamp is wanted.
func firstRecord(h *handle, position int64, header Header, start, limit Offset, wanted func(int64) bool) (t Timed, ok bool, err error) {
	t.Epoch = header.LeaderEpoch()
	if header.LogAppendTime() && header.Count() == header.LastOffsetDelta()+1 { // else compaction has removed some
		t.Timestamp, t.Offset = header.MaxTimestamp(), max(header.BaseOffset(), start)
		return t, t.Offset < limit && t.Offset <= header.LastOffset() && wanted(t.Timestamp), nil
	}
	batch := make([]byte, header.Size())
	if err := readFull(h.file, batch, position); err != nil {
		return t, false, err
	}
	err = record.Each(batch, searchExpansion, func(r record.Record) error {
		if o := Offset(r.Offset); o >= start && o < limit && wanted(r.Timestamp) {
			t.Offset, t.Timestamp, ok = o, r.Timestamp, true
			return record.ErrStop
		}
		return nil
	})
	if err != nil && !ok {
		t.Offset, t.Timestamp = max(Header(batch).BaseOffset(), start), Header(batch).MaxTimestamp()
		return t, t.Offset < limit, nil
	}
	return t, ok, nil
}

// MaxTimestamp finds the first record that carries the largest timestamp in [StartOffset, limit). ok is false if there is no record with a timestamp.
func (l *Log) MaxTimestamp(limit Offset) (t Timed, ok bool, err error) {
	for {
		start := l.StartOffset()
		t, ok, err = l.maxTimestamp(start, limit)
		if !l.lookAgain(err, start) {
			return t, ok, err
		}
	}
}

func (l *Log) maxTimestamp(start, limit Offset) (t Timed, ok bool, err error) {
	limit = min(limit, l.EndOffset())
	t, ok, whole, err := l.maximumOfCut(start, limit)
	if err != nil {
		return t, false, err
	}
	best, from := int64(noTimestamp), Offset(0)
	if ok {
		best = t.Timestamp
	}
	better := false
	v := l.view.Load()
	for k := v.at(whole); k < len(v.segments) && v.segments[k].base < limit; k++ {
		timestamp, offset, err := l.maximumOf(v.segments[k], whole, limit)
		if err != nil {
			return t, false, err
		}
		if timestamp > best {
			best, from, better = timestamp, offset, true
		}
	}
	if !better {
		return t, ok, nil
	}
	var inner error
	err = l.scan(from, limit, func(_ *segment, h *handle, position int64, header Header) bool {
		t, ok, inner = firstRecord(h, position, header, whole, limit, func(timestamp int64) bool { return timestamp >= best })
		return false
	})
	return t, ok, errors.Join(err, inner)
}

// maximumOfCut looks into the batch that the log start cuts in two, if it does, for the largest timestamp that remains; whole is where the
// first whole batch begins.
func (l *Log) maximumOfCut(start, limit Offset) (t Timed, ok bool, whole Offset, err error) {
	whole = start
	var inner error
	err = l.scan(start, limit, func(_ *segment, h *handle, position int64, header Header) bool {
		if header.BaseOffset() >= start {
			return false
		}
		whole = header.next()
		best := int64(noTimestamp)
		_, _, inner = firstRecord(h, position, header, start, limit, func(timestamp int64) bool {
			best = max(best, timestamp)
			return false
		})
		if inner == nil && best > noTimestamp {
			t, ok, inner = firstRecord(h, position, header, start, limit, func(timestamp int64) bool { return timestamp >= best })
		}
		return false
	})
	return t, ok, whole, errors.Join(err, inner)
}

// maximumOf gives the largest timestamp of the segment's batches that overlap [start, limit), and the last offset of the first batch that has it.
func (l *Log) maximumOf(s *segment, start, limit Offset) (timestamp int64, offset Offset, err error) {
	timestamp, offset = s.maximum.get()
	if offset >= start && offset < limit || timestamp == noTimestamp {
		return timestamp, offset, nil
	}
	// It lies outside. Up to an index entry within the range the entry has the answer; the rest is read.
	timestamp, offset = noTimestamp, max(start, s.base)
	key, relative, ok, err := s.search(s.times, func(_, value int64) bool { return s.base+Offset(value) < limit })
	if err != nil {
		return timestamp, offset, err
	}
	if ok && s.base+Offset(relative) >= start {
		timestamp, offset = key, s.base+Offset(relative)
	}
	h, err := s.pin()
	if err != nil {
		return timestamp, offset, err
	}
	defer h.release()
	_, err = l.scanSegment(s, h, offset, func(_ int64, header Header) bool {
		if header.BaseOffset() >= limit {
			return false
		}
		if header.MaxTimestamp() > timestamp {
			timestamp, offset = header.MaxTimestamp(), header.LastOffset()
		}
		return true
	})
	return timestamp, offset, err
}
