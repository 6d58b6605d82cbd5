package replication

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/barnabas-log/barnabas/log"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
	"go.uber.org/zap"
)

// MetadataMachine is the state machine of the cluster's metadata group: commands in log order, whole-state snapshots.
type MetadataMachine interface {
	// Apply returns the command's result for the proposer.
	Apply(index log.Index, command []byte) any
	Snapshot() ([]byte, error)
	Restore(snapshot []byte) error
	// Lead: everything committed before is applied. Resign: leader is -1 when unknown.
	Lead(term log.Term)
	Resign(leader int32)
}

// MetadataOptions configure the metadata group.
type MetadataOptions struct {
	Machine MetadataMachine
	// Voters found the group. Used only when it has no state yet; empty means: wait to be added by a leader.
	Voters []int32
	// SnapshotEvery is after how many commands the state is written as a whole. Default 4096.
	SnapshotEvery int
}

// metadataID is the group's id among the groups of a node. No partition has it: it has a blank.
const metadataID = "cluster metadata"

// metadataCommit is how long a quiet leader waits before it tells the others the commit index again. There is only one such group, and every broker waits for its news.
const metadataCommit = 50 * time.Millisecond

// metadataTimeout bounds the timers of the metadata group, which elects by itself: it is one, and must not depend on the detector.
const metadataTimeout = time.Second

// Metadata is the Raft group that holds the cluster's state. Its log is a bolt file, its snapshots are files.
type Metadata struct {
	herald

	node    *Node
	machine MetadataMachine
	logger  *zap.Logger
	bolt    *raftboltdb.BoltStore
	watch   stallWatch
	// changing is held by whoever changes the voters. Capacity 1.
	changing chan struct{}

	// guarded by herald.mu
	next    uint64
	pending map[uint64]chan result

	closed sync.Once
	err    error // of Close
}

type result struct {
	value any
	err   error
}

// StartMetadata starts the metadata group in Dir/metadata. A sole voter leads within milliseconds. Once per node.
func (n *Node) StartMetadata(opts MetadataOptions) (*Metadata, error) {
	m, err := n.startMetadata(opts)
	if err != nil {
		return nil, fmt.Errorf("start metadata group: %w", err)
	}
	return m, nil
}

func (n *Node) startMetadata(opts MetadataOptions) (*Metadata, error) {
	if opts.Machine == nil {
		return nil, errors.New("no state machine given")
	}
	if opts.SnapshotEvery == 0 {
		opts.SnapshotEvery = 4096
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil, ErrClosed
	}
	if n.metadata != nil {
		return nil, ErrExists
	}
	dir := filepath.Join(n.opts.Dir, "metadata")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	bolt, err := raftboltdb.New(raftboltdb.Options{
		Path:        filepath.Join(dir, "raft.bolt"),
		BoltOptions: &bbolt.Options{Timeout: time.Second, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType},
	})
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	m := &Metadata{
		node: n, machine: opts.Machine, bolt: bolt,
		logger:  n.logger.With(zap.String("group", "metadata")),
		pending: map[uint64]chan result{}, changing: make(chan struct{}, 1),
	}
	m.herald.init(n.opts.NodeID, newEndpoint(n, metadataID, m))
	m.lead, m.stopped, m.lost = m.machine.Lead, func() error { return nil }, m.dropLocked
	m.resign = func(_ log.Term, leader int32) { m.machine.Resign(leader) }
	if err := m.run(dir, opts); err != nil {
		return nil, errors.Join(err, bolt.Close())
	}
	n.metadata = m
	return m, nil
}

