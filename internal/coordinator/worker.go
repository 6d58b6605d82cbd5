package coordinator

import (
	"context"
	"fmt"
	"time"

	"github.com/barnabas-log/barnabas/log/record"
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

func (w *worker) serve(ctx context.Context, l *life) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		if err := w.flush(); err != nil {
			return err
		}
		w.arm(timer)
		mailbox := l.mailbox
		if w.full() {
			mailbox = nil // until the write in flight has made room
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
		case <-timer.C:
			w.event(func(now time.Time) { w.machine.Tick(now, &w.out) })
		}
	}
}

// take handles e and what else lies in the mailbox, so that it shares one write.
func (w *worker) take(e envelope, mailbox <-chan envelope) {
	for range mailboxSize {
		w.event(func(now time.Time) { w.machine.Handle(now, e.caller, e.message, &w.out) })
		if w.full() {
			return
		}
		select {
		case e = <-mailbox:
		default:
			return
		}
	}
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
