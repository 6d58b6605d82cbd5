package replication

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"

	"github.com/barnabas-log/barnabas/log"
	"github.com/hashicorp/raft"
)

// maxSnapshot is the largest snapshot that a follower accepts, in bytes: a partition's is its producers' state, no records.
const maxSnapshot = 256 << 20

// snapshotStore is a group's raft.SnapshotStore in two modes. Until the group has started it reports the checkpoint, so that raft replays only what is newer. Afterwards
// it reports the floor of the log: what a follower gets that is older than everything that is still here.
type snapshotStore struct {
	group *Group
	log   storage

	mu      sync.Mutex
	started bool       // guarded by mu
	pending *sinkFloor // guarded by mu; received, not yet restored
}

// sinkFloor is a snapshot under way from a leader.
type sinkFloor struct {
	store *snapshotStore
	meta  raft.SnapshotMeta
	data  bytes.Buffer
}

// List reports at most one snapshot.
func (s *snapshotStore) List() ([]*raft.SnapshotMeta, error) {
	s.mu.Lock()
	started := s.started
	s.mu.Unlock()
	floor := s.log.Floor()
	if !started {
		c := s.log.Checkpoint()
		if c.Index > floor.Index {
			return s.listCheckpoint(c)
		}
	}
	if floor.Index == 0 {
		return nil, nil
	}
	m, err := floorMeta(floor)
	if err != nil {
		return nil, err
	}
	return []*raft.SnapshotMeta{m}, nil
}

// listCheckpoint pairs the checkpoint with the configuration that was in force at its index.
func (s *snapshotStore) listCheckpoint(c log.Checkpoint) ([]*raft.SnapshotMeta, error) {
	if last := s.log.LastIndex(); c.Index > last {
		return nil, fmt.Errorf("checkpoint at entry %d is ahead of the log, which ends at %d", c.Index, last)
	}
	configuration, index, err := configurationAt(s.log, c.Index)
	if err != nil {
		return nil, err
	}
	return []*raft.SnapshotMeta{{
		Version: raft.SnapshotVersionMax, ID: "checkpoint", Index: uint64(c.Index), Term: uint64(c.Term),
		Configuration: configuration, ConfigurationIndex: uint64(index),
	}}, nil
}

func floorMeta(f log.Floor) (*raft.SnapshotMeta, error) {
	configuration, err := decodeConfiguration(f.Configuration)
	if err != nil {
		return nil, fmt.Errorf("configuration of the log's floor: %w", err)
	}
	return &raft.SnapshotMeta{
		Version: raft.SnapshotVersionMax, ID: "floor-" + strconv.FormatUint(uint64(f.Index), 10),
		Index: uint64(f.Index), Term: uint64(f.Term), Size: int64(len(encodeFloor(f))),
		Configuration: configuration, ConfigurationIndex: uint64(f.ConfigurationIndex),
	}, nil
}

// Open reads the snapshot that List or Create named.
func (s *snapshotStore) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	s.mu.Lock()
	pending := s.pending
	s.mu.Unlock()
	if pending != nil && pending.meta.ID == id {
		meta := pending.meta
		return &meta, io.NopCloser(bytes.NewReader(pending.data.Bytes())), nil
	}
	floor := s.log.Floor()
	meta, err := floorMeta(floor)
	if err != nil {
		return nil, nil, err
	}
	if meta.ID != id {
		return nil, nil, fmt.Errorf("open snapshot %s: the log begins after entry %d now", id, floor.Index)
	}
	return meta, io.NopCloser(bytes.NewReader(encodeFloor(floor))), nil
}

// Create begins to receive a snapshot from a leader.
func (s *snapshotStore) Create(version raft.SnapshotVersion, index, term uint64, configuration raft.Configuration, configurationIndex uint64, _ raft.Transport) (raft.SnapshotSink, error) {
	return &sinkFloor{store: s, meta: raft.SnapshotMeta{
		Version: version, ID: "received-" + strconv.FormatUint(index, 10), Index: index, Term: term,
		Configuration: configuration, ConfigurationIndex: configurationIndex,
	}}, nil
}

