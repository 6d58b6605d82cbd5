package broker

import (
	"context"
	"errors"
	"time"

	"github.com/barnabas-log/barnabas/log"
	records "github.com/barnabas-log/barnabas/log/record"
	"github.com/barnabas-log/barnabas/partition"
	"go.uber.org/zap"
)

// cleaner compacts the partitions of a node, one at a time, the one that needs it most first. Leaders and followers compact by themselves.
type cleaner struct {
	b    *Broker
	pace pace
}

// cleaned is what became of the last compaction of a replica.
type cleaned struct {
	at  time.Time // when it ended
	err error
	// refused: it met damage. The replica is left alone, so that it does not keep the others waiting; one that is opened in its place, fetched anew or repaired, is not.
	refused bool
}

func newCleaner(b *Broker) *cleaner {
	return &cleaner{b: b, pace: pace{perSecond: b.config.CompactBytesPerSecond}}
}

// run works until ctx ends.
func (c *cleaner) run(ctx context.Context) {
	for ctx.Err() == nil {
		if r := c.dirtiest(); r != nil {
			c.clean(ctx, r)
			continue
		}
		pause(ctx, max(c.b.config.CompactBackoff, time.Millisecond))
	}
}

// dirtiest is the partition to compact next, or nil: an overdue one, or the one with the largest share that was not compacted.
func (c *cleaner) dirtiest() *replica {
	var best *replica
	var most float64
	c.b.hosting.each(func(r *replica) {
		plan := r.part.PlanCompaction()
		if !plan.Due && !plan.Roll {
			return
		}
		if last := r.cleaned.Load(); last != nil && last.refused {
			return
		}
		ratio := plan.Ratio()
		if plan.Overdue {
			ratio++
		}
		if best == nil || ratio > most {
			best, most = r, ratio
		}
	})
	return best
}

func (c *cleaner) clean(ctx context.Context, r *replica) {
	done, err := r.part.Compact(ctx, partition.Cleaning{BufferBytes: c.b.config.CompactBufferBytes, Throttle: c.pace.wait, TombstonesBelow: c.b.tombstonesBelow(r)})
	switch {
	case ctx.Err() != nil:
	case err == nil && done.SegmentsMade > 0:
		r.cleaned.Store(&cleaned{at: time.Now()})
	case err == nil: // what is due is not durable yet, or was trimmed away meanwhile
		pause(ctx, max(c.b.config.CompactBackoff, time.Millisecond))
	case errors.Is(err, partition.ErrClosed):
	case !errors.Is(err, log.ErrCorrupt) && !errors.Is(err, records.ErrMalformed) && !errors.Is(err, records.ErrTooLarge): // no room, say: it may get better
		r.cleaned.Store(&cleaned{at: time.Now(), err: err})
		c.b.logger.Warn("compaction failed", zap.String("topic", r.topic.Name), zap.Int32("partition", r.number), zap.Error(err))
		pause(ctx, max(c.b.config.CompactBackoff, time.Second))
	default:
		r.cleaned.Store(&cleaned{at: time.Now(), err: err, refused: true})
		c.b.logger.Error("replica is not compacted any more until it is opened anew", zap.String("topic", r.topic.Name),
			zap.Int32("partition", r.number), zap.Error(err))
	}
}

// pace lets so many bytes pass in a second.
type pace struct {
	perSecond float64
	next      time.Time // when what has passed is paid for
}

// paceSlack is how far ahead one may be, so that it is not slept for every batch.
const paceSlack = 20 * time.Millisecond

func (p *pace) wait(ctx context.Context, bytes int) error {
	if seconds := float64(bytes) / p.perSecond; seconds > 1e-12 {
		now := time.Now()
		if p.next.Before(now) {
			p.next = now
		}
		p.next = p.next.Add(time.Duration(min(seconds, 3600) * float64(time.Second)))
		if ahead := p.next.Sub(now); ahead > paceSlack {
			pause(ctx, ahead)
		}
	}
	return ctx.Err()
}
