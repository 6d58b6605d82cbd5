package log

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path"
	"slices"
	"time"

	"github.com/barnabas-log/barnabas/internal/vfs"
)

// Salvage says what can be kept of the segments of a directory, in order.
type Salvage struct {
	// Start is the log start offset, End the offset after the last record that is kept.
	Start, End Offset
	Batches    int64
	Records    int64
	Bytes      int64
	// Holes are the offsets that damage has taken. Over them lies an empty batch afterwards, so that every other record keeps its offset.
	Holes []Hole
	// Configuration is the newest Raft configuration that can be read, nil for none.
	Configuration []byte

	dense   bool // every offset belongs to a batch: it is a log of ours
	dir     string
	files   vfs.FS
	state   []byte // of producers at Start
	foreign string // the first batch of a transaction, where it is
	first   *piece
	smooth  smooth
}

// Hole is a range of offsets without a sound batch, where it lies in the files, and why.
type Hole struct {
	From, To Offset
	File     string
	Position int64
	Bytes    int64
	Reason   string

	cut bool // what is there is the beginning of a batch: its writing was interrupted
}

// piece is a sound batch, or an empty one that stands for a hole (file "").
type piece struct {
	file       string
	position   int64
	size       int
	base, next Offset
	epoch      Term
	empty      bool // without records: made anew, whatever it was
}

// Lost is how many offsets damage has taken.
func (s *Salvage) Lost() (offsets int64) {
	for _, h := range s.Holes {
		offsets += int64(h.To - h.From)
	}
	return offsets
}

// PlanRepair reads all segments of a log's directory and says what can be kept, without changing anything. The log must not be open anywhere. A nil file system is that of the machine.
func PlanRepair(files vfs.FS, dir string) (*Salvage, error) {
	s, err := plan(files, dir, true, nil)
	if err != nil {
		return nil, fmt.Errorf("plan repair of %s: %w", dir, err)
	}
	return s, nil
}

// plan goes over the segments, and hands the pieces of what is kept to out, which may be nil. Nothing is kept of them: a directory may have millions of batches.
func plan(files vfs.FS, dir string, dense bool, out func(piece) error) (*Salvage, error) {
	if files == nil {
		files = vfs.OS{}
	}
	s := &Salvage{dir: dir, files: files, dense: dense}
	s.smooth.out = func(p piece) error {
		if s.first == nil {
			s.first = &p
		}
		if out == nil {
			return nil
		}
		return out(p)
	}
	bases, err := segmentBases(files, dir)
	if err != nil {
		return nil, err
	}
	if len(bases) == 0 {
		return nil, fmt.Errorf("there is no segment: %w", fs.ErrNotExist)
	}
	m, err := readManifest(files, dir)
	if err != nil && !errors.Is(err, ErrCorrupt) {
		return nil, err
	}
	s.Start = bases[0]
	if m != nil {
		s.Start, s.state, s.Configuration = max(m.floor.Start, bases[0]), m.floor.State, m.floor.Configuration
		bases = slices.DeleteFunc(bases, func(base Offset) bool { return base < m.floor.Offset })
	}
	s.newestConfiguration()
	next := bases[0]
	if m != nil && m.floor.Offset < next {
		if err := s.hole(Hole{From: m.floor.Offset, To: next, File: segmentName(m.floor.Offset) + logSuffix, Reason: "missing"}); err != nil {
			return nil, err
		}
	}
	for k, base := range bases {
		limit := Offset(1<<63 - 1)
		if k+1 < len(bases) {
			limit = bases[k+1]
		}
		if next, err = s.segment(base, next, limit); err != nil {
			return nil, err
		}
	}
	s.End = next
	return s, s.smooth.flush(math.MaxInt64)
}

// segmentBases lists the segments of a directory.
func segmentBases(files vfs.FS, dir string) (bases []Offset, err error) {
	infos, err := files.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, info := range infos {
		if base, ok := parseSegmentName(info.Name, path.Ext(info.Name)); ok && path.Ext(info.Name) == logSuffix {
			bases = append(bases, base)
		}
	}
	slices.Sort(bases)
	return bases, nil
}

// newestConfiguration reads what can be read of ctl.
func (s *Salvage) newestConfiguration() {
	b, err := vfs.ReadFile(s.files, path.Join(s.dir, ctlName))
	if err != nil {
		return
	}
	_, _ = parseCtl(b, func(c control, data []byte) { // up to where it is damaged
		if c.kind == KindConfiguration {
			s.Configuration = slices.Clone(data)
		}
	})
}

