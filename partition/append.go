package partition

import (
	"fmt"

	"github.com/barnabas-log/barnabas/log"
	"go.uber.org/zap"
)

// Acks says how far a record must have got before it is acknowledged.
type Acks int8

const (
	AcksNone   Acks = 0
	AcksLeader Acks = 1
	AcksAll    Acks = -1
)

// Append validates one v2 record batch as a client sent it, checks its sequence, and proposes it. It returns as soon as the batch is queued, in order. An error
// means that nothing was appended.
//
// batch is written from where it lies, and stamped in place: it must not be touched until the Pending is resolved. When that fails, the batch may still be
// on its way to the disk, so its memory must never be used for anything else; leave it to the garbage collector.
func (p *Partition) Append(batch []byte, acks Acks) (*Pending, error) {
	return p.append(batch, acks, validator{})
}

// AppendSummed is Append for whoever has computed the CRC-32C of batch[log.ChecksumFrom:] already.
func (p *Partition) AppendSummed(batch []byte, sum uint32, acks Acks) (*Pending, error) {
	return p.append(batch, acks, validator{summed: true, sum: sum})
}

func (p *Partition) append(batch []byte, acks Acks, v validator) (*Pending, error) {
	if err := p.mayAppend(acks, len(batch)); err != nil {
		return nil, err
	}
	v.config, v.now = p.config.Load(), p.now().UnixMilli()
	batch, appendTime, err := v.client(batch)
	if err != nil {
		return nil, err
	}
	return p.propose(batch, acks, appendTime, v.now)
}

// AppendInternal is Append for batches that this broker made itself (coordinators, control batches): the checks on control bits, size and timestamps are left out.
func (p *Partition) AppendInternal(batch []byte, acks Acks) (*Pending, error) {
	if err := p.mayAppend(acks, len(batch)); err != nil {
		return nil, err
	}
	v := validator{config: p.config.Load(), now: p.now().UnixMilli()}
	if err := v.internal(batch); err != nil {
		return nil, err
	}
	return p.propose(batch, acks, -1, v.now)
}

// NextPosition is where in its file the batch that is appended next will probably begin, in bytes; -1 where that is not known. A batch that lies at the same place in a page of memory need
// not be moved on its way to the disk. Safe from any goroutine.
func (p *Partition) NextPosition() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.log.NextPosition()
	if at < 0 {
		return -1
	}
	for token := p.queue.next - 1; token >= p.queue.first; token-- {
		switch d := p.queue.get(token); {
		case d == nil: // it failed
		case d.stored:
			return at
		default:
			at += int64(d.size)
		}
	}
	return at
}

// mayAppend refuses early what need not be looked at.
func (p *Partition) mayAppend(acks Acks, bytes int) error {
	if err := p.Err(); err != nil {
		return err
	}
	if !p.leadership.Load().here {
		return ErrNotLeader
	}
	if acks == AcksAll && p.inSync != nil {
		if need, have := p.config.Load().MinInsyncReplicas, p.inSync(); have < need {
			return fmt.Errorf("%w: %d of %d", ErrNotEnoughReplicas, have, need)
		}
	}
	if p.room != nil {
		return p.room(bytes)
	}
	return nil
}

// propose registers a valid batch and hands it to the group.
func (p *Partition) propose(batch []byte, acks Acks, appendTime, now int64) (*Pending, error) {
	h := log.Header(batch)
	d := &Pending{done: make(chan struct{}), acks: acks, size: len(batch), result: AppendResult{BaseOffset: -1, AppendTime: appendTime, LogStart: -1}}
	d.sequence = sequence{id: -1}
	if h.ProducerID() >= 0 && !h.Control() {
		d.sequence = sequenceOf(h)
	}
	p.queueMu.Lock()
	defer p.queueMu.Unlock()
	if duplicate, err := p.register(d, now); duplicate || err != nil {
		if err != nil {
			return nil, err
		}
		return d, nil
	}
	if err := p.proposer.Propose(batch, d.token); err != nil {
		return nil, p.withdraw(d, err)
	}
	return d, nil
}

