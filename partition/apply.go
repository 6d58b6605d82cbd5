package partition

import (
	"encoding/binary"
	"fmt"

	"github.com/barnabas-log/barnabas/log"
	"go.uber.org/zap"
)

// expireEach is how often Stored looks for producers to forget, in milliseconds.
const expireEach = 10 * 60 * 1000

// Stored reports entries that are in the local log, in index order, on leader and followers alike. acks 0 and 1 answer here. Driven by the group.
func (p *Partition) Stored(entries []Entry) {
	if len(entries) == 0 {
		return
	}
	now := p.now().UnixMilli()
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range entries {
		e := &entries[i]
		switch e.Kind {
		case log.KindBatch:
			p.producers.stored(log.Header(e.Data), e.BaseOffset, e.NextOffset, now)
			p.end = e.NextOffset
			p.sinceBytes += int64(e.Size)
		case log.KindCommand:
		default:
			continue // the group's own; they never come to Apply
		}
		p.last = position{e.Index, e.Term}
		if e.Token != 0 {
			p.storedLocked(e)
		}
	}
	p.settleDuplicatesLocked()
	if now >= p.nextExpiry {
		p.nextExpiry = now + expireEach
		p.producers.expire(now, p.config.Load().ProducerIDExpiry.Milliseconds())
	}
	if p.sinceBytes >= p.config.Load().CheckpointEachBytes {
		p.takeCheckpointLocked()
	}
}

// storedLocked notes where a proposal of this node went, and answers it when that is enough.
func (p *Partition) storedLocked(e *Entry) {
	d := p.queue.get(e.Token)
	if d == nil || d.term != e.Term {
		return // failed meanwhile
	}
	p.producers.unqueue(d)
	d.stored, d.index, d.next = true, e.Index, e.NextOffset
	if e.Kind == log.KindBatch {
		d.result.BaseOffset = e.BaseOffset
		if d.acks != AcksAll || answerWhenStored {
			d.resolveLocked(p.log.StartOffset(), nil)
			p.queue.drop(e.Token)
		}
	}
}

// Truncated reports that all entries from index on were removed; end is the log's end offset now. Only a replica that does not lead truncates, so
// what is pending fails. Driven by the group.
func (p *Partition) Truncated(from log.Index, end log.Offset) {
	if err := p.truncated(from, end); err != nil {
		p.logger.Error("producer state could not be rebuilt after a truncation", zap.Error(err))
		p.Failed(err)
	}
}

func (p *Partition) truncated(from log.Index, end log.Offset) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failAllLocked(ErrNotLeader)
	if l := p.leadership.Load(); l.here {
		p.changeLeadershipLocked(&leadership{term: l.term, node: -1})
	}
	if p.candidate != nil && p.candidate.Index >= from {
		p.candidate = nil
	}
	p.end = end
	if err := p.recoverLast(); err != nil {
		return err
	}
	producers, err := p.rebuild(end)
	if err != nil {
		return err
	}
	p.producers = producers
	return nil
}

// Apply reports committed entries, in index order. The only place where the high watermark moves; acks all answers here. Driven by the group.
func (p *Partition) Apply(entries []Entry) {
	if len(entries) == 0 {
		return
	}
	for i := len(entries) - 1; i >= 0; i-- {
		if entries[i].Kind == log.KindBatch {
			p.raiseHighWatermark(entries[i].NextOffset)
			break
		}
	}
	commands := false
	for i := range entries {
		if entries[i].Kind == log.KindCommand {
			commands = true
			if err := p.command(&entries[i]); err != nil {
				p.logger.Error("a committed command could not be carried out", zap.Uint64("index", uint64(entries[i].Index)), zap.Error(err))
				p.Failed(err)
				return
			}
		}
	}
	p.settle(entries, commands)
	p.watchers.wake()
}

// settle brings what waits up to date with entries, in one critical section.
func (p *Partition) settle(entries []Entry, commands bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := &entries[len(entries)-1]
	p.applied = position{last.Index, last.Term}
	p.answerCommittedLocked()
	p.settleDuplicatesLocked()
	if commands {
		p.answerCommandsLocked(entries)
		p.takeCheckpointLocked() // the log drops nothing behind the last checkpoint
	}
	p.startCheckpointLocked()
}

// answerCommittedLocked answers the appends that the high watermark has passed. Tokens, and so offsets, are in order.
func (p *Partition) answerCommittedLocked() {
	start, mark := p.log.StartOffset(), p.HighWatermark()
	for token := p.queue.first; token < p.queue.next; token++ {
		d := p.queue.get(token)
		if d == nil {
			continue
		}
		if !d.stored || d.next > mark {
			return
		}
		if d.result.BaseOffset < 0 {
			continue // a command; by its own token
		}
		d.resolveLocked(start, nil)
		p.queue.drop(token)
	}
}

func (p *Partition) answerCommandsLocked(entries []Entry) {
	start := p.log.StartOffset()
	for i := range entries {
		if e := &entries[i]; e.Kind == log.KindCommand && e.Token != 0 {
			if d := p.queue.get(e.Token); d != nil && d.index == e.Index {
				d.resolveLocked(start, nil)
				p.queue.drop(e.Token)
			}
		}
	}
}

func (p *Partition) raiseHighWatermark(to log.Offset) {
	if to > p.HighWatermark() { // Apply and Restore are never called at the same time
		p.highWatermark.Store(int64(to))
	}
}

// A command's first byte is 0xFF, which no batch starts with: there it is the top byte of an offset. Then its type and the version of its fields.
//
//	trim: 0xFF 1 0, new log start 8 bytes
const (
	commandMark = 0xFF
	commandTrim = 1
	trimVersion = 0
	trimSize    = 3 + 8
)

func encodeTrim(start log.Offset) []byte {
	return binary.BigEndian.AppendUint64([]byte{commandMark, commandTrim, trimVersion}, uint64(start))
}

func decodeTrim(b []byte) (log.Offset, error) {
	if len(b) < 3 || b[0] != commandMark || b[1] != commandTrim {
		return 0, fmt.Errorf("unknown command of %d bytes", len(b))
	}
	if b[2] != trimVersion || len(b) != trimSize {
		return 0, fmt.Errorf("trim of version %d in %d bytes", b[2], len(b))
	}
	return log.Offset(binary.BigEndian.Uint64(b[3:])), nil
}

// command carries out a committed command.
func (p *Partition) command(e *Entry) error {
	start, err := decodeTrim(e.Data)
	if err != nil {
		return err
	}
	return p.trim(start)
}
