package log

import (
	"math"
	"slices"
	"sync"
	"time"
)

// Sync forces everything appended so far to stable storage. Safe beside Append, which it does not hold up.
func (l *Log) Sync() error {
	l.syncMu.Lock()
	defer l.syncMu.Unlock()
	l.mu.Lock()
	if err := l.usable(); err != nil {
		l.mu.Unlock()
		return err
	}
	if len(l.unsynced) == 0 && l.synced.Load() == l.end.Load() {
		l.mu.Unlock()
		return nil
	}
	sealed := slices.Clone(l.unsynced)
	active := l.view.Load().active()
	if err := active.flushIndexes(); err != nil {
		l.mu.Unlock()
		return l.fail(err)
	}
	p := pointAt(active, l.lastBatchLocked(), l.ctl.size)
	l.mu.Unlock()

	if err := l.syncFiles(sealed, active); err != nil {
		return l.fail(err)
	}

	l.mu.Lock()
	defer l.mu.Unlock()
	l.unsynced = slices.DeleteFunc(l.unsynced, func(s *segment) bool { return slices.Contains(sealed, s) })
	return l.syncedLocked(p)
}

// syncLocked is Sync for a caller that holds mu.
func (l *Log) syncLocked() error {
	active := l.view.Load().active()
	if err := active.flushIndexes(); err != nil {
		return l.fail(err)
	}
	p := pointAt(active, l.lastBatchLocked(), l.ctl.size)
	if len(l.unsynced) > 0 || l.synced.Load() != int64(p.next) {
		if err := l.syncFiles(l.unsynced, active); err != nil {
			return l.fail(err)
		}
		l.unsynced = nil
	}
	return l.syncedLocked(p)
}

func (l *Log) syncFiles(sealed []*segment, active *segment) error {
	l.acquireSlot()
	defer l.releaseSlot()
	for _, s := range sealed {
		began := time.Now()
		if err := s.syncAll(); err != nil {
			return err
		}
		l.metrics.synced(began)
	}
	defer l.metrics.synced(time.Now())
	return active.syncData()
}

// syncedLocked notes that everything before p is durable.
func (l *Log) syncedLocked(p point) error {
	if int64(p.next) > l.synced.Load() {
		l.synced.Store(int64(p.next))
	}
	if p.next < l.points.current.next || p.base < l.points.current.base {
		return nil // another sync was faster
	}
	p.sequence = l.points.current.sequence
	if p == l.points.current {
		return nil
	}
	if err := l.points.advance(p); err != nil {
		return l.fail(err)
	}
	return nil
}

// lastBatchLocked is the index of the last batch, or the floor's.
func (l *Log) lastBatchLocked() Index {
	segments := l.view.Load().segments
	for k := len(segments) - 1; k >= 0; k-- {
		if i := segments[k].lastIndex.Load(); i > 0 {
			return Index(i)
		}
	}
	return l.floor.Load().Index
}

func (l *Log) acquireSlot() {
	if l.slots != nil {
		l.slots <- struct{}{}
	}
}

func (l *Log) releaseSlot() {
	if l.slots != nil {
		<-l.slots
	}
}

// flusher is the goroutine that syncs in the background while SyncOnAppend is off: after a roll and every FlushAge. Close waits for it.
type flusher struct {
	log  *Log
	age  time.Duration
	kick chan struct{} // capacity 1: one request stands for all that come before it is served
	quit chan struct{}
	done sync.WaitGroup

	ending bool // quit is closed; guarded by the log's mu
}

// configureFlusherLocked starts, replaces or ends the flusher. One that ends may be waiting for mu: its successor waits for it, or Close does.
func (l *Log) configureFlusherLocked() {
	f := l.flusher
	wanted := !l.config.SyncOnAppend && !l.closing
	if f != nil && !f.ending && wanted && f.age == l.config.FlushAge {
		return
	}
	if f != nil && !f.ending {
		f.ending = true
		close(f.quit)
	}
	if !wanted {
		return
	}
	next := &flusher{log: l, age: l.config.FlushAge, kick: make(chan struct{}, 1), quit: make(chan struct{})}
	next.done.Add(1)
	go next.run(f)
	l.flusher = next
}

// wake asks for a sync soon.
func (f *flusher) wake() {
	if f == nil {
		return
	}
	select {
	case f.kick <- struct{}{}:
	default:
	}
}

func (f *flusher) run(previous *flusher) {
	defer f.done.Done()
	if previous != nil {
		previous.done.Wait()
	}
	var ticks <-chan time.Time
	if f.age < math.MaxInt64 {
		ticker := time.NewTicker(f.age)
		defer ticker.Stop()
		ticks = ticker.C
	}
	for {
		select {
		case <-f.quit:
			return
		case <-f.kick:
		case <-ticks:
		}
		f.log.Sync() // a failure stops the log, which says why
	}
}
