package replication

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/barnabas-log/barnabas/log"
	"github.com/hashicorp/raft"
)

// machineDriver is a group's raft.BatchingFSM. Raft calls all of it from one goroutine.
type machineDriver struct {
	group   *Group
	entries []Entry // scratch
}

// ApplyBatch hands committed batches and commands to the machine, and notices when a leadership's first no-op passes.
func (d *machineDriver) ApplyBatch(logs []*raft.Log) []any {
	responses := make([]any, len(logs))
	d.entries = d.entries[:0]
	for _, l := range logs {
		if bytes.Equal(l.Extensions, elected) {
			d.flush()
			d.group.barrierPassed(log.Term(l.Term))
			continue
		}
		if l.Type == raft.LogConfiguration {
			if c, err := decodeConfiguration(l.Data); err == nil {
				d.group.configured(c)
			}
		}
		if l.Type != raft.LogCommand {
			continue
		}
		m, err := d.group.store.meta(log.Index(l.Index))
		if err != nil {
			if !errors.Is(err, ErrClosed) {
				d.group.fail(fmt.Errorf("apply entry %d: %w", l.Index, err))
			}
			break
		}
		e := Entry{Meta: m, Token: tokenOf(l)}
		if m.Kind == log.KindCommand {
			e.Data = l.Data
		}
		d.entries = append(d.entries, e)
	}
	d.flush()
	d.group.store.applied(log.Index(logs[len(logs)-1].Index))
	if d.group.endpoint.matches.any() {
		d.group.node.spreader.add(d.group)
	}
	return responses
}

func (d *machineDriver) flush() {
	if len(d.entries) == 0 {
		return
	}
	if d.group.Err() == nil {
		d.group.machine.Apply(d.entries)
	}
	clear(d.entries)
	d.entries = d.entries[:0]
	if cap(d.entries) > 1024 {
		d.entries = nil
	}
}

// Apply is never called by raft, which prefers ApplyBatch.
func (d *machineDriver) Apply(l *raft.Log) any { return d.ApplyBatch([]*raft.Log{l})[0] }

// Snapshot is never called: raft's own snapshots are switched off, and lagging followers get the floor of the log.
func (d *machineDriver) Snapshot() (raft.FSMSnapshot, error) {
	return nil, errors.New("a partition takes no raft snapshots")
}

// Restore installs a snapshot that a leader sent. Raft's main goroutine waits for it, so this is the log's single writer.
func (d *machineDriver) Restore(source io.ReadCloser) error {
	defer func() { _ = source.Close() }()
	data, err := io.ReadAll(io.LimitReader(source, maxSnapshot+1))
	if err != nil {
		return fmt.Errorf("read snapshot: %w", err)
	}
	floor, err := decodeFloor(data)
	if err != nil {
		return err
	}
	if err := d.group.Err(); err != nil {
		return err
	}
	if err := d.group.store.reset(floor); err != nil {
		return err
	}
	if c, err := decodeConfiguration(floor.Configuration); err == nil {
		d.group.configured(c)
	}
	if err := d.group.machine.Restore(floor.State); err != nil {
		err = fmt.Errorf("restore state at entry %d: %w", floor.Index, err)
		d.group.fail(err)
		return err
	}
	d.group.snapshots.restored()
	return nil
}
