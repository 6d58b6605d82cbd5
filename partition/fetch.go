package partition

import (
	"errors"
	"fmt"

	"github.com/barnabas-log/barnabas/log"
	"go.uber.org/zap"
)

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

// Read clamps to the high watermark or last stable offset. With an error, the offsets in Records are still filled where known (-1 otherwise). It answers on
// followers too, up to what they know to be committed; whether that is allowed is for the caller to say. Takes no lock.
func (p *Partition) Read(r Read) (Records, error) {
	l := p.leadership.Load()
	if err := p.mayRead(l); err != nil {
		return Records{HighWatermark: -1, LastStable: -1, LogStart: -1}, err
	}
	start, mark := p.log.StartOffset(), p.HighWatermark() // in this order: the start never passes the mark
	out := Records{HighWatermark: mark, LastStable: mark, LogStart: start}
	if err := l.compare(r.LeaderEpoch); err != nil {
		return out, err
	}
	if r.LastFetchedEpoch >= 0 {
		diverging, err := p.diverging(l, r)
		if err != nil || diverging != nil {
			out.Diverging = diverging
			return out, err
		}
	}
	limit := min(p.limit(r.Isolation, mark), p.log.EndOffset())
	if r.Offset < start {
		return out, ErrOffsetOutOfRange
	}
	if r.Offset >= limit {
		return out, p.beyond(l, r.Offset, limit)
	}
	chunk, err := p.log.Read(r.Offset, limit, r.MaxBytes, r.AtLeastOne)
	if err != nil {
		return out, p.readError(err)
	}
	out.Chunk = chunk
	return out, nil
}

// beyond judges an offset at or past what may be read. On the leader the next one is simply not there yet, and so are records that are not committed yet: an
// acks=1 producer may know their offsets. A follower may lag behind the leader that the reader knew.
func (p *Partition) beyond(l *leadership, offset, limit log.Offset) error {
	switch {
	case offset == limit, l.here && offset <= p.log.EndOffset():
		return nil
	case l.here:
		return ErrOffsetOutOfRange
	}
	return ErrOffsetNotAvailable
}

// limit is the end of what a reader may see.
func (p *Partition) limit(isolation Isolation, mark log.Offset) log.Offset {
	if isolation == ReadCommitted {
		return min(mark, p.LastStable())
	}
	return mark
}

// diverging compares the reader's history with ours.
func (p *Partition) diverging(l *leadership, r Read) (*log.EpochStart, error) {
	epoch, end := p.epochEnd(l, r.LastFetchedEpoch)
	if epoch < 0 {
		return nil, fmt.Errorf("%w: last fetched epoch %d is unknown", ErrOffsetOutOfRange, r.LastFetchedEpoch)
	}
	if epoch < r.LastFetchedEpoch || end < r.Offset {
		return &log.EpochStart{Epoch: epoch, Offset: end}, nil
	}
	return nil, nil
}

// Recheck looks whether the records of a chunk, which came from Read, are there, after sending them has met the end of their file. The damage is reported as if Read had found it.
func (p *Partition) Recheck(c *log.Chunk) {
	if err := c.Recheck(); err != nil {
		p.logger.Warn("records could not be sent: their file is damaged", zap.Error(err))
		p.suspect(err)
	}
}

// readError says what a failure of the log means to a reader.
func (p *Partition) readError(err error) error {
	switch {
	case errors.Is(err, log.ErrOutOfRange): // trimmed or truncated while we looked
		return fmt.Errorf("%w: %w", ErrOffsetOutOfRange, err)
	case errors.Is(err, log.ErrClosed):
		return fmt.Errorf("%w: %w", ErrClosed, err)
	}
	p.suspect(err)
	return fmt.Errorf("%w: %w", ErrStorage, err)
}
