package log

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/barnabas-log/barnabas/internal/vfs"
)

// compactionName is the file that says that finished segments under temporary names are to take the place of others. Its rename is the commit point of
// a swap; Open finishes what it says.
const (
	compactionName    = "compaction"
	compactionMagic   = "BCPT"
	compactionVersion = 1
)

// exchange is what the file says: the segment with this base, under its temporary names, replaces all that begin in [base, end).
type exchange struct {
	base, end Offset
	merged    bool // it has a .merged file
}

func (x exchange) encode() []byte {
	var e encoder
	e.u64(uint64(x.base))
	e.u64(uint64(x.end))
	if x.merged {
		e.u8(1)
	} else {
		e.u8(0)
	}
	return e.b
}

func decodeExchange(body []byte) (exchange, error) {
	d := decoder{b: body}
	x := exchange{base: Offset(d.u64()), end: Offset(d.u64()), merged: d.u8() != 0}
	if err := d.done(); err != nil {
		return x, err
	}
	if x.base < 0 || x.end <= x.base {
		return x, fmt.Errorf("offsets %d to %d", x.base, x.end)
	}
	return x, nil
}

// finishSwap carries out a swap that a crash interrupted after it was decided on.
func finishSwap(files vfs.FS, dir string) error {
	body, err := readEnvelope(files, dir, compactionName, compactionMagic, compactionVersion)
	if body == nil || err != nil {
		return err
	}
	x, err := decodeExchange(body)
	if err != nil {
		return &CorruptError{path.Join(dir, compactionName), envelopeSize, err.Error()}
	}
	s := newSegment(files, dir, x.base, nil)
	s.makeTemporary()
	if err := x.rename(files, s); err != nil {
		return err
	}
	return x.tidy(files, dir, func(name string) error { return files.Remove(name) })
}

// rename gives the files of the new segment, which are the names of s, their final names, and keeps s in step. It may be done again.
func (x exchange) rename(files vfs.FS, s *segment) error {
	for _, name := range s.names() {
		final := strings.TrimSuffix(*name, vfs.TemporarySuffix)
		err := error(nil)
		if name == &s.mergedPath && !x.merged {
			err = removeIfThere(files, final)
		} else if err = files.Rename(*name, final); errors.Is(err, fs.ErrNotExist) {
			err = nil // it was done before the crash
		}
		if err != nil {
			return err
		}
		*name = final
	}
	return nil
}

// tidy removes the segments that were replaced by one before them, each file with discard, and then the file that says so. It may be done again.
func (x exchange) tidy(files vfs.FS, dir string, discard func(name string) error) error {
	infos, err := files.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, info := range infos {
		base, ok := parseSegmentName(info.Name, path.Ext(info.Name))
		if ok && base > x.base && base < x.end {
			if err := discard(path.Join(dir, info.Name)); err != nil {
				return err
			}
		}
	}
	if err := files.SyncDir(dir); err != nil {
		return err
	}
	if err := files.Remove(path.Join(dir, compactionName)); err != nil {
		return err
	}
	return files.SyncDir(dir)
}

// swap puts s, whose files are complete and durable under temporary names, in the place of the old segments. Readers that have one of those open go on; others look
// again. errInterrupted if they are not there any more.
//
// The new files take the names of the first old segment. That one is held open meanwhile: the last to close a file waits for its blocks to be given back, and that must be
// nobody who holds a lock.
func (l *Log) swap(old []*segment, s *segment) (err error) {
	h, err := old[0].pin()
	if errors.Is(err, ErrNotFound) {
		return errInterrupted
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.release()) }()
	l.syncMu.Lock() // nothing is removed meanwhile; appending goes on
	defer l.syncMu.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	segments := l.view.Load().segments
	k := slices.Index(segments, old[0])
	if k < 0 || l.stopCompact.Load() || len(segments) <= k+len(old) || !slices.Equal(segments[k:k+len(old)], old) {
		return errInterrupted
	}
	_, end := s.extent.get()
	x := exchange{base: s.base, end: end, merged: s.mergedBytes > 0}
	if err := l.prepareSwap(end); err != nil {
		return err
	}
	if err := replaceFile(l.fs, l.dir, compactionName, compactionMagic, compactionVersion, x.encode()); err != nil {
		return l.fail(err)
	}
	if err := l.exchangeSegments(x, k, old, s); err != nil {
		return l.fail(err)
	}
	if err := x.tidy(l.fs, l.dir, l.discard); err != nil {
		return l.fail(err)
	}
	return nil
}

// exchangeSegments is the moment of the swap: the names change under the readers' feet, so those who open a file after it are told to look again.
func (l *Log) exchangeSegments(x exchange, k int, old []*segment, s *segment) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, o := range old {
		if err := o.retireAs(segmentReplaced); err != nil {
			return err
		}
	}
	// If a rename fails the log has failed, and readers go on with the new files, each under the name that it has by then.
	err := errors.Join(x.rename(l.fs, s), s.unpin())
	segments := l.view.Load().segments // the active one may be another by now
	l.publishSegments(slices.Concat(segments[:k], []*segment{s}, segments[k+len(old):]))
	l.recent.reset()
	return err
}

// prepareSwap makes sure that no recovery point that a crash may leave lies in what is replaced, and that programs that know nothing of merged batches refuse the log.
func (l *Log) prepareSwap(end Offset) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.points.current.base < end {
		return errInterrupted
	}
	if err := l.leaveJournalLocked(); err != nil {
		return l.fail(err)
	}
	if err := l.points.lower(l.points.current); err != nil {
		return l.fail(err)
	}
	if l.hasMerged {
		return nil
	}
	floor := l.Floor()
	m := &manifest{floor: floor, epochs: l.epochs.Load().above(floor.Index).upTo(floor.Index), merged: true}
	if err := m.write(l.fs, l.dir); err != nil {
		return l.fail(err)
	}
	l.hasMerged = true
	return nil
}