// hole notes a hole. One that was no damage has no reason: compaction by another server left it.
func (s *Salvage) hole(h Hole) error {
	if h.Reason != "" {
		s.Holes = append(s.Holes, h)
	}
	for from := h.From; from < h.To; {
		to := min(h.To, from+1<<31-1)
		if err := s.smooth.add(piece{base: from, next: to, empty: true}); err != nil {
			return err
		}
		from = to
	}
	return nil
}

// segment goes over one segment, which begins where next should be, and gives the offset after it. limit is where the next segment begins.
func (s *Salvage) segment(base, next, limit Offset) (Offset, error) {
	name := segmentName(base) + logSuffix
	f, err := s.files.OpenFile(path.Join(s.dir, name), os.O_RDONLY, 0)
	if err != nil {
		return next, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return next, err
	}
	in := &scanner{file: f, size: size}
	if base > next {
		if err := s.hole(Hole{From: next, To: base, File: name, Reason: "the segment before it ends too early"}); err != nil {
			return next, err
		}
		next = base
	}
	var damage *Hole // that no sound batch has followed yet
	for position := int64(0); position < size; {
		if damage != nil && position+HeaderSize <= size {
			if head, err := in.at(position, HeaderSize); err != nil {
				return next, fmt.Errorf("read %s at %d: %w", name, position, err)
			} else if Header(head).Magic() != 2 {
				position++
				continue
			}
		}
		b, reason, err := in.batch(position)
		if err != nil {
			return next, fmt.Errorf("read %s at %d: %w", name, position, err)
		}
		h := Header(b)
		if reason == "" && damage == nil && h.BaseOffset() != next && s.dense { // it lies outside the checksum, and what is beside it is sound
			stamp(b, next, Term(uint32(h.LeaderEpoch())))
		}
		if reason == "" && (h.BaseOffset() < next || h.next() > limit) {
			reason = fmt.Sprintf("offsets %d to %d between %d and %d", h.BaseOffset(), h.LastOffset(), next, limit)
		}
		if reason != "" {
			if damage == nil {
				damage = &Hole{From: next, File: name, Position: position, Reason: reason}
				if damage.cut, err = in.cut(position); err != nil {
					return next, fmt.Errorf("read %s at %d: %w", name, position, err)
				}
			}
			position++ // the length cannot be trusted: a sound batch is looked for from the next byte on
			continue
		}
		if damage != nil {
			damage.To, damage.Bytes = h.BaseOffset(), position-damage.Position
			err = s.hole(*damage)
			damage = nil
		} else if h.BaseOffset() > next {
			err = s.hole(Hole{From: next, To: h.BaseOffset(), File: name, Position: position})
		}
		if err == nil {
			err = s.keep(name, position, h)
		}
		if err != nil {
			return next, err
		}
		next = h.next()
		position += int64(len(b))
	}
	if damage != nil {
		damage.To, damage.Bytes = limit, size-damage.Position
		if limit == 1<<63-1 { // of the last segment
			if damage.To, err = s.claimed(in, damage.Position, next); err != nil {
				return next, fmt.Errorf("read %s at %d: %w", name, damage.Position, err)
			}
		}
		return damage.To, s.hole(*damage)
	}
	return next, nil
}

// claimed is where the offsets end that the damaged batch at position says it has, if its header agrees with itself; else it is next. They may have been acknowledged, and are not given again.
func (s *Salvage) claimed(in *scanner, position int64, next Offset) (Offset, error) {
	if !s.dense || position+HeaderSize > in.size {
		return next, nil
	}
	b, err := in.at(position, HeaderSize)
	if h := Header(b); err == nil && h.BaseOffset() == next && h.Magic() == 2 && h.Count() > 0 && h.Count()-1 == h.LastOffsetDelta() {
		return h.next(), nil
	}
	return next, err
}

func (s *Salvage) keep(name string, position int64, h Header) error {
	if s.foreign == "" && (h.Transactional() || h.Control()) {
		s.foreign = fmt.Sprintf("%s at %d: a batch of a transaction", name, position)
	}
	s.Batches++
	s.Records += int64(h.Count())
	s.Bytes += int64(h.Size())
	empty := h.members() > 1 || !s.dense && h.Count() == 0
	return s.smooth.add(piece{file: name, position: position, size: h.Size(), base: h.BaseOffset(), next: h.next(), epoch: Term(uint32(h.LeaderEpoch())), empty: empty})
}

// smooth makes epochs rise, also where one was damaged: it lies outside a batch's checksum. It holds a batch, and the holes behind it, back until the next batch is known.
type smooth struct {
	out  func(piece) error
	last Term
	held []piece
}

func (m *smooth) add(p piece) error {
	if p.file != "" {
		if err := m.flush(p.epoch); err != nil {
			return err
		}
	}
	m.held = append(m.held, p)
	return nil
}

