package replication

import (
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	"go.uber.org/zap"
)

// pingShare is how many pings fit into Timing.Silence.
const pingShare = 4

// detector notices for all groups of a node at once that another node is gone, and finds the groups that follow it another leader.
//
// Raft's own timers are long: they cost something for every group, and only step in when the detector has failed. Nodes ping each other instead, once for
// all groups. A group is an orphan while no leader is known, or while the node of its leader is gone. Orphans are asked about at the other voters, many in one
// request: would they vote for this node? A voter says no while it hears the leader itself, or while it has more of the log. With a majority of
// yes the group is told to stand. That is what raft's PreVote does, but from what nodes know of each other: a single node that hears badly deposes nobody. In the other
// direction, a leader that reaches no majority any more gives up (see Group.yield).
type detector struct {
	node *Node
	kick chan struct{} // capacity 1: something has changed

	mu      sync.Mutex // guards following; taken while a herald's mu is held, never the other way round
	orphans map[*Group]*orphan
	seeking bool
	resumed int64 // network time at which this process came back from a pause
	looked  int64 // network time of the last look at peers
}

// orphan is a group without a leader.
type orphan struct {
	since int64 // network time since when leader and term have not changed
	born  int64 // network time since when it is an orphan
	term  uint64
	next  int64 // not before
	tries int   // how often others were asked
	stood int   // how often this node stood
	fresh bool  // no leader was ever known in this process
	vying bool  // somebody stood lately: an election gets its time

	stands   int64 // network time at which this node stood, 0: never
	promised int64 // network time at which another was told that it would get this node's vote, 0: never
	favoured int32 // which one
}

// patience is for how many times Timing.Silence the replicas of a group that was never led let the one go first that should lead it.
const patience = 3

// standsAtOnce bounds how many groups are asked about in one round.
const standsAtOnce = 256

func newDetector(n *Node) *detector {
	return &detector{node: n, kick: make(chan struct{}, 1), orphans: map[*Group]*orphan{}}
}

func (d *detector) silence() time.Duration { return d.node.opts.Timing.Silence }

// stagger lies between the moments at which the replicas of an orphan ask for votes, so that they do not collide.
func (d *detector) stagger() time.Duration { return d.silence() * 2 / 5 }

func (d *detector) wake() {
	select {
	case d.kick <- struct{}{}:
	default:
	}
}

// run looks at peers a few times in Timing.Silence, and at orphans more often while there are any, until the network is closed.
func (d *detector) run() {
	w := d.node.network
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-w.ctx.Done():
			return
		case <-d.kick:
		case <-timer.C:
		}
		d.look()
		pause := d.silence() / (2 * pingShare)
		if d.seek() {
			pause = max(d.silence()/50, time.Millisecond)
		}
		timer.Reset(pause)
	}
}

// look compares what peers are with what they were at the last look.
func (d *detector) look() {
	w := d.node.network
	now := w.now()
	d.mu.Lock()
	if d.looked != 0 && now-d.looked > int64(d.silence()/2) {
		d.resumed = now // this process was stopped, or starved: everybody seems silent, and nobody need be
	}
	d.looked = now
	d.mu.Unlock()
	for _, p := range w.all() {
		if gone := d.gone(p); gone != p.lost.Load() {
			p.lost.Store(gone)
			if gone {
				p.logger.Info("node is silent", zap.Bool("refused", p.refused.Load()))
				p.hangUp()
			}
		}
		// A connection may work in one direction only: followers must hear their leader, a leader must be answered.
		if silent := d.silent(p, d.silence()); p.silent.Swap(silent) != silent && silent {
			d.deserted(p)
		}
		if mute := !d.reachable(p); p.mute.Swap(mute) != mute && mute {
			d.cutOff(p)
		}
	}
	for _, g := range d.node.running() {
		g.stalled()
	}
}

// heard is how long nothing has come from a peer, as far as this process was awake.
func (d *detector) heard(at int64) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return time.Duration(d.node.network.now() - max(at, d.resumed))
}

