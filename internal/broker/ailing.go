package broker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/barnabas-log/barnabas/internal/metadata"
	"github.com/barnabas-log/barnabas/log"
	"github.com/barnabas-log/barnabas/partition"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
)

// A replica whose log cannot be written has stopped for good: nobody knows what of its last writes is on the disk. What is on the disk is found out by opening it again, which is what
// the nurse does, with growing pauses, once the disk takes writes. Until then the stopped replica stays where it is and answers readers if it can.

const (
	firstCure = 100 * time.Millisecond
	lastCure  = 30 * time.Second
	// lastRoom is lastCure for replicas that only want room: their disk is sound, and finding out whether there is room again costs little.
	lastRoom = 2 * time.Second
	// cured is how long a replica has to go on until it counts as well: one that stops again sooner is opened again later.
	cured = time.Minute
	// rounds is how often replicas are looked at when nothing wakes the nurse.
	rounds = time.Second
)

// illness is what the nurse remembers of a replica.
type illness struct {
	next    time.Time // when to try again
	pause   time.Duration
	healthy time.Time // since when it has been; zero: it is not
	told    string    // what was logged last
}

// nurse opens replicas again that have stopped or could not be opened, until ctx ends.
func (b *Broker) nurse(ctx context.Context) {
	known := map[place]*illness{}
	for ctx.Err() == nil {
		wake := b.hosting.ailing.wait()
		now, soonest := time.Now(), time.Now().Add(rounds)
		var due []*replica
		for _, r := range b.hosting.sick(known, now) {
			i := known[r.place()]
			if now.Before(i.next) {
				soonest = earlier(soonest, i.next)
				continue
			}
			due = append(due, r)
			i.next = now.Add(i.pause)
			i.pause = min(2*i.pause, r.longestPause())
			soonest = earlier(soonest, i.next)
		}
		b.hosting.cure(due, known)
		b.leaders.ail(b.hosting.ailingPlaces())
		timer := time.NewTimer(time.Until(soonest))
		select {
		case <-ctx.Done():
		case <-wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// sick lists the replicas that are to be opened again, and brings what is known of them up to date.
func (h *hosting) sick(known map[place]*illness, now time.Time) (all []*replica) {
	for p := range known {
		if h.find(p.topic, p.number) == nil {
			delete(known, p)
		}
	}
	for _, t := range *h.topics.Load() {
		for number := range t.replicas {
			r := t.replicas[number].Load()
			if r == nil {
				continue
			}
			i := known[r.place()]
			switch {
			case !r.curable():
				if i != nil && i.healthy.IsZero() {
					i.healthy = now
				}
				if i != nil && now.Sub(i.healthy) > cured {
					delete(known, r.place())
				}
				continue
			case i == nil:
				r.ails.CompareAndSwap(0, now.UnixMilli())
				known[r.place()] = &illness{next: now.Add(firstCure), pause: 2 * firstCure}
			default:
				r.ails.CompareAndSwap(0, now.UnixMilli())
				i.healthy = time.Time{}
			}
			all = append(all, r)
		}
	}
	return all
}

// ailment is why the replica does not work, or nil.
func (r *replica) ailment() error {
	if r.err != nil {
		return r.err
	}
	if err := r.part.Err(); err != nil && !errors.Is(err, partition.ErrClosed) {
		return err
	}
	return nil
}

// longestPause is how long the replica is left alone at most until it is opened again.
func (r *replica) longestPause() time.Duration {
	if err := r.ailment(); errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return lastRoom
	}
	return lastCure
}

// curable says whether the replica ails and opening it again may help. Damaged files are not repaired by opening them: those are the refetcher's. Lost ones may return with their disk.
func (r *replica) curable() bool {
	err := r.ailment()
	if errors.Is(err, errLost) {
		return !errors.Is(err, errAside)
	}
	return err != nil && !errors.Is(err, log.ErrCorrupt) && !errors.Is(err, log.ErrUnsupported)
}

// cure opens replicas again.
func (h *hosting) cure(due []*replica, known map[place]*illness) {
	image := h.b.Image()
	h.mu.Lock()
	defer h.mu.Unlock()
	var work errgroup.Group
	work.SetLimit(openLimit)
	for _, r := range due {
		if h.find(r.topic.ID, r.number) != r || image.ByID[r.topic.ID] == nil {
			continue // deleted, or moved away
		}
		i := known[r.place()]
		work.Go(func() error {
			if err := h.reopen(r, image); err != nil && err.Error() != i.told {
				i.told = err.Error()
				h.b.logger.Warn("partition is still offline", zap.String("topic", r.topic.Name), zap.Int32("partition", r.number), zap.Error(err))
			}
			return nil
		})
	}
	_ = work.Wait() // the functions report their own errors
}

// reopen opens a replica again, if its disk takes writes. mu is held.
func (h *hosting) reopen(r *replica, image *metadata.Image) error {
	if r.err == nil {
		if err := h.probe(r); err != nil {
			return err
		}
		if err := r.close(); err != nil {
			h.b.logger.Debug("close of a partition that has stopped", zap.String("directory", r.dir), zap.Error(err))
		}
	}
	next := h.openAgain(r, image)
	if next.err == nil {
		h.b.logger.Info("partition is back", zap.String("topic", next.topic.Name), zap.Int32("partition", r.number), zap.String("directory", next.dir), zap.NamedError("was", r.ailment()))
	}
	return next.err
}

// probeName and probeBytes are what is written to find out whether a disk takes writes.
const (
	probeName  = "probe"
	probeBytes = 64 << 10
)

// probe finds out whether the directory of a replica takes writes.
func (h *hosting) probe(r *replica) (err error) {
	if err := r.home.err(); err != nil {
		return err
	}
	files, name := h.b.files(), filepath.Join(r.dir, probeName)
	f, err := files.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("probe the disk: %w", err)
	}
	_, err = f.WriteAt(make([]byte, probeBytes), 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close(), files.Remove(name)); err != nil {
		return fmt.Errorf("probe the disk: %w", err)
	}
	return nil
}
