package record

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/barnabas-log/barnabas/cmd/barnabas/cli"
)

// shownErrors is how many failed records are named before the rest is only counted.
const shownErrors = 10

// flushTime is how long an interrupted produce waits for what is on its way.
const flushTime = 5 * time.Second

// producer is one run of `barnabas produce`.
type producer struct {
	app      *cli.App
	client   *kgo.Client
	template template
	topic    string
	limit    int           // largest record in bytes
	stalled  time.Duration // give up after so long without progress
	whole    bool
	progress *cli.Progress

	mu         sync.Mutex // mu guards following
	sent       int64      // records handed to the client that did not fail
	produced   int64      // records acknowledged; sent - produced are on their way
	failed     int64
	closed     bool  // what the client reports from here on is not counted any more
	bytes      int64 // of acknowledged keys and values
	partitions map[int32]*written
	messages   []string
}

// written says what went to one partition.
type written struct {
	Partition int32 `json:"partition"`
	Records   int64 `json:"records"`
	First     int64 `json:"first"`
	Last      int64 `json:"last"`
}

// summary is the JSON output.
type summary struct {
	Topic      string     `json:"topic"`
	Produced   int64      `json:"produced"`
	Failed     int64      `json:"failed"`
	Bytes      int64      `json:"bytes"`
	Seconds    float64    `json:"seconds"`
	Partitions []*written `json:"partitions"`
}

// errStalled is why records fail when nothing was acknowledged for too long.
var errStalled = errors.New("no acknowledgement for too long; it may or may not have been written")

// run reads, writes, waits and reports. The reading goroutine is waited for, except when it hangs in a read of standard input
// while the run is interrupted: nothing can wake it then but the end of the process, which follows.
func (p *producer) run(ctx context.Context, in inputs, quiet bool) error {
	produceCtx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	done := make(chan error, 1)
	go func() {
		err := p.readAll(ctx, produceCtx, in)
		_ = p.client.Flush(produceCtx) // an error means that the wait was given up, which abandon counts
		done <- err
	}()
	err := p.wait(ctx, cancel, done)
	p.abandon()
	p.progress.Clear()
	p.report(quiet)
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case err != nil:
		return err
	case p.failed > 0:
		return cli.Failedf("%s of %s not written", cli.Count(p.failed), cli.Plural(p.failed+p.produced, "record"))
	}
	return nil
}

// abandon counts what is still on its way as failed.
func (p *producer) abandon() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if n := p.sent - p.produced; n > 0 {
		p.failed += n
		p.messages = append(p.messages, fmt.Sprintf("%s: %v", cli.Plural(n, "record"), errStalled))
	}
}

// wait draws progress and watches for a standstill until the reader is done or the run is interrupted.
func (p *producer) wait(ctx context.Context, cancel context.CancelCauseFunc, done <-chan error) error {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	settled, since := int64(0), time.Now()
	for {
		select {
		case err := <-done:
			return err
		case <-ctx.Done():
			flush, stop := context.WithTimeout(context.WithoutCancel(ctx), flushTime)
			defer stop()
			err := p.client.Flush(flush)
			cancel(errStalled)
			select {
			case <-done:
			case <-time.After(time.Second): // the reader hangs in standard input
			}
			return errors.Join(ctx.Err(), err)
		case now := <-tick.C:
			p.mu.Lock()
			produced, bytes, total, waiting := p.produced, p.bytes, p.produced+p.failed, p.sent > p.produced
			p.mu.Unlock()
			p.progress.Show(produced, bytes)
			if total != settled || !waiting {
				settled, since = total, now
			}
			if now.Sub(since) > p.stalled+time.Second {
				cancel(errStalled)
			}
		}
	}
}