// gone says whether a peer is taken for dead: it was never heard, refuses connections, or neither asks nor answers.
func (d *detector) gone(p *peer) bool {
	last := max(p.answered.Load(), p.received.Load())
	return last == 0 || p.refused.Load() || d.heard(last) > d.silence()
}

// silent says whether a peer refuses connections, or has asked nothing for that long: nodes ask each other several times in Timing.Silence, and leaders more.
func (d *detector) silent(p *peer, within time.Duration) bool {
	last := p.received.Load()
	return last == 0 || p.refused.Load() || d.heard(last) > within
}

// reachable says whether a peer answers: what a leader must know of a majority.
func (d *detector) reachable(p *peer) bool {
	last := p.answered.Load()
	return last != 0 && !p.refused.Load() && d.heard(last) <= d.silence()
}

// deserted takes note that nothing comes from a peer: what it led has no leader.
func (d *detector) deserted(p *peer) {
	for _, g := range d.node.running() {
		if leader, _ := g.Leader(); leader == p.id {
			d.orphan(g)
		}
	}
}

// cutOff takes note that a peer does not answer: what this node leads may have lost its majority.
func (d *detector) cutOff(p *peer) {
	for _, g := range d.node.running() {
		if leader, _ := g.Leader(); leader == g.self && slices.Contains(g.voters(), p.id) && !d.majority(g) {
			g.yield("no contact with a majority")
		}
	}
}

// majority says whether enough of a group's voters answer, this node counted.
func (d *detector) majority(g *Group) bool {
	voters, here := g.voters(), 0
	for _, v := range voters {
		if v == g.self || d.reachable(d.node.network.peer(v)) {
			here++
		}
	}
	return 2*here > len(voters)
}

// restarted takes note that a peer's process is another one than before. What it led it leads no longer, and of the commit indexes that it was told it knows
// nothing. Called before anything of the new process is looked at.
func (d *detector) restarted(p *peer) {
	for _, g := range d.node.running() {
		g.mu.Lock()
		led := g.leader == p.id
		if led {
			g.stale = g.term
		}
		g.mu.Unlock()
		if led {
			d.orphan(g)
		} else if g.endpoint.matches.forgetCommit(p.id) {
			d.node.spreader.add(g)
		}
	}
}

// orphan begins to look for a leader.
func (d *detector) orphan(g *Group) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.orphans[g] == nil {
		now := d.node.network.now()
		d.orphans[g] = &orphan{since: now, born: now}
		d.wake()
	}
}

// note is told by a group's herald, with its mu held, who leads.
func (d *detector) note(g *Group, leader int32, leading, known bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case leading || g.closing:
		delete(d.orphans, g)
	case leader < 0 && d.orphans[g] == nil:
		now := d.node.network.now()
		d.orphans[g] = &orphan{since: now, born: now, fresh: !known, vying: known}
		d.wake()
	}
}

func (d *detector) forget(g *Group) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.orphans, g)
}

// hurry lets an orphan ask as soon as possible: another replica asked that has less of the log.
func (d *detector) hurry(g *Group) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if o := d.orphans[g]; o != nil && o.since > 0 {
		o.since = 0
		d.wake()
	}
}

// seek begins a round of questions if any orphan is due. It reports whether there are orphans.
func (d *detector) seek() bool {
	d.mu.Lock()
	all := make(map[*Group]orphan, len(d.orphans))
	for g, o := range d.orphans {
		all[g] = *o
	}
	busy := d.seeking
	d.mu.Unlock()
	if len(all) == 0 || busy {
		return len(all) > 0
	}
	var due []*Group
	for g, o := range all {
		if len(due) < standsAtOnce && d.due(g, o) {
			due = append(due, g)
		}
	}
	if len(due) > 0 {
		d.mu.Lock()
		d.seeking = true
		d.mu.Unlock()
		d.node.network.spawn(func() { d.ask(due) })
	}
	return true
}

