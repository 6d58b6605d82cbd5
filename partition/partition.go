package partition

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/barnabas-log/barnabas/log"
	"go.uber.org/zap"
)

// Proposer is what a partition needs of its consensus group. internal/broker hands it in.
type Proposer interface {
	// Propose queues one command for the group's log and returns at once; the outcome arrives through Admit, Stored and Apply with the
	// same token, or through Resign. An error means that nothing was queued. Commands are stored in the order of the calls.
	Propose(data []byte, token uint64) error
}

// Entry is a log entry as the replication layer reports it.
type Entry = log.Stored

// Partition is one topic partition on this node.
type Partition struct {
	// Constant after Open (proposer: after Bind).
	nodeID   int32
	log      *log.Log
	logger   *zap.Logger
	metrics  *Metrics
	now      func() time.Time
	inSync   func() int
	suspect  func(error)
	room     func(bytes int) error
	alone    func() bool
	proposer Proposer

	// Read without a lock.
	config        atomic.Pointer[Config]
	highWatermark atomic.Int64 // moved by Apply and Restore only, never back
	leadership    atomic.Pointer[leadership]
	failure       atomic.Pointer[error]
	closed        atomic.Bool
	watchers      watchers

	// queueMu makes the order of sequence checks the order of proposals. It is held across Propose; no method that the group calls takes it.
	queueMu sync.Mutex

	// trimMu: one trim or checkpoint is written at a time. Held across writes.
	trimMu sync.Mutex

	// mu guards the following.
	mu         sync.Mutex
	queue      queue
	duplicates []*Pending // appends of batches that are under way or not committed already; rare
	producers  *producers
	last       position        // the last batch or command that is stored
	applied    position        // the last batch or command that was applied
	end        log.Offset      // behind the last stored batch
	sinceBytes int64           // stored since the last checkpoint was taken
	nextExpiry int64           // milliseconds; when producers are looked through again
	candidate  *log.Checkpoint // taken, and written once it is committed
	writing    bool            // a checkpoint is being written
	stopped    bool            // no background work may start any more

	background sync.WaitGroup
	closeOnce  sync.Once
	closeErr   error
}

// position is a place in the group's log.
type position struct {
	index log.Index
	term  log.Term
}

// leadership is who leads as far as this node knows. Immutable.
type leadership struct {
	term log.Term
	node int32 // -1: unknown
	here bool  // this node leads and is ready
}

// Open recovers the partition's state from the log and its checkpoint. The partition accepts no append before Lead is called.
// When Open fails, the log stays open and the caller's.
func Open(opts Options) (*Partition, error) {
	opts = opts.ensureDefaults()
	p := &Partition{
		nodeID:  opts.NodeID,
		log:     opts.Log,
		logger:  opts.Logger.WithLazy(zap.String("topic", opts.Topic), zap.Int32("partition", opts.Number)),
		metrics: opts.Metrics,
		now:     opts.Now,
		inSync:  opts.InSyncCount,
		suspect: opts.Suspect,
		room:    opts.Room,
		alone:   opts.Alone,
		queue:   newQueue(),
	}
	p.config.Store(&opts.Config)
	p.leadership.Store(&leadership{node: -1})
	checkpoint := p.log.Checkpoint()
	p.applied = position{checkpoint.Index, checkpoint.Term}
	p.end = p.log.EndOffset()
	// Where the disk lost what was acknowledged (flush.messages, flush.ms), the checkpoint may speak of more than is there.
	p.highWatermark.Store(int64(max(min(checkpoint.HighWatermark, p.end), p.log.StartOffset())))
	if err := p.recoverLast(); err != nil {
		return nil, fmt.Errorf("open partition %s-%d: %w", opts.Topic, opts.Number, err)
	}
	producers, err := p.rebuild(p.end)
	if err != nil {
		return nil, fmt.Errorf("open partition %s-%d: %w", opts.Topic, opts.Number, err)
	}
	p.producers = producers
	return p, nil
}

// recoverLast finds the last entry that the state can speak of.
func (p *Partition) recoverLast() error {
	index := p.log.LastIndex()
	floor := p.log.Floor()
	if index <= floor.Index {
		p.last = position{floor.Index, floor.Term}
		return nil
	}
	meta, err := p.log.Meta(index)
	if err != nil {
		return fmt.Errorf("look up last entry %d: %w", index, err)
	}
	p.last = position{index, meta.Term}
	return nil
}

// Bind hands the partition its group. Called once, before the group starts to drive it.
func (p *Partition) Bind(proposer Proposer) { p.proposer = proposer }

// Lead says that this node leads in term and that everything committed before it has been applied. A call with a term older than the known one is late and
// changes nothing. Driven by the group.
func (p *Partition) Lead(term log.Term) {
	p.mu.Lock()
	if p.Err() != nil || term < p.leadership.Load().term {
		p.mu.Unlock()
		return
	}
	p.failAllLocked(ErrNotLeader) // of an earlier leadership, when nobody said that it ended
	p.changeLeadershipLocked(&leadership{term: term, node: p.nodeID, here: true})
	p.mu.Unlock()
	p.watchers.wake()
}

