package log

import (
	"path"

	"github.com/barnabas-log/barnabas/internal/vfs"
)

const (
	checkpointName    = "checkpoint"
	checkpointMagic   = "BCHK"
	checkpointVersion = 1
)

func (c *Checkpoint) encode() []byte {
	var e encoder
	e.u64(uint64(c.Index))
	e.u64(uint64(c.Term))
	e.u64(uint64(c.HighWatermark))
	e.bytes(c.State)
	return e.b
}

func decodeCheckpoint(body []byte) (Checkpoint, error) {
	d := decoder{b: body}
	c := Checkpoint{
		Index:         Index(d.u64()),
		Term:          Term(d.u64()),
		HighWatermark: Offset(d.u64()),
		State:         d.bytes(),
	}
	return c, d.done()
}

// floorCheckpoint is what a log's floor says by itself: everything up to it has been applied.
func floorCheckpoint(f Floor) Checkpoint {
	return Checkpoint{Index: f.Index, Term: f.Term, HighWatermark: f.Offset, State: f.State}
}

// readCheckpoint gives the zero value when there is none.
func readCheckpoint(files vfs.FS, dir string) (Checkpoint, error) {
	body, err := readEnvelope(files, dir, checkpointName, checkpointMagic, checkpointVersion)
	if body == nil || err != nil {
		return Checkpoint{}, err
	}
	c, err := decodeCheckpoint(body)
	if err != nil {
		return Checkpoint{}, &CorruptError{path.Join(dir, checkpointName), envelopeSize, err.Error()}
	}
	return c, nil
}

// WriteCheckpoint replaces the checkpoint atomically and durably. Safe beside Append and Read.
func (l *Log) WriteCheckpoint(c Checkpoint) error {
	l.checkpointMu.Lock()
	defer l.checkpointMu.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	return l.writeCheckpointLocked(c)
}

func (l *Log) writeCheckpointLocked(c Checkpoint) error {
	if err := replaceFile(l.fs, l.dir, checkpointName, checkpointMagic, checkpointVersion, c.encode()); err != nil {
		return l.fail(err)
	}
	c.State = append([]byte(nil), c.State...)
	l.checkpoint.Store(&c)
	l.metrics.checkpoints.Inc()
	return nil
}

// Checkpoint is the one last written, or the zero value. The caller must not change State.
func (l *Log) Checkpoint() Checkpoint {
	if c := l.checkpoint.Load(); c != nil {
		return *c
	}
	return Checkpoint{}
}
