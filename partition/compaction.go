package partition

import (
	"context"
	"fmt"

	"github.com/barnabas-log/barnabas/log"
	"go.uber.org/zap"
)

// Cleaning is what a node allows a compaction.
type Cleaning struct {
	// BufferBytes bounds the memory for keys; 0 is 128 MiB.
	BufferBytes int64
	// Throttle waits until so many bytes may be read or written; its error ends the compaction. nil: no limit.
	Throttle func(ctx context.Context, bytes int) error
	// TombstonesBelow is the offset below which tombstones may go, when they are old enough: no replica has, or can get, what they delete. See CompactedTo.
	TombstonesBelow log.Offset
}

// PlanCompaction says what there is to compact now: nothing that is not due on a topic without cleanup.policy=compact, or on a partition that is offline.
func (p *Partition) PlanCompaction() log.CompactPlan {
	config := p.config.Load()
	if !config.Compacted || p.Err() != nil {
		return log.CompactPlan{}
	}
	return log.PlanCompaction(p.log.Segments(), p.LastStable(), policyOf(config), p.now())
}

// Compacted says whether the topic has cleanup.policy=compact.
func (p *Partition) Compacted() bool { return p.config.Load().Compacted }

// CompactedTo is the offset below which compaction has been over everything: this replica holds no record there that a later one there, or one that was there, replaces.
// A replica that is built anew starts from the start of its log.
func (p *Partition) CompactedTo() log.Offset {
	return log.PlanCompaction(p.log.Segments(), p.LastStable(), log.CompactPolicy{}, p.now()).From
}

func policyOf(config *Config) log.CompactPolicy {
	return log.CompactPolicy{MinDirtyRatio: config.MinDirtyRatio, MinLag: config.MinCompactionLag, MaxLag: config.MaxCompactionLag}
}

// Compact compacts what is due, on leaders and followers alike: what it removes is committed and covered by a checkpoint, and offsets do not change. It takes as long as
// it takes, until ctx ends or the partition is closed. One at a time.
//
// Transactions will need two things here: LastStable instead of the high watermark is already the limit, so no open transaction is touched; records of aborted
// ones are to be dropped and not to shadow older ones (filter.stays and collectBatch in package log), and markers to go once nothing of their transaction is left.
func (p *Partition) Compact(ctx context.Context, c Cleaning) (log.Compacted, error) {
	plan := p.PlanCompaction()
	if plan.Roll {
		if err := p.log.Roll(); err != nil {
			p.Failed(err)
			return log.Compacted{}, fmt.Errorf("roll for compaction: %w", err)
		}
		plan = p.PlanCompaction()
	}
	if !plan.Due {
		return log.Compacted{}, p.Err()
	}
	if p.log.Checkpoint().HighWatermark < plan.To { // what is replayed after a restart must be what was written
		if err := p.checkpointSoon(); err != nil {
			return log.Compacted{}, fmt.Errorf("checkpoint before compaction: %w", err)
		}
	}
	config := p.config.Load()
	limit := min(p.LastStable(), p.log.Checkpoint().HighWatermark)
	plan = log.PlanCompaction(p.log.Segments(), limit, policyOf(config), p.now())
	if plan.Dirty == 0 {
		return log.Compacted{}, nil
	}
	o := log.CompactOptions{From: plan.From, To: plan.To, Now: p.now(), DeleteRetention: config.DeleteRetention, KeepTombstones: c.TombstonesBelow,
		LastBatches: p.lastBatches(), BufferBytes: c.BufferBytes}
	o.Throttle = func(bytes int) error {
		if c.Throttle == nil {
			return ctx.Err()
		}
		return c.Throttle(ctx, bytes)
	}
	began := p.now()
	done, err := p.log.Compact(o)
	if err != nil {
		p.suspect(err)
	}
	if p.log.Err() != nil {
		p.Failed(p.log.Err())
	}
	if err == nil && done.SegmentsMade > 0 {
		p.logger.Info("compacted", zap.Int64("before", done.BytesBefore), zap.Int64("after", done.BytesAfter), zap.Int64("records", done.Records),
			zap.Int64("kept", done.RecordsKept), zap.Int("passes", done.Passes), zap.Int64("to", int64(plan.To)), zap.Duration("took", p.now().Sub(began)))
	}
	return done, err
}

// checkpointSoon writes a checkpoint if everything that is stored was applied, and else asks for one as soon as what is stored now is.
func (p *Partition) checkpointSoon() error {
	p.mu.Lock()
	if p.applied.index < p.last.index {
		if p.candidate == nil {
			p.takeCheckpointLocked()
		}
		p.mu.Unlock()
		return nil
	}
	c := *p.checkpointLocked()
	p.mu.Unlock()
	return p.saveCheckpoint(c)
}

// lastBatches is where the last batch of each producer is.
func (p *Partition) lastBatches() map[int64]log.Offset {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := make(map[int64]log.Offset, len(p.producers.byID))
	for id, pr := range p.producers.byID {
		if pr.count > 0 {
			last[id] = pr.batches[pr.count-1].base
		}
	}
	return last
}
