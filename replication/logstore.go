package replication

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/barnabas-log/barnabas/log"
	"github.com/hashicorp/raft"
)

// storage is what a group needs of its *log.Log.
type storage interface {
	Append(entries []log.Entry) ([]log.Meta, error)
	FirstIndex() log.Index
	LastIndex() log.Index
	Meta(i log.Index) (log.Meta, error)
	Data(dst []byte, m log.Meta) ([]byte, error)
	ChunkOf(m log.Meta) (*log.Chunk, error)
	TruncateSuffix(i log.Index) error
	Reset(floor log.Floor) error
	Floor() log.Floor
	EndOffset() log.Offset
	Checkpoint() log.Checkpoint
	Configuration(i log.Index) ([]byte, log.Index, error)
}

var _ storage = (*log.Log)(nil)

// commandMark is the first byte of a machine's own command. A record batch cannot begin with it: its base offset would be negative.
const commandMark = 0xFF

// elected marks the no-op with which raft begins a leadership. The store hands it to raft's own queue as a command, so that it comes out of the state machine's
// end when everything before it was applied: the barrier that a new leader needs, at no further entry. On disk, and to followers, it is a no-op.
var elected = []byte("elected")

// logStore is a group's raft.LogStore over its segment log.
//
// Raft calls StoreLogs and DeleteRange from its main goroutine (or, while that waits for it, from the state machine's), GetLog from several.
type logStore struct {
	group *Group
	log   storage

	// using is held for reading by everybody who looks at the log, also across I/O, and for writing by close only.
	using  sync.RWMutex
	closed bool // guarded by using: raft's metrics goroutine may call once more after a shutdown

	// mu is never held across I/O: what a follower that was away reads of old segments must not hold up StoreLogs.
	mu sync.RWMutex
	// unapplied are the places of the entries that were stored here but not applied yet, without a gap. Guarded by mu. Most look-ups end here.
	unapplied []log.Meta
	// phantom is the last index that raft believes to be stored although a snapshot removed it (trap 1). Guarded by mu.
	phantom log.Index

	// scratch, used by StoreLogs only
	entries []log.Entry
	stored  []Entry
}

// IsMonotonic says that indexes follow each other without a gap.
func (s *logStore) IsMonotonic() bool { return true }

// FirstIndex is 0 when nothing is stored.
func (s *logStore) FirstIndex() (uint64, error) {
	s.using.RLock()
	defer s.using.RUnlock()
	if s.closed || s.log.LastIndex() < s.log.FirstIndex() {
		return 0, nil
	}
	return uint64(s.log.FirstIndex()), nil
}

// LastIndex is the last index stored, or that of the floor.
func (s *logStore) LastIndex() (uint64, error) {
	s.using.RLock()
	defer s.using.RUnlock()
	if s.closed {
		return 0, nil
	}
	return uint64(s.log.LastIndex()), nil
}

// GetLog fills in what raft needs to know of an entry: for a batch that is index, term and type, the bytes stay where they are. An entry that cannot be read
// stops the replica and reads as a no-op, because raft panics at any other answer; the state machine is no longer called then.
func (s *logStore) GetLog(index uint64, out *raft.Log) error {
	err := s.get(log.Index(index), out)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, log.ErrNotFound), errors.Is(err, ErrClosed):
		return raft.ErrLogNotFound // compared with ==
	}
	s.group.fail(fmt.Errorf("read entry %d: %w", index, err))
	*out = raft.Log{Index: index, Type: raft.LogNoop}
	return nil
}

func (s *logStore) get(i log.Index, out *raft.Log) error {
	s.using.RLock()
	defer s.using.RUnlock()
	*out = raft.Log{Index: uint64(i), Type: raft.LogNoop}
	if s.closed {
		return ErrClosed
	}
	m, err := s.locate(i)
	switch {
	case err == nil:
	case i == s.log.FirstIndex()-1 && i > 0:
		out.Term = uint64(s.log.Floor().Term)
		return nil
	case i > s.log.LastIndex() && i <= s.phantoms():
		return nil // term 0: raft finds a conflict and deletes the range
	default:
		return err
	}
	out.Term, out.Type = uint64(m.Term), typeOf(m.Kind)
	if m.Kind != log.KindBatch && m.Size > 0 { // raft asks an idle group's last entry, a no-op, again and again
		out.Data, err = s.log.Data(nil, m)
	}
	return err
}

// meta locates an entry, from memory when it was not applied yet.
func (s *logStore) meta(i log.Index) (log.Meta, error) {
	s.using.RLock()
	defer s.using.RUnlock()
	if s.closed {
		return log.Meta{}, ErrClosed
	}
	return s.locate(i)
}

