package replication

import (
	"context"
	"fmt"
	"sync"

	"github.com/barnabas-log/barnabas/log"
	"github.com/hashicorp/raft"
)

// probe is the question whether a node would vote for the one that asks, about one group of many.
type probe struct {
	group           string
	term            uint64
	lastTerm, index uint64
}

func encodeProbe(b []byte, q probe) []byte {
	b = append(b, byte(len(q.group)))
	return appendNumbers(append(b, q.group...), q.term, q.lastTerm, q.index)
}

// eachProbe decodes questions one after the other.
func eachProbe(b []byte, f func(probe)) error {
	r := reader{b: b}
	for len(r.b) > 0 {
		q := probe{group: string(r.bytes(int(r.u8()))), term: r.u64(), lastTerm: r.u64(), index: r.u64()}
		if r.err != nil {
			return r.err
		}
		f(q)
	}
	return nil
}

// What a voter says of one group.
const (
	wouldVote    = 1 << iota // it would
	groupUnknown             // it has no such group (yet)
	leaveItToMe              // it would, but stands itself
)

// canvass is what the voters of a group said together.
type canvass struct {
	yes     int  // this node is not counted
	wait    bool // the preferred one is about to stand
	founder bool // the first voter does not have the group yet
}

// probe asks the voters of groups whether they would vote for this node.
func (n *Node) probe(groups []*Group) map[*Group]*canvass {
	type load struct {
		groups []*Group
		body   []byte
	}
	loads := map[int32]*load{}
	for _, g := range groups {
		q, err := g.position()
		if err != nil {
			continue
		}
		for _, v := range g.voters() {
			if p := n.network.peer(v); v == g.self || p.lost.Load() {
				continue
			}
			l := loads[v]
			if l == nil {
				l = &load{}
				loads[v] = l
			}
			l.groups, l.body = append(l.groups, g), encodeProbe(l.body, q)
		}
	}
	ctx, cancel := context.WithTimeout(n.network.ctx, n.opts.Timing.Silence)
	defer cancel()
	var mu sync.Mutex
	said := make(map[*Group]*canvass, len(groups))
	for _, g := range groups {
		said[g] = new(canvass)
	}
	var asking sync.WaitGroup
	for node, l := range loads {
		asking.Go(func() {
			body, err := n.network.peer(node).lines[laneControl].call(ctx, nil, kindProbe, "", func(b []byte) []byte { return append(b, l.body...) })
			if err != nil || len(body) != len(l.groups) {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			for i, g := range l.groups {
				c := said[g]
				c.yes += int(body[i] & wouldVote)
				c.wait = c.wait || body[i]&leaveItToMe != 0
				c.founder = c.founder || body[i] == groupUnknown && g.voters()[0] == node
			}
		})
	}
	asking.Wait()
	return said
}

// position is the question that this group has to ask.
func (g *Group) position() (probe, error) {
	term, err := g.store.lastTerm()
	return probe{g.id, g.raftTerm(), uint64(term), uint64(g.store.log.LastIndex())}, err
}

// probed answers a load of questions. Nothing in it waits for a disk.
func (s *session) probed(m message) error {
	var body []byte
	n := s.network.node
	err := eachProbe(m.body, func(q probe) {
		g := n.group(q.group)
		if g == nil {
			body = append(body, groupUnknown)
		} else {
			body = append(body, g.answer(s.from, q))
		}
	})
	if err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	s.answer(m, statusOK, body)
	return nil
}

// answer says whether this replica hears of no leader, and has no more of the log than the one that asks. It promises nothing.
func (g *Group) answer(from int32, q probe) byte {
	if g.stable.barredFrom([]byte(serverID(from))) {
		return 0
	}
	switch g.role() {
	case raft.Leader:
		g.endpoint.matches.forgetCommit(from) // whoever asks does not know who leads
		g.node.spreader.add(g)
		return 0
	case raft.Shutdown:
		return 0
	}
	d := g.node.detector
	if d.stands(g) {
		return 0
	}
	if leader, _ := g.Leader(); leader != from && !d.leaderless(g, d.silence()/2) {
		return 0
	}
	mine, err := g.position()
	if err != nil {
		return 0
	}
	if mine.lastTerm > q.lastTerm || mine.lastTerm == q.lastTerm && mine.index > q.index {
		d.hurry(g)
		return 0
	}
	if g.preferred && mine.lastTerm == q.lastTerm && mine.index == q.index && d.newborn(g) { // one that is behind may lose
		d.hurry(g)
		return leaveItToMe
	}
	d.promise(g, from)
	return wouldVote
}

// voters are the nodes of the newest configuration that vote, in its order.
func (g *Group) voters() []int32 {
	var nodes []int32
	for _, m := range g.Members() {
		if m.Voter {
			nodes = append(nodes, m.Node)
		}
	}
	return nodes
}

func (g *Group) raftTerm() uint64 {
	if r := g.raft.Load(); r != nil {
		return r.CurrentTerm()
	}
	return 0
}

// yield gives up a leadership at once that raft would hold on to until its lease ends: the machine resigns here and now, and raft is shown that its heartbeats
// are refused, whereupon it steps down without touching the term.
func (g *Group) yield(why string) {
	r := g.raft.Load()
	if r == nil || r.State() != raft.Leader {
		return
	}
	term := r.CurrentTerm()
	g.logger.Info(why + ": leadership given up")
	g.mu.Lock()
	if g.won <= log.Term(term) {
		g.won = 0
		g.dropLocked()
	}
	g.mu.Unlock()
	g.wake()
	g.endpoint.yields.begin(term)
	g.node.network.spawn(func() {
		// An answer that was under way may still confirm the leadership, so once may not be enough.
		for g.endpoint.owner.leads(term, g.self) {
			r.VerifyLeader()
			if !g.endpoint.rest(g.node.opts.Timing.Silence / 20) {
				return
			}
		}
	})
}

// yields says in which terms heartbeats are refused on this side.
type yields struct {
	mu   sync.Mutex
	term uint64        // guarded by mu: this one and all before
	c    chan struct{} // guarded by mu: closed when term moves
}

func (y *yields) begin(term uint64) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.term = max(y.term, term)
	if y.c != nil {
		close(y.c)
		y.c = nil
	}
}

// begun is closed.
var begun = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// at is a channel that is closed when heartbeats of term are refused, perhaps already.
func (y *yields) at(term uint64) <-chan struct{} {
	y.mu.Lock()
	defer y.mu.Unlock()
	if term <= y.term {
		return begun
	}
	if y.c == nil {
		y.c = make(chan struct{})
	}
	return y.c
}
