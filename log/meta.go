package log

import (
	"errors"
	"fmt"
	"runtime"
	"sort"
)

// again repeats a look-up that met a segment which was being replaced by a compacted one.
func again[T any](l *Log, look func() (T, error)) (T, error) {
	for {
		v, err := look()
		if !errors.Is(err, errReplaced) {
			return v, err
		}
		if e := l.usable(); e != nil {
			return v, e
		}
		runtime.Gosched()
	}
}

// Meta locates the entry at i, or returns ErrNotFound. Safe from any goroutine; recent entries cost no I/O.
func (l *Log) Meta(i Index) (Meta, error) {
	place, err := again(l, func() (located, error) { return l.locate(i) })
	return place.Meta, err
}

// locate finds an entry and where its bytes are.
func (l *Log) locate(i Index) (located, error) {
	if l.closed.Load() {
		return located{}, ErrClosed
	}
	if i > l.LastIndex() || i < l.FirstIndex() {
		return located{}, ErrNotFound
	}
	if e := l.recent.index(i); e != nil {
		return *e, nil
	}
	list := *l.controls.Load()
	if c, ok := list.find(i); ok {
		return located{Meta: c.meta()}, nil
	}
	if e, ok := l.cold.find(l, i); ok {
		return e, nil
	}
	found, err := l.locateBatch(i, list)
	if err == nil && l.cold.follows(i) && !found.removed {
		l.readAhead(found)
	}
	return found, err
}

// locateBatch finds a batch, again when the segments were replaced meanwhile: a truncation behind i puts a new segment in the place of the one that holds it.
func (l *Log) locateBatch(i Index, list controls) (located, error) {
	for {
		v := l.view.Load()
		found, err := l.locateIn(v.segments, i, list)
		if !errors.Is(err, ErrNotFound) || l.view.Load() == v || i > l.LastIndex() || i < l.FirstIndex() {
			return found, err
		}
	}
}

// locateIn goes from the last indexed batch at or before i from header to header.
func (l *Log) locateIn(segments []*segment, i Index, list controls) (located, error) {
	k := sort.Search(len(segments), func(k int) bool {
		first := segments[k].firstIndex.Load()
		return first == 0 || Index(first) > i
	})
	if k == 0 {
		return located{}, ErrNotFound
	}
	s := segments[k-1]
	h, err := s.pin()
	if err != nil {
		return located{}, err
	}
	defer h.release()
	bytes, _ := s.extent.get()
	first := Index(s.firstIndex.Load())
	at, walk := first, int64(0)
	key, value, ok, err := s.search(s.indexes, func(key, value int64) bool { return first+Index(key) <= i && value < bytes })
	if err != nil {
		return located{}, err
	}
	if ok {
		at, walk = first+Index(key), value
	}
	found, err := l.locateFrom(s, h, i, list, at, walk, bytes)
	if walk > 0 && found.segment == nil && i <= l.LastIndex() && s.gone() == nil { // the index may have led astray
		if again, e := l.locateFrom(s, h, i, list, first, 0, bytes); e == nil {
			s.doubt()
			found, err = again, nil
		}
	}
	return found, err
}

// locateFrom goes from header to header, from the batch at walk, which has the index at.
func (l *Log) locateFrom(s *segment, h *handle, i Index, list controls, at Index, walk, bytes int64) (located, error) {
	found, inner := located{}, error(nil)
	err := walkHeaders(h.file, s.path, walk, bytes, func(position int64, h Header) bool {
		if n := Index(h.members()); n > 1 && i < at+n {
			found, inner = s.member(h, position, i, at)
			return false
		} else if n > 1 {
			at += n - 1
		} else if at == i {
			found = located{segment: s, position: position, Meta: Meta{Index: i, Term: Term(uint32(h.LeaderEpoch())), Kind: KindBatch,
				BaseOffset: h.BaseOffset(), NextOffset: h.next(), Size: h.Size()}}
		}
		at = list.batchFrom(at + 1)
		return at <= i && found.segment == nil
	})
	err = errors.Join(err, inner)
	if found.segment == nil && (err == nil || i > l.LastIndex()) { // not there, or truncated while it was looked for
		err = ErrNotFound
	}
	return found, err
}

