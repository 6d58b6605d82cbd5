package log

import (
	"fmt"

	"go.uber.org/zap"

	"github.com/barnabas-log/barnabas/internal/vfs"
)

// loadSealed opens a segment that lies before the recovery point: nothing in it is read, if its seal and the lengths of its files are right. A
// missing or torn index is rebuilt.
func (r *recovery) loadSealed(s *segment) error {
	h, err := s.pin()
	if err != nil {
		return err
	}
	defer h.release()
	defer s.unpin() // thousands of segments are not kept open
	size, err := h.file.Size()
	if err != nil {
		return err
	}
	from := r.readSeal(s)
	if s.mergedBytes, err = fileSize(s.fs, s.mergedPath); err != nil {
		return err
	}
	if from != nil {
		if from.merged != s.mergedBytes {
			return &CorruptError{s.mergedPath, s.mergedBytes, fmt.Sprintf("file has %d bytes, %d were sealed", s.mergedBytes, from.merged)}
		}
		if from.bytes != size {
			return &CorruptError{s.path, size, fmt.Sprintf("segment has %d bytes, %d were sealed", size, from.bytes)}
		}
		if r.checkIndexes(s, from) {
			s.restore(from)
			r.sequence.last, r.sequence.next = from.lastIndex, from.next
			return nil
		}
	}
	r.log.logger.Info("rebuilding indexes", zap.String("segment", s.path))
	if err := r.rewriteIndexes(s); err != nil {
		return err
	}
	position, reason, err := r.verify(s, &scanner{file: h.file, size: size}, 0)
	if err != nil {
		return err
	}
	if reason != "" {
		return &CorruptError{s.path, position, reason}
	}
	if err := s.finish(); err != nil {
		return err
	}
	return s.syncAll()
}

// readSeal gives the seal if it fits what comes before the segment.
func (r *recovery) readSeal(s *segment) *seal {
	f, err := s.fs.OpenFile(s.indexes.path, 0, 0)
	if err != nil {
		return nil
	}
	defer f.Close()
	b := make([]byte, sealSize)
	if readFull(f, b, 0) != nil {
		return nil
	}
	from, err := decodeSeal(b)
	if err != nil || from.base != s.base || from.firstIndex != r.sequence.controls.batchFrom(r.sequence.last+1) || from.next <= from.base {
		return nil
	}
	return from
}

// checkIndexes says whether the index files have the lengths that the seal tells.
func (r *recovery) checkIndexes(s *segment, from *seal) bool {
	for k, x := range s.allIndexes() {
		info, err := s.fs.Stat(x.path)
		if err != nil || info.Bytes != x.kind.header+int64(from.entries[k]*x.kind.entrySize) {
			return false
		}
	}
	return true
}

// scan opens a segment that holds or follows the recovery point. torn says why the end was cut, if it was; last that no segment follows.
func (r *recovery) scan(s *segment, last bool) (torn string, err error) {
	h, err := s.pin()
	if err != nil {
		return "", err
	}
	defer h.release()
	size, err := h.file.Size()
	if err != nil {
		return "", err
	}
	if s.mergedBytes, err = fileSize(s.fs, s.mergedPath); err != nil {
		return "", err
	}
	durable, from := int64(0), int64(0)
	if p := r.point; p != nil && p.base == s.base {
		durable = p.position
		if size < durable {
			return "", &CorruptError{s.path, size, fmt.Sprintf("segment ends, and %d bytes were durable", durable)}
		}
		resumed, err := r.resume(s, p)
		if err != nil {
			return "", err
		}
		if resumed {
			from = p.position
		}
	}
	if from == 0 {
		if err := r.rewriteIndexes(s); err != nil {
			return "", err
		}
	}
	h.file.Forget(from) // an fsync that failed may have left in memory what the disk does not have
	position, reason, err := r.verify(s, &scanner{file: h.file, size: size}, from)
	if err != nil {
		return "", err
	}
	if reason != "" && position < durable {
		return "", &CorruptError{s.path, position, reason}
	}
	if reason != "" && r.log.sameBoot {
		whole, err := followedByBatch(h.file, position, size, r.sequence.next)
		if err != nil {
			return "", fmt.Errorf("read segment %s at %d: %w", segmentName(s.base), position, err)
		}
		if whole || !last {
			return "", &CorruptError{s.path, position, reason + ", and the machine has not stopped since it was written"}
		}
	}
	untouched := r.point != nil && r.point.base == s.base && from == durable && position == durable && reason == ""
	if !untouched || !last {
		r.scanned = append(r.scanned, s)
	}
	return reason, nil
}

// resume takes over what the writer knew at the recovery point, if the indexes are those it had.
func (r *recovery) resume(s *segment, p *point) (bool, error) {
	if p.position == 0 {
		return false, nil
	}
	for k, x := range s.allIndexes() {
		if ok, err := x.load(p.entries[k], p.checksums[k]); !ok || err != nil {
			return false, err
		}
	}
	s.firstIndex.Store(uint64(p.firstIndex))
	s.lastIndex.Store(uint64(p.lastIndex))
	s.firstTimestamp.Store(p.firstTimestamp)
	s.maximum.set(p.maxTimestamp, p.maxOffset)
	s.sinceIndex = p.sinceIndex
	s.extent.set(p.position, p.next)
	r.sequence.last, r.sequence.next = p.lastIndex, p.next
	return true, nil
}

// rewriteIndexes makes the index files empty and forgets their entries.
func (r *recovery) rewriteIndexes(s *segment) error {
	fresh := newSegment(s.fs, r.log.dir, s.base, s.opened)
	s.offsets, s.times, s.indexes = fresh.offsets, fresh.times, fresh.indexes
	for _, x := range s.allIndexes() {
		if err := x.create(); err != nil {
			return fmt.Errorf("rebuild %s: %w", x.path, err)
		}
	}
	return nil
}

// verify reads batches from position on, enters them into the indexes, and ends at the end of the file or at the first one that is wrong.
func (r *recovery) verify(s *segment, c *scanner, position int64) (end int64, reason string, err error) {
	interval := r.log.config.IndexIntervalBytes
	for position < c.size {
		b, reason, err := c.batch(position)
		if err != nil {
			return 0, "", fmt.Errorf("read segment %s at %d: %w", segmentName(s.base), position, err)
		}
		if reason != "" {
			return position, reason, nil
		}
		i, reason := r.sequence.accept(b)
		if reason != "" {
			return position, reason, nil
		}
		s.note(b, i, position, interval)
		position += int64(len(b))
		s.extent.set(position, r.sequence.next)
	}
	return position, "", nil
}

// followedByBatch says whether what is at position cannot be the beginning of a batch whose writing was interrupted: it is as long as it should be, or a sound batch of a later offset
// lies behind it.
func followedByBatch(file vfs.File, position, size int64, next Offset) (bool, error) {
	b := make([]byte, size-position)
	if err := readFull(file, b, position); err != nil {
		return false, err
	}
	if len(b) >= HeaderSize && Header(b).checkShape(int64(len(b))) == nil {
		return true, nil
	}
	for at := 1; at+HeaderSize <= len(b); at++ {
		h := Header(b[at:])
		if h.Magic() != 2 || h.BaseOffset() < next || h.checkShape(int64(len(b)-at)) != nil {
			continue
		}
		if CheckBatch(b[at:at+h.Size()]) == nil {
			return true, nil
		}
	}
	return false, nil
}
