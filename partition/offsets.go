package partition

import (
	"fmt"

	"github.com/barnabas-log/barnabas/log"
)

// Special timestamps of ListOffsets (KIP-405, KIP-734, KIP-1005, KIP-1023).
const (
	Latest                int64 = -1
	Earliest              int64 = -2
	MaxTimestamp          int64 = -3
	EarliestLocal         int64 = -4
	LatestTiered          int64 = -5
	EarliestPendingUpload int64 = -6
)

// none is the answer when there is no such record.
var none = log.Timed{Offset: -1, Timestamp: -1, Epoch: -1}

// OffsetAt answers ListOffsets: offset, timestamp (-1 for special values) and the epoch of the record at that offset. Offset -1 when there is none. Only the
// leader answers; while it is elected and not yet ready, with ErrOffsetNotAvailable.
func (p *Partition) OffsetAt(timestamp int64, isolation Isolation, leaderEpoch int32) (log.Timed, error) {
	if err := p.checkReady(leaderEpoch); err != nil {
		return none, err
	}
	l := p.leadership.Load()
	limit := p.limit(isolation, p.HighWatermark())
	switch timestamp {
	case Latest:
		return log.Timed{Offset: limit, Timestamp: -1, Epoch: int32(l.term)}, nil
	case Earliest, EarliestLocal:
		start := p.log.StartOffset()
		return log.Timed{Offset: start, Timestamp: -1, Epoch: p.epochAt(start)}, nil
	case MaxTimestamp:
		return p.found(p.log.MaxTimestamp(limit))
	case LatestTiered, EarliestPendingUpload:
		return none, nil // nothing is tiered
	}
	if timestamp < 0 {
		return none, fmt.Errorf("%w: %d", ErrUnsupportedVersion, timestamp)
	}
	return p.found(p.log.OffsetForTime(timestamp, limit))
}

func (p *Partition) found(t log.Timed, ok bool, err error) (log.Timed, error) {
	if err != nil {
		return none, p.readError(err)
	}
	if !ok {
		return none, nil
	}
	return t, nil
}

// checkReady is CheckEpoch, but tells a leader that is not ready from a follower.
func (p *Partition) checkReady(leaderEpoch int32) error {
	err := p.CheckEpoch(leaderEpoch)
	if err == ErrNotLeader && p.leadership.Load().node == p.nodeID {
		return ErrOffsetNotAvailable
	}
	return err
}

// epochAt is the epoch of the record at o; where there is none, of the last record before it, or -1.
func (p *Partition) epochAt(o log.Offset) int32 {
	if epoch, ok := p.log.EpochOf(o); ok {
		return epoch
	}
	epoch := int32(-1)
	for _, e := range p.log.Epochs() {
		if e.Offset > o {
			break
		}
		epoch = e.Epoch
	}
	return epoch
}

// EpochEnd answers OffsetForLeaderEpoch: the largest known epoch that is not larger than epoch, and the offset at which it ended; -1, -1 when there is none.
func (p *Partition) EpochEnd(leaderEpoch, epoch int32) (int32, log.Offset, error) {
	if err := p.checkReady(leaderEpoch); err != nil {
		return -1, -1, err
	}
	e, end := p.epochEnd(p.leadership.Load(), epoch)
	return e, end, nil
}

func (p *Partition) epochEnd(l *leadership, epoch int32) (int32, log.Offset) {
	switch {
	case epoch < 0 || epoch > int32(l.term):
		return -1, -1
	case epoch == int32(l.term) && l.here:
		return epoch, p.log.EndOffset()
	}
	e, end, ok := p.log.EpochEnd(epoch)
	if !ok {
		return -1, -1
	}
	return e, end
}
