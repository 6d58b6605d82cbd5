package log

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"go.uber.org/zap"

	"github.com/barnabas-log/barnabas/internal/vfs"
)

// Open opens the log in a directory, which is created if it is missing. What a crash left behind is tidied up: a torn tail is cut, interrupted
// truncations are finished, indexes are rebuilt. Damage that no crash can cause is a *CorruptError, and no data is changed then.
func Open(dir string, opts Options) (*Log, error) {
	opts.EnsureDefaults()
	if err := opts.Config.Validate(); err != nil {
		return nil, fmt.Errorf("open log %s: %w", dir, err)
	}
	l := &Log{dir: dir, fs: opts.FS, logger: opts.Logger, slots: opts.SyncSlots, metrics: opts.Metrics, config: opts.Config.scattered(dir), remover: opts.Remover, sameBoot: opts.SameBoot}
	l.deleteDelay.Store(int64(opts.Config.DeleteDelay))
	l.ctl = ctlFile{fs: l.fs, path: path.Join(dir, ctlName)}
	l.points = pointFile{fs: l.fs, path: path.Join(dir, recoveryName)}
	err := l.attachJournal(opts.Journal)
	if err == nil {
		err = l.open()
	}
	if err != nil {
		if v := l.view.Load(); v != nil {
			for _, s := range v.segments {
				s.retire()
			}
		}
		return nil, fmt.Errorf("open log %s: %w", dir, err)
	}
	l.mu.Lock()
	l.closing = opts.noFlusher
	l.configureFlusherLocked()
	l.mu.Unlock()
	return l, nil
}

func (l *Log) open() error {
	if err := makeDir(l.fs, l.dir); err != nil {
		return err
	}
	m, err := readManifest(l.fs, l.dir)
	if err != nil {
		return err
	}
	if m == nil {
		if err := l.checkFresh(); err != nil {
			return err
		}
		m = &manifest{resetting: true}
	}
	if m.resetting {
		return l.restart(m)
	}
	return l.recover(m)
}

