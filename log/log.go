package log

import (
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/barnabas-log/barnabas/internal/vfs"
	"github.com/barnabas-log/barnabas/log/journal"
)

// Log is the segment log of one partition. See doc.go for the contract.
type Log struct {
	dir     string
	fs      vfs.FS
	logger  *zap.Logger
	slots   chan struct{}
	metrics *Metrics
	remover *Remover
	journal *journal.Journal // nil: there is none
	owner   string           // this log's name in it
	// sameBoot is Options.SameBoot.
	sameBoot bool
	// deleteDelay is config.DeleteDelay, for those who do not hold mu.
	deleteDelay atomic.Int64

	// syncMu is held across every fsync outside of Append, and by whatever removes data. Lock order: syncMu, then mu.
	syncMu sync.Mutex
	// mu is the writer's, held across its I/O: readers never take it.
	mu        sync.Mutex // guards following
	config    Config
	ctl       ctlFile
	points    pointFile
	unsynced  []*segment // sealed while SyncOnAppend was off, oldest first
	lastTerm  Term
	hasMerged bool     // the manifest says that there may be merged batches
	buffers   [][]byte // scratch of Append
	gather    []byte   // scratch of Append
	flusher   *flusher
	readAt    time.Time // when Append learned last, from wasRead, that the log is read; zero: never
	closing   bool      // no flusher is started any more
	idleSince Offset    // where the log ended when RollIdle looked last

	compactMu    sync.Mutex  // serialises Compact; taken first
	stopCompact  atomic.Bool // Close has begun
	checkpointMu sync.Mutex  // serialises the writing of the checkpoint; taken with no other lock, or last

	// What readers see.
	view       atomic.Pointer[view]
	controls   atomic.Pointer[controls]
	epochs     atomic.Pointer[epochTable]
	floor      atomic.Pointer[Floor]
	checkpoint atomic.Pointer[Checkpoint]
	recent     recent
	cold       cold
	start      atomic.Int64
	end        atomic.Int64
	synced     atomic.Int64
	last       atomic.Uint64
	failure    atomic.Pointer[failure]
	closed     atomic.Bool
	wasRead    atomic.Bool // somebody has read since Append looked last
	opened     openFiles
}

// view is the immutable list of segments, oldest first, never empty; the last is the active one.
type view struct{ segments []*segment }

func (v *view) active() *segment { return v.segments[len(v.segments)-1] }

// at finds the segment that holds the offset, or the first one.
func (v *view) at(o Offset) int {
	k := sort.Search(len(v.segments), func(k int) bool { return v.segments[k].base > o })
	return max(k-1, 0)
}

// FirstIndex is the first index held; LastIndex+1 when empty. Floor().Index+1 always.
func (l *Log) FirstIndex() Index { return l.floor.Load().Index + 1 }

// LastIndex is the last index held, or Floor().Index when empty.
func (l *Log) LastIndex() Index { return Index(l.last.Load()) }

// Floor is what precedes the first entry. The caller must not change the byte slices.
func (l *Log) Floor() Floor { return *l.floor.Load() }

// StartOffset is the log start offset: what clients may read from. Safe from any goroutine.
func (l *Log) StartOffset() Offset { return Offset(l.start.Load()) }

// EndOffset is the offset that the next record gets. Safe from any goroutine.
func (l *Log) EndOffset() Offset { return Offset(l.end.Load()) }

// SyncedOffset is the offset below which everything is on stable storage.
func (l *Log) SyncedOffset() Offset { return Offset(l.synced.Load()) }

// Size is the bytes of all segments.
func (l *Log) Size() int64 {
	var sum int64
	for _, s := range l.view.Load().segments {
		bytes, _ := s.extent.get()
		sum += bytes
	}
	return sum
}

