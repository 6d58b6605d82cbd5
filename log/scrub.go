package log

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"go.uber.org/zap"

	"github.com/barnabas-log/barnabas/internal/vfs"
)

// Scrubbed says what Scrub has read and found.
type Scrubbed struct {
	Bytes   int64
	Batches int64
	// Rebuilt: the index files of the segment were wrong, and were made anew.
	Rebuilt bool
}

// Scrub reads the segment that begins at base from the disk and checks every batch in it: its checksum, that it follows the one before it, and that its epoch is that of its index.
// Of the active segment that is what is durable. Index files of finished segments that do not fit are made anew. throttle is called with the number of bytes of each batch and may
// wait; its error ends the work. Damage is a *CorruptError. ErrNotFound: there is no such segment (any more). Safe beside everything else.
func (l *Log) Scrub(base Offset, throttle func(bytes int) error) (Scrubbed, error) {
	var done Scrubbed
	if l.closed.Load() {
		return done, ErrClosed
	}
	v := l.view.Load()
	s := v.segments[v.at(base)]
	if s.base != base {
		return done, ErrNotFound
	}
	check := &scrub{log: l, s: s, throttle: throttle}
	check.bytes, check.next = s.extent.get()
	if s == v.active() {
		check.bytes, check.next = l.durableOf(s)
	}
	check.sequence = sequence{controls: *l.controls.Load(), epochs: *l.epochs.Load(), last: Index(s.firstIndex.Load()) - 1, next: s.base}
	err := check.run(&done)
	if gone := s.gone(); gone != nil || l.closed.Load() {
		return done, ErrNotFound // what was read may be of another segment by now
	}
	if bytes, _ := s.extent.get(); bytes < check.bytes {
		return done, ErrNotFound // truncated meanwhile
	}
	return done, err
}

// Doubted lists the segments whose index files have turned out to be damaged. Scrub makes them anew.
func (l *Log) Doubted() (bases []Offset) {
	for _, s := range l.view.Load().segments {
		if s.doubted.Load() && s.isSealed.Load() {
			bases = append(bases, s.base)
		}
	}
	return bases
}

// durableOf is how much of the active segment is durable, by the recovery point.
func (l *Log) durableOf(s *segment) (bytes int64, next Offset) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := l.points.current; p.base == s.base {
		return p.position, p.next
	}
	return 0, s.base
}

// scrub is the state of Scrub.
type scrub struct {
	log      *Log
	s        *segment
	throttle func(int) error
	bytes    int64
	next     Offset
	sequence sequence
}

func (c *scrub) run(done *Scrubbed) error {
	if c.bytes == 0 {
		return nil
	}
	h, err := c.s.pin()
	if err != nil {
		return err
	}
	defer h.release()
	if err := c.s.measure(h); err != nil {
		return err
	}
	sealed := c.s.isSealed.Load()
	in := &inspection{dir: c.log.dir, o: InspectOptions{FS: c.log.fs}, report: &Report{}}
	sums := indexCheck{in: in, base: c.s.base}
	if sealed {
		sums.open()
	}
	err = c.each(h, func(b []byte, i Index, position int64) error {
		done.Batches++
		done.Bytes += int64(len(b))
		if sealed {
			sums.batch(b, i, position)
		}
		return c.throttle(len(b))
	})
	if err != nil || !sealed {
		return err
	}
	sums.close()
	if len(in.report.Findings) == 0 && c.sealFits() {
		c.s.doubted.Store(false)
		return nil
	}
	if err := c.rebuild(h); err != nil {
		return err
	}
	done.Rebuilt = true
	reason := "the seal or the number of entries is wrong"
	if len(in.report.Findings) > 0 {
		reason = in.report.Findings[0].Reason
	}
	c.log.logger.Warn("index files were damaged, and have been made anew", zap.String("segment", c.s.path), zap.String("reason", reason))
	return nil
}

