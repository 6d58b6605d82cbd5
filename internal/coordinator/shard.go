package coordinator

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/barnabas-log/barnabas/partition"
	"go.uber.org/zap"
)

// shard is one partition of the topic for as long as this node leads it in one epoch. It has one goroutine, which Runtime starts and waits for.
type shard struct {
	opts   Options
	number int32
	epoch  int32
	log    Log
	logger *zap.Logger

	cancel  context.CancelFunc
	after   <-chan struct{} // the partition's previous shard has stopped: it can no longer write into this one's epoch
	stopped chan struct{}
	current atomic.Pointer[life] // never nil

	nudge chan struct{} // capacity 1: notices is not empty
	mu    sync.Mutex
	// mu guards following
	notices []any
}

// life is a shard from one load to the next: a machine and those who wait for it.
type life struct {
	mailbox chan envelope // bounded, so that a flood waits at the senders
	ready   atomic.Bool   // loaded
	gone    chan struct{} // closed at the end; reason is set before
	reason  error
}

type envelope struct {
	caller  *Caller
	message any
}

// mailboxSize is how many messages may lie before a shard; also how many it takes before it looks at its write and its timers again.
const mailboxSize = 256

func newLife() *life {
	return &life{mailbox: make(chan envelope, mailboxSize), gone: make(chan struct{})}
}

func (l *life) end(reason error) {
	l.reason = reason
	close(l.gone)
}

func (s *shard) notify(notice any) {
	s.mu.Lock()
	s.notices = append(s.notices, notice)
	s.mu.Unlock()
	select {
	case s.nudge <- struct{}{}:
	default:
	}
}

func (s *shard) takeNotices() []any {
	s.mu.Lock()
	defer s.mu.Unlock()
	notices := s.notices
	s.notices = nil
	return notices
}

// run lives one life after another until ctx ends.
func (s *shard) run(ctx context.Context) {
	defer close(s.stopped)
	defer s.cancel()
	if s.after != nil {
		<-s.after
	}
	for {
		l := s.current.Load()
		w := &worker{shard: s, machine: s.opts.NewMachine(s.number)}
		err := w.live(ctx, l)
		if ctx.Err() != nil {
			l.end(ErrNotCoordinator)
		} else {
			s.logger.Warn("coordinator loads again", zap.Error(err))
			l.end(reasonFor(err))
		}
		w.settle(ctx, s.opts.RetryDelay)
		if !s.rest(ctx) {
			return
		}
		s.current.Store(newLife())
	}
}

// rest waits before the next load, and as long as the partition says that another node leads: either leadership comes back without anyone having noticed
// (a transfer that was given up), or Resign follows.
func (s *shard) rest(ctx context.Context) bool {
	timer := time.NewTimer(s.opts.RetryDelay)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
		}
		if s.log.Leads(s.epoch) {
			return true
		}
		timer.Reset(s.opts.RetryDelay)
	}
}

func reasonFor(err error) error {
	if errors.Is(err, partition.ErrNotLeader) || errors.Is(err, partition.ErrClosed) || errors.Is(err, partition.ErrStorage) {
		return ErrNotCoordinator
	}
	return ErrUnavailable
}
