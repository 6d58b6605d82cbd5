package partition

import (
	"fmt"
	"math"
	"slices"

	"github.com/barnabas-log/barnabas/log"
)

const (
	// rememberedBatches is how many batches of a producer can be recognized when they come again.
	rememberedBatches = 5
	noEpoch           = int16(-1)
	noSequence        = int32(-1)
)

// producers is what a partition remembers of the idempotent producers. It is pure: no lock, no clock; Partition.mu guards it.
//
// What is stored follows from the batch headers in the log alone. What is queued (proposed and not yet stored) hangs on it as a list for each producer.
type producers struct {
	byID map[int64]*producer
	// offset: all batches below it are contained in the state; stored ignores them when they come again.
	offset log.Offset
}

// producer is one producer id. epoch is noEpoch while nothing of it is stored.
type producer struct {
	id               int64
	epoch            int16
	count            int8  // of batches
	coordinatorEpoch int32 // of the last transaction marker, -1
	lastTimestamp    int64 // largest timestamp of the last batch, milliseconds
	lastSeen         int64 // when the last batch was stored here, milliseconds; expiry counts from it
	// run is how many sequence numbers, ending with the last one, are known to have been stored in this epoch without a gap.
	run      int64
	txnStart log.Offset // first offset of the open transaction, -1
	batches  [rememberedBatches]sequenced

	oldest, newest *Pending // the batches that are queued, in order
}

// sequenced is a remembered batch.
type sequenced struct {
	first, last int32
	base        log.Offset
}

// next is the offset behind the batch.
func (s sequenced) next() log.Offset { return s.base + log.Offset(sequenceSpan(s.first, s.last)) }

// Sequence numbers count from 0 to 2^31-1 and then from 0 again.
func sequenceAfter(s int32, count int32) int32 {
	return int32((uint32(s) + uint32(count)) & math.MaxInt32)
}
func sequenceSpan(first, last int32) int64 {
	return int64((uint32(last)-uint32(first))&math.MaxInt32) + 1
}

func newProducers() *producers { return &producers{byID: make(map[int64]*producer)} }

func newProducer(id int64) *producer {
	return &producer{id: id, epoch: noEpoch, coordinatorEpoch: -1, txnStart: -1}
}

// sequence is what identifies a batch of an idempotent producer.
type sequence struct {
	id          int64
	epoch       int16
	first, last int32
}

func sequenceOf(h log.Header) sequence {
	s := sequence{id: h.ProducerID(), epoch: h.ProducerEpoch(), first: h.BaseSequence(), last: noSequence}
	if s.first >= 0 {
		s.last = sequenceAfter(s.first, h.LastOffsetDelta())
	}
	return s
}

// numbered says whether the batch takes part in the sequence check.
func (s sequence) numbered() bool { return s.id >= 0 && s.first >= 0 }

// check says what an append of s means now, queued batches included. nil, nil, nil: it is the next one. Otherwise it is a batch that is stored (duplicate) or
// queued already, or it is refused. Producers that were not seen for longer than expiry are unknown.
func (ps *producers) check(s sequence, now, expiry int64) (stored *sequenced, queued *Pending, err error) {
	pr := ps.byID[s.id]
	if pr != nil && pr.expired(now, expiry) {
		delete(ps.byID, s.id)
		pr = nil
	}
	if pr == nil {
		if ps.offset == 0 && s.first != 0 {
			return nil, nil, fmt.Errorf("%w: producer %d starts an empty partition with %d", ErrOutOfOrderSequence, s.id, s.first)
		}
		return nil, nil, nil
	}
	epoch, last := pr.tail()
	switch {
	case s.epoch < epoch:
		return nil, nil, fmt.Errorf("%w: producer %d has epoch %d, the batch %d", ErrInvalidEpoch, s.id, epoch, s.epoch)
	case s.epoch > epoch && s.first != 0:
		return nil, nil, fmt.Errorf("%w: producer %d starts epoch %d with %d", ErrOutOfOrderSequence, s.id, s.epoch, s.first)
	case s.epoch > epoch, last == noSequence && s.first == 0, last != noSequence && s.first == sequenceAfter(last, 1):
		return nil, nil, nil
	}
	return pr.repeated(s, last)
}

// repeated judges a batch that is not the next one, in the producer's present epoch.
func (pr *producer) repeated(s sequence, last int32) (*sequenced, *Pending, error) {
	run := int64(0)
	d := pr.newest
	for ; d != nil && d.sequence.epoch == s.epoch; d = d.earlier {
		if d.sequence.first == s.first && d.sequence.last == s.last {
			return nil, d, nil
		}
		run += sequenceSpan(d.sequence.first, d.sequence.last)
	}
	if d == nil && pr.epoch == s.epoch {
		for i := pr.count - 1; i >= 0; i-- {
			if b := &pr.batches[i]; b.first == s.first && b.last == s.last {
				return b, nil, nil
			}
		}
		run += pr.run
	}
	// All of it lies in what is known to be stored (or queued): the client may take it as written. A gap otherwise.
	if last != noSequence && sequenceSpan(s.first, last) <= min(run, math.MaxInt32) && sequenceSpan(s.first, last) >= sequenceSpan(s.first, s.last) {
		return nil, nil, fmt.Errorf("%w: producer %d sent %d to %d, the last is %d", ErrDuplicateSequence, s.id, s.first, s.last, last)
	}
	return nil, nil, fmt.Errorf("%w: producer %d sent %d to %d, the last is %d", ErrOutOfOrderSequence, s.id, s.first, s.last, last)
}

