package partition

import (
	"fmt"

	"github.com/barnabas-log/barnabas/log"
	"go.uber.org/zap"
)

// takeCheckpointLocked notes the state as it is stored now. It is written once everything in it is committed.
func (p *Partition) takeCheckpointLocked() {
	p.candidate = p.checkpointLocked()
	p.sinceBytes = 0
}

// checkpointLocked is the state at the last stored entry.
func (p *Partition) checkpointLocked() *log.Checkpoint {
	return &log.Checkpoint{Index: p.last.index, Term: p.last.term, HighWatermark: p.end, State: p.producers.encode()}
}

// startCheckpointLocked starts to write the checkpoint that was taken, if it is committed by now.
func (p *Partition) startCheckpointLocked() {
	c := p.candidate
	if c == nil || p.writing || p.stopped || c.Index > p.applied.index {
		return
	}
	p.candidate, p.writing = nil, true
	p.background.Add(1)
	go p.writeCheckpoint(*c)
}

func (p *Partition) writeCheckpoint(c log.Checkpoint) {
	defer p.background.Done()
	err := p.saveCheckpoint(c)
	if err != nil {
		p.logger.Error("checkpoint could not be written", zap.Uint64("index", uint64(c.Index)), zap.Error(err))
	}
	p.mu.Lock()
	p.writing = false
	p.startCheckpointLocked()
	p.mu.Unlock()
	if p.log.Err() != nil {
		p.Failed(p.log.Err())
	}
}

// saveCheckpoint writes c, and lets the log drop what lies before its start and is covered by c now.
func (p *Partition) saveCheckpoint(c log.Checkpoint) error {
	p.trimMu.Lock()
	defer p.trimMu.Unlock()
	if c.Index <= p.log.Checkpoint().Index {
		return nil
	}
	if p.log.SyncedOffset() < c.HighWatermark { // a checkpoint never speaks of what a power cut may take away
		if err := p.log.Sync(); err != nil {
			return fmt.Errorf("sync before checkpoint: %w", err)
		}
	}
	if err := p.log.WriteCheckpoint(c); err != nil {
		return fmt.Errorf("write checkpoint: %w", err)
	}
	if start := p.log.StartOffset(); start > p.log.Floor().Offset {
		if err := p.log.Trim(start, c.Index, c.State); err != nil {
			return fmt.Errorf("trim to %d: %w", start, err)
		}
	}
	return nil
}

// finalCheckpoint is written by Close, so that the next start has nothing to replay.
func (p *Partition) finalCheckpoint() error {
	p.mu.Lock()
	c, err := p.committedLocked()
	p.mu.Unlock()
	if err != nil {
		return err
	}
	return p.saveCheckpoint(c)
}

// committedLocked is the state at the last applied entry.
func (p *Partition) committedLocked() (log.Checkpoint, error) {
	if p.applied.index >= p.last.index {
		return *p.checkpointLocked(), nil
	}
	mark := p.HighWatermark()
	producers, err := p.rebuild(mark)
	if err != nil {
		return log.Checkpoint{}, err
	}
	return log.Checkpoint{Index: p.applied.index, Term: p.applied.term, HighWatermark: mark, State: producers.encode()}, nil
}

// base is the latest state that the log keeps: the checkpoint's, or the one that a snapshot brought.
func (p *Partition) base() (*producers, error) {
	floor := p.log.Floor()
	state := p.log.Checkpoint().State
	if stateOffset(floor.State) > stateOffset(state) {
		state = floor.State
	}
	ps, err := decodeProducers(state)
	if err != nil {
		return nil, err
	}
	ps.offset = max(ps.offset, floor.Offset)
	return ps, nil
}

// rebuild gives the producers' state at end: the base and the headers of the batches from there on.
func (p *Partition) rebuild(end log.Offset) (*producers, error) {
	ps, err := p.base()
	if err != nil {
		return nil, err
	}
	if ps.offset >= end {
		return ps, nil
	}
	now := p.now().UnixMilli()
	err = p.log.Scan(ps.offset, func(h log.Header) bool {
		if h.BaseOffset() >= end {
			return false
		}
		ps.stored(h, h.BaseOffset(), h.LastOffset()+1, now)
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("replay producers from %d to %d: %w", ps.offset, end, err)
	}
	return ps, nil
}

// State encodes the producers' state for a snapshot: of committed batches only, and at least of those that the log no longer holds. Driven by the group.
func (p *Partition) State() ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.applied.index >= p.last.index {
		return p.producers.encode(), nil
	}
	ps, err := p.base()
	if err != nil {
		return nil, err
	}
	return ps.encode(), nil
}

// Restore replaces the producers' state: a snapshot was installed and the log has been reset to its floor. Driven by the group.
func (p *Partition) Restore(state []byte) error {
	ps, err := decodeProducers(state)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	floor := p.log.Floor()
	ps.offset = max(ps.offset, floor.Offset)
	p.mu.Lock()
	p.failAllLocked(ErrNotLeader)
	p.producers, p.candidate, p.sinceBytes = ps, nil, 0
	p.end = p.log.EndOffset()
	p.applied = position{floor.Index, floor.Term}
	p.last = p.applied
	p.raiseHighWatermark(max(p.end, p.log.StartOffset()))
	p.mu.Unlock()
	p.watchers.wake()
	return nil
}