func (m *Metadata) run(dir string, opts MetadataOptions) error {
	logger := newRaftLogger(m.logger)
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(dir, 2, logger)
	if err != nil {
		return fmt.Errorf("open snapshots: %w", err)
	}
	votes := &stable{store: m.node.votes, group: metadataID, self: string(serverID(m.self))}
	store := &metadataStore{BoltStore: m.bolt, metadata: m, stable: votes}
	if last, err := m.bolt.LastIndex(); err == nil && last > 0 {
		var l raft.Log
		if err := m.bolt.GetLog(last, &l); err != nil {
			return fmt.Errorf("read entry %d: %w", last, err)
		}
		votes.known = l.Term
	}
	config := m.node.groupConfig(false, logger)
	config.NoSnapshotRestoreOnStart = false
	config.CommitTimeout = metadataCommit
	config.HeartbeatTimeout, config.ElectionTimeout = min(metadataTimeout, config.HeartbeatTimeout), min(metadataTimeout, config.ElectionTimeout)
	config.LeaderLeaseTimeout = min(config.LeaderLeaseTimeout, config.HeartbeatTimeout)
	config.SnapshotThreshold = uint64(opts.SnapshotEvery)
	config.TrailingLogs = uint64(opts.SnapshotEvery)
	config.SnapshotInterval = 30 * time.Second
	exists, err := raft.HasExistingState(store, votes, snapshots)
	if err != nil {
		return err
	}
	if !exists && len(opts.Voters) > 0 {
		if err := raft.BootstrapCluster(config, store, votes, snapshots, m.endpoint, configurationOf(opts.Voters)); err != nil {
			return fmt.Errorf("found: %w", err)
		}
	}
	r, err := raft.NewRaft(config, &metadataDriver{m}, store, votes, snapshots, m.endpoint)
	if err != nil {
		return err
	}
	m.follow(r)
	return nil
}

// Propose commits a command and returns what Apply returned. ErrNotLeader when this node does not lead: nothing was proposed. ErrLeadershipLost when it ceased to
// lead meanwhile, or when ctx ends first its error: the command may still be committed.
func (m *Metadata) Propose(ctx context.Context, command []byte) (any, error) {
	if len(command) == 0 {
		return nil, ErrCommand
	}
	m.mu.Lock()
	if m.closing {
		m.mu.Unlock()
		return nil, ErrClosed
	}
	if !m.readyLocked() {
		m.mu.Unlock()
		return nil, ErrNotLeader
	}
	m.next++
	token, done := m.next, make(chan result, 1)
	m.pending[token] = done
	m.mu.Unlock()
	defer m.forget(token)
	timeout := 10 * time.Second
	if deadline, ok := ctx.Deadline(); ok {
		timeout = max(time.Until(deadline), time.Nanosecond)
	}
	// Raft's future is not waited for: it never resolves when raft is shut down with the entry still queued (trap 5). Only a full queue or a
	// shutdown shows at once, and then the command is not queued.
	m.raft.Load().ApplyLog(raft.Log{Data: command, Extensions: binary.BigEndian.AppendUint64(nil, token)}, timeout)
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (m *Metadata) forget(token uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.pending, token)
}

func (m *Metadata) dropLocked() {
	if !m.leading {
		m.watch.suspended.Store(false)
	}
	for token, done := range m.pending {
		done <- result{err: ErrLeadershipLost}
		delete(m.pending, token)
	}
}

func (m *Metadata) resolve(token uint64, value any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if done := m.pending[token]; done != nil {
		done <- result{value: value}
		delete(m.pending, token)
	}
}

// Close stops the group. When it returns the machine is no longer called. Safe to call twice.
func (m *Metadata) Close() error {
	m.closed.Do(func() {
		m.mu.Lock()
		m.closing = true
		m.dropLocked()
		m.mu.Unlock()
		m.endpoint.close()
		_ = m.raft.Load().Shutdown().Error()
		m.end()
		if err := m.bolt.Close(); err != nil {
			m.err = fmt.Errorf("close metadata log: %w", err)
		}
	})
	return m.err
}