// due says whether it is this node's turn to ask about an orphan.
func (d *detector) due(g *Group, o orphan) bool {
	w := d.node.network
	now := w.now()
	leader, _ := g.Leader()
	term := g.raftTerm() // the herald's may be behind while nobody leads
	if leader >= 0 && leader == g.self || leader >= 0 && !d.leaderless(g, d.silence()) || g.Err() != nil {
		d.forget(g)
		return false
	}
	if term != o.term { // an election is under way: it gets its time
		if o.vying = o.vying || o.term != 0; o.vying {
			o.since = now
		}
		if o.term = term; !d.update(g, o) {
			return false
		}
	}
	if now < o.next || o.promised != 0 && now-o.promised < int64(d.stagger()) {
		return false
	}
	voters := g.voters()
	at := slices.Index(voters, g.self)
	if at < 0 || len(voters) == 1 || g.Recovering() {
		return false // it learns only; or the herald sees to it
	}
	before, here := 0, 1
	for i, v := range voters {
		if i != at && !w.peer(v).lost.Load() && w.peer(v).answered.Load() != 0 {
			here++
			if i < at {
				before++
			}
		}
	}
	if 2*here <= len(voters) {
		return false
	}
	wait := time.Duration(before) * d.stagger()
	switch {
	case g.preferred:
		wait = 0
	case o.fresh:
		// Whoever starts first does not take what is another's to lead, if that one is about to come.
		wait += d.silence()
		if first := w.peer(voters[0]); at > 0 && first.answered.Load() == 0 {
			wait = max(wait, 2*d.silence())
		}
	}
	if o.vying {
		wait += d.stagger()
	}
	return o.since == 0 || now-o.since >= int64(wait)
}

// newborn says whether no leader of a group was ever known here, and others may still leave the first election to this node.
func (d *detector) newborn(g *Group) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	o := d.orphans[g]
	return o != nil && d.patient(o)
}

// patient says whether the first election is still the preferred replica's.
func (d *detector) patient(o *orphan) bool {
	return o.fresh && d.node.network.now()-o.born < patience*int64(d.silence())
}

// stands says whether this node is about to stand for a group, or waits for the votes and has not waited for long.
func (d *detector) stands(g *Group) bool {
	limit := d.stagger()
	if g.role() == raft.Candidate {
		limit = d.silence()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	o := d.orphans[g]
	return o != nil && o.stands != 0 && d.node.network.now()-o.stands < int64(limit)
}

// promise takes note that another node was told that it would get this one's vote: it gets the time to stand.
func (d *detector) promise(g *Group, to int32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if o := d.orphans[g]; o != nil {
		o.promised, o.favoured = d.node.network.now(), to
	}
}

// update takes note of an orphan's new term unless it was adopted meanwhile.
func (d *detector) update(g *Group, o orphan) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.orphans[g]
	if now == nil {
		return false
	}
	now.term, now.since, now.vying = o.term, o.since, o.vying
	return true
}

// leaderless says whether a group's leader is unknown or its node was silent for that long.
func (d *detector) leaderless(g *Group, within time.Duration) bool {
	g.mu.Lock()
	leader, stale := g.leader, g.stale != 0 && g.stale == g.term
	g.mu.Unlock()
	return leader < 0 || stale || leader != g.self && d.silent(d.node.network.peer(leader), within)
}

// ask asks the other voters of orphans, and lets those groups stand that a majority would vote for.
func (d *detector) ask(due []*Group) {
	asked := d.node.network.now()
	said := d.node.probe(due)
	var stand []*Group
	now := d.node.network.now()
	d.mu.Lock()
	d.seeking = false
	for _, g := range due {
		o := d.orphans[g]
		if o == nil {
			continue
		}
		c := said[g]
		o.tries++
		pause := d.silence() / 40 << min(o.tries, 3)
		voters := g.voters()
		waits := c.wait || c.founder && d.patient(o)
		if o.promised >= asked && slices.Index(voters, o.favoured) < slices.Index(voters, g.self) {
			waits = true // two asked each other: the first voter stands
		}
		if !waits && 2*(c.yes+1) > len(voters) {
			stand = append(stand, g)
			pause = d.stagger() << min(o.stood, 2)
			o.stands = now
			o.stood++
		}
		o.next = now + int64(pause) + rand.Int64N(int64(pause)/4+1)
	}
	d.mu.Unlock()
	for _, g := range stand {
		g.endpoint.candidacy()
	}
	d.wake()
}
