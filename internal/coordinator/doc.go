// Package coordinator is the runtime that the coordinators share: state kept in memory as a projection of an internal topic.
//
// Each partition of the topic that this node leads is a shard. A shard has one goroutine that owns a Machine, the pure state machine of a coordinator: no
// lock, no clock, no I/O. A shard's life:
//
//	Lead ──> load (replay the partition up to its high watermark) ──> serve ──> Resign
//	              ^                                                     │
//	              └────────────── a write failed ──────────────────────┘
//
// While it serves, a shard takes one message or due timer at a time, lets the machine change its state, and collects what the machine wants written and
// answered. Records are written in batches, one in flight: what many callers ask for while a batch is being made durable travels in the next one. An answer
// leaves when everything that was written before it, by anyone in the shard, is committed: nobody is told what a crash could take back.
//
// The machine therefore runs ahead of its log by at most two batches. When a write fails, the machine is thrown away with everyone who waits
// (ErrNotCoordinator or ErrUnavailable, both retried by clients) and the shard loads again from what is committed.
package coordinator
