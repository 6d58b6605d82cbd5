package replication

import (
	"sync"
	"sync/atomic"

	"github.com/barnabas-log/barnabas/log"
	"github.com/hashicorp/raft"
)

// herald knows who leads a group and tells its machine.
//
// Raft reports changes through a hook that it calls where they happen, from several goroutines. The hook only looks at raft's state and wakes the herald's own
// goroutine, which lives while there is something to look at: it compares what is with what it told last, and tells the difference. So the machine's calls come in an order that makes
// sense however quickly leadership flaps, and raft never waits for them.
type herald struct {
	self     int32
	endpoint *endpoint
	lead     func(log.Term)
	resign   func(log.Term, int32)
	stopped  func() error // why the replica stopped for good, or nil
	lost     func()       // leadership is lost; called with mu held
	noted    func()       // who leads was looked at; called with mu held; may be nil

	raft atomic.Pointer[raft.Raft] // nil until NewRaft has returned
	quit chan struct{}             // closed when raft is down

	mu      sync.Mutex // guards following
	leading bool       // raft's state is leader
	won     log.Term   // the term whose first entry is stored, while leading; else 0
	barrier log.Term   // the last term whose first entry was committed here with everything before it applied
	leader  int32      // as far as raft knows, -1: unknown
	term    log.Term

	known    bool     // a leader was known at some time
	stale    log.Term // the leader of this term was started anew: it does not lead
	standing bool     // raft was told to stand and has not begun
	closing  bool

	teller struct {
		sync.Mutex
		running, again, ended bool // guarded by it; ended: no more is started
		work                  sync.WaitGroup
	}
	told struct {
		lead   log.Term // lead(lead) was called, and no resign since; 0: none
		leader int32    // what was said last
		term   log.Term
	}
}

func (h *herald) init(self int32, e *endpoint) {
	h.self, h.endpoint = self, e
	h.quit = make(chan struct{})
	h.leader, h.told.leader = -1, -1
}

// follow begins to watch r.
func (h *herald) follow(r *raft.Raft) {
	r.RegisterObserver(raft.NewObserver(nil, false, h.observe))
	h.raft.Store(r)
	h.notice()
}

// observe is called by raft, synchronously, for everything that it has to tell. It never blocks.
func (h *herald) observe(o *raft.Observation) bool {
	switch o.Data.(type) {
	case raft.RaftState, raft.LeaderObservation:
		h.notice()
	}
	return false
}

// notice looks at raft's state. Two changes may be reported in the wrong order, so that what is read here counts, not what was reported: the
// last report comes after both changes.
func (h *herald) notice() {
	r := h.raft.Load()
	if r == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		term := r.CurrentTerm()
		_, id := r.LeaderWithID()
		h.leader, h.term = nodeOf(id), log.Term(term)
		if r.CurrentTerm() == term {
			break
		}
	}
	role := r.State()
	if role != raft.Follower {
		h.standing = false
	}
	if h.leading = role == raft.Leader; !h.leading {
		h.won = 0
		h.lost()
	}
	h.known = h.known || h.leader >= 0
	if h.noted != nil {
		h.noted()
	}
	h.wake()
}

// role is raft's state; until raft runs, that of one that is not to be disturbed.
func (h *herald) role() raft.RaftState {
	if r := h.raft.Load(); r != nil {
		return r.State()
	}
	return raft.Shutdown
}

// wake makes the herald look again.
func (h *herald) wake() {
	t := &h.teller
	t.Lock()
	defer t.Unlock()
	if t.again = t.running; !t.running && !t.ended {
		t.running = true
		t.work.Go(h.tellAll)
	}
}

// elected takes note that the first entry of this node's leadership in term is stored.
func (h *herald) elected(term log.Term) {
	h.endpoint.matches.clear()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.leading {
		h.won = term
	}
	h.wake()
}

// barrierPassed takes note that everything before the first entry of this node's leadership in term is applied.
func (h *herald) barrierPassed(term log.Term) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.barrier = term
	h.wake()
}

// readyLocked says whether the machine was told to lead and nothing has changed since.
func (h *herald) readyLocked() bool { return h.leading && h.told.lead != 0 && h.told.lead == h.won }

// Leader is the node that leads as far as this node knows (-1: none) and the current term.
func (h *herald) Leader() (node int32, term log.Term) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.leader, h.term
}

// tellAll runs until there is nothing more to look at.
func (h *herald) tellAll() {
	for more := true; more; {
		for h.tell() {
		}
		h.tend()
		h.teller.Lock()
		more = h.teller.again
		h.teller.again, h.teller.running = false, more
		h.teller.Unlock()
	}
}

// end resigns for the last time. Called once, when raft is down.
func (h *herald) end() {
	close(h.quit)
	h.teller.Lock()
	h.teller.ended = true
	h.teller.Unlock()
	h.teller.work.Wait()
	h.mu.Lock()
	h.leading, h.won, h.leader = false, 0, -1
	h.told.lead, h.told.leader = 0, -1
	term := h.term
	h.mu.Unlock()
	h.resign(term, -1)
}

// tell makes at most one call. It reports whether there may be more to tell.
func (h *herald) tell() bool {
	h.mu.Lock()
	if h.stopped() != nil {
		h.leading, h.won = false, 0
	}
	told := &h.told
	switch {
	case told.lead != 0 && told.lead != h.won: // lost, perhaps won again meanwhile
		told.lead, told.leader, told.term = 0, h.leader, h.term
		if told.leader == h.self {
			told.leader = -1
		}
	case told.lead == 0 && h.leading && h.won != 0 && h.barrier == h.won:
		told.lead, told.leader, told.term = h.won, h.self, h.won
		h.mu.Unlock()
		h.lead(told.term)
		return true
	case !h.leading && h.leader != h.self && (told.leader != h.leader || h.leader >= 0 && told.term != h.term):
		told.leader, told.term = h.leader, h.term
	default:
		h.mu.Unlock()
		return false
	}
	leader, term := told.leader, told.term
	h.mu.Unlock()
	h.resign(term, leader)
	return true
}

// tend acts on what was told: a replica that stopped leaves its group, a sole voter that does not lead stands without waiting for a timeout.
func (h *herald) tend() {
	r := h.raft.Load()
	if r == nil {
		return
	}
	if h.stopped() != nil {
		h.endpoint.close()
		r.Shutdown() // whoever closes the group waits for it
		return
	}
	alone := onlyVoter(r.GetConfiguration().Configuration(), serverID(h.self))
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closing || h.standing || r.State() != raft.Follower || !alone {
		return
	}
	h.standing = h.endpoint.stand() != nil
}

// leads says whether raft leads in term and has node among its members.
func (h *herald) leads(term uint64, node int32) bool {
	r := h.raft.Load()
	if r == nil || r.State() != raft.Leader || r.CurrentTerm() != term {
		return false
	}
	for _, s := range r.GetConfiguration().Configuration().Servers {
		if nodeOf(s.ID) == node {
			return true
		}
	}
	return false
}
