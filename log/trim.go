package log

import (
	"fmt"
	"slices"
	"time"
)

// compactCtlBytes is how much of ctl may be dead before a trim rewrites it.
const compactCtlBytes = 64 << 10

// Trim moves the log start offset to start (never backwards, never past EndOffset) and drops segments that lie wholly before it, but never an entry
// after keep. Durable on return; the commit point is the manifest. Files are renamed after it, and removed in the background (Options.Remover). The active segment is rolled
// if it is to go.
//
// Floor.State becomes state, unless that is nil or no segment is dropped. The caller has written a checkpoint of keep or later before: after a crash
// the log cannot give it the entries that were dropped.
func (l *Log) Trim(start Offset, keep Index, state []byte) error {
	l.syncMu.Lock()
	defer l.syncMu.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	start = min(start, l.EndOffset())
	start = max(start, l.StartOffset())
	gone, err := l.trim(start, keep, state)
	if err == nil {
		err = l.discardSegments(gone)
	}
	if err != nil {
		return l.fail(fmt.Errorf("trim to offset %d: %w", start, err))
	}
	return nil
}

// trim does everything but removing the files, which Append need not wait for.
func (l *Log) trim(start Offset, keep Index, state []byte) (gone []*segment, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	segments := l.view.Load().segments
	drop := 0
	for drop < len(segments) && droppable(segments[drop], start, keep) {
		drop++
	}
	if drop == len(segments) {
		if err := l.rollLocked(); err != nil {
			return nil, err
		}
		segments = l.view.Load().segments
	}
	if drop == 0 && start == l.StartOffset() {
		return nil, nil
	}
	if int64(start) > l.synced.Load() { // a log must not begin after its end, also after a crash
		if err := l.syncLocked(); err != nil {
			return nil, err
		}
	}
	floor := l.Floor()
	floor.Start = start
	if drop > 0 {
		gone := segments[drop-1]
		l.raiseFloor(&floor, gone, state)
	}
	table := l.epochs.Load().above(floor.Index)
	m := &manifest{floor: floor, epochs: table.upTo(floor.Index), merged: l.hasMerged}
	if err := m.write(l.fs, l.dir); err != nil {
		return nil, err
	}
	l.floor.Store(&floor)
	l.start.Store(int64(start))
	table = slices.Clone(table)
	l.epochs.Store(&table)
	if drop == 0 {
		return nil, nil
	}
	l.unsynced = slices.DeleteFunc(l.unsynced, func(s *segment) bool { return slices.Contains(segments[:drop], s) })
	l.publishSegments(slices.Clone(segments[drop:]))
	return segments[:drop], l.forgetTrimmed(segments[:drop], floor.Index)
}

func droppable(s *segment, start Offset, keep Index) bool {
	bytes, next := s.extent.get()
	return bytes > 0 && next <= start && Index(s.lastIndex.Load()) <= keep
}

// raiseFloor makes the floor what precedes the segment after gone.
func (l *Log) raiseFloor(floor *Floor, gone *segment, state []byte) {
	_, next := gone.extent.get()
	floor.Index = Index(gone.lastIndex.Load())
	floor.Term = l.epochs.Load().termAt(floor.Index)
	floor.Offset = next
	if state != nil {
		floor.State = slices.Clone(state)
	}
	for _, c := range *l.controls.Load() {
		if c.kind != KindConfiguration || c.index > floor.Index {
			continue
		}
		if data, err := l.ctl.read(nil, c); err == nil {
			floor.Configuration, floor.ConfigurationIndex = data, c.index
		}
	}
}

// forgetTrimmed lets readers go, drops the entries of ctl that went with the segments, and moves the recovery point out of them. Their files may stay until a crash is over.
func (l *Log) forgetTrimmed(gone []*segment, floor Index) error {
	l.metrics.deleted(gone)
	for _, s := range gone {
		if err := s.retire(); err != nil {
			return err
		}
	}
	if err := l.dropControls(floor); err != nil {
		return err
	}
	if first := l.view.Load().segments[0]; l.points.current.base < first.base {
		return l.syncLocked()
	}
	return nil
}

// discardSegments has the files of segments removed that are retired and not referred to any more. Nothing is synced: Open removes what comes back.
func (l *Log) discardSegments(gone []*segment) error {
	for _, s := range gone {
		for _, name := range s.names() {
			if name == &s.mergedPath && s.mergedBytes == 0 {
				continue
			}
			if err := l.discard(*name); err != nil {
				return err
			}
		}
	}
	return nil
}

// discard has a file removed whose name nobody uses any more.
func (l *Log) discard(name string) error {
	return l.remover.discard(l.fs, name, time.Duration(l.deleteDelay.Load()))
}

func (l *Log) dropControls(floor Index) error {
	list := *l.controls.Load()
	rest := list[list.from(floor+1):]
	if len(rest) == len(list) {
		return nil
	}
	rest = slices.Clone(rest)
	dead := l.ctl.size - ctlHeaderSize
	for _, c := range rest {
		dead -= c.end() - c.position
	}
	if dead >= compactCtlBytes {
		lowered := l.points.current
		lowered.ctlBytes = ctlHeaderSize // the file gets shorter: it must not look cut off
		if err := l.points.lower(lowered); err != nil {
			return err
		}
		moved, err := l.ctl.compact(rest)
		if err != nil {
			return err
		}
		rest = moved
	}
	l.controls.Store(&rest)
	return nil
}
