package log

// Index is a position in the Raft log of one partition, counted from 1. Every entry, batch or not, has one.
type Index uint64

// Term is a Raft term. A batch carries it as its partition leader epoch.
type Term uint64

// Offset is a Kafka offset: records are numbered densely from 0.
type Offset int64

// Kind says what an entry is, and with it where its bytes live.
type Kind uint8

const (
	// KindBatch is one Kafka v2 record batch, stored in a segment. It consumes as many offsets as it holds records.
	KindBatch Kind = iota
	// KindNoop, KindBarrier and KindConfiguration are Raft's own entries. They are stored in ctl and consume no offset.
	KindNoop
	KindBarrier
	KindConfiguration
	// KindCommand is a partition's own command (a trim). It is stored in ctl and consumes no offset.
	KindCommand
)

// Entry is one entry to append. For KindBatch, Data is exactly one v2 record batch; Append stamps its base offset and partition
// leader epoch in place (both lie outside the batch's CRC).
type Entry struct {
	Index Index
	Term  Term
	Kind  Kind
	Data  []byte
}

// Meta locates a stored entry.
type Meta struct {
	Index Index
	Term  Term
	Kind  Kind
	// BaseOffset is the first offset of a batch. For other kinds it equals NextOffset.
	BaseOffset Offset
	// NextOffset is the offset that follows the entry.
	NextOffset Offset
	// Size is the length of the entry's data in bytes.
	Size int
}

// Checkpoint is a durable statement that everything up to Index has been applied, with the state that goes with it.
type Checkpoint struct {
	Index         Index
	Term          Term
	HighWatermark Offset
	// State is opaque to the log: the partition's encoded producer state at HighWatermark.
	State []byte
}

// Floor is what precedes the first entry of a log: what remains to be known of everything that was removed.
type Floor struct {
	// Index and Term are those of the last entry that is no longer in the log (0, 0 for a log that is whole).
	Index Index
	Term  Term
	// Offset is the offset of the first batch that the log holds or will hold.
	Offset Offset
	// Start is the log start offset: what clients may read from. Offset <= Start, unless the log is empty.
	Start Offset
	// Configuration is the encoded Raft configuration in force at Index, opaque to the log.
	Configuration      []byte
	ConfigurationIndex Index
	// State is the partition's encoded producer state at Offset, for a follower that starts from here. May be empty.
	State []byte
}

// EpochStart says at which offset a leader epoch began.
type EpochStart struct {
	Epoch  int32
	Offset Offset
}

// Stored is an entry in its place, as the consensus layer reports it to the state machine that it drives.
type Stored struct {
	Meta
	// Data is the batch, valid during the call only, when the entry has just been stored; the command of a KindCommand entry when it is
	// applied; nil otherwise.
	Data []byte
	// Token is the one that a local proposal carried, or 0.
	Token uint64
}
