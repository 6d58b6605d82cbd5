package coordinator

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/barnabas-log/barnabas/log/record"
	"github.com/barnabas-log/barnabas/partition"
	"go.uber.org/zap"
)

// worker is the event loop of one life: the machine, the batch that is being filled, and the one in flight.
type worker struct {
	shard   *shard
	machine Machine
	out     Effects // of the event under way

	open    *record.Builder // nil: nothing to write
	waiting []Reply         // leave when open is committed

	flight  Pending // nil: none
	landing []Reply // leave when flight is committed
}

// live loads and serves. It returns why that came to an end. A panic of the machine ends this life and not the broker: the other shards go on, and
// this one has its committed state again.
func (w *worker) live(ctx context.Context, l *life) (err error) {
	defer func() {
		if p := recover(); p != nil {
			w.shard.logger.Error("coordinator panicked", zap.Any("panic", p), zap.ByteString("stack", debug.Stack()))
			err = fmt.Errorf("coordinator panicked: %v", p)
		}
	}()
	s := w.shard
	started := s.opts.Now()
	records, err := s.load(ctx, w.machine)
	if err != nil {
		return fmt.Errorf("load: %w", err)
	}
	w.event(func(now time.Time) { w.machine.Loaded(now, &w.out) })
	s.logger.Debug("coordinator loaded", zap.Int("records", records), zap.Duration("took", s.opts.Now().Sub(started)))
	l.ready.Store(true)
	return w.serve(ctx, l)
}

func (w *worker) serve(ctx context.Context, l *life) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		if err := w.flush(); err != nil {
			return err
		}
		w.arm(timer)
		mailbox, alarm := l.mailbox, timer.C
		if w.full() {
			mailbox, alarm = nil, nil // until the write in flight has made room
		}
		var landed <-chan struct{}
		if w.flight != nil {
			landed = w.flight.Done()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-landed:
			if err := w.land(); err != nil {
				return err
			}
		case e := <-mailbox:
			w.take(e, mailbox)
		case <-w.shard.nudge:
			for _, notice := range w.shard.takeNotices() {
				w.event(func(now time.Time) { w.machine.Handle(now, nil, notice, &w.out) })
			}
		case <-alarm:
			w.drain(mailbox) // who spoke in time is heard before it is judged, also when this goroutine was held up
			w.event(func(now time.Time) { w.machine.Tick(now, &w.out) })
		}
	}
}

// take handles e and what else lies in the mailbox, so that it shares one write.
func (w *worker) take(e envelope, mailbox <-chan envelope) {
	w.handle(e)
	if !w.full() {
		w.drain(mailbox)
	}
}

// drain handles what lies in the mailbox.
func (w *worker) drain(mailbox <-chan envelope) {
	for range mailboxSize {
		select {
		case e := <-mailbox:
			w.handle(e)
		default:
			return
		}
		if w.full() {
			return
		}
	}
}

func (w *worker) handle(e envelope) {
	w.event(func(now time.Time) { w.machine.Handle(now, e.caller, e.message, &w.out) })
}

// event lets the machine do one thing and collects its effects.
func (w *worker) event(do func(now time.Time)) {
	now := w.shard.opts.Now()
	do(now)
	for _, r := range w.out.Records {
		if w.open == nil {
			w.open = record.New()
		}
		w.open.Add(record.Record{Timestamp: now.UnixMilli(), Key: r.Key, Value: r.Value})
	}
	switch {
	case w.open != nil:
		w.waiting = append(w.waiting, w.out.Replies...)
	case w.flight != nil: // what it says may rest on a write that is not yet committed
		w.landing = append(w.landing, w.out.Replies...)
	default:
		send(w.out.Replies)
	}
	w.out.reset()
}

func (w *worker) full() bool { return w.open != nil && w.open.Size() >= w.shard.opts.BatchBytes }

// flush puts the open batch in flight if there is none.
func (w *worker) flush() error {
	if w.open == nil || w.flight != nil {
		return nil
	}
	if !w.shard.log.Leads(w.shard.epoch) { // the news has not come yet: what the machine knows may be old
		return fmt.Errorf("write %d records: %w", w.open.Count(), partition.ErrNotLeader)
	}
	pending, err := w.shard.log.Append(w.open.Batch())
	if err != nil {
		return fmt.Errorf("write %d records: %w", w.open.Count(), err)
	}
	w.flight, w.landing = pending, w.waiting
	w.open, w.waiting = nil, nil
	return nil
}

// land takes note of the end of the write in flight.
func (w *worker) land() error {
	if err := w.flight.Err(); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	send(w.landing)
	w.flight, w.landing = nil, nil
	return nil
}

// settle waits for the write in flight, so that the next life finds it in the log or not at all. Once ctx has ended it waits for delay at most: the partition fails
// what is pending when it resigns or closes.
func (w *worker) settle(ctx context.Context, delay time.Duration) {
	if w.flight == nil {
		return
	}
	select {
	case <-w.flight.Done():
		return
	case <-ctx.Done():
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-w.flight.Done():
	case <-timer.C:
	}
}

// arm sets the timer to the machine's next deadline.
func (w *worker) arm(timer *time.Timer) {
	next, ok := w.machine.Next()
	if !ok {
		timer.Stop()
		return
	}
	timer.Reset(max(0, next.Sub(w.shard.opts.Now())))
}

func send(replies []Reply) {
	for _, r := range replies {
		select {
		case r.Caller.answer <- r.Answer:
		default: // answered twice: the first answer counts
		}
	}
}
