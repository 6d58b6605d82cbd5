package coordinator

import "time"

// Record is one record of the internal topic. A nil Value deletes the key.
type Record struct {
	Key, Value []byte
}

// Caller is who waits for an answer. A machine may keep it as long as it likes and answers it once, through Effects.Reply; not to answer is right
// only for a caller that has been replaced by another or that the machine was never asked about.
type Caller struct {
	answer chan any // capacity 1: the answer never blocks the shard, not even when nobody waits any more
}

// NewCaller makes a caller that no runtime knows, for tests of machines.
func NewCaller() *Caller { return &Caller{answer: make(chan any, 1)} }

// Reply is one answer to one caller.
type Reply struct {
	Caller *Caller
	Answer any
}

// Effects collects what a machine wants done. Records of one event are written in one batch, in order. Replies leave after the records that precede them are
// committed.
type Effects struct {
	Records []Record
	Replies []Reply
}

// Write adds a record.
func (e *Effects) Write(r Record) { e.Records = append(e.Records, r) }

// Reply adds an answer. A nil caller is nobody.
func (e *Effects) Reply(to *Caller, answer any) {
	if to != nil {
		e.Replies = append(e.Replies, Reply{Caller: to, Answer: answer})
	}
}

func (e *Effects) reset() {
	clear(e.Records)
	clear(e.Replies)
	e.Records, e.Replies = e.Records[:0], e.Replies[:0]
}

// Machine is the state of one shard. One goroutine calls it. No call may block, read a clock, or take long: work that grows with the size of the state
// is cut into pieces that follow each other through Next and Tick.
type Machine interface {
	// Replay applies one committed record, in log order, before Loaded. The slices are the machine's to read during the call only. An error means that the record
	// makes no sense: it is skipped, and the log says so.
	Replay(r Record) error
	// Loaded follows the last Replay.
	Loaded(now time.Time, out *Effects)
	// Handle takes one message. caller is nil for a notice that nobody waits for.
	Handle(now time.Time, caller *Caller, message any, out *Effects)
	// Tick does what has become due.
	Tick(now time.Time, out *Effects)
	// Next says when Tick has something to do; false: never. It may be early.
	Next() (time.Time, bool)
}
