package log

import (
	"time"
)

// Config is what may change while a log is open. Units are in the names; zero values mean Kafka's defaults.
type Config struct {
	SegmentBytes       int64         // segment.bytes
	SegmentAge         time.Duration // segment.ms, judged by batch timestamps so that all replicas roll alike
	SegmentIndexBytes  int64         // segment.index.bytes
	IndexIntervalBytes int64         // index.interval.bytes
	FlushMessages      int64         // flush.messages, only when SyncOnAppend is off
	FlushAge           time.Duration // flush.ms, only when SyncOnAppend is off
	// SyncOnAppend: Append returns only after the data is on stable storage. The default of the product.
	SyncOnAppend bool
}

// Log is the segment log of one partition. See doc.go for the contract.
type Log struct{}

func Open(dir string, opts Options) (*Log, error) { panic("unwritten") }

// Options are fixed at Open.
type Options struct{ Config Config }

// Append stores entries, whose indexes must follow LastIndex without a gap. It stamps base offset and leader epoch into each batch in place.
// On return they are readable, and durable if SyncOnAppend. Any failure is fatal to this log: later calls return ErrFailed.
// Single writer: Append, TruncateSuffix, Reset and Close are never called concurrently with each other.
func (l *Log) Append(entries []Entry) ([]Meta, error) { panic("unwritten") }

// FirstIndex is the first index held; LastIndex+1 when empty. Floor().Index+1 always.
func (l *Log) FirstIndex() Index { panic("unwritten") }

// LastIndex is the last index held, or Floor().Index when empty.
func (l *Log) LastIndex() Index { panic("unwritten") }

// Meta locates the entry at i, or returns ErrNotFound.
func (l *Log) Meta(i Index) (Meta, error) { panic("unwritten") }

// Data appends the bytes of the entry to dst, after checking that it still is the one that m describes (index and term).
// ErrNotFound when it was truncated or trimmed away meanwhile.
func (l *Log) Data(dst []byte, m Meta) ([]byte, error) { panic("unwritten") }

// TruncateSuffix removes every entry from index i on (a Raft conflict). .log first, then ctl.
func (l *Log) TruncateSuffix(i Index) error { panic("unwritten") }

// Trim moves the log start offset to start (never backwards, never past EndOffset) and drops segments that lie wholly before it,
// but never an entry after keep. Durable on return. State is the producer state for Floor.State.
func (l *Log) Trim(start Offset, keep Index, state []byte) error { panic("unwritten") }

// Reset discards everything and starts after floor (a snapshot was installed).
func (l *Log) Reset(floor Floor) error { panic("unwritten") }

// Floor is what precedes the first entry.
func (l *Log) Floor() Floor { panic("unwritten") }

// StartOffset is the log start offset, EndOffset the offset that the next record gets. Safe from any goroutine.
func (l *Log) StartOffset() Offset { panic("unwritten") }
func (l *Log) EndOffset() Offset   { panic("unwritten") }

// Read returns whole batches from the one that contains offset from, none that reaches limit or beyond, at most maxBytes of them; the first batch is
// returned even when it is larger, if atLeastOne. One call reads from one segment. nil, nil when from == limit.
// ErrOutOfRange when from is before StartOffset or after limit. The chunk must be released. Never takes a lock.
func (l *Log) Read(from, limit Offset, maxBytes int, atLeastOne bool) (*Chunk, error) {
	panic("unwritten")
}

// Scan calls f with the header of every batch from the one that contains from to the end, until f returns false.
func (l *Log) Scan(from Offset, f func(Header) bool) error { panic("unwritten") }

// Timed is the answer to a search by time.
type Timed struct {
	Offset    Offset
	Timestamp int64 // milliseconds since 1970
	Epoch     int32 // leader epoch of the batch found
}

// OffsetForTime finds the first record with a timestamp of at least ms and an offset in [StartOffset, limit). ok is false if there is none.
func (l *Log) OffsetForTime(ms int64, limit Offset) (t Timed, ok bool, err error) { panic("unwritten") }

// MaxTimestamp finds the first record that carries the largest timestamp in [StartOffset, limit).
func (l *Log) MaxTimestamp(limit Offset) (t Timed, ok bool, err error) { panic("unwritten") }

// EpochOf is the leader epoch of the record at o (KIP-320: also for the log start).
func (l *Log) EpochOf(o Offset) (int32, bool) { panic("unwritten") }

// EpochEnd is the largest known epoch <= epoch and the offset at which it ended; ok is false when none is known.
func (l *Log) EpochEnd(epoch int32) (e int32, end Offset, ok bool) { panic("unwritten") }

// Epochs is the epoch table, oldest first.
func (l *Log) Epochs() []EpochStart { panic("unwritten") }

// WriteCheckpoint replaces the checkpoint atomically and durably. Safe beside Append.
func (l *Log) WriteCheckpoint(c Checkpoint) error { panic("unwritten") }

// Checkpoint is the one last written, or the zero value.
func (l *Log) Checkpoint() Checkpoint { panic("unwritten") }

// SegmentInfo describes one segment, oldest first, the active one last.
type SegmentInfo struct {
	BaseOffset, NextOffset Offset
	LastIndex              Index
	Bytes                  int64
	MaxTimestamp           int64
	Active                 bool
}

func (l *Log) Segments() []SegmentInfo { panic("unwritten") }

// Size is the bytes of all segments; SyncedOffset the offset below which everything is on stable storage.
func (l *Log) Size() int64          { panic("unwritten") }
func (l *Log) SyncedOffset() Offset { panic("unwritten") }

// Sync forces everything appended to stable storage.
func (l *Log) Sync() error { panic("unwritten") }

// Roll closes the active segment if it holds anything.
func (l *Log) Roll() error { panic("unwritten") }

// Configure replaces the run-time configuration from the next batch on.
func (l *Log) Configure(c Config) { panic("unwritten") }

// Dir is the partition's directory.
func (l *Log) Dir() string { panic("unwritten") }

// Err is why the log stopped (a failed write or fsync), or nil.
func (l *Log) Err() error { panic("unwritten") }

func (l *Log) Close() error { panic("unwritten") }