// hydrate takes the bytes from the entry: raft has read them from bolt.
func (m *Metadata) hydrate(b []byte, l *raft.Log, _ bool) (log.Kind, []byte, *log.Chunk, error) {
	k := log.KindNoop
	if l.Type != raft.LogNoop {
		var err error
		if k, err = kindOf(l); err != nil {
			return 0, nil, nil, err
		}
	}
	return k, append(b, l.Data...), nil, nil
}

// check has nothing to compare with: commands are the machine's.
func (m *Metadata) check(*raft.AppendEntriesRequest) error { return nil }

// hint leaves raft's answer alone: the log is short.
func (m *Metadata) hint(*raft.AppendEntriesRequest, *raft.AppendEntriesResponse) {}

// termOf is not asked: raft itself tells the commit index.
func (m *Metadata) termOf(log.Index) (log.Term, error) { return 0, errNotFound }

// metadataStore is the bolt log store, watched: the tokens of local proposals are not stored, and the first entry of a leadership is noticed.
type metadataStore struct {
	*raftboltdb.BoltStore
	metadata *Metadata
	stable   *stable
}

// StoreLog stores one entry.
func (s *metadataStore) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

// StoreLogs stores entries.
func (s *metadataStore) StoreLogs(logs []*raft.Log) error {
	local := len(logs) > 0 && !logs[0].AppendedAt.IsZero()
	if local && !s.stable.stood(logs[0].Term) {
		return fmt.Errorf("store entry %d of term %d: %w", logs[0].Index, logs[0].Term, errTerm)
	}
	s.metadata.watch.begin()
	defer s.metadata.watch.end()
	if err := s.metadata.node.opts.writable(); err != nil {
		return fmt.Errorf("store entries: %w", err)
	}
	copies := make([]*raft.Log, len(logs))
	for i, l := range logs {
		copies[i] = &raft.Log{Index: l.Index, Term: l.Term, Type: l.Type, Data: l.Data}
	}
	if err := s.BoltStore.StoreLogs(copies); err != nil {
		return err
	}
	if local && logs[0].Type == raft.LogNoop {
		logs[0].Type, logs[0].Extensions = raft.LogCommand, elected
		s.metadata.elected(log.Term(logs[0].Term))
	}
	return nil
}

// metadataDriver is the metadata group's raft.FSM.
type metadataDriver struct{ metadata *Metadata }

// Apply hands one command to the machine.
func (d *metadataDriver) Apply(l *raft.Log) any {
	if bytes.Equal(l.Extensions, elected) {
		d.metadata.barrierPassed(log.Term(l.Term))
		return nil
	}
	value := d.metadata.machine.Apply(log.Index(l.Index), l.Data)
	if token := tokenOf(l); token != 0 {
		d.metadata.resolve(token, value)
	}
	return nil
}

// Snapshot takes the whole state at once; it is small.
func (d *metadataDriver) Snapshot() (raft.FSMSnapshot, error) {
	state, err := d.metadata.machine.Snapshot()
	if err != nil {
		return nil, fmt.Errorf("take metadata snapshot: %w", err)
	}
	return metadataSnapshot(state), nil
}

// Restore replaces the state.
func (d *metadataDriver) Restore(source io.ReadCloser) error {
	defer func() { _ = source.Close() }()
	state, err := io.ReadAll(io.LimitReader(source, maxSnapshot))
	if err != nil {
		return fmt.Errorf("read metadata snapshot: %w", err)
	}
	if err := d.metadata.machine.Restore(state); err != nil {
		return fmt.Errorf("restore metadata snapshot: %w", err)
	}
	return nil
}

type metadataSnapshot []byte

// Persist writes the state to raft's snapshot file.
func (s metadataSnapshot) Persist(sink raft.SnapshotSink) error {
	if _, err := sink.Write(s); err != nil {
		_ = sink.Cancel()
		return fmt.Errorf("write metadata snapshot: %w", err)
	}
	return sink.Close()
}

// Release has nothing to release.
func (s metadataSnapshot) Release() {}