// data appends the bytes of an entry to dst.
func (s *logStore) data(dst []byte, m log.Meta) ([]byte, error) {
	s.using.RLock()
	defer s.using.RUnlock()
	if s.closed {
		return dst, ErrClosed
	}
	return s.log.Data(dst, m)
}

// chunk is a large batch where it lies, if that is in memory; else nil. A disk must not hold up whoever sends.
func (s *logStore) chunk(m log.Meta) (*log.Chunk, error) {
	s.using.RLock()
	defer s.using.RUnlock()
	if s.closed {
		return nil, ErrClosed
	}
	if m.Kind != log.KindBatch || m.Size < attachFrom {
		return nil, nil
	}
	c, err := s.log.ChunkOf(m)
	if c != nil && !c.Cached() {
		c.Release()
		return nil, err
	}
	return c, err
}

// attachFrom is from how many bytes on a batch is not copied on its way to a follower.
const attachFrom = 32 << 10

// locate is called with using held.
func (s *logStore) locate(i log.Index) (log.Meta, error) {
	s.mu.RLock()
	if n := len(s.unapplied); n > 0 && i >= s.unapplied[0].Index && i <= s.unapplied[n-1].Index {
		m := s.unapplied[i-s.unapplied[0].Index]
		s.mu.RUnlock()
		return m, nil
	}
	s.mu.RUnlock()
	return s.log.Meta(i)
}

// phantoms is the last index that a snapshot removed and raft does not know of; 0: none.
func (s *logStore) phantoms() log.Index {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.phantom
}

// StoreLog stores one entry.
func (s *logStore) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

// StoreLogs appends entries and tells the machine. Those that raft made on this node (the leader's) have a time; what came from a leader has none.
func (s *logStore) StoreLogs(logs []*raft.Log) error {
	if len(logs) == 0 {
		return nil
	}
	if err := s.group.Err(); err != nil {
		return err
	}
	local := !logs[0].AppendedAt.IsZero()
	if local && !s.group.stable.stood(logs[0].Term) {
		return fmt.Errorf("store entry %d of term %d: %w", logs[0].Index, logs[0].Term, errTerm)
	}
	if !local {
		if err := s.checkPlaces(logs); err != nil {
			return err
		}
	}
	commands, bytes, err := s.prepare(logs, local)
	if err != nil {
		return err
	}
	s.group.watch.begin()
	metas, err := s.log.Append(s.entries)
	s.group.watch.end()
	if err != nil {
		err = fmt.Errorf("append entries %d to %d: %w", logs[0].Index, logs[len(logs)-1].Index, err)
		if !errors.Is(err, log.ErrInvalid) {
			s.group.fail(err)
		}
		return err
	}
	s.remember(metas)
	s.report(logs, metas)
	if local {
		s.group.storedLocally(logs, commands, bytes)
	}
	return nil
}

// prepare asks the machine for each proposal whether somebody still waits for it, and translates.
func (s *logStore) prepare(logs []*raft.Log, local bool) (commands, bytes int, err error) {
	s.entries, s.stored = s.entries[:0], s.stored[:0]
	for _, l := range logs {
		var token uint64
		wins := local && l.Type == raft.LogNoop
		if local && l.Type == raft.LogCommand {
			commands++
			bytes += len(l.Data)
			token = tokenOf(l)
			if token != 0 && !s.group.machine.Admit(token, log.Term(l.Term)) {
				// Raft keeps this very entry until it is committed, and replicates what GetLog says: everybody sees a no-op.
				l.Type, l.Data, l.Extensions, token = raft.LogNoop, nil, nil, 0
			}
		}
		kind, err := kindOf(l)
		if err != nil {
			return 0, 0, fmt.Errorf("store entry %d: %w", l.Index, err)
		}
		s.entries = append(s.entries, log.Entry{Index: log.Index(l.Index), Term: log.Term(l.Term), Kind: kind, Data: l.Data})
		s.stored = append(s.stored, Entry{Data: l.Data, Token: token})
		if wins {
			l.Type, l.Extensions = raft.LogCommand, elected
		}
	}
	return commands, bytes, nil
}

// checkPlaces refuses a leader's batches that would not come to lie where they lie there: Append would stamp them anew, and the replicas would differ.
func (s *logStore) checkPlaces(logs []*raft.Log) (err error) {
	next := s.log.EndOffset()
	for _, l := range logs {
		if !isBatch(l) {
			continue
		}
		if next, err = checkPlace(l, next); err != nil {
			return fmt.Errorf("store entry %d: %w", l.Index, err)
		}
	}
	return nil
}