func (k *sinkFloor) ID() string { return k.meta.ID }

func (k *sinkFloor) Write(b []byte) (int, error) {
	if k.data.Len()+len(b) > maxSnapshot {
		return 0, fmt.Errorf("snapshot is larger than %d bytes", maxSnapshot)
	}
	return k.data.Write(b)
}

// Close checks the snapshot and makes it the one to restore.
func (k *sinkFloor) Close() error {
	floor, err := decodeFloor(k.data.Bytes())
	if err != nil {
		return err
	}
	if uint64(floor.Index) != k.meta.Index || uint64(floor.Term) != k.meta.Term {
		return fmt.Errorf("snapshot of entry %d, term %d came as one of entry %d, term %d", floor.Index, floor.Term, k.meta.Index, k.meta.Term)
	}
	k.meta.Size = int64(k.data.Len())
	k.store.mu.Lock()
	defer k.store.mu.Unlock()
	k.store.pending = k
	return nil
}

func (k *sinkFloor) Cancel() error { return nil }

// start switches to the second mode, restored drops what was received.
func (s *snapshotStore) start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.started = true
}

func (s *snapshotStore) restored() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending = nil
}

// configurationAt is the configuration in force at entry i.
func configurationAt(l storage, i log.Index) (raft.Configuration, log.Index, error) {
	data, index, err := l.Configuration(i)
	if err != nil {
		return raft.Configuration{}, 0, fmt.Errorf("find the configuration at entry %d: %w", i, err)
	}
	c, err := decodeConfiguration(data)
	if err != nil {
		return raft.Configuration{}, 0, fmt.Errorf("configuration at entry %d: %w", index, err)
	}
	return c, index, nil
}

// decodeConfiguration is raft's, which panics at bytes that it does not understand.
func decodeConfiguration(b []byte) (c raft.Configuration, err error) {
	if len(b) == 0 {
		return c, nil
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("decode configuration: %v", r)
		}
	}()
	return raft.DecodeConfiguration(b), nil
}

// A floor on the wire, big endian:
//
//	0   1       9      17       25      33               41                    45
//	+---+-------+------+--------+-------+----------------+---------------------+---------------+-------
//	| 1 | index | term | offset | start | config's index | config's size (u32) | configuration | state
//	+---+-------+------+--------+-------+----------------+---------------------+---------------+-------
const floorVersion = 1

var errFloor = errors.New("snapshot is malformed")

func encodeFloor(f log.Floor) []byte {
	b := make([]byte, 0, 45+len(f.Configuration)+len(f.State))
	b = append(b, floorVersion)
	for _, n := range []uint64{uint64(f.Index), uint64(f.Term), uint64(f.Offset), uint64(f.Start), uint64(f.ConfigurationIndex)} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(f.Configuration)))
	b = append(b, f.Configuration...)
	return append(b, f.State...)
}

func decodeFloor(b []byte) (log.Floor, error) {
	if len(b) < 45 {
		return log.Floor{}, fmt.Errorf("%w: %d bytes", errFloor, len(b))
	}
	if b[0] != floorVersion {
		return log.Floor{}, fmt.Errorf("%w: version %d, this program knows %d", errFloor, b[0], floorVersion)
	}
	n := func(i int) uint64 { return binary.BigEndian.Uint64(b[1+8*i:]) }
	f := log.Floor{
		Index: log.Index(n(0)), Term: log.Term(n(1)), Offset: log.Offset(n(2)), Start: log.Offset(n(3)),
		ConfigurationIndex: log.Index(n(4)),
	}
	size := uint64(binary.BigEndian.Uint32(b[41:]))
	rest := b[45:]
	if size > uint64(len(rest)) || f.Offset < 0 || f.Start < 0 {
		return log.Floor{}, errFloor
	}
	f.Configuration = append([]byte(nil), rest[:size]...)
	f.State = append([]byte(nil), rest[size:]...)
	if _, err := decodeConfiguration(f.Configuration); err != nil {
		return log.Floor{}, fmt.Errorf("%w: %w", errFloor, err)
	}
	return f, nil
}
