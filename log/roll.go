package log

import (
	"fmt"
	"time"
)

// Roll closes the active segment if it holds anything.
func (l *Log) Roll() error {
	l.syncMu.Lock()
	defer l.syncMu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	if bytes, _ := l.view.Load().active().extent.get(); bytes == 0 {
		return nil
	}
	if err := l.rollLocked(); err != nil {
		return l.fail(err)
	}
	return nil
}

// RollIdle closes the active segment if it is older than SegmentAge, by the clock, or nothing in it has a time (a follower that was away gets what compaction emptied), and
// nothing was appended since the last call: a batch that came would have closed it.
// Replicas whose clocks differ may do that at other batches, if one comes just then. No harm: they end their segments elsewhere after a compaction as well.
func (l *Log) RollIdle(now time.Time) error {
	l.mu.Lock()
	age, before := l.config.SegmentAge, l.idleSince
	l.idleSince = l.EndOffset()
	idle := l.idleSince == before
	l.mu.Unlock()
	active := l.view.Load().active()
	if first := active.firstTimestamp.Load(); !idle || first >= 0 && now.UnixMilli()-first <= age.Milliseconds() {
		return nil
	}
	return l.Roll()
}

// rollLocked seals the active segment and starts the next one, whose name is durable on return.
func (l *Log) rollLocked() error {
	current := l.view.Load()
	old := current.active()
	_, next := old.extent.get()
	if err := old.finish(); err != nil {
		return fmt.Errorf("seal segment %s: %w", segmentName(old.base), err)
	}
	if l.config.SyncOnAppend && len(l.unsynced) == 0 {
		l.acquireSlot()
		err := old.syncAll()
		l.releaseSlot()
		if err != nil {
			return fmt.Errorf("seal segment %s: %w", segmentName(old.base), err)
		}
	} else {
		l.unsynced = append(l.unsynced, old)
	}
	s, err := l.startSegment(next)
	if err != nil {
		return err
	}
	l.opened.add(old)
	l.publishSegments(append(current.segments[:len(current.segments):len(current.segments)], s))
	if len(l.unsynced) > 0 {
		l.flusher.wake()
		return nil
	}
	return l.points.advance(pointAt(s, Index(old.lastIndex.Load()), l.ctl.size))
}

// startSegment creates an empty segment, durably.
func (l *Log) startSegment(base Offset) (*segment, error) {
	s := newSegment(l.fs, l.dir, base, &l.opened)
	err := s.create()
	if err == nil {
		err = l.fs.SyncDir(l.dir)
	}
	if err != nil {
		return nil, fmt.Errorf("start segment %s: %w", segmentName(base), err)
	}
	return s, nil
}

func (l *Log) publishSegments(segments []*segment) { l.view.Store(&view{segments}) }