// Resign says that this node does not lead, or no longer; leader is -1 when unknown. Every pending append fails with ErrNotLeader. leader may be this node:
// elected, but not ready before Lead. A call with a term older than the known one is late and changes nothing. Driven by the group.
func (p *Partition) Resign(term log.Term, leader int32) {
	p.mu.Lock()
	if l := p.leadership.Load(); term < l.term || l.here && p.failure.Load() != nil {
		p.mu.Unlock()
		return
	}
	p.failAllLocked(ErrNotLeader)
	p.changeLeadershipLocked(&leadership{term: term, node: leader})
	p.mu.Unlock()
	p.watchers.wake()
}

// Failed says that the replica stopped for good (a failed write): nothing is appended any more, every attempt fails with err, as ErrStorage. What is committed stays readable.
// A leader that is alone with the partition keeps its place, so that readers still find it; any other gives it up. Driven by the group.
func (p *Partition) Failed(err error) {
	if !errors.Is(err, ErrStorage) {
		err = fmt.Errorf("%w: %w", ErrStorage, err)
	}
	p.mu.Lock()
	if p.failure.CompareAndSwap(nil, &err) {
		p.failAllLocked(err)
		if before := p.leadership.Load(); !before.here || p.alone == nil || !p.alone() {
			p.changeLeadershipLocked(&leadership{term: before.term, node: -1})
		}
		p.metrics.failures.Inc()
	}
	p.mu.Unlock()
	p.watchers.wake()
}

// failAllLocked fails whatever waits and forgets what is queued. What is stored is no matter of leadership and stays.
func (p *Partition) failAllLocked(err error) {
	start := p.log.StartOffset()
	for token := p.queue.first; token < p.queue.next; token++ {
		if d := p.queue.get(token); d != nil {
			p.failLocked(d, start, err)
		}
	}
	p.queue.clear()
	for _, d := range p.duplicates {
		p.failLocked(d, start, err)
	}
	clear(p.duplicates)
	p.duplicates = p.duplicates[:0]
}

func (p *Partition) failLocked(d *Pending, start log.Offset, err error) {
	p.producers.unqueue(d)
	d.result.BaseOffset = -1
	d.resolveLocked(start, err)
}

// Leader is the leader's node id (-1 if unknown), the epoch, and whether it is this node and ready.
func (p *Partition) Leader() (node int32, epoch int32, here bool) {
	l := p.leadership.Load()
	return l.node, int32(l.term), l.here
}

// CheckEpoch compares a client's leader epoch (-1: none given): ErrFencedEpoch, ErrUnknownEpoch, ErrNotLeader or nil.
func (p *Partition) CheckEpoch(epoch int32) error {
	l := p.leadership.Load()
	if err := p.mayRead(l); err != nil {
		return err
	}
	if err := l.compare(epoch); err != nil {
		return err
	}
	if !l.here {
		return ErrNotLeader
	}
	return nil
}

func (l *leadership) compare(epoch int32) error {
	switch {
	case epoch < 0 || epoch == int32(l.term):
		return nil
	case epoch < int32(l.term):
		return ErrFencedEpoch
	}
	return ErrUnknownEpoch
}

// HighWatermark is the offset behind the last committed record.
func (p *Partition) HighWatermark() log.Offset { return log.Offset(p.highWatermark.Load()) }

// LastStable is the offset that readers of committed transactions may read up to.
func (p *Partition) LastStable() log.Offset { return p.HighWatermark() }

// LogStart is the first offset that may be read.
func (p *Partition) LogStart() log.Offset { return p.log.StartOffset() }

// LogEnd is the offset that the next record gets on this replica.
func (p *Partition) LogEnd() log.Offset { return p.log.EndOffset() }

// Size is the bytes of all segments.
func (p *Partition) Size() int64 { return p.log.Size() }

// Err is why the partition is offline (ErrStorage, ErrClosed), or nil.
func (p *Partition) Err() error {
	if err := p.failure.Load(); err != nil {
		return *err
	}
	if p.closed.Load() {
		return ErrClosed
	}
	return nil
}

// mayRead says why nothing can be read. After a failure, which is one of writing, a leader that kept its place answers for what is committed.
func (p *Partition) mayRead(l *leadership) error {
	if l.here && !p.closed.Load() {
		return nil
	}
	return p.Err()
}

// Sync makes everything that is stored durable.
func (p *Partition) Sync() error { return p.log.Sync() }

// Configure replaces the run-time configuration.
func (p *Partition) Configure(c Config) {
	c = c.ensureDefaults()
	p.config.Store(&c)
	p.log.Configure(c.Log)
}

// Producers describes the producers that the partition knows, by id.
func (p *Partition) Producers() []Producer {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.producers.list()
}

// Producer describes one producer that is known to the partition (DescribeProducers).
type Producer struct {
	ID               int64
	Epoch            int16
	LastSequence     int32
	LastTimestamp    int64
	CoordinatorEpoch int32
	TxnStartOffset   log.Offset // -1: none open
}

// Close fails what is pending, writes a checkpoint and closes the log. The group must have been closed first.
func (p *Partition) Close() error {
	p.closeOnce.Do(func() {
		p.closed.Store(true)
		p.mu.Lock()
		p.stopped = true
		p.failAllLocked(ErrClosed)
		p.changeLeadershipLocked(&leadership{term: p.leadership.Load().term, node: -1})
		p.mu.Unlock()
		p.watchers.wake()
		p.background.Wait()
		var err error
		if p.failure.Load() == nil {
			err = p.finalCheckpoint()
		}
		p.closeErr = errors.Join(err, p.log.Close())
	})
	return p.closeErr
}
