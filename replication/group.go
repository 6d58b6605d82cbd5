package replication

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/barnabas-log/barnabas/log"
	"github.com/hashicorp/raft"
	"go.uber.org/zap"
)

// Entry is a log entry as it is reported to a StateMachine.
type Entry = log.Stored

// StateMachine is what a group drives. The calls and their order are those documented on partition.Partition. Admit, Stored, Truncated and Failed come from raft's
// main goroutine, Apply and Restore from its state machine's, Lead and Resign from the group's own, one at a time; none may wait for
// Propose's outcome. State is not called by the group.
type StateMachine interface {
	Admit(token uint64, term log.Term) bool
	Stored(entries []Entry)
	Truncated(from log.Index, end log.Offset)
	Apply(entries []Entry)
	Lead(term log.Term)
	Resign(term log.Term, leader int32)
	State() ([]byte, error)
	Restore(state []byte) error
	Failed(err error)
}

// Group is one partition's consensus group on this node.
type Group struct {
	herald // who leads; its mu guards proposals as well

	// fixed after StartGroup
	node      *Node
	id        string
	machine   StateMachine
	logger    *zap.Logger
	stable    *stable
	store     *logStore
	snapshots *snapshotStore
	watch     stallWatch
	preferred bool
	room      func(bytes int) error // nil: not asked

	failure atomic.Pointer[error] // why the replica stopped

	proposals
	members
	lag

	changing chan struct{} // capacity 1: held during a change of membership
	workers  sync.WaitGroup
	closed   sync.Once
}

// StartGroup starts the group on this node: from its log and vote when it has any, else as founded by opts.Voters. It returns when raft runs; who leads is told
// through the machine. A sole voter leads within milliseconds. The machine may be called before StartGroup returns (see GroupOptions.Bind).
func (n *Node) StartGroup(opts GroupOptions) (*Group, error) {
	if err := opts.Validate(); err != nil {
		return nil, fmt.Errorf("start group %s: %w", opts.ID, err)
	}
	g, err := n.startGroup(opts, opts.Log)
	if err != nil {
		return nil, fmt.Errorf("start group %s: %w", opts.ID, err)
	}
	return g, nil
}

func (n *Node) startGroup(opts GroupOptions, storage storage) (*Group, error) {
	if err := n.reserve(opts.ID); err != nil {
		return nil, err
	}
	g := n.newGroup(opts, storage)
	if opts.Bind != nil {
		opts.Bind(g)
	}
	err := g.run(opts)
	if err == nil {
		if err = n.enter(opts.ID, g); err != nil {
			_ = g.Close()
			return nil, err
		}
		return g, nil
	}
	_ = n.enter(opts.ID, nil)
	return nil, err
}

func (n *Node) newGroup(opts GroupOptions, storage storage) *Group {
	g := &Group{
		node: n, id: opts.ID, machine: opts.Machine,
		logger: n.logger.WithLazy(zap.String("group", opts.ID)), // most groups never say anything
		stable: &stable{store: n.votes, group: opts.ID, self: string(serverID(n.opts.NodeID))},
	}
	g.changing, g.preferred = make(chan struct{}, 1), opts.Preferred
	g.room = opts.Room
	g.store = &logStore{group: g, log: storage}
	g.snapshots = &snapshotStore{group: g, log: storage}
	g.herald.init(n.opts.NodeID, newEndpoint(n, g.id, g))
	g.lead, g.resign, g.stopped, g.lost = g.machine.Lead, g.machine.Resign, g.Err, g.dropLocked
	g.noted = func() { n.detector.note(g, g.leader, g.leading, g.known) }
	g.endpoint.watched = true
	return g
}

// run founds the group if it has no state, and starts raft.
func (g *Group) run(opts GroupOptions) error {
	term, err := g.store.lastTerm()
	if err != nil {
		return fmt.Errorf("find the last term: %w", err)
	}
	g.stable.known = max(uint64(term), uint64(opts.Term))
	if opts.Recovering {
		g.stable.barred.Store(true)
		g.stable.mayVote, opts.Voters = opts.OtherHasAll, nil
	}
	exists, err := raft.HasExistingState(g.store, g.stable, g.snapshots)
	if err != nil {
		return err
	}
	configuration := configurationOf(opts.Voters)
	if exists {
		if configuration, err = g.lastConfiguration(); err != nil {
			return err
		}
	}
	config := g.node.groupConfig(onlyVoter(configuration, serverID(g.node.opts.NodeID)), newRaftLogger(g.logger))
	if !exists && len(opts.Voters) > 0 {
		if err := raft.BootstrapCluster(config, g.store, g.stable, g.snapshots, g.endpoint, configuration); err != nil {
			return fmt.Errorf("found: %w", err)
		}
	}
	r, err := raft.NewRaft(config, &machineDriver{group: g}, g.store, g.stable, g.snapshots, g.endpoint)
	if err != nil {
		return err
	}
	g.snapshots.start()
	g.configured(r.GetConfiguration().Configuration())
	for _, m := range g.Members() {
		if m.Node != g.self {
			g.node.network.peer(m.Node)
		}
	}
	g.follow(r)
	if err := g.Err(); err != nil {
		_ = g.Close()
		return err
	}
	return nil
}

// lastConfiguration is the newest in the log, committed or not.
func (g *Group) lastConfiguration() (raft.Configuration, error) {
	c, _, err := configurationAt(g.store.log, g.store.log.LastIndex())
	return c, err
}

// ID is the group's id.
func (g *Group) ID() string { return g.id }

// Err is why this replica stopped for good, or nil.
func (g *Group) Err() error {
	if err := g.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// fail stops this replica for good: nothing is stored, applied or sent any more. Called where the failure was met; raft is shut down behind it.
func (g *Group) fail(cause error) {
	err := fmt.Errorf("%w: %w", ErrStopped, cause)
	if errors.Is(cause, ErrClosed) || !g.failure.CompareAndSwap(nil, &err) {
		return
	}
	g.bequeath() // before raft is shut down: then nobody leads any more
	g.logger.Error("replica stopped", zap.Error(cause))
	g.machine.Failed(err)
	g.wake()
}

// bequeath finds the group another leader if this replica leads, which is about to go while its node lives on.
func (g *Group) bequeath() {
	if g.role() == raft.Leader {
		g.node.network.spawn(g.abdicate)
	}
}

// Close stops the group. When it returns the machine is no longer called and the log no longer used. Safe to call twice. It waits for a write under way. What this
// replica leads another one is told to take over, but Transfer before is quicker and loses no proposal.
func (g *Group) Close() error {
	g.closed.Do(func() {
		g.mu.Lock()
		g.closing = true
		g.dropLocked()
		g.mu.Unlock()
		g.node.detector.forget(g)
		g.bequeath()
		g.endpoint.close()
		if r := g.raft.Load(); r != nil {
			_ = r.Shutdown().Error()
		}
		g.end()
		g.workers.Wait()
		g.store.close()
		_ = g.node.enter(g.id, nil)
	})
	return nil
}
