package partition

import (
	"context"
	"fmt"
	"time"

	"github.com/barnabas-log/barnabas/log"
)

// DeleteRecords moves the log start through a replicated trim and returns the low watermark. offset -1 means the high watermark.
func (p *Partition) DeleteRecords(ctx context.Context, offset log.Offset) (log.Offset, error) {
	if err := p.CheckEpoch(-1); err != nil {
		return -1, err
	}
	if !p.config.Load().DeletePolicy {
		return -1, ErrPolicyViolation
	}
	mark := p.HighWatermark()
	if offset == -1 {
		offset = mark
	}
	if offset < 0 || offset > mark {
		return -1, fmt.Errorf("%w: delete records before %d of [%d, %d)", ErrOffsetOutOfRange, offset, p.LogStart(), mark)
	}
	if err := p.moveStart(ctx, offset); err != nil {
		return -1, err
	}
	return p.LogStart(), nil
}

// moveStart proposes a trim and waits until it is applied here.
func (p *Partition) moveStart(ctx context.Context, start log.Offset) error {
	if start <= p.LogStart() {
		return nil
	}
	d, err := p.proposeCommand(encodeTrim(start))
	if err != nil {
		return err
	}
	_, err = d.Wait(ctx)
	return err
}

// proposeCommand queues a command; its Pending resolves when it was applied.
func (p *Partition) proposeCommand(data []byte) (*Pending, error) {
	d := &Pending{done: make(chan struct{}), acks: AcksAll, sequence: sequence{id: -1}, result: AppendResult{BaseOffset: -1, AppendTime: -1, LogStart: -1}}
	p.queueMu.Lock()
	defer p.queueMu.Unlock()
	if _, err := p.register(d, 0); err != nil {
		return nil, err
	}
	if err := p.proposer.Propose(data, d.token); err != nil {
		return nil, p.withdraw(d, err)
	}
	return d, nil
}

// trim carries out a committed trim on this replica. What the last checkpoint does not cover stays until the next one (saveCheckpoint).
func (p *Partition) trim(start log.Offset) error {
	p.trimMu.Lock()
	defer p.trimMu.Unlock()
	start = min(start, p.HighWatermark())
	if start <= p.log.StartOffset() {
		return nil
	}
	c := p.log.Checkpoint()
	if err := p.log.Trim(start, c.Index, c.State); err != nil {
		return fmt.Errorf("trim to %d: %w", start, err)
	}
	p.metrics.trims.Inc()
	return nil
}

// Enforce runs retention once; called by the broker's timer. It closes a segment that is old enough though nothing was written, forgets old producers, and on the leader
// moves the log's start: it returns when the trim, if one is due, has been applied.
func (p *Partition) Enforce(ctx context.Context) error {
	if err := p.Err(); err != nil {
		return err
	}
	config, now := p.config.Load(), p.now()
	p.mu.Lock()
	p.producers.expire(now.UnixMilli(), config.ProducerIDExpiry.Milliseconds())
	p.mu.Unlock()
	if err := p.log.RollIdle(now); err != nil {
		if p.log.Err() != nil {
			p.Failed(p.log.Err())
		}
		return fmt.Errorf("roll an old segment: %w", err)
	}
	if !config.DeletePolicy || !p.leadership.Load().here {
		return nil
	}
	policy := retention{time: config.RetentionTime, bytes: config.RetentionBytes, mark: p.HighWatermark()}
	start := policy.start(p.log.Segments(), now)
	return p.moveStart(ctx, start)
}

// retention says how much of a log is kept. Pure.
type retention struct {
	time  time.Duration // of the newest record of a segment; < 0 unlimited
	bytes int64         // of all segments together; < 0 unlimited
	mark  log.Offset    // nothing at or past it may go
}

// start is where the log should start: behind the oldest segments that are too old or too much, whole ones only; 0 when none is.
func (r retention) start(segments []log.SegmentInfo, now time.Time) log.Offset {
	var total int64
	for _, s := range segments {
		total += s.Bytes
	}
	var start log.Offset
	for _, s := range segments {
		excess := r.bytes >= 0 && total-s.Bytes >= r.bytes
		if s.Bytes == 0 || s.NextOffset > r.mark || !(excess && !s.Active || r.expired(s, now)) {
			break
		}
		start = s.NextOffset
		total -= s.Bytes
	}
	return start
}

// expired says whether the newest record of the segment is too old. Records without a timestamp do not age.
func (r retention) expired(s log.SegmentInfo, now time.Time) bool {
	if s.MaxTimestamp < 0 && s.Compacted { // nothing is left in it
		return r.time >= 0
	}
	return r.time >= 0 && s.MaxTimestamp >= 0 && now.UnixMilli()-s.MaxTimestamp > r.time.Milliseconds()
}
