// Package log is the segment log of one partition: Kafka record batches in files, and beside them the few Raft entries that are not batches. It
// knows nothing of Raft, brokers or the wire. The formats are drawn in docs/format.
//
// # What an entry is
//
// Every entry has a Raft index, counted from 1 without a gap, and a term. A batch is stored in a segment, bytes as they came but for the base offset and
// the leader epoch, which Append stamps; it takes as many Kafka offsets as it holds records. Any other entry is stored in ctl and takes none.
//
//	index     1      2       3       4      5       6
//	          no-op  batch   batch   no-op  batch   batch
//	          ctl    0..9    10..14  ctl    15      16..20     offsets
//
// # Durable when
//
// With SyncOnAppend, what Append returned is on stable storage: one write and one fdatasync a call, one more of ctl if the call holds an entry of
// ctl, which is synced before the batches that follow it. Where logs share a journal, a small append is synced there together with others, and its segment later (journaled.go). A large one to a log that nobody reads goes around the page cache. Without SyncOnAppend, batches are durable below SyncedOffset; ctl always is.
// Trim, TruncateSuffix, Reset and WriteCheckpoint are durable on return. A write or fsync that fails stops the log for ever (ErrFailed): what it left
// on the disk is unknown. Readers go on with what was readable before. Opening the log again finds out what is there.
//
// # Who may call what
//
// There is one writer: Append, TruncateSuffix, Trim, Reset, Roll and Close exclude each other, and callers should not rely on their order when
// they call them at the same time. Sync, Configure and WriteCheckpoint may be called beside them. Everything else is for any goroutine at any
// time and takes no lock: it sees an immutable list of segments, and a chunk stays readable until it is released, also when its segment is trimmed away.
//
// # Compaction
//
// Compact removes records of finished segments whose keys come again, and swaps new segments in while everything else goes on. Offsets and indexes stay as they are:
// removed batches become empty ones, runs of them one merged batch (merged.go), and Meta and Data still find each of them. Who has a segment open when it is
// replaced reads on in the old file; who opens one after that is sent to look again.
//
// # After a crash
//
// Open scans from the recovery point, a position that is known to be durable and moves every 4 MiB, checks every checksum there, cuts the first
// batch that is torn with everything after it, and drops the entries of ctl that would follow. Before the recovery point nothing is repaired: a damage
// that is found there is a *CorruptError with file and position, for the replica to be fetched anew. Indexes are rebuilt when they do not fit, a damaged checkpoint is done without.
//
// # Damage
//
// Scrub reads a segment again and finds what has changed since it was written. Index files that mislead are got around by reading from the segment's beginning, and made anew by Scrub. PlanRepair
// says what can be saved of a directory that Open refuses, and Salvage.Apply makes a log of it.
package log