// each reads the batches of the segment.
func (c *scrub) each(h *handle, f func(b []byte, i Index, position int64) error) error {
	q := c.sequence
	from := &scanner{file: h.file, size: c.bytes}
	for position := int64(0); position < c.bytes; {
		b, reason, err := from.batch(position)
		if err != nil {
			return fmt.Errorf("read segment %s at %d: %w", segmentName(c.s.base), position, err)
		}
		i := Index(0)
		if reason == "" {
			i, reason = q.accept(b)
		}
		if reason == "" && Header(b).members() > 1 {
			if _, err := c.s.sizesOf(b); err != nil {
				return err
			}
		}
		if reason != "" {
			return &CorruptError{c.s.path, position, reason}
		}
		if err := f(b, i, position); err != nil {
			return err
		}
		position += int64(len(b))
	}
	if q.next != c.next {
		return &CorruptError{c.s.path, c.bytes, fmt.Sprintf("segment ends before offset %d, and had everything before %d", q.next, c.next)}
	}
	return nil
}

// sealFits says whether the files of the indexes are as long as they should be, and the seal is what it was.
func (c *scrub) sealFits() bool {
	for _, x := range c.s.allIndexes() {
		info, err := c.log.fs.Stat(x.path)
		if err != nil || info.Bytes != x.kind.header+int64(x.state.Load().flushed*x.kind.entrySize) {
			return false
		}
	}
	f, err := c.log.fs.OpenFile(c.s.indexes.path, os.O_RDONLY, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	b := make([]byte, sealSize)
	return readFull(f, b, 0) == nil && slices.Equal(b, c.s.summary().encode())
}

// rebuild writes the index files of the segment anew, beside the old ones, and then puts them in their place.
func (c *scrub) rebuild(h *handle) error {
	l := c.log
	fresh := newSegment(l.fs, l.dir, c.s.base, nil)
	for _, x := range fresh.allIndexes() {
		x.path += vfs.TemporarySuffix
		if err := x.create(); err != nil {
			return fmt.Errorf("rebuild %s: %w", x.path, err)
		}
	}
	l.mu.Lock()
	interval := l.config.IndexIntervalBytes
	l.mu.Unlock()
	err := c.each(h, func(b []byte, i Index, position int64) error {
		fresh.note(b, i, position, interval)
		fresh.extent.set(position+int64(len(b)), Header(b).next())
		return c.throttle(len(b))
	})
	if err != nil {
		return err
	}
	fresh.compacted.Store(c.s.compacted.Load())
	fresh.mergedBytes = c.s.mergedBytes
	if err := fresh.finish(); err != nil {
		return fmt.Errorf("rebuild indexes of %s: %w", c.s.path, err)
	}
	for _, x := range fresh.allIndexes() {
		if err := x.sync(); err != nil {
			return fmt.Errorf("rebuild %s: %w", x.path, err)
		}
	}
	return c.replace(fresh)
}

// replace gives the new index files their names, unless the segment has gone meanwhile. Who searches at this moment finds the old entries or the new ones.
func (c *scrub) replace(fresh *segment) error {
	l := c.log
	l.syncMu.Lock()
	defer l.syncMu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	if !slices.Contains(l.view.Load().segments, c.s) {
		return errors.Join(ErrNotFound, removeTemporary(l.fs, fresh))
	}
	for k, x := range fresh.allIndexes() {
		old := c.s.allIndexes()[k]
		if err := l.fs.Rename(x.path, old.path); err != nil {
			return fmt.Errorf("rebuild %s: %w", old.path, err)
		}
		old.sealed(x.count)
	}
	c.s.doubted.Store(false)
	return l.fs.SyncDir(l.dir)
}

func removeTemporary(files vfs.FS, s *segment) (err error) {
	for _, x := range s.allIndexes() {
		err = errors.Join(err, removeIfThere(files, x.path))
	}
	return err
}

// Verify reads the entry with index i and checks it. A *CorruptError says where it is damaged.
func (l *Log) Verify(i Index) error {
	place, err := again(l, func() (located, error) { return l.locate(i) })
	if err != nil || place.Kind != KindBatch || place.removed {
		return err
	}
	b, err := l.Data(nil, place.Meta)
	if errors.Is(err, ErrNotFound) {
		return nil // truncated, trimmed or compacted meanwhile
	}
	if err != nil {
		return err
	}
	if err := CheckBatch(b); err != nil {
		return &CorruptError{place.segment.path, place.position, err.Error()}
	}
	return nil
}