// remember keeps the places for raft, which asks for each of them soon.
func (s *logStore) remember(metas []log.Meta) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.unapplied); n > 0 && s.unapplied[n-1].Index+1 != metas[0].Index {
		s.unapplied = nil
	}
	s.unapplied = append(s.unapplied, metas...)
	if last := metas[len(metas)-1].Index; last >= s.phantom {
		s.phantom = 0
	}
}

// report tells the machine what was stored, and lets go of the bytes of batches: from here on they are read from the log.
func (s *logStore) report(logs []*raft.Log, metas []log.Meta) {
	for i, m := range metas {
		s.stored[i].Meta = m
	}
	s.group.machine.Stored(s.stored)
	for i := range s.stored {
		if s.stored[i].Kind == log.KindBatch {
			logs[i].Data = nil
		}
		s.stored[i], s.entries[i] = Entry{}, log.Entry{}
	}
	if cap(s.stored) > 64 && len(s.stored) < cap(s.stored)/8 {
		s.stored, s.entries = nil, nil
	}
}

// applied forgets the places up to i.
func (s *logStore) applied(i log.Index) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.unapplied) > 0 && s.unapplied[0].Index <= i {
		if s.unapplied[len(s.unapplied)-1].Index <= i {
			s.unapplied = nil
			return
		}
		s.unapplied = s.unapplied[i-s.unapplied[0].Index+1:]
	}
}

// DeleteRange removes a conflicting suffix. Raft has no reason to remove a prefix here (retention is the machine's), and that is refused.
func (s *logStore) DeleteRange(low, high uint64) error {
	if err := s.group.Err(); err != nil {
		return err
	}
	first, last := s.log.FirstIndex(), s.log.LastIndex()
	from, to := log.Index(low), log.Index(high)
	if from > last || to < first {
		s.mu.Lock()
		if to >= s.phantom {
			s.phantom = 0
		}
		s.mu.Unlock()
		return nil
	}
	if to < last {
		return fmt.Errorf("delete entries %d to %d: the log goes on to %d", low, high, last)
	}
	from = max(from, first)
	s.mu.Lock()
	s.phantom = 0
	if n := len(s.unapplied); n > 0 && s.unapplied[n-1].Index >= from {
		s.unapplied = s.unapplied[:max(0, int64(from)-int64(s.unapplied[0].Index))]
	}
	s.mu.Unlock()
	if err := s.log.TruncateSuffix(from); err != nil {
		err = fmt.Errorf("remove entries from %d on: %w", from, err)
		s.group.fail(err)
		return err
	}
	s.group.machine.Truncated(from, s.log.EndOffset())
	return nil
}

// reset starts the log anew after floor.
func (s *logStore) reset(floor log.Floor) error {
	old := s.log.LastIndex()
	if err := s.log.Reset(floor); err != nil {
		err = fmt.Errorf("install snapshot at %d: %w", floor.Index, err)
		s.group.fail(err)
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unapplied = nil
	if old > floor.Index {
		s.phantom = max(s.phantom, old)
	}
	return nil
}

// lastTerm is the term of the last entry or of the floor.
func (s *logStore) lastTerm() (log.Term, error) {
	last := s.log.LastIndex()
	if last < s.log.FirstIndex() {
		return s.log.Floor().Term, nil
	}
	m, err := s.log.Meta(last)
	return m.Term, err
}

// close keeps late callers away from the log.
func (s *logStore) close() {
	s.using.Lock()
	defer s.using.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed, s.unapplied = true, nil
}

// kindOf says how an entry is stored.
func kindOf(l *raft.Log) (log.Kind, error) {
	switch l.Type {
	case raft.LogCommand:
		if len(l.Data) == 0 {
			return 0, ErrCommand
		}
		if l.Data[0] == commandMark {
			return log.KindCommand, nil
		}
		return log.KindBatch, nil
	case raft.LogNoop:
		return log.KindNoop, nil
	case raft.LogBarrier:
		return log.KindBarrier, nil
	case raft.LogConfiguration:
		return log.KindConfiguration, nil
	}
	return 0, fmt.Errorf("entry of unknown type %d", l.Type)
}

// typeOf is the inverse of kindOf.
func typeOf(k log.Kind) raft.LogType {
	switch k {
	case log.KindBatch, log.KindCommand:
		return raft.LogCommand
	case log.KindBarrier:
		return raft.LogBarrier
	case log.KindConfiguration:
		return raft.LogConfiguration
	}
	return raft.LogNoop
}

// tokenOf is the token that Propose attached, or 0.
func tokenOf(l *raft.Log) uint64 {
	if len(l.Extensions) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(l.Extensions)
}