// NextPosition is where in its segment the batch behind the newest entry begins, in bytes, unless it begins another segment; -1 if nothing was appended since the log was opened or cut. Safe
// from any goroutine.
func (l *Log) NextPosition() int64 {
	if e := l.recent.newest(); e != nil {
		return e.end()
	}
	return -1
}

// SegmentInfo describes one segment. LastIndex is the index of its last batch, 0 when it is empty; MaxTimestamp is -1 then.
type SegmentInfo struct {
	BaseOffset, NextOffset Offset
	LastIndex              Index
	Bytes                  int64
	FirstTimestamp         int64 // largest timestamp of the first batch that has one, -1: none has
	MaxTimestamp           int64
	Active                 bool
	Compacted              bool // compaction has been over all of it
}

// Segments lists the segments, oldest first, the active one last.
func (l *Log) Segments() []SegmentInfo {
	segments := l.view.Load().segments
	infos := make([]SegmentInfo, len(segments))
	for k, s := range segments {
		infos[k] = s.info(k == len(segments)-1)
	}
	return infos
}

// Dir is the partition's directory.
func (l *Log) Dir() string { return l.dir }

// Err is why the log stopped (a failed write or fsync), or nil. It is ErrFailed and wraps the cause.
func (l *Log) Err() error {
	if f := l.failure.Load(); f != nil {
		return f
	}
	return nil
}

// fail stops the log for ever; the first cause counts.
func (l *Log) fail(cause error) error {
	if l.failure.CompareAndSwap(nil, &failure{cause}) {
		l.metrics.failures.Inc()
		l.logger.Error("log stopped: writing failed", zap.String("directory", l.dir), zap.Error(cause))
	}
	return l.Err()
}

// usable says whether the log may be written.
func (l *Log) usable() error {
	if l.closed.Load() {
		return ErrClosed
	}
	return l.Err()
}

// Configure replaces the run-time configuration from the next batch on. One that does not validate (see Config.Validate) is logged and ignored.
func (l *Log) Configure(c Config) {
	c.EnsureDefaults()
	if err := c.Validate(); err != nil {
		l.logger.Warn("log configuration ignored", zap.String("directory", l.dir), zap.Error(err))
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.config = c.scattered(l.dir)
	l.deleteDelay.Store(int64(c.DeleteDelay))
	l.configureFlusherLocked()
}

// Close makes everything durable, unless the log has failed, and releases its files. Chunks that are pinned stay readable. Idempotent.
func (l *Log) Close() error {
	l.stopCompact.Store(true)
	l.compactMu.Lock() // waits for a compaction, which ends soon
	defer l.compactMu.Unlock()
	l.mu.Lock()
	f := l.flusher
	l.closing = true
	if f != nil && !f.ending {
		f.ending = true
		close(f.quit)
	}
	l.mu.Unlock()
	if f != nil {
		f.done.Wait()
	}
	l.syncMu.Lock()
	defer l.syncMu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed.Load() {
		return nil
	}
	var err error
	if l.Err() == nil {
		if err = l.syncLocked(); err == nil {
			if err = l.leaveJournalLocked(); err != nil {
				err = l.fail(err)
			}
		}
	}
	l.closed.Store(true)
	for _, s := range l.view.Load().segments {
		if e := s.retire(); err == nil {
			err = e
		}
	}
	l.checkpointMu.Lock() // waits for a checkpoint that is being written
	defer l.checkpointMu.Unlock()
	return err
}

// openFiles bounds how many sealed segments of a log keep their file open.
type openFiles struct {
	mu       sync.Mutex // guards following
	segments []*segment // oldest first
}

const openLimit = 8

func (o *openFiles) add(s *segment) {
	o.mu.Lock()
	var oldest *segment
	if o.segments = append(o.segments, s); len(o.segments) > openLimit {
		oldest = o.segments[0]
		o.segments = o.segments[1:]
	}
	o.mu.Unlock()
	if oldest != nil {
		oldest.unpin() // the file was read only: nothing is lost with an error
	}
}