// makeDir creates a directory durably.
func makeDir(files vfs.FS, dir string) error {
	if _, err := files.Stat(dir); err == nil {
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := files.MkdirAll(dir); err != nil {
		return err
	}
	return files.SyncDir(path.Dir(path.Clean(dir)))
}

// checkFresh refuses to start a new log over the data of one whose manifest is gone.
func (l *Log) checkFresh() error {
	infos, err := l.fs.ReadDir(l.dir)
	if err != nil {
		return err
	}
	for _, info := range infos {
		if strings.HasSuffix(info.Name, logSuffix) && info.Bytes > 0 {
			return &CorruptError{path.Join(l.dir, manifestName), 0, "missing, but there is data in " + info.Name}
		}
	}
	return nil
}

// restart finishes a reset, or makes a new log: everything but the manifest goes, then the first segment and an empty ctl come, then the manifest says
// that it is done.
func (l *Log) restart(m *manifest) error {
	if err := l.wipe(); err != nil {
		return err
	}
	if err := vfs.WriteSynced(l.fs, l.ctl.path, ctlHeader()); err != nil {
		return err
	}
	l.ctl.size = ctlHeaderSize
	s, err := l.startSegment(m.floor.Offset)
	if err != nil {
		return err
	}
	if m.floor.Index > 0 { // everything up to the floor has been applied: that is what the snapshot says
		if err := l.writeCheckpointLocked(floorCheckpoint(m.floor)); err != nil {
			return err
		}
	} else {
		l.checkpoint.Store(nil)
	}
	m.resetting = false
	if err := m.write(l.fs, l.dir); err != nil {
		return err
	}
	l.adopt(m, controls{}, m.epochs, []*segment{s})
	l.synced.Store(int64(m.floor.Offset))
	return l.points.advance(pointAt(s, m.floor.Index, l.ctl.size))
}

// wipe removes every file but the manifest, durably.
func (l *Log) wipe() error {
	infos, err := l.fs.ReadDir(l.dir)
	if err != nil {
		return err
	}
	for _, info := range infos {
		if info.Name == manifestName || info.Dir {
			continue
		}
		if err := removeIfThere(l.fs, path.Join(l.dir, info.Name)); err != nil { // the remover may be faster
			return err
		}
	}
	return l.fs.SyncDir(l.dir)
}

// adopt makes what was read or made the state of the log.
func (l *Log) adopt(m *manifest, list controls, table epochTable, segments []*segment) {
	floor := m.floor
	l.floor.Store(&floor)
	l.start.Store(int64(floor.Start))
	l.controls.Store(&list)
	l.epochs.Store(&table)
	l.hasMerged = m.merged
	l.recent.reset()
	l.publishSegments(segments)
	_, next := l.view.Load().active().extent.get()
	last := max(l.lastBatchLocked(), floor.Index)
	for _, c := range list[list.from(last+1):] {
		if c.kind != kindEpoch {
			last = c.index
		}
	}
	l.lastTerm = max(table.termAt(last), floor.Term)
	l.end.Store(int64(next))
	l.last.Store(uint64(last))
}

// recovery is the state of opening a log that was used before.
type recovery struct {
	log      *Log
	manifest *manifest
	point    *point // nil: everything is scanned
	bases    []Offset
	ctlTear  string
	ctlSize  int64 // of the file
	sequence sequence
	segments []*segment
	scanned  []*segment // whose durability is not known
}

func (l *Log) recover(m *manifest) error {
	if err := finishSwap(l.fs, l.dir); err != nil {
		return err
	}
	checkpoint, err := readCheckpoint(l.fs, l.dir)
	if errors.Is(err, ErrCorrupt) { // all that it says is in the floor and the entries that follow it
		l.logger.Warn("checkpoint is damaged: everything from the log's floor on is replayed", zap.Error(err))
		checkpoint, err = floorCheckpoint(m.floor), nil
	}
	if err != nil {
		return err
	}
	l.checkpoint.Store(&checkpoint)
	r := &recovery{log: l, manifest: m, point: readPoint(l.fs, l.points.path)}
	if r.point != nil {
		l.points.current = *r.point
	}
	r.sequence = sequence{epochs: m.epochs, last: m.floor.Index, next: m.floor.Offset}
	if err := r.readCtl(); err != nil {
		return err
	}
	stale, err := r.list()
	if err != nil {
		return err
	}
	if err := r.load(); err != nil {
		return err
	}
	return r.finish(stale)
}

func (r *recovery) readCtl() error {
	l := r.log
	r.forgetCtl()
	b, err := vfs.ReadFile(l.fs, l.ctl.path)
	if errors.Is(err, fs.ErrNotExist) {
		return &CorruptError{l.ctl.path, 0, "missing"}
	}
	if err != nil {
		return err
	}
	floor := r.manifest.floor.Index
	end, tear := parseCtl(b, func(c control, _ []byte) {
		if c.index > floor {
			r.sequence.controls = append(r.sequence.controls, c)
			r.sequence.epochs = r.sequence.epochs.with(epochBegin{c.term, c.index, c.next})
		}
	})
	if errors.Is(tear, ErrUnsupported) {
		return fmt.Errorf("%s: %w", l.ctl.path, tear)
	}
	if tear == nil && r.point != nil && end < r.point.ctlBytes {
		tear = errors.New("the file ends")
	}
	changed := errors.Is(tear, errChecksum) && l.sameBoot
	if tear != nil && (end < ctlHeaderSize || r.point != nil && end < r.point.ctlBytes || changed) {
		return &CorruptError{l.ctl.path, end, tear.Error()}
	}
	if tear != nil {
		r.ctlTear = tear.Error()
	}
	l.ctl.size, r.ctlSize = end, int64(len(b))
	return nil
}

// list finds the segments, and the files that an interrupted removal or replacement left.
func (r *recovery) list() (stale []string, err error) {
	infos, err := r.log.fs.ReadDir(r.log.dir)
	if err != nil {
		return nil, err
	}
	live := map[Offset]bool{}
	for _, info := range infos {
		if base, ok := parseSegmentName(info.Name, logSuffix); ok && base >= r.manifest.floor.Offset {
			r.bases = append(r.bases, base)
			live[base] = true
		}
	}
	for _, info := range infos {
		if Removed(info.Name) { // its removal was interrupted
			if err := r.log.remover.discard(r.log.fs, path.Join(r.log.dir, info.Name), 0); err != nil {
				return nil, err
			}
			continue
		}
		base, ok := parseSegmentName(info.Name, path.Ext(info.Name))
		if ok && !live[base] || strings.HasSuffix(info.Name, vfs.TemporarySuffix) {
			stale = append(stale, info.Name)
		}
	}
	slices.Sort(r.bases)
	if len(r.bases) == 0 || r.bases[0] != r.manifest.floor.Offset {
		name := segmentName(r.manifest.floor.Offset) + logSuffix
		return nil, &CorruptError{path.Join(r.log.dir, name), 0, "missing, and it is the first segment"}
	}
	if r.point != nil && !live[r.point.base] {
		if r.point.base >= r.manifest.floor.Offset {
			name := segmentName(r.point.base) + logSuffix
			return nil, &CorruptError{path.Join(r.log.dir, name), 0, "missing, and it was durable"}
		}
		r.point = nil // it lay in a segment that was trimmed away
	}
	return stale, nil
}

// parseSegmentName gives the base offset of a file of a segment.
func parseSegmentName(name, suffix string) (Offset, bool) {
	switch suffix {
	case logSuffix, offsetIndexKind.suffix, timeIndexKind.suffix, raftIndexKind.suffix, mergedSuffix:
	default:
		return 0, false
	}
	stem, ok := strings.CutSuffix(name, suffix)
	if !ok || len(stem) != 20 {
		return 0, false
	}
	base, err := strconv.ParseInt(stem, 10, 64)
	return Offset(base), err == nil && base >= 0
}

// load opens the segments in order: those before the recovery point by their seal, the others by a scan that ends at the first tear.
func (r *recovery) load() error {
	for k, base := range r.bases {
		s := newSegment(r.log.fs, r.log.dir, base, &r.log.opened)
		r.segments = append(r.segments, s)
		r.log.publishSegments(r.segments) // so that they are released if this fails
		before := r.point != nil && base < r.point.base
		if base != r.sequence.next {
			reason := fmt.Sprintf("segment begins where offset %d must follow", r.sequence.next)
			if before || r.point != nil && base == r.point.base || r.log.sameBoot {
				return &CorruptError{s.path, 0, reason}
			}
			r.dropFrom(k, s.path, reason)
			return nil
		}
		if before {
			if err := r.loadSealed(s); err != nil {
				return err
			}
			continue
		}
		torn, err := r.scan(s, k == len(r.bases)-1)
		if err != nil {
			return err
		}
		if torn != "" {
			r.dropFrom(k+1, s.path, torn)
			return nil
		}
	}
	return nil
}

// dropFrom forgets the segments from the kth on, which follow a tear.
func (r *recovery) dropFrom(k int, file, reason string) {
	bytes, _ := r.segments[len(r.segments)-1].extent.get()
	r.log.logger.Warn("log tail cut", zap.String("file", file), zap.Int64("position", bytes), zap.String("reason", reason),
		zap.Int("segments_removed", len(r.bases)-k))
	r.segments = r.segments[:k]
}

// finish makes the state on disk what was read: removes what is stale, cuts what is torn, syncs what may not be durable.
func (r *recovery) finish(stale []string) error {
	l := r.log
	for _, base := range r.bases[len(r.segments):] {
		for _, suffix := range []string{offsetIndexKind.suffix, timeIndexKind.suffix, raftIndexKind.suffix, mergedSuffix, logSuffix} {
			stale = append(stale, segmentName(base)+suffix)
		}
	}
	for _, name := range slices.Backward(stale) { // later segments first
		if err := removeIfThere(l.fs, path.Join(l.dir, name)); err != nil {
			return err
		}
	}
	if len(stale) > 0 {
		if err := l.fs.SyncDir(l.dir); err != nil {
			return err
		}
	}
	l.publishSegments(r.segments)
	if err := r.cutCtl(); err != nil {
		return err
	}
	active := l.view.Load().active()
	for _, s := range r.scanned {
		if err := r.settle(s, s == active); err != nil {
			return err
		}
	}
	active.isSealed.Store(false)
	active.compacted.Store(false)
	l.adopt(r.manifest, r.sequence.controls, r.sequence.epochs, r.segments)
	l.synced.Store(l.end.Load())
	return l.syncedLocked(pointAt(active, r.sequence.last, l.ctl.size))
}

// cutCtl drops the entries of ctl that follow the last one in order, and what is torn.
func (r *recovery) cutCtl() error {
	l, q := r.log, &r.sequence
	keep := q.controls.from(q.last + 1)
	for last := q.last; keep < len(q.controls); keep++ {
		c := q.controls[keep]
		if c.kind == kindEpoch || c.index != last+1 || c.next != q.next {
			break
		}
		last = c.index
	}
	if keep < len(q.controls) {
		l.ctl.size = q.controls[keep].position
		q.epochs = q.epochs.before(q.controls[keep].index)
		q.controls = q.controls[:keep]
	}
	if l.ctl.size == r.ctlSize {
		return nil
	}
	l.logger.Warn("ctl tail cut", zap.String("file", l.ctl.path), zap.Int64("position", l.ctl.size), zap.String("torn", r.ctlTear))
	if err := l.lowerCtl(l.ctl.size); err != nil {
		return err
	}
	return l.ctl.truncate(l.ctl.size)
}

// settle cuts the file of a scanned segment to what is valid, writes its indexes, and makes all of it durable.
func (r *recovery) settle(s *segment, active bool) error {
	h, err := s.pin()
	if err != nil {
		return err
	}
	defer h.release()
	bytes, _ := s.extent.get()
	size, err := h.file.Size()
	if err != nil {
		return err
	}
	if size != bytes {
		if err := h.file.Truncate(bytes); err != nil {
			return err
		}
	}
	if err := h.file.Sync(); err != nil {
		return err
	}
	if active {
		return s.flushIndexes()
	}
	defer s.unpin()
	if err := s.finish(); err != nil {
		return err
	}
	return s.syncAll()
}