// flush lets go of what is held; following is the epoch of the next batch, the highest for none.
func (m *smooth) flush(following Term) error {
	for _, p := range m.held {
		if p.file == "" {
			p.epoch = m.last
		} else if p.epoch > following && following >= m.last {
			p.epoch = following
		}
		p.epoch = max(p.epoch, m.last, 1)
		m.last = p.epoch
		if err := m.out(p); err != nil {
			return err
		}
	}
	m.held = m.held[:0]
	return nil
}

// Write makes a log of what is kept in the directory to, which must not exist, with the Raft configuration given. Its entries are numbered anew: it is for a partition that has no other
// replica. progress may be nil.
func (s *Salvage) Write(to string, configuration []byte, progress func(bytes int64)) (err error) {
	if Exists(s.files, to) {
		return fmt.Errorf("write what was salvaged to %s: %w", to, fs.ErrExist)
	}
	l, err := Open(to, Options{FS: s.files})
	if err != nil {
		return fmt.Errorf("write what was salvaged: %w", err)
	}
	defer func() {
		if e := l.Close(); err == nil && e != nil {
			err = fmt.Errorf("write what was salvaged to %s: %w", to, e)
		}
	}()
	base, term := s.Start, Term(1)
	if s.first != nil {
		base, term = s.first.base, s.first.epoch
	}
	floor := Floor{Index: 1, Term: term, Offset: base, Start: max(s.Start, base), Configuration: configuration, ConfigurationIndex: 1, State: s.state}
	if err := l.Reset(floor); err != nil {
		return err
	}
	in := &salvageReader{s: s}
	defer in.close()
	done := int64(0)
	now, err := plan(s.files, s.dir, s.dense, func(p piece) error {
		b := emptyBatch(p.base, p.next, p.epoch)
		if !p.empty {
			if b, err = in.read(p); err != nil {
				return err
			}
		}
		if _, err := l.Append([]Entry{{Index: l.LastIndex() + 1, Term: p.epoch, Kind: KindBatch, Data: b}}); err != nil {
			return fmt.Errorf("write what was salvaged, offset %d: %w", p.base, err)
		}
		if done += int64(len(b)); progress != nil {
			progress(done)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if l.EndOffset() != s.End || now.Batches != s.Batches || now.Bytes != s.Bytes {
		return fmt.Errorf("write what was salvaged: it has %d batches and ends at offset %d, not %d and %d: the files have changed meanwhile", now.Batches, l.EndOffset(), s.Batches, s.End)
	}
	return nil
}

// salvageReader reads pieces, one file after the other.
type salvageReader struct {
	s    *Salvage
	name string
	file vfs.File
}

func (r *salvageReader) close() {
	if r.file != nil {
		_ = r.file.Close()
		r.file = nil
	}
}

func (r *salvageReader) read(p piece) (b []byte, err error) {
	if r.file == nil || r.name != p.file {
		r.close()
		if r.file, err = r.s.files.OpenFile(path.Join(r.s.dir, p.file), os.O_RDONLY, 0); err != nil {
			return nil, err
		}
		r.name = p.file
	}
	b = make([]byte, p.size)
	if err := readFull(r.file, b, p.position); err != nil {
		return nil, fmt.Errorf("read %s at %d: %w", p.file, p.position, err)
	}
	if r.s.dense {
		return b, nil
	}
	if err := CheckBatch(b); err != nil {
		return nil, fmt.Errorf("read %s at %d: %w", p.file, p.position, err)
	}
	withoutProducer(b)
	return b, nil
}

// beforeRepair is in the name that a directory gets when a repaired one takes its place.
const beforeRepair = ".before-repair-"

// Dir is the directory that was read.
func (s *Salvage) Dir() string { return s.dir }

// Apply writes what is kept and puts it in the place of a directory, which is kept under the name that is returned. Safe at every step: until the last rename nothing has changed for the
// node, between the two renames it finds no directory, and the operator both.
func (s *Salvage) Apply(dir string, configuration []byte, progress func(bytes int64)) (kept string, err error) {
	dir = path.Clean(dir)
	fresh := dir + ".repaired"
	if err := s.files.RemoveAll(fresh); err != nil { // of an attempt that was interrupted
		return "", err
	}
	if err := s.Write(fresh, configuration, progress); err != nil {
		return "", err
	}
	kept = dir + beforeRepair + time.Now().UTC().Format("20060102T150405Z")
	if err := s.files.Rename(dir, kept); err != nil {
		return "", err
	}
	if err := s.files.Rename(fresh, dir); err != nil {
		return kept, err
	}
	return kept, s.files.SyncDir(path.Dir(dir))
}
