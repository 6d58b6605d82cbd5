package protocol

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/barnabas-log/barnabas/consumergroup"
	"github.com/barnabas-log/barnabas/internal/metadata"
	"github.com/barnabas-log/barnabas/log"
	"github.com/barnabas-log/barnabas/partition"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"
)

// single is a consensus group of one voter, played by a goroutine: what is proposed is stored and applied, several at a time.
type single struct {
	log  *log.Log
	p    *partition.Partition
	term log.Term
	done chan struct{}

	mu     sync.Mutex
	wake   *sync.Cond
	queue  []proposal
	held   bool // proposals are taken but not stored
	closed bool
}

type proposal struct {
	data  []byte
	token uint64
}

// Propose implements partition.Proposer.
func (g *single) Propose(data []byte, token uint64) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return partition.ErrClosed
	}
	g.queue = append(g.queue, proposal{data, token})
	g.wake.Signal()
	return nil
}

// hold stops or resumes storing.
func (g *single) hold(held bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held = held
	g.wake.Signal()
}

func (g *single) run(tb testing.TB) {
	defer close(g.done)
	for {
		g.mu.Lock()
		for (len(g.queue) == 0 || g.held) && !g.closed {
			g.wake.Wait()
		}
		batch := g.queue
		g.queue = nil
		closed := g.closed
		g.mu.Unlock()
		if closed {
			return
		}
		g.store(tb, batch)
	}
}

func (g *single) store(tb testing.TB, batch []proposal) {
	var entries []log.Entry
	for _, each := range batch {
		e := log.Entry{Kind: log.KindNoop, Term: g.term, Index: g.log.LastIndex() + log.Index(len(entries)) + 1}
		if g.p.Admit(each.token, g.term) {
			e.Kind, e.Data = log.KindBatch, each.data
			if log.CheckBatch(each.data) != nil {
				e.Kind = log.KindCommand
			}
		}
		entries = append(entries, e)
	}
	metas, err := g.log.Append(entries)
	if err != nil {
		tb.Errorf("append: %v", err)
		return
	}
	stored := make([]partition.Entry, len(entries))
	applied := stored[:0:0]
	for i, m := range metas {
		stored[i] = partition.Entry{Meta: m, Data: entries[i].Data}
		if m.Kind == log.KindBatch || m.Kind == log.KindCommand {
			stored[i].Token = batch[i].token
			e := stored[i]
			if m.Kind == log.KindBatch {
				e.Data = nil
			}
			applied = append(applied, e)
		}
	}
	g.p.Stored(stored)
	g.p.Apply(applied)
}

func (g *single) close() {
	g.mu.Lock()
	g.closed = true
	g.wake.Signal()
	g.mu.Unlock()
	<-g.done
}

// fake is a broker of one node, without Raft.
type fake struct {
	tb     testing.TB
	dir    string
	image  atomic.Pointer[metadata.Image]
	ids    atomic.Int64
	frozen atomic.Bool // no topic is created

	mu     sync.RWMutex
	groups map[partKey]*single

	broken  atomic.Bool             // no replica can be opened, and nobody leads
	offline atomic.Pointer[[]int32] // nodes whose replica does not work
}

func newFake(tb testing.TB, address string) *fake {
	f := &fake{tb: tb, dir: tb.TempDir(), groups: map[partKey]*single{}}
	host, port := "127.0.0.1", int32(0)
	if a, err := net.ResolveTCPAddr("tcp", address); err == nil {
		host, port = a.IP.String(), int32(a.Port)
	}
	listeners := []metadata.Listener{{Name: "PLAINTEXT", Host: host, Port: port}, {Name: "OTHER", Host: "elsewhere", Port: 9999}}
	f.image.Store(&metadata.Image{ClusterID: "a-cluster", Topics: map[string]*metadata.Topic{}, ByID: map[metadata.TopicID]*metadata.Topic{},
		Brokers: map[int32]*metadata.Broker{1: {ID: 1, Listeners: listeners}, 2: {ID: 2, Rack: "r2", Listeners: listeners, Fenced: true}}})
	tb.Cleanup(f.close)
	return f
}

// create makes a topic whose partitions this node leads.
func (f *fake) create(name string, partitions int32, config partition.Config) *metadata.Topic {
	f.tb.Helper()
	sum := sha256.Sum256([]byte(name))
	t := &metadata.Topic{Name: name, ID: metadata.TopicID(sum[:16]), Partitions: make([]metadata.Partition, partitions), Config: map[string]string{}}
	for number := range partitions {
		t.Partitions[number].Replicas = []int32{1}
		f.open(t, number, config)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	old := f.image.Load()
	image := *old
	image.Topics, image.ByID = maps.Clone(old.Topics), maps.Clone(old.ByID)
	image.Topics[name], image.ByID[t.ID] = t, t
	f.image.Store(&image)
	return t
}

func (f *fake) open(t *metadata.Topic, number int32, config partition.Config) {
	f.tb.Helper()
	l, err := log.Open(filepath.Join(f.dir, fmt.Sprintf("%s-%d", t.Name, number)), log.Options{Config: config.Log})
	if err != nil {
		f.tb.Fatal(err)
	}
	config.DeletePolicy = true
	config.RetentionTime, config.RetentionBytes = -1, -1
	p, err := partition.Open(partition.Options{Topic: t.Name, Number: number, NodeID: 1, Log: l, Config: config})
	if err != nil {
		f.tb.Fatal(err)
	}
	g := &single{log: l, p: p, term: 3, done: make(chan struct{})}
	g.wake = sync.NewCond(&g.mu)
	p.Bind(g)
	p.Lead(g.term)
	go g.run(f.tb)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.groups[partKey{id: t.ID, number: number}] = g
}

func (f *fake) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, g := range f.groups {
		g.close()
		if err := g.p.Close(); err != nil {
			f.tb.Error(err)
		}
	}
	clear(f.groups)
}

