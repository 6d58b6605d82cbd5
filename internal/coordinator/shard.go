package coordinator

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
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
		err := s.live(ctx, l)
		if ctx.Err() != nil {
			l.end(ErrNotCoordinator)
			return
		}
		s.logger.Warn("coordinator loads again", zap.Error(err))
		l.end(reasonFor(err))
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

// live loads and serves. It returns why that came to an end. A panic of the machine ends this life and not the broker: the other shards go on, and
// this one has its committed state again.
func (s *shard) live(ctx context.Context, l *life) (err error) {
	defer func() {
		if p := recover(); p != nil {
			s.logger.Error("coordinator panicked", zap.Any("panic", p), zap.ByteString("stack", debug.Stack()))
			err = fmt.Errorf("coordinator panicked: %v", p)
		}
	}()
	started := s.opts.Now()
	machine := s.opts.NewMachine(s.number)
	records, err := s.load(ctx, machine)
	if err != nil {
		return fmt.Errorf("load: %w", err)
	}
	w := &worker{shard: s, machine: machine}
	w.event(func(now time.Time) { machine.Loaded(now, &w.out) })
	s.logger.Debug("coordinator loaded", zap.Int("records", records), zap.Duration("took", s.opts.Now().Sub(started)))
	l.ready.Store(true)
	return w.serve(ctx, l)
}
