package broker

import (
	"context"
	"errors"
	"time"

	"github.com/barnabas-log/barnabas/partition"
	"go.uber.org/zap"
)

// keepHouse enforces retention on the partitions that this node leads, every log.retention.check.interval.ms, until ctx ends.
func (b *Broker) keepHouse(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			b.hosting.each(func(r *replica) {
				if _, _, here := r.part.Leader(); !here || ctx.Err() != nil {
					return
				}
				err := r.part.Enforce(ctx)
				if err != nil && !errors.Is(err, partition.ErrNotLeader) && !errors.Is(err, partition.ErrClosed) && ctx.Err() == nil {
					b.logger.Warn("retention", zap.String("topic", r.topic.Name), zap.Int32("partition", r.number), zap.Error(err))
				}
			})
		}
	}
}
