package coordinator

import (
	"context"
	"fmt"

	"github.com/barnabas-log/barnabas/log"
	"github.com/barnabas-log/barnabas/log/record"
	"go.uber.org/zap"
)

// load replays everything that is committed. Nobody else writes while it runs, so the high watermark stands still.
func (s *shard) load(ctx context.Context, m Machine) (records int, err error) {
	p := replay{shard: s, machine: m, from: s.log.Start()}
	var buffer []byte
	for offset := p.from; offset < s.log.End(); {
		if err := ctx.Err(); err != nil {
			return p.records, err
		}
		batches, next, err := s.log.Read(buffer[:0], offset, s.opts.LoadBytes)
		if err != nil {
			return p.records, err
		}
		if next <= offset {
			return p.records, fmt.Errorf("read from offset %d of %d: nothing there", offset, s.log.End())
		}
		p.batches(batches)
		buffer, offset = batches, next
	}
	if p.skipped > 0 {
		s.logger.Warn("coordinator skipped what it does not understand", zap.Int("skipped", p.skipped), zap.Int("records", p.records), zap.NamedError("first", p.first))
	}
	return p.records, nil
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
