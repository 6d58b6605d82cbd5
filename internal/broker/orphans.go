package broker

import (
	"context"
	"time"

	"go.uber.org/zap"
)

// orphans looks for offsets of topics that are no more, whenever this node begins to lead a partition of the offsets topic. Deletions are told to the coordinators of the time
// (Broker.follow); one that died before it had heard, or written, leaves the offsets to its successor.
type orphans struct {
	b    *Broker
	kick chan struct{} // capacity 1: there is a partition to look through
}

func newOrphans(b *Broker) *orphans { return &orphans{b: b, kick: make(chan struct{}, 1)} }

func (o *orphans) wake() {
	select {
	case o.kick <- struct{}{}:
	default:
	}
}

const (
	// orphansPause lets partitions that come one after the other be looked through together, and attempts that failed rest.
	orphansPause = 500 * time.Millisecond
	// orphansLimit bounds one attempt.
	orphansLimit = 10 * time.Second
)

// run goes on until ctx ends.
func (o *orphans) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-o.kick:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(orphansPause):
		}
		if err := o.forget(ctx); err != nil {
			o.b.logger.Debug("offsets of deleted topics are looked for later", zap.Error(err))
			o.wake()
		}
	}
}

// forget compares with an image that is current: one that was behind would not know the newest topics, and their offsets are not to go.
func (o *orphans) forget(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, orphansLimit)
	defer cancel()
	at := time.Now()
	if err := o.b.controller.SetClusterID(ctx, o.b.Image().ClusterID); err != nil { // changes nothing: what was committed before is applied here when it returns
		return err
	}
	image := o.b.Image()
	o.b.groups.KeepTopics(func(name string) bool { return image.Topics[name] != nil }, at)
	return nil
}
