package broker

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/barnabas-log/barnabas/internal/metadata"
	"github.com/barnabas-log/barnabas/partition"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
)

// keepHouse enforces retention on the partitions of this node, every log.retention.check.interval.ms, until ctx ends.
func (b *Broker) keepHouse(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			b.hosting.each(func(r *replica) {
				if r.part.Err() != nil || ctx.Err() != nil {
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

// watchInSync tells the other brokers, until ctx ends, which replicas of the partitions that this node leads are in sync, whenever that changes.
func (b *Broker) watchInSync(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			b.hosting.each(func(r *replica) {
				if _, epoch, here := r.part.Leader(); here {
					if in := r.group.InSync(); in != nil {
						r.inSync.Store(int32(len(in)))
						b.leaders.lead(r.place(), epoch, in)
					}
				}
			})
		}
	}
}

// preferredPause lies between two looks for partitions that should be led elsewhere, and between two transfers: each costs its producers some milliseconds.
const preferredPause = 200 * time.Millisecond

// restorePreferred gives leadership back to the replica that is preferred, once it is in sync, one partition at a time, until ctx ends.
func (b *Broker) restorePreferred(ctx context.Context) {
	for ctx.Err() == nil {
		image := b.Image()
		b.hosting.each(func(r *replica) {
			preferred := r.preferred(image)
			if _, _, here := r.part.Leader(); !here || preferred == b.nodeID || ctx.Err() != nil {
				return
			}
			if broker := image.Brokers[preferred]; broker == nil || broker.Fenced || !slices.Contains(r.group.InSync(), preferred) || !b.roomAt(ctx, preferred, r.place()) {
				return
			}
			b.transfer(ctx, r, preferred)
			pause(ctx, preferredPause)
		})
		pause(ctx, 5*preferredPause)
	}
}

// preferred is the replica that should lead.
func (r *replica) preferred(image *metadata.Image) int32 {
	if t := image.ByID[r.topic.ID]; t != nil && int(r.number) < len(t.Partitions) {
		return t.Partitions[r.number].Replicas[0]
	}
	return -1
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// transferLimit bounds one transfer of leadership.
const transferLimit = 2 * time.Second

func (b *Broker) transfer(ctx context.Context, r *replica, to int32) {
	ctx, cancel := context.WithTimeout(ctx, transferLimit)
	defer cancel()
	if err := r.group.Transfer(ctx, to); err != nil {
		b.logger.Info("leadership was not handed over", zap.String("topic", r.topic.Name), zap.Int32("partition", r.number), zap.Int32("to", to), zap.Error(err))
	}
}

// handOver gives the leadership of every partition to another replica that is in sync: clients then find a leader at once, instead of after a timeout.
func (b *Broker) handOver(ctx context.Context) {
	var work errgroup.Group
	work.SetLimit(openLimit)
	b.hosting.each(func(r *replica) {
		if _, _, here := r.part.Leader(); !here {
			return
		}
		for _, to := range r.group.InSync() {
			if to != b.nodeID {
				work.Go(func() error { b.transfer(ctx, r, to); return nil })
				return
			}
		}
	})
	_ = work.Wait() // transfer reports its errors
}
