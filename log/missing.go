package log

import "fmt"

// A segment whose file has become shorter under a log that is open is found by whoever misses the bytes. From then on what is left of it is read, and the rest is a *CorruptError. Nobody
// asks for the size of a file before that.

// Recheck looks how long the chunk's file is, after reading or sending it has met the end. It is a *CorruptError if the file has become shorter than it was; from then on Read gives what
// is left.
func (c *Chunk) Recheck() error {
	if c.position+int64(c.size) > c.segment.wanted() {
		return nil // truncated meanwhile, as a log may be
	}
	return c.segment.measure(c.handle)
}

// wanted is how many bytes the segment should have.
func (s *segment) wanted() int64 {
	bytes, _ := s.extent.get()
	return bytes
}

// measure notes how many bytes the file has. It is a *CorruptError if those are too few. An append grows the file before the segment says so, and a truncation cuts it afterwards: what the
// segment says both before and after the look at the file is what must be there.
func (s *segment) measure(h *handle) error {
	wanted := s.wanted()
	has, err := h.file.Size()
	if err != nil {
		return fmt.Errorf("size of %s: %w", s.path, err)
	}
	wanted = min(wanted, s.wanted())
	if has >= wanted || s.gone() != nil {
		return nil
	}
	s.missing.Store(wanted - has)
	return &CorruptError{s.path, has, fmt.Sprintf("segment ends, and had %d bytes", wanted)}
}

// present is what is left of a range of whole batches in a segment whose file has become shorter.
func (s *segment) present(h *handle, start, end int64, next Offset) (int64, Offset, error) {
	if s.missing.Load() == 0 {
		return end, next, nil
	}
	short := s.measure(h)
	has, err := h.file.Size()
	if err != nil || short == nil || end <= has {
		return end, next, err
	}
	end = start
	cut := walkHeaders(h.file, s.path, start, has, func(position int64, h Header) bool {
		end, next = position+int64(h.Size()), h.next()
		return true
	})
	if end == start && cut != nil {
		return start, next, short
	}
	return end, next, nil
}
