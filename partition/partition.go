package partition

import (
	"context"
	"time"

	"github.com/barnabas-log/barnabas/log"
	"go.uber.org/zap"
)

// Proposer is what a partition needs of its consensus group. internal/broker hands it in.
type Proposer interface {
	// Propose queues one command for the group's log and returns at once; the outcome arrives through Admit, Stored and Apply with the
	// same token, or through Resign. An error means that nothing was queued.
	Propose(data []byte, token uint64) error
}

// Entry is a log entry as the replication layer reports it.
type Entry = log.Stored

// Config holds the topic-level configuration that a partition acts on. It may change while the partition is open.
type Config struct {
	MaxMessageBytes     int           // max.message.bytes
	Compacted           bool          // cleanup.policy contains compact
	DeletePolicy        bool          // cleanup.policy contains delete
	RetentionTime       time.Duration // retention.ms, < 0 unlimited
	RetentionBytes      int64         // retention.bytes, < 0 unlimited
	CompressionType     string        // compression.type: "producer" or a codec
	CompressionLevel    int
	LogAppendTime       bool          // message.timestamp.type
	TimestampBefore     time.Duration // message.timestamp.before.max.ms
	TimestampAfter      time.Duration // message.timestamp.after.max.ms
	MinInsyncReplicas   int           // min.insync.replicas
	FileDeleteDelay     time.Duration
	ProducerIDExpiry    time.Duration // producer.id.expiration.ms (broker)
	CheckpointEachBytes int64         // write a checkpoint after this many bytes; 0 means 64 MiB
	Log                 log.Config
}

// Options are fixed at Open.
type Options struct {
	Topic  string
	Number int32
	Log    *log.Log // owned by the partition from here on
	Config Config
	Logger *zap.Logger      // nil: no output
	Now    func() time.Time // nil: time.Now
}

// Partition is one topic partition on this node.
type Partition struct{}

// Open recovers the partition's state from the log and its checkpoint. The partition accepts no append before Lead is called.
func Open(opts Options) (*Partition, error) { panic("unwritten") }

// Bind hands the partition its group. Called once, before the group starts to drive it.
func (p *Partition) Bind(proposer Proposer) { panic("unwritten") }

// --- driven by the consensus group (replication.StateMachine has these methods) ---

// Admit is asked on the leader, in log order, before a local proposal is stored in term. false: nobody waits for it any more (it was queued in an earlier
// leadership); the log store then stores a no-op in its place.
func (p *Partition) Admit(token uint64, term log.Term) bool { panic("unwritten") }

// Stored reports entries that are in the local log, in index order, on leader and followers alike. acks=1 answers here.
func (p *Partition) Stored(entries []Entry) { panic("unwritten") }

// Truncated reports that all entries from index on were removed; end is the log's end offset now.
func (p *Partition) Truncated(from log.Index, end log.Offset) { panic("unwritten") }

// Apply reports committed entries, in index order. The only place where the high watermark moves.
func (p *Partition) Apply(entries []Entry) { panic("unwritten") }

// Lead says that this node leads in term and that everything committed before it has been applied. Resign says that it no longer does
// (leader is -1 when unknown): every pending append fails with ErrNotLeader.
func (p *Partition) Lead(term log.Term)                 { panic("unwritten") }
func (p *Partition) Resign(term log.Term, leader int32) { panic("unwritten") }

// State encodes the producers' state for a snapshot; Restore replaces it (a snapshot was installed).
func (p *Partition) State() ([]byte, error)     { panic("unwritten") }
func (p *Partition) Restore(state []byte) error { panic("unwritten") }

// Failed says that the replica stopped for good (a failed write): every call fails with err from now on.
func (p *Partition) Failed(err error) { panic("unwritten") }

// --- called by the protocol and the coordinators ---

// Acks says how far a record must have got before it is acknowledged.
type Acks int8

const (
	AcksNone   Acks = 0
	AcksLeader Acks = 1
	AcksAll    Acks = -1
)

// AppendResult tells where a batch went. AppendTime is -1 unless the topic stamps log append time.
type AppendResult struct {
	BaseOffset log.Offset
	AppendTime int64 // milliseconds
	LogStart   log.Offset
}

// Append validates one v2 record batch as a client sent it, checks its sequence, and proposes it. It returns as soon as the batch is queued, in order. batch must
// not be touched until the Pending is resolved (it is written from where it lies, and stamped in place). An error means that nothing was appended.
func (p *Partition) Append(batch []byte, acks Acks) (*Pending, error) { panic("unwritten") }

// AppendInternal is Append for batches that this broker made itself (coordinators, control batches): the checks on control bits, size and timestamps are left out.
func (p *Partition) AppendInternal(batch []byte, acks Acks) (*Pending, error) {
	panic("unwritten")
}