// readAll reads every input. ctx ends the reading, produceCtx the writing.
func (p *producer) readAll(ctx, produceCtx context.Context, in inputs) error {
	for _, i := range in {
		l := &lines{r: bufio.NewReaderSize(i, 256<<10), limit: p.limit}
		for number := 1; ; number++ {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if produceCtx.Err() != nil {
				return nil // the records that were given up are counted as failed
			}
			read, place := l.next, fmt.Sprintf("%s line %d", i.name, number)
			if p.whole {
				read, place = l.all, i.name
			}
			line, err := read()
			switch {
			case errors.Is(err, io.EOF):
			case errors.Is(err, errTooLong):
				p.fail(place, err)
			case err != nil:
				return fmt.Errorf("read %s: %w", i.name, err)
			default:
				p.send(produceCtx, place, line)
			}
			if p.whole || errors.Is(err, io.EOF) {
				break
			}
		}
	}
	return nil
}

// send makes a record of a line and hands it to the client, which may wait for room.
func (p *producer) send(ctx context.Context, place string, line []byte) {
	t := p.template
	r := &kgo.Record{Key: t.key, Value: line, Headers: t.headers, Partition: max(t.partition, 0), Timestamp: t.timestamp}
	if len(t.separator) > 0 {
		key, value, found := bytes.Cut(line, t.separator)
		if !found {
			p.fail(place, fmt.Errorf("no key separator %q", t.separator))
			return
		}
		r.Key, r.Value = key, value
	}
	if r.Value == nil {
		r.Value = []byte{}
	}
	if t.tombstones {
		r.Key, r.Value = nilIfEmpty(r.Key), nilIfEmpty(r.Value)
	}
	p.mu.Lock()
	p.sent++
	p.mu.Unlock()
	p.client.Produce(ctx, r, func(r *kgo.Record, err error) {
		if err == nil {
			p.acknowledged(r)
			return
		}
		if cause := context.Cause(ctx); cause != nil && errors.Is(err, context.Canceled) {
			err = cause
		}
		p.refused(place, err)
	})
}

func nilIfEmpty(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}

func (p *producer) acknowledged(r *kgo.Record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.produced++
	p.bytes += int64(len(r.Key) + len(r.Value))
	w := p.partitions[r.Partition]
	if w == nil {
		w = &written{Partition: r.Partition, First: r.Offset, Last: r.Offset}
		p.partitions[r.Partition] = w
	}
	w.Records++
	w.First, w.Last = min(w.First, r.Offset), max(w.Last, r.Offset)
}

// refused counts a record that the client gave back.
func (p *producer) refused(place string, err error) {
	if errors.Is(err, kerr.MessageTooLarge) {
		err = errTooLong
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.sent--
	p.failLocked(place, err)
}

// fail counts a record that never reached the client.
func (p *producer) fail(place string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failLocked(place, err)
}

// failLocked counts a record that was not written; the first few are named.
func (p *producer) failLocked(place string, err error) {
	p.failed++
	if len(p.messages) < shownErrors {
		p.messages = append(p.messages, fmt.Sprintf("%s: %v", place, cli.Refused(err, "")))
	}
}

func (p *producer) report(quiet bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.messages {
		p.app.Notef("%s", m)
	}
	if more := p.failed - int64(len(p.messages)); more > 0 {
		p.app.Notef("... and %s more", cli.Count(more))
	}
	switch {
	case p.app.JSON():
		s := summary{Topic: p.topic, Produced: p.produced, Failed: p.failed, Bytes: p.bytes, Seconds: p.progress.Elapsed().Seconds(), Partitions: []*written{}}
		for i := int32(0); len(s.Partitions) < len(p.partitions); i++ {
			if w := p.partitions[i]; w != nil {
				s.Partitions = append(s.Partitions, w)
			}
		}
		_ = p.app.Object(s) // the records are written; a summary that nobody reads changes nothing
	case !quiet:
		p.app.Notef("produced %s (%s) to %s of %s in %s", cli.Plural(p.produced, "record"), cli.Bytes(p.bytes),
			cli.Plural(int64(len(p.partitions)), "partition"), p.topic, cli.Elapsed(p.progress.Elapsed()))
	}
}