// tail is the epoch and the last sequence number, queued batches included.
func (pr *producer) tail() (epoch int16, last int32) {
	if pr.newest != nil {
		return pr.newest.sequence.epoch, pr.newest.sequence.last
	}
	return pr.epoch, pr.lastSequence()
}

func (pr *producer) lastSequence() int32 {
	if pr.count == 0 {
		return noSequence
	}
	return pr.batches[pr.count-1].last
}

func (pr *producer) expired(now, expiry int64) bool {
	return pr.newest == nil && pr.txnStart < 0 && pr.epoch != noEpoch && now-pr.lastSeen > expiry
}

// queue puts d behind its producer's batches.
func (ps *producers) queue(d *Pending) {
	pr := ps.byID[d.sequence.id]
	if pr == nil {
		pr = newProducer(d.sequence.id)
		ps.byID[pr.id] = pr
	}
	d.earlier = pr.newest
	if pr.newest != nil {
		pr.newest.later = d
	} else {
		pr.oldest = d
	}
	pr.newest = d
	d.queued = true
}

// unqueue takes d off the list again: it is stored now, or never will be.
func (ps *producers) unqueue(d *Pending) {
	if !d.queued {
		return
	}
	d.queued = false
	pr := ps.byID[d.sequence.id]
	if d.earlier != nil {
		d.earlier.later = d.later
	} else {
		pr.oldest = d.later
	}
	if d.later != nil {
		d.later.earlier = d.earlier
	} else {
		pr.newest = d.earlier
	}
	d.earlier, d.later = nil, nil
	if pr.newest == nil && pr.epoch == noEpoch {
		delete(ps.byID, pr.id)
	}
}

// stored takes in a batch that is in the log now, at [base, next).
func (ps *producers) stored(h log.Header, base, next log.Offset, now int64) {
	if next <= ps.offset {
		return
	}
	ps.offset = next
	s := sequenceOf(h)
	if s.id < 0 {
		return
	}
	pr := ps.byID[s.id]
	if pr == nil {
		pr = newProducer(s.id)
		ps.byID[s.id] = pr
	}
	pr.lastTimestamp, pr.lastSeen = h.MaxTimestamp(), now
	switch {
	case h.Control(), s.first < 0: // a marker carries the epoch, no sequence
		if s.epoch != pr.epoch {
			pr.restart(s.epoch)
		}
		return
	case s.epoch != pr.epoch, pr.count > 0 && s.first != sequenceAfter(pr.lastSequence(), 1):
		pr.restart(s.epoch) // the log is right: the leader had forgotten the producer, say
	}
	pr.remember(sequenced{first: s.first, last: s.last, base: base})
}

func (pr *producer) restart(epoch int16) {
	pr.epoch, pr.count, pr.run = epoch, 0, 0
}

func (pr *producer) remember(b sequenced) {
	if pr.count == rememberedBatches {
		copy(pr.batches[:], pr.batches[1:])
		pr.count--
	}
	pr.batches[pr.count] = b
	pr.count++
	pr.run = min(pr.run+sequenceSpan(b.first, b.last), math.MaxInt32)
}

// expire forgets producers that were not seen for longer than expiry (milliseconds).
func (ps *producers) expire(now, expiry int64) {
	for id, pr := range ps.byID {
		if pr.expired(now, expiry) {
			delete(ps.byID, id)
		}
	}
}

// list describes the producers of which something is stored, by id.
func (ps *producers) list() []Producer {
	all := make([]Producer, 0, len(ps.byID))
	for _, pr := range ps.sorted() {
		all = append(all, Producer{
			ID: pr.id, Epoch: pr.epoch, LastSequence: pr.lastSequence(), LastTimestamp: pr.lastTimestamp,
			CoordinatorEpoch: pr.coordinatorEpoch, TxnStartOffset: pr.txnStart,
		})
	}
	return all
}

// sorted gives the producers of which something is stored, by id.
func (ps *producers) sorted() []*producer {
	all := make([]*producer, 0, len(ps.byID))
	for _, pr := range ps.byID {
		if pr.epoch != noEpoch {
			all = append(all, pr)
		}
	}
	slices.SortFunc(all, func(a, b *producer) int {
		if a.id < b.id {
			return -1
		}
		return 1
	})
	return all
}