func (f *fake) group(topic string, number int32) *single {
	t := f.Image().Topics[topic]
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.groups[partKey{id: t.ID, number: number}]
}

func (f *fake) NodeID() int32          { return 1 }
func (f *fake) Image() *metadata.Image { return f.image.Load() }

func (f *fake) Partition(topic metadata.TopicID, number int32) *partition.Partition {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if g := f.groups[partKey{id: topic, number: number}]; g != nil && !f.broken.Load() {
		return g.p
	}
	return nil
}

func (f *fake) Offline(metadata.TopicID, int32) bool { return f.broken.Load() }

func (f *fake) Leader(topic metadata.TopicID, number int32) (node, epoch int32) {
	if f.broken.Load() {
		return -1, -1
	}
	if p := f.Partition(topic, number); p != nil {
		node, epoch, _ := p.Leader()
		return node, epoch
	}
	return 2, 7
}

func (f *fake) OfflineReplicas(metadata.TopicID, int32) []int32 {
	if nodes := f.offline.Load(); nodes != nil {
		return *nodes
	}
	return nil
}
func (f *fake) InSync(metadata.TopicID, int32) []int32 { return []int32{1} }
func (f *fake) ElectLeader(context.Context, *metadata.Topic, int32, bool) error {
	return &metadata.Error{Code: codeElectionNotNeeded, Message: "not in this test"}
}
func (f *fake) Quorum(context.Context) (Quorum, error) { return Quorum{}, nil }
func (f *fake) AddVoter(context.Context, Voter) error  { return nil }
func (f *fake) RemoveVoter(context.Context, Voter) error {
	return nil
}
func (f *fake) Controller() int32                { return 1 }
func (f *fake) Admin() Admin                     { return (*fakeAdmin)(f) }
func (f *fake) Groups() consumergroup.API        { return emptyGroups{} }
func (f *fake) BrokerConfig(int32) []ConfigEntry { return nil }
func (f *fake) LogDirs() []LogDir                { return nil }
func (f *fake) MoveReplica(*metadata.Topic, int32, string) error {
	return nil
}

func (f *fake) GroupCoordinator(_ context.Context, group string) (int32, error) {
	if group == "lost" {
		return -1, &metadata.Error{Code: codeCoordinatorNotAvailable, Message: "not yet"}
	}
	return 1, nil
}

func (f *fake) TopicConfig(*metadata.Topic) []ConfigEntry { return nil }

// fakeAdmin creates topics with one partition and gives out producer ids.
type fakeAdmin fake

func (a *fakeAdmin) CreateTopics(_ context.Context, topics []metadata.NewTopic, _ bool) ([]*metadata.Topic, []error) {
	created, errs := make([]*metadata.Topic, len(topics)), make([]error, len(topics))
	for i, t := range topics {
		if t.Name == "refused" || a.frozen.Load() {
			errs[i] = &metadata.Error{Code: codePolicyViolation, Message: "no"}
			continue
		}
		created[i] = (*fake)(a).create(t.Name, 1, partition.Config{})
	}
	return created, errs
}

func (a *fakeAdmin) DeleteTopic(context.Context, string, metadata.TopicID) (*metadata.Topic, error) {
	return nil, &metadata.Error{Code: codePolicyViolation, Message: "not in this test"}
}

func (a *fakeAdmin) CreatePartitions(context.Context, metadata.NewPartitions, bool) error {
	return &metadata.Error{Code: codePolicyViolation, Message: "not in this test"}
}

func (a *fakeAdmin) AlterConfig(context.Context, metadata.ConfigResource, []metadata.ConfigOp, bool) error {
	return &metadata.Error{Code: codePolicyViolation, Message: "not in this test"}
}

func (a *fakeAdmin) ReplaceConfig(context.Context, metadata.ConfigResource, map[string]*string, bool) error {
	return &metadata.Error{Code: codePolicyViolation, Message: "not in this test"}
}
func (a *fakeAdmin) AlterReassignments(_ context.Context, moves []metadata.Reassignment, _ bool) []error {
	return make([]error, len(moves))
}
func (a *fakeAdmin) UnregisterBroker(context.Context, int32) error { return nil }
func (a *fakeAdmin) NextProducerID(context.Context) (int64, error) { return a.ids.Add(1), nil }

// served is a server on a listener of its own.
type served struct {
	*fake
	server  *Server
	address string
}

// serve starts a server, and stops it when the test ends.
func serve(tb testing.TB, o Options) *served {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	f := newFake(tb, l.Addr().String())
	if _, test := tb.(*testing.T); test && o.Logger == nil {
		o.Logger = zaptest.NewLogger(tb, zaptest.Level(zap.InfoLevel))
	}
	s := NewServer(f, o)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l, "PLAINTEXT") }()
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			tb.Error(err)
		}
		if err := <-ended; err != ErrServerClosed {
			tb.Errorf("Serve returned %v", err)
		}
	})
	return &served{fake: f, server: s, address: l.Addr().String()}
}
