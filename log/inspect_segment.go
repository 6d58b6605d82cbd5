package log

import (
	"fmt"
	"os"

	"github.com/barnabas-log/barnabas/internal/vfs"
	"github.com/barnabas-log/barnabas/log/record"
)

// segment verifies one segment and its indexes.
func (in *inspection) segment(base Offset, last bool) error {
	name := segmentName(base) + logSuffix
	if in.ended {
		in.found(Finding{File: name, Reason: "follows a torn segment", Torn: true})
		return nil
	}
	file, err := in.o.FS.OpenFile(in.path(base, logSuffix), os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	size, err := file.Size()
	if err != nil {
		return err
	}
	durable := in.durable(base)
	if base != in.sequence.next {
		torn := durable == 0
		in.found(Finding{File: name, Reason: fmt.Sprintf("begins where offset %d must follow", in.sequence.next), Torn: torn})
		if torn {
			in.ended = true
			return nil
		}
		in.resume(base)
	}
	sums := indexCheck{in: in, base: base}
	sums.open()
	info := SegmentInfo{BaseOffset: base, FirstTimestamp: noTimestamp, MaxTimestamp: noTimestamp, Active: last}
	position, reason, err := in.batches(&scanner{file: file, size: size}, name, &info, &sums)
	if err != nil {
		return err
	}
	if reason == "" && position < durable && in.point.base == base {
		reason = fmt.Sprintf("segment ends, and %d bytes were durable", durable)
	}
	if reason != "" {
		torn := position >= durable
		in.found(Finding{File: name, Position: position, Reason: reason, Torn: torn})
		in.ended = torn
	}
	sums.close()
	info.NextOffset, info.Bytes = in.sequence.next, position
	in.report.Segments = append(in.report.Segments, info)
	return nil
}

// durable is up to where damage in the segment is corruption.
func (in *inspection) durable(base Offset) int64 {
	switch {
	case in.point == nil || base > in.point.base:
		return 0
	case base == in.point.base:
		return in.point.position
	}
	return 1 << 62
}

// resume goes on after a damaged segment, with the index that the next one's seal gives.
func (in *inspection) resume(base Offset) {
	in.sequence.next = base
	b, err := vfs.ReadFile(in.o.FS, in.path(base, raftIndexKind.suffix))
	if err != nil || len(b) < sealSize {
		return
	}
	if s, err := decodeSeal(b[:sealSize]); err == nil && s.base == base && s.firstIndex > 0 {
		in.sequence.last = s.firstIndex - 1
	}
}

func (in *inspection) batches(c *scanner, name string, info *SegmentInfo, sums *indexCheck) (position int64, reason string, err error) {
	for position < c.size {
		b, reason, err := c.batch(position)
		if err != nil || reason != "" {
			return position, reason, err
		}
		i, reason := in.sequence.accept(b)
		if reason != "" {
			return position, reason, nil
		}
		if err := in.controlsUpTo(i); err != nil {
			return 0, "", err
		}
		in.report.Batches++
		in.report.LastIndex = in.sequence.last
		info.LastIndex = in.sequence.last
		if Header(b).members() > 1 {
			in.merged(info.BaseOffset, name, position, b)
		}
		info.MaxTimestamp = max(info.MaxTimestamp, Header(b).MaxTimestamp())
		in.records(name, position, b)
		sums.batch(b, i, position)
		if in.o.OnBatch != nil {
			if err := in.o.OnBatch(InspectedBatch{File: name, Position: position, Index: i, Data: b}); err != nil {
				return 0, "", err
			}
		}
		position += int64(len(b))
	}
	return position, "", nil
}

// merged checks the list of what a merged batch stands for.
func (in *inspection) merged(base Offset, name string, position int64, h Header) {
	s := newSegment(in.o.FS, in.dir, base, nil)
	s.mergedPath = in.path(base, mergedSuffix)
	if _, err := s.sizesOf(h); err != nil {
		in.found(Finding{File: name, Position: position, Reason: err.Error()})
	}
}

// records counts the records of a batch, and decodes them if asked to.
func (in *inspection) records(name string, position int64, b Header) {
	if !in.o.Records {
		in.report.Records += int64(b.Count())
		return
	}
	largest := int64(noTimestamp)
	err := record.Each(b, searchExpansion, func(r record.Record) error {
		in.report.Records++
		largest = max(largest, r.Timestamp)
		return nil
	})
	if err == nil && b.Count() > 0 && largest != b.MaxTimestamp() {
		err = fmt.Errorf("largest timestamp is %d, the header says %d", largest, b.MaxTimestamp())
	}
	if err != nil {
		in.found(Finding{File: name, Position: position, Reason: err.Error()})
	}
}

// indexCheck follows the index files of a segment while its batches go by.
type indexCheck struct {
	in         *inspection
	base       Offset
	firstIndex Index
	largest    int64
	columns    [3]indexColumn // .index, .timeindex, .raftindex
}

type indexColumn struct {
	kind indexKind
	name string
	rest []byte // entries that were not met yet
	at   int64
	bad  bool
}

func (x *indexCheck) open() {
	x.largest = noTimestamp
	for k, kind := range []indexKind{offsetIndexKind, timeIndexKind, raftIndexKind} {
		c := &x.columns[k]
		*c = indexColumn{kind: kind, name: segmentName(x.base) + kind.suffix, at: kind.header}
		b, err := vfs.ReadFile(x.in.o.FS, x.in.path(x.base, kind.suffix))
		if err != nil {
			x.wrong(c, err.Error())
			continue
		}
		if int64(len(b)) <= kind.header {
			continue
		}
		c.rest = b[kind.header:]
		if err := kind.checkEntries(c.rest, 1<<62); err != nil {
			x.wrong(c, err.Error())
		}
	}
}

// wrong notes the first fault of a file; it is not looked at any further.
func (x *indexCheck) wrong(c *indexColumn, reason string) {
	x.in.found(Finding{File: c.name, Position: c.at, Reason: reason, Rebuildable: true})
	c.bad = true
}

// batch compares the entries that speak of the batch at position.
func (x *indexCheck) batch(h Header, i Index, position int64) {
	if position == 0 {
		x.firstIndex = i
	}
	relative := int64(h.LastOffset() - x.base)
	rises := h.MaxTimestamp() > x.largest
	x.largest = max(x.largest, h.MaxTimestamp())
	x.expect(0, relative, position, func(key, value int64) bool { return value <= position })
	if rises {
		x.expect(1, x.largest, relative, func(key, value int64) bool { return value <= relative })
	}
	x.expect(2, int64(i-x.firstIndex), position, func(key, value int64) bool { return value <= position })
}

// expect takes the next entry if it is due, and says whether it is the one that belongs here.
func (x *indexCheck) expect(k int, key, value int64, due func(key, value int64) bool) {
	c := &x.columns[k]
	if c.bad || len(c.rest) == 0 {
		return
	}
	gotKey, gotValue := c.kind.entry(c.rest)
	if !due(gotKey, gotValue) {
		return
	}
	if gotKey != key || gotValue != value {
		x.wrong(c, fmt.Sprintf("entry (%d, %d) where the batch has (%d, %d)", gotKey, gotValue, key, value))
		return
	}
	c.rest = c.rest[c.kind.entrySize:]
	c.at += int64(c.kind.entrySize)
}

// close finds entries that no batch was met for.
func (x *indexCheck) close() {
	for k := range x.columns {
		if c := &x.columns[k]; !c.bad && len(c.rest) > 0 {
			x.wrong(c, "entries beyond the last batch")
		}
	}
}