// member gives the entry with index i of a merged batch that begins with index first.
func (s *segment) member(h Header, position int64, i, first Index) (located, error) {
	list, err := s.sizesOf(h)
	if err != nil {
		return located{}, err
	}
	begin, end, ok := list.at(int64(i - first))
	if !ok {
		return located{}, &CorruptError{s.path, position, fmt.Sprintf("merged batch has no member %d", i-first)}
	}
	m := Meta{Index: i, Term: Term(uint32(h.LeaderEpoch())), Kind: KindBatch, BaseOffset: h.BaseOffset() + Offset(begin),
		NextOffset: h.BaseOffset() + Offset(end), Size: HeaderSize}
	return located{Meta: m, segment: s, position: position, removed: true}, nil
}

// Data appends the bytes of the entry to dst, after checking that it still is the one that m describes (index and term).
// ErrNotFound when it was truncated or trimmed away meanwhile. Safe from any goroutine.
func (l *Log) Data(dst []byte, m Meta) ([]byte, error) {
	return again(l, func() ([]byte, error) { return l.data(dst, m) })
}

func (l *Log) data(dst []byte, m Meta) ([]byte, error) {
	place, err := l.locate(m.Index)
	if err != nil {
		return dst, err
	}
	if place.Term != m.Term || place.Kind != m.Kind || place.Size != m.Size {
		return dst, ErrNotFound
	}
	if m.Kind != KindBatch {
		return l.controlData(dst, m)
	}
	if place.removed {
		return append(dst, emptyBatch(place.BaseOffset, place.NextOffset, place.Term)...), nil
	}
	l.touch()
	h, err := place.segment.pin()
	if err != nil {
		return dst, err
	}
	defer h.release()
	at := len(dst)
	dst = grow(dst, m.Size)
	if err := readFull(h.file, dst[at:], place.position); err != nil {
		if m.Index > l.LastIndex() {
			return dst[:at], ErrNotFound // truncated while it was read
		}
		return dst[:at], fmt.Errorf("read entry %d of %s at %d: %w", m.Index, place.segment.path, place.position, err)
	}
	b := Header(dst[at:])
	if b.Size() != m.Size || b.BaseOffset() != place.BaseOffset || b.LeaderEpoch() != int32(m.Term) {
		return dst[:at], ErrNotFound
	}
	l.cold.done(m.Index)
	return dst, nil
}

// ChunkOf is the bytes of an entry where they lie, checked like those of Data; nil for what lies nowhere by itself, which Data gives. It must be released. Safe from any goroutine.
func (l *Log) ChunkOf(m Meta) (*Chunk, error) {
	return again(l, func() (*Chunk, error) { return l.chunkOf(m) })
}

func (l *Log) chunkOf(m Meta) (*Chunk, error) {
	place, err := l.locate(m.Index)
	if err != nil {
		return nil, err
	}
	if place.Term != m.Term || place.Kind != m.Kind || place.Size != m.Size {
		return nil, ErrNotFound
	}
	if m.Kind != KindBatch || place.removed {
		return nil, nil
	}
	l.touch()
	h, err := place.segment.pin()
	if err != nil {
		return nil, err
	}
	b := headerBlocks.Get().(*[headerBlock]byte)
	defer headerBlocks.Put(b)
	if err := readFull(h.file, b[:HeaderSize], place.position); err != nil {
		h.release()
		if m.Index > l.LastIndex() {
			return nil, ErrNotFound // truncated while it was read
		}
		return nil, fmt.Errorf("read entry %d of %s at %d: %w", m.Index, place.segment.path, place.position, err)
	}
	if b := Header(b[:HeaderSize]); b.Size() != m.Size || b.BaseOffset() != place.BaseOffset || b.LeaderEpoch() != int32(m.Term) {
		h.release()
		return nil, ErrNotFound
	}
	l.cold.done(m.Index)
	c := chunks.Get().(*Chunk)
	*c = Chunk{segment: place.segment, handle: h, position: place.position, size: m.Size, next: place.NextOffset}
	return c, nil
}

func (l *Log) controlData(dst []byte, m Meta) ([]byte, error) {
	var err error
	for range 2 { // ctl may be compacted in between, which moves the record
		c, ok := l.controls.Load().find(m.Index)
		if !ok || c.term != m.Term || c.kind != m.Kind {
			return dst, ErrNotFound
		}
		if dst, err = l.ctl.read(dst, c); err == nil {
			return dst, nil
		}
	}
	return dst, err
}
