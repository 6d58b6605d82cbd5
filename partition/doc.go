// Package partition says what a partition means: offsets, visibility, producers, waiting readers.
//
// A Partition sits between the protocol and the coordinators, which append and read, and the consensus group, which stores, commits and drives it. It knows
// nothing of Raft: it declares the Proposer that it needs, and the group calls the methods listed under "driven by the consensus group".
//
// # Offsets
//
//	log start <= last stable offset <= high watermark <= log end
//
// Log start is moved only by Apply of a trim command. The high watermark is moved only by Apply (and by Restore, to the place of the snapshot), never
// back. Log end is the log's: Stored and Truncated report its changes. Without transactions the last stable offset is the high watermark.
//
// # The life of an append
//
// Append validates outside any lock, then takes the queue lock, checks the producer's sequence, registers a Pending under a new token and proposes the batch;
// the queue lock makes the order of the sequence checks the order of the proposals. The group asks Admit for every proposal in log order right before it is
// stored, and reports it through Stored (acks 0 and 1 answer) and Apply (acks all answers). Resign fails whatever is left.
//
// A proposal is stored only in the very term in which its sequence was checked, and only if all earlier ones of that term were: Admit sees to both.
// So a batch that was refused can never be followed by a later one of the same producer that is stored.
//
// A failed Pending says nothing of the batch: it may be stored, and even be committed by a later leader. Whoever sends it again with the same sequence
// gets the place of the first one.
//
// # Producers
//
// What is remembered of a producer is a function of the batch headers in the local log, in order: updated in Stored, rebuilt from the checkpoint and the
// headers after it at Open and in Truncated. On top of it, on a leader, lie the batches that are proposed and not yet stored; Resign drops them.
// An encoded state carries the offset up to which batches are contained in it; a batch below that offset changes nothing.
//
// # Checkpoints
//
// A checkpoint is taken of the state as stored and written only once everything in it is committed, so that no truncation can reach behind it. The log drops
// no entry after the last checkpoint, so the state can always be rebuilt.
//
// # Locks
//
//	queueMu → mu → watchers.mu
//
// queueMu is held across Propose, which may wait; no method that the group calls takes it. mu guards what the leader remembers and the producers; it is never
// held across a write. Readers take no lock.
package partition
