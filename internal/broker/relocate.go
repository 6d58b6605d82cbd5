package broker

import (
	"context"
	"errors"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/barnabas-log/barnabas/internal/metadata"
	"github.com/barnabas-log/barnabas/partition"
	"go.uber.org/zap"
)

// A replica moves to another data directory of its node by being copied there while it serves, then closed for a moment, and opened there. docs/decisions/0012 says how, and why a
// crash at any time leaves one of the two.

// futureSuffix is what the name of a directory ends with into which a replica is being copied.
const futureSuffix = ".future"

const (
	// copyRounds is how often a replica is copied while it serves; each copies what has changed since the one before.
	copyRounds = 10
	// copyRest is how many bytes may be left for when it is closed.
	copyRest = 4 << 20
)

// Kafka's error codes of AlterReplicaLogDirs.
const (
	codeReplicaNotAvailable int16 = 9
	codeKafkaStorageError   int16 = 56
	codeLogDirNotFound      int16 = 57
)

// relocation is one replica that moves.
type relocation struct {
	place  place
	to     *dataDir
	cancel context.CancelFunc // nil until it has begun; guarded by relocations.mu
	copied atomic.Int64       // bytes
}

// relocations are the moves that were asked for. One goroutine carries them out, one at a time. They are not stored: a node that stops forgets those that are not finished.
type relocations struct {
	b    *Broker
	kick chan struct{} // capacity 1: something was asked for

	mu  sync.Mutex // guards following
	all []*relocation
}

func newRelocations(b *Broker) *relocations {
	return &relocations{b: b, kick: make(chan struct{}, 1)}
}

// MoveReplica implements protocol.Backend.
func (b *Broker) MoveReplica(topic *metadata.Topic, number int32, path string) error {
	to := b.dirs.at(path)
	r := b.hosting.find(topic.ID, number)
	switch {
	case to == nil:
		return refusal(codeLogDirNotFound, "This node has no log directory %s.", path)
	case to.err() != nil:
		return refusal(codeKafkaStorageError, "The log directory %s is offline: %v", path, to.err())
	case r == nil:
		return refusal(codeReplicaNotAvailable, "This node has no replica of the partition.")
	case r.ailment() != nil:
		return refusal(codeKafkaStorageError, "The replica is offline: %v", r.ailment())
	}
	b.relocating.ask(r, to)
	return nil
}

// ask begins a move, in place of one that was asked for earlier. To where the replica is already only ends that one.
func (l *relocations) ask(r *replica, to *dataDir) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range l.all {
		if m.place == r.place() && m.to == to {
			return
		}
	}
	l.all = slices.DeleteFunc(l.all, func(m *relocation) bool {
		if m.place == r.place() && m.cancel != nil {
			m.cancel()
		}
		return m.place == r.place()
	})
	if r.home == to {
		return
	}
	l.all = append(l.all, &relocation{place: r.place(), to: to})
	select {
	case l.kick <- struct{}{}:
	default:
	}
}

// next takes up the oldest, nil when there is none.
func (l *relocations) next(ctx context.Context) (*relocation, context.Context) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.all) == 0 {
		return nil, ctx
	}
	ctx, l.all[0].cancel = context.WithCancel(ctx)
	return l.all[0], ctx
}

func (l *relocations) done(m *relocation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m.cancel()
	l.all = slices.DeleteFunc(l.all, func(other *relocation) bool { return other == m })
}

// under is what moves into a directory.
func (l *relocations) under(d *dataDir) (all []*relocation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range l.all {
		if m.to == d {
			all = append(all, m)
		}
	}
	return all
}

