package consumergroup

// rebalanceOrComplete follows every change of members: a group that is not already joining starts to, one that is may be complete now.
func (s *shard) rebalanceOrComplete(g *group) {
	if g.state == preparingRebalance {
		s.tryComplete(g)
		return
	}
	if g.state == empty && len(g.members) == 0 {
		return
	}
	s.prepareRebalance(g)
}

// prepareRebalance begins the joining phase. The first one of an empty group waits for further members, in rounds.
func (s *shard) prepareRebalance(g *group) {
	if g.state == completingRebalance {
		for _, m := range g.inOrder() {
			m.assignment = nil
			s.answerSync(m, SyncResponse{Code: codeRebalanceInProgress})
		}
	}
	clear(g.unsynced)
	g.syncing.stop()
	g.become(preparingRebalance, s.now)
	if g.previous == empty {
		g.grown = false
		g.round = s.opts.InitialRebalanceDelay
		g.remaining = max(0, g.longest()-g.round)
		s.timers.set(&g.rebalance, s.now.Add(g.round))
		return
	}
	s.timers.set(&g.rebalance, s.now.Add(g.longest()))
	s.tryComplete(g)
}

// tryComplete ends the joining phase when everyone who is known has joined. The first one always waits for its time.
func (s *shard) tryComplete(g *group) {
	if g.previous != empty && g.complete() {
		s.completeJoin(g)
	}
}

// rebalanceDue: the time to join is over, or a round of the first rebalance is.
func (s *shard) rebalanceDue(g *group) {
	if g.state != preparingRebalance {
		return
	}
	if g.previous == empty && g.grown && g.remaining > 0 {
		g.grown = false
		g.round = min(s.opts.InitialRebalanceDelay, g.remaining)
		g.remaining -= g.round
		s.timers.set(&g.rebalance, s.now.Add(g.round))
		return
	}
	s.completeJoin(g)
}

// completeJoin makes those who joined the next generation. Dynamic members who did not are out; static ones stay until their session ends.
func (s *shard) completeJoin(g *group) {
	g.rebalance.stop()
	for _, m := range g.inOrder() {
		if m.join == nil && m.instance == nil {
			s.remove(g, m)
		}
	}
	if len(g.members) > 0 && !g.elect() {
		// Only static members are left and none has come: wait until one does or their sessions end.
		s.timers.set(&g.rebalance, s.now.Add(g.longest()))
		return
	}
	g.generation++
	if len(g.members) == 0 {
		g.protocol, g.leader = "", ""
		g.become(empty, s.now)
		s.store(g)
		return
	}
	g.protocol = g.vote()
	g.become(completingRebalance, s.now)
	for _, m := range g.inOrder() {
		s.answerJoin(g, m, s.current(g, m))
		m.fresh = false
		m.assignment = nil
		g.unsynced[m.id] = struct{}{}
		s.awaitHeartbeat(m)
	}
	s.timers.set(&g.syncing, s.now.Add(g.longest()))
}

// elect makes sure that the leader is one who joined. false: nobody did.
func (g *group) elect() bool {
	if m := g.members[g.leader]; m != nil && m.join != nil {
		return true
	}
	m := g.first(func(m *member) bool { return m.join != nil })
	if m == nil {
		return false
	}
	g.leader = m.id
	return true
}

// syncDue: members that joined the generation and never asked for their assignment are out.
func (s *shard) syncDue(g *group) {
	if g.state != completingRebalance && g.state != stable || len(g.unsynced) == 0 {
		return
	}
	for _, m := range g.inOrder() {
		if _, ok := g.unsynced[m.id]; ok {
			s.remove(g, m)
		}
	}
	s.prepareRebalance(g)
}
