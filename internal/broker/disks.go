package broker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"go.uber.org/zap"
)

// openDirs puts the data directories into service.
func (b *Broker) openDirs() (err error) {
	look := b.opts.measure
	if look == nil {
		look = measure
	}
	b.dirs, err = openDataDirs(b.config, look, func(d *dataDir, err error) {
		b.logger.Error("data directory is out of service: its partitions are offline", zap.String("directory", d.path), zap.Error(err))
	})
	if err != nil {
		return err
	}
	for _, d := range b.dirs.all() {
		_ = d.check() // a file system that takes no writes shows at the first one
	}
	b.promises, err = promisesIn(b.dirs.meta)
	return err
}

// promises is the directory of votes and metadata as it was when the node started.
func promisesIn(d *dataDir) (os.FileInfo, error) {
	dir := filepath.Join(d.path, raftName)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make directory of votes and metadata: %w", err)
	}
	return os.Stat(dir)
}

// keepsPromises says why votes and metadata must not be written: their directory is not the one that they were read from. Writes to what is gone would succeed.
func (b *Broker) keepsPromises() error {
	dir := filepath.Join(b.dirs.meta.path, raftName)
	there, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if !os.SameFile(b.promises, there) {
		return fmt.Errorf("another directory has taken the place of %s; this node has to be started anew", dir)
	}
	return nil
}

// diskPause lies between two looks at the data directories.
const diskPause = time.Second

// watchDisks looks after the data directories until ctx ends: one that is gone or takes no writes is taken out of service with its partitions, and put back when it returns; from
// one that is full, leadership goes to replicas that have room.
func (b *Broker) watchDisks(ctx context.Context) {
	for ctx.Err() == nil {
		for _, d := range b.dirs.all() {
			b.watchDisk(d)
		}
		b.leaveFull(ctx)
		pause(ctx, diskPause)
	}
}

func (b *Broker) watchDisk(d *dataDir) {
	before := d.err()
	now := d.check()
	switch {
	case before == nil && now != nil:
		b.logger.Error("data directory is out of service: its partitions are offline", zap.String("directory", d.path), zap.Error(now))
		b.hosting.failIn(d, now)
	case before != nil && !errors.Is(now, errReadOnly):
		b.reenter(d)
	}
	if d.room.changed.Swap(false) {
		if d.room.full.Load() {
			b.logger.Error("disk is full up to its reserve: produces are refused until there is room; reads go on", zap.String("directory", d.path), zap.Int64("reserve_bytes", d.room.reserve))
		} else {
			b.logger.Info("disk has room again", zap.String("directory", d.path))
		}
	}
}

// reenter tries to put a directory back into service.
func (b *Broker) reenter(d *dataDir) {
	if d.reenter() != nil || b.dirs.twin(d) != nil || b.openJournal(d) != nil || d.check() != nil {
		return
	}
	if slices.Contains(b.dirs.data, d) {
		if err := b.hosting.sweepDir(d, b.Image()); err != nil {
			b.logger.Warn("data directory could not be tidied up", zap.String("directory", d.path), zap.Error(err))
		}
	}
	b.logger.Info("data directory is in service", zap.String("directory", d.path), zap.String("id", d.identity()))
	b.hosting.ailing.wake()
}

// failIn stops the replicas that live in a directory. What is committed in them stays readable as long as their files are.
func (h *hosting) failIn(d *dataDir, cause error) {
	h.each(func(r *replica) {
		if r.home == d {
			r.group.Fail(cause)
		}
	})
}

// leaveFull hands leadership over where the disk is full, to replicas that are in sync and have room.
func (b *Broker) leaveFull(ctx context.Context) {
	if b.config.Alone() {
		return
	}
	b.hosting.each(func(r *replica) {
		if _, _, here := r.part.Leader(); !here || r.part.Err() != nil || !r.home.room.full.Load() || ctx.Err() != nil {
			return
		}
		for _, to := range r.group.InSync() {
			if to != b.nodeID && b.roomAt(ctx, to, r.place()) {
				b.transfer(ctx, r, to)
				return
			}
		}
	})
}

// roomAt asks another node whether its replica takes records. One that does not answer does not.
func (b *Broker) roomAt(ctx context.Context, node int32, p place) bool {
	ctx, cancel := context.WithTimeout(ctx, tellLimit)
	defer cancel()
	answer, err := b.ask(ctx, node, question{Room: &ledPartition{Topic: p.topic, Number: p.number}})
	return err == nil && answer.Room
}

// hasRoom answers such a question.
func (b *Broker) hasRoom(p ledPartition) reply {
	r := b.hosting.find(p.Topic, p.Number)
	return reply{Room: r != nil && r.err == nil && r.part.Err() == nil && !r.home.room.full.Load()}
}