// run carries moves out until ctx ends.
func (l *relocations) run(ctx context.Context) {
	for ctx.Err() == nil {
		m, moving := l.next(ctx)
		if m == nil {
			select {
			case <-l.kick:
			case <-ctx.Done():
			}
			continue
		}
		began := time.Now()
		r, err := l.move(moving, m)
		l.done(m)
		switch {
		case r == nil, moving.Err() != nil && ctx.Err() == nil && errors.Is(err, context.Canceled): // gone, or called off
		case ctx.Err() != nil:
		case err != nil:
			l.b.logger.Error("replica stays where it is: it could not be moved to another data directory", zap.String("topic", r.topic.Name), zap.Int32("partition", r.number),
				zap.String("directory", m.to.path), zap.Error(err))
		default:
			l.b.logger.Info("replica moved to another data directory", zap.String("topic", r.topic.Name), zap.Int32("partition", r.number), zap.String("directory", m.to.path),
				zap.Int64("bytes", m.copied.Load()), zap.Duration("took", time.Since(began)))
		}
	}
}

// move carries one out.
func (l *relocations) move(ctx context.Context, m *relocation) (*replica, error) {
	r := l.b.hosting.find(m.place.topic, m.place.number)
	if r == nil || r.home == m.to {
		return nil, nil
	}
	if err := r.movable(); err != nil {
		return r, err
	}
	dir := m.to.replicaDir(r.topic.Name, m.place)
	c, err := newCopier(r.dir, dir+futureSuffix, &m.copied)
	if err != nil {
		return r, err
	}
	err = l.carry(ctx, r, m, c, dir)
	if err != nil {
		err = errors.Join(err, os.RemoveAll(c.to))
	}
	return r, err
}

// movable says why a replica cannot be moved now.
func (r *replica) movable() error {
	switch err := r.ailment(); {
	case err != nil:
		return err
	case r.group.Recovering():
		return errors.New("it is being fetched anew")
	}
	return nil
}

func (l *relocations) carry(ctx context.Context, r *replica, m *relocation, c *copier, dir string) error {
	for range copyRounds {
		n, err := c.round(ctx, false)
		if err != nil {
			return err
		}
		if n < copyRest {
			break
		}
	}
	l.b.handOverOne(ctx, r)
	h := l.b.hosting
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.find(m.place.topic, m.place.number) != r {
		return errors.New("it was opened anew or removed meanwhile")
	}
	if err := errors.Join(ctx.Err(), m.to.err(), r.movable()); err != nil {
		return err
	}
	return h.swap(ctx, r, m.to, c, dir)
}

// swap closes the replica, completes the copy, and opens that. Entering the new home is the commit point; without it, the replica is opened where it was. mu is held.
func (h *hosting) swap(ctx context.Context, r *replica, to *dataDir, c *copier, dir string) error {
	old := r.dir
	err := r.close()
	if err == nil {
		_, err = c.round(ctx, true)
	}
	if err == nil {
		err = c.finish(dir)
	}
	if err == nil {
		err = h.homes.enter(to.identity(), r.place())
	}
	next := h.openAgain(r, h.b.Image())
	if next.err != nil {
		h.b.logger.Error("partition is offline", zap.String("topic", r.topic.Name), zap.Int32("partition", r.number), zap.Error(next.err))
		h.ailing.wake()
	}
	if err == nil && next.dir != old {
		if left := h.discard(old); left != nil {
			h.b.logger.Warn("a replica that was moved left files behind", zap.String("directory", old), zap.Error(left))
		}
	}
	return err
}

// handOverOne gives the leadership of a partition away, if another replica is in sync, so that nobody waits for this one.
func (b *Broker) handOverOne(ctx context.Context, r *replica) {
	if _, _, here := r.part.Leader(); !here {
		return
	}
	for _, to := range r.group.InSync() {
		if to != b.nodeID {
			b.transfer(ctx, r, to)
			return
		}
	}
}

// lag estimates how many records the copy lacks.
func (m *relocation) lag(p *partition.Partition) int64 {
	bytes := p.Size()
	if missing := bytes - m.copied.Load(); missing > 0 && bytes > 0 {
		return int64(float64(missing) / float64(bytes) * float64(p.LogEnd()-p.LogStart()))
	}
	return 0
}
