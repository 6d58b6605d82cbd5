package coordinator

import (
	"context"
	"fmt"
	"time"

	"github.com/barnabas-log/barnabas/log"
	"github.com/barnabas-log/barnabas/log/record"
	"github.com/barnabas-log/barnabas/partition"
	"go.uber.org/zap"
)

// load replays the whole partition. What an earlier life left uncommitted in the log is waited for: it can still become committed, and the machine would
// never hear of it. Nobody writes meanwhile.
func (s *shard) load(ctx context.Context, m Machine) (records int, err error) {
	p := replay{shard: s, machine: m, from: s.log.Start()}
	var buffer []byte
	end := s.log.End()
	for offset := p.from; offset < end; {
		if err := s.awaitCommitted(ctx, offset); err != nil {
			return p.records, err
		}
		batches, next, err := s.log.Read(buffer[:0], offset, s.opts.LoadBytes)
		if err != nil {
			return p.records, err
		}
		if next <= offset {
			return p.records, fmt.Errorf("read from offset %d of %d: nothing there", offset, end)
		}
		p.batches(batches)
		buffer, offset = batches, next
	}
	if p.skipped > 0 {
		s.logger.Warn("coordinator skipped what it does not understand", zap.Int("skipped", p.skipped), zap.Int("records", p.records), zap.NamedError("first", p.first))
	}
	return p.records, nil
}

// awaitCommitted waits until the record at offset is committed.
func (s *shard) awaitCommitted(ctx context.Context, offset int64) error {
	for delay := time.Millisecond; s.log.Committed() <= offset; delay = min(2*delay, 100*time.Millisecond) {
		if !s.log.Leads(s.epoch) {
			return fmt.Errorf("wait for offset %d: %w", offset, partition.ErrNotLeader)
		}
		timer := time.NewTimer(delay)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
	return ctx.Err()
}

// replay counts what one load came across.
type replay struct {
	shard   *shard
	machine Machine
	from    int64
	records int
	skipped int
	first   error // why the first of them was skipped
}

func (p *replay) batches(b []byte) {
	for len(b) >= log.HeaderSize {
		h := log.Header(b)
		size := h.Size()
		if size < log.HeaderSize || size > len(b) {
			break
		}
		p.batch(b[:size])
		b = b[size:]
	}
	if len(b) > 0 {
		p.skip(fmt.Errorf("%d bytes are no whole batch", len(b)))
	}
}

func (p *replay) batch(b []byte) {
	h := log.Header(b)
	if h.Control() {
		return
	}
	if h.Transactional() { // nothing here writes one yet
		p.skip(fmt.Errorf("offset %d: transactional batch", h.BaseOffset()))
		return
	}
	err := record.Each(b, p.shard.opts.ExpandedBytes, func(r record.Record) error {
		if r.Offset < p.from {
			return nil
		}
		p.records++
		if err := p.machine.Replay(Record{Key: r.Key, Value: r.Value}); err != nil {
			p.skip(fmt.Errorf("offset %d: %w", r.Offset, err))
		}
		return nil
	})
	if err != nil {
		p.skip(fmt.Errorf("offset %d: %w", h.BaseOffset(), err))
	}
}

func (p *replay) skip(err error) {
	p.skipped++
	if p.first == nil {
		p.first = err
	}
}