// register checks the sequence of d and queues it, or ties it to the batch that it repeats. queueMu is held.
func (p *Partition) register(d *Pending, now int64) (duplicate bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.Err(); err != nil {
		return false, err
	}
	l := p.leadership.Load()
	if !l.here {
		return false, ErrNotLeader
	}
	d.term = l.term
	if d.sequence.numbered() {
		stored, queued, err := p.producers.check(d.sequence, now, p.config.Load().ProducerIDExpiry.Milliseconds())
		switch {
		case err != nil:
			return false, err
		case stored != nil:
			p.repeatStoredLocked(d, stored.base, stored.next())
			return true, nil
		case queued != nil:
			d.original = queued
			p.duplicates = append(p.duplicates, d)
			return true, nil
		}
		p.producers.queue(d)
	}
	p.queue.add(d)
	return false, nil
}

// repeatStoredLocked answers d with the place of the batch that it repeats: at once, or once that is committed.
func (p *Partition) repeatStoredLocked(d *Pending, base, next log.Offset) {
	d.stored, d.next, d.result.BaseOffset = true, next, base
	if d.acks != AcksAll || next <= p.HighWatermark() {
		d.resolveLocked(p.log.StartOffset(), nil)
		return
	}
	p.duplicates = append(p.duplicates, d)
}

// withdraw undoes register after the group refused the proposal. queueMu is held, so d is still the newest.
func (p *Partition) withdraw(d *Pending, cause error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	err := fmt.Errorf("%w: %w", ErrNotLeader, cause)
	if !d.resolved {
		p.queue.drop(d.token)
		p.failLocked(d, p.log.StartOffset(), err)
	}
	if failure := p.Err(); failure != nil {
		return failure
	}
	return err
}

// Admit is asked on the leader, in log order, before a local proposal is stored in term. false: nobody waits for it any more (it was queued in an earlier
// leadership); the log store then stores a no-op in its place. Driven by the group.
func (p *Partition) Admit(token uint64, term log.Term) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	d := p.queue.get(token)
	if d == nil || d.admitted || d.term != term {
		return false
	}
	for earlier := p.queue.admit; earlier < token; earlier++ {
		if p.queue.get(earlier) != nil {
			// A proposal was lost on the way without a Resign. Storing this one could leave a gap behind it.
			p.logger.Warn("a proposal was passed over; failing all that are queued", zap.Uint64("token", earlier))
			p.failQueuedLocked(earlier)
			return false
		}
	}
	d.admitted = true
	p.queue.admit = token + 1
	return true
}

// failQueuedLocked fails every pending from token on.
func (p *Partition) failQueuedLocked(token uint64) {
	start := p.log.StartOffset()
	for ; token < p.queue.next; token++ {
		if d := p.queue.get(token); d != nil {
			p.failLocked(d, start, ErrNotLeader)
			p.queue.drop(token)
		}
	}
	p.queue.admit = p.queue.next
	p.settleDuplicatesLocked()
}

// settleDuplicatesLocked follows up on the duplicates after their originals were stored, committed or failed.
func (p *Partition) settleDuplicatesLocked() {
	if len(p.duplicates) == 0 {
		return
	}
	start, mark := p.log.StartOffset(), p.HighWatermark()
	keep := p.duplicates[:0]
	for _, d := range p.duplicates {
		if o := d.original; o != nil {
			switch {
			case o.stored:
				d.stored, d.index, d.next, d.result.BaseOffset = true, o.index, o.next, o.result.BaseOffset
				d.original = nil
			case o.resolved:
				d.resolveLocked(start, o.err)
			}
		}
		if d.stored && (d.acks != AcksAll || d.next <= mark) {
			d.resolveLocked(start, nil)
		}
		if !d.resolved {
			keep = append(keep, d)
		}
	}
	clear(p.duplicates[len(keep):])
	p.duplicates = keep
}