// Pending is an append under way.
type Pending struct{}

// Wait blocks until the append is acknowledged as asked, fails, or ctx ends (ErrTimeout; the write goes on). May be called more than once.
func (d *Pending) Wait(ctx context.Context) (AppendResult, error) { panic("unwritten") }

// Done is closed when Wait would not block.
func (d *Pending) Done() <-chan struct{} { panic("unwritten") }

// Isolation is Kafka's isolation level.
type Isolation int8

const (
	ReadUncommitted Isolation = 0
	ReadCommitted   Isolation = 1
)

// Read asks for records. LeaderEpoch and LastFetchedEpoch are -1 when the client gives none.
type Read struct {
	Offset           log.Offset
	MaxBytes         int
	AtLeastOne       bool // return the first batch even if it is larger than MaxBytes
	Isolation        Isolation
	LeaderEpoch      int32
	LastFetchedEpoch int32
}

// Aborted names an aborted transaction that overlaps what was read.
type Aborted struct {
	ProducerID  int64
	FirstOffset log.Offset
}

// Records is the answer to a Read. Chunk may be nil (nothing there yet, or diverging). Release the chunk.
type Records struct {
	Chunk         *log.Chunk
	HighWatermark log.Offset
	LastStable    log.Offset
	LogStart      log.Offset
	Aborted       []Aborted
	// DivergingEpoch, when not nil, says where the reader's history parts from ours (KIP-595).
	Diverging *log.EpochStart
}

// Read clamps to the high watermark or last stable offset. With an error, the offsets in Records are still filled where known.
func (p *Partition) Read(r Read) (Records, error) { panic("unwritten") }

// Waiter is woken once by any of the partitions that it watches. See waiters.go.
type Waiter struct{}

// NewWaiter makes a waiter; its C is closed at the first wake-up.
func NewWaiter() *Waiter             { panic("unwritten") }
func (w *Waiter) C() <-chan struct{} { panic("unwritten") }
func (w *Waiter) Close()             { panic("unwritten") } // unregisters everywhere
func (p *Partition) Watch(w *Waiter) { panic("unwritten") } // wakes on new visible records, leadership change, trim, failure, close

// Offsets that a client may ask for.
func (p *Partition) HighWatermark() log.Offset { panic("unwritten") }
func (p *Partition) LastStable() log.Offset    { panic("unwritten") }
func (p *Partition) LogStart() log.Offset      { panic("unwritten") }
func (p *Partition) LogEnd() log.Offset        { panic("unwritten") }

// Leader is the leader's node id (-1 if unknown), the epoch, and whether it is this node and ready.
func (p *Partition) Leader() (node int32, epoch int32, here bool) { panic("unwritten") }

// CheckEpoch compares a client's leader epoch: ErrFencedEpoch, ErrUnknownEpoch, ErrNotLeader or nil.
func (p *Partition) CheckEpoch(epoch int32) error { panic("unwritten") }

// Special timestamps of ListOffsets (KIP-405, KIP-734, KIP-1005, KIP-1023).
const (
	Latest                int64 = -1
	Earliest              int64 = -2
	MaxTimestamp          int64 = -3
	EarliestLocal         int64 = -4
	LatestTiered          int64 = -5
	EarliestPendingUpload int64 = -6
)

// OffsetAt answers ListOffsets: offset, timestamp (-1 for special values) and the epoch of the record at that offset. Offset -1 when there is none.
func (p *Partition) OffsetAt(timestamp int64, isolation Isolation, leaderEpoch int32) (log.Timed, error) {
	panic("unwritten")
}

// EpochEnd answers OffsetForLeaderEpoch; -1, -1 when the epoch is unknown.
func (p *Partition) EpochEnd(leaderEpoch, epoch int32) (int32, log.Offset, error) { panic("unwritten") }

// DeleteRecords moves the log start through a replicated trim and returns the low watermark. offset -1 means the high watermark.
func (p *Partition) DeleteRecords(ctx context.Context, offset log.Offset) (log.Offset, error) {
	panic("unwritten")
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

func (p *Partition) Producers() []Producer { panic("unwritten") }

// Configure replaces the run-time configuration. Enforce runs retention once (called by the broker's timer on leaders).
func (p *Partition) Configure(c Config)                { panic("unwritten") }
func (p *Partition) Enforce(ctx context.Context) error { panic("unwritten") }

// Size in bytes of all segments; Err is why the partition is offline, or nil.
func (p *Partition) Size() int64 { panic("unwritten") }
func (p *Partition) Err() error  { panic("unwritten") }

// Close writes a checkpoint, fails what is pending and closes the log. The group must have been closed first.
func (p *Partition) Close() error { panic("unwritten") }
