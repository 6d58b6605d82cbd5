package consumergroup

import (
	"time"

	"github.com/barnabas-log/barnabas/internal/coordinator"
)

// freshJoinTimeout bounds the wait of a member that does not know its id yet. It cannot heartbeat, and if its connection broke it will come back under
// another id: it must not count for ever.
const freshJoinTimeout = 5 * time.Minute

func (s *shard) refuseJoin(caller *coordinator.Caller, memberID string, code int16) {
	s.out.Reply(caller, JoinResponse{Code: code, Generation: -1, MemberID: memberID})
}

func (s *shard) join(caller *coordinator.Caller, r *JoinRequest) {
	if r.SessionTimeout < s.opts.MinSessionTimeout || r.SessionTimeout > s.opts.MaxSessionTimeout {
		s.refuseJoin(caller, r.MemberID, codeInvalidSessionTimeout)
		return
	}
	if r.RebalanceTimeout <= 0 {
		r.RebalanceTimeout = r.SessionTimeout
	}
	g := s.groups[r.Group]
	if g == nil {
		if r.MemberID != "" {
			s.refuseJoin(caller, r.MemberID, codeUnknownMemberID)
			return
		}
		g = s.create(r.Group)
	}
	defer s.tidy(g)
	switch {
	case !g.accepts(r.ProtocolType, r.Protocols):
		s.refuseJoin(caller, r.MemberID, codeInconsistentProtocol)
	case !g.hasRoom(r.MemberID, s.opts.MaxSize):
		if m := g.members[r.MemberID]; m != nil {
			s.expel(g, m)
		}
		s.refuseJoin(caller, "", codeGroupMaxSizeReached)
	case r.MemberID == "" && r.InstanceID != nil:
		s.joinStatic(g, caller, r)
	case r.MemberID == "":
		s.joinDynamic(g, caller, r)
	default:
		s.rejoin(g, caller, r)
	}
}

func (s *shard) joinDynamic(g *group, caller *coordinator.Caller, r *JoinRequest) {
	id := r.Client.ID + "-" + s.opts.NewID()
	if !r.RequireMemberID {
		s.admit(g, caller, r, id)
		return
	}
	t := &timer{kind: pendingTimer, group: g, id: id}
	g.pending[id] = t
	s.timers.set(t, s.now.Add(r.SessionTimeout))
	s.refuseJoin(caller, id, codeMemberIDRequired)
}

func (s *shard) joinStatic(g *group, caller *coordinator.Caller, r *JoinRequest) {
	id := *r.InstanceID + "-" + s.opts.NewID()
	if old, ok := g.instances[*r.InstanceID]; ok {
		s.replaceStatic(g, g.members[old], caller, r, id)
		return
	}
	s.admit(g, caller, r, id)
}

// admit takes a new member in.
func (s *shard) admit(g *group, caller *coordinator.Caller, r *JoinRequest, id string) {
	m := &member{
		id: id, instance: r.InstanceID, client: r.Client, sessionTimeout: r.SessionTimeout, rebalanceTimeout: r.RebalanceTimeout,
		protocols: r.Protocols, fresh: true,
	}
	g.add(m, r.ProtocolType)
	s.awaitJoin(g, m, caller)
	s.timers.set(&m.session, s.now.Add(freshJoinTimeout))
	if g.state == preparingRebalance && g.previous == empty {
		g.grown = true
	}
	s.rebalanceOrComplete(g)
}

// replaceStatic gives the place of a static member to who now has its instance id. The old one is fenced. A stable group stays so unless the vote changes.
func (s *shard) replaceStatic(g *group, m *member, caller *coordinator.Caller, r *JoinRequest, id string) {
	oldLeader := g.leader
	s.answerJoin(g, m, JoinResponse{Code: codeFencedInstanceID, Generation: -1, MemberID: m.id})
	s.answerSync(m, SyncResponse{Code: codeFencedInstanceID})
	g.rename(m, id)
	s.update(g, m, r)
	s.awaitHeartbeat(m)
	if g.state == stable && g.vote() == g.protocol {
		s.store(g)
		answer := s.current(g, m)
		switch {
		case g.leader == m.id && r.SkipAssignment: // KIP-814: it may see the members but need not assign
			answer.SkipAssignment = true
		case g.leader == m.id: // it must not think that it has to assign
			answer.Leader, answer.Members = oldLeader, nil
		}
		s.out.Reply(caller, answer)
		return
	}
	s.awaitJoin(g, m, caller)
	s.rebalanceOrComplete(g)
}

// rejoin is a join with a member id.
func (s *shard) rejoin(g *group, caller *coordinator.Caller, r *JoinRequest) {
	if r.InstanceID != nil {
		if code := g.checkInstance(*r.InstanceID, r.MemberID); code != codeNone {
			s.refuseJoin(caller, r.MemberID, code)
			return
		}
	} else if t := g.pending[r.MemberID]; t != nil {
		t.stop()
		delete(g.pending, r.MemberID)
		s.admit(g, caller, r, r.MemberID)
		return
	}
	m := g.members[r.MemberID]
	switch {
	case m == nil:
		s.refuseJoin(caller, r.MemberID, codeUnknownMemberID)
	case g.state == completingRebalance && m.supports(r.Protocols), // the answer was lost
		g.state == stable && m.id != g.leader && m.supports(r.Protocols):
		s.awaitHeartbeat(m)
		s.out.Reply(caller, s.current(g, m))
	default:
		s.update(g, m, r)
		s.awaitJoin(g, m, caller)
		s.rebalanceOrComplete(g)
	}
}

func (s *shard) update(g *group, m *member, r *JoinRequest) {
	m.client, m.sessionTimeout, m.rebalanceTimeout = r.Client, r.SessionTimeout, r.RebalanceTimeout
	g.support(m, r.Protocols)
}

// awaitJoin makes caller the one who waits for m's join. Who waited before is told to come again.
func (s *shard) awaitJoin(g *group, m *member, caller *coordinator.Caller) {
	s.answerJoin(g, m, JoinResponse{Code: codeRebalanceInProgress, Generation: -1, MemberID: m.id})
	m.join = caller
	g.joining++
}

// answerJoin answers whoever waits for m's join.
func (s *shard) answerJoin(g *group, m *member, answer JoinResponse) {
	if m.join != nil {
		s.out.Reply(m.join, answer)
		m.join = nil
		g.joining--
	}
}

func (s *shard) answerSync(m *member, answer SyncResponse) {
	if m.sync != nil {
		s.out.Reply(m.sync, answer)
		m.sync = nil
	}
}

// current is what m is told of the generation. The leader is told who is in it.
func (s *shard) current(g *group, m *member) JoinResponse {
	answer := JoinResponse{Generation: g.generation, ProtocolType: g.protocolType, Protocol: g.protocol, Leader: g.leader, MemberID: m.id}
	if m.id == g.leader {
		answer.Members = g.roll()
	}
	return answer
}

// roll lists the members for the leader. The metadata is shared, not copied.
func (g *group) roll() []Member {
	members := make([]Member, 0, len(g.members))
	for _, m := range g.inOrder() {
		members = append(members, Member{ID: m.id, InstanceID: m.instance, Metadata: m.metadata(g.protocol)})
	}
	return members
}

// checkInstance says whether memberID is the one that has the instance id now.
func (g *group) checkInstance(instance, memberID string) int16 {
	switch current, ok := g.instances[instance]; {
	case !ok:
		return codeUnknownMemberID
	case current != memberID:
		return codeFencedInstanceID
	}
	return codeNone
}

// check is what Sync, Heartbeat and Commit have in common: is this a member, and does it know the generation?
func (g *group) check(memberID string, instance *string, generation int32) (*member, int16) {
	if g == nil {
		return nil, codeUnknownMemberID
	}
	if instance != nil {
		if code := g.checkInstance(*instance, memberID); code != codeNone {
			return nil, code
		}
	}
	m := g.members[memberID]
	if m == nil {
		return nil, codeUnknownMemberID
	}
	if generation != g.generation {
		return nil, codeIllegalGeneration
	}
	return m, codeNone
}

func (s *shard) sync(caller *coordinator.Caller, r *SyncRequest) {
	g := s.groups[r.Group]
	m, code := g.check(r.MemberID, r.InstanceID, r.Generation)
	switch {
	case code != codeNone:
	case r.ProtocolType != nil && *r.ProtocolType != g.protocolType, r.Protocol != nil && g.protocol != "" && *r.Protocol != g.protocol:
		code = codeInconsistentProtocol
	case g.state == preparingRebalance:
		code = codeRebalanceInProgress
	case g.state == empty:
		code = codeUnknownMemberID
	}
	if code != codeNone {
		s.out.Reply(caller, SyncResponse{Code: code})
		return
	}
	delete(g.unsynced, m.id)
	if len(g.unsynced) == 0 {
		g.syncing.stop()
	}
	s.awaitHeartbeat(m)
	s.answerSync(m, SyncResponse{Code: codeRebalanceInProgress}) // it asks again: the first is no longer waited for
	m.sync = caller
	if g.state == completingRebalance && m.id == g.leader {
		s.assign(g, r.Assignments)
	}
	if g.state == stable {
		s.answerSync(m, g.assigned(m))
	}
}

// assign takes the leader's assignment: the generation is stable.
func (s *shard) assign(g *group, assignments map[string][]byte) {
	for id, m := range g.members {
		m.assignment = assignments[id]
	}
	g.become(stable, s.now)
	s.store(g)
	for _, m := range g.inOrder() {
		if m.sync != nil {
			s.answerSync(m, g.assigned(m))
			s.awaitHeartbeat(m)
		}
	}
}

func (g *group) assigned(m *member) SyncResponse {
	answer := SyncResponse{ProtocolType: g.protocolType, Protocol: g.protocol, Assignment: m.assignment}
	if len(answer.Assignment) == 0 && g.protocolType == consumerType {
		answer.Assignment = emptyAssignment
	}
	return answer
}

func (s *shard) heartbeat(r *HeartbeatRequest) int16 {
	g := s.groups[r.Group]
	m, code := g.check(r.MemberID, r.InstanceID, r.Generation)
	if code != codeNone {
		return code
	}
	s.awaitHeartbeat(m)
	if g.state == preparingRebalance {
		return codeRebalanceInProgress
	}
	return codeNone
}

// awaitHeartbeat gives m a whole session timeout from now.
func (s *shard) awaitHeartbeat(m *member) {
	s.timers.set(&m.session, s.now.Add(m.sessionTimeout))
}

func (s *shard) leave(r *LeaveRequest) LeaveResponse {
	answer := LeaveResponse{Members: make([]int16, len(r.Members))}
	g := s.groups[r.Group]
	if g == nil { // a code for each member, none for the group: so does Kafka
		for i := range answer.Members {
			answer.Members[i] = codeUnknownMemberID
		}
		return answer
	}
	left := false
	for i, l := range r.Members {
		answer.Members[i] = s.leaveOne(g, l)
		left = left || answer.Members[i] == codeNone
	}
	if left {
		s.rebalanceOrComplete(g)
	}
	s.tidy(g)
	return answer
}

func (s *shard) leaveOne(g *group, l LeavingMember) int16 {
	id := l.MemberID
	if l.InstanceID != nil {
		current, ok := g.instances[*l.InstanceID]
		if !ok {
			return codeUnknownMemberID
		}
		if id == "" { // an operator removes whoever has the instance id
			id = current
		}
		if id != current {
			return codeFencedInstanceID
		}
	}
	if t := g.pending[id]; t != nil {
		t.stop()
		delete(g.pending, id)
		return codeNone
	}
	m := g.members[id]
	if m == nil {
		return codeUnknownMemberID
	}
	s.remove(g, m)
	return codeNone
}

// remove takes m out and tells whoever waits in its name.
func (s *shard) remove(g *group, m *member) {
	s.answerJoin(g, m, JoinResponse{Code: codeUnknownMemberID, Generation: -1, MemberID: m.id})
	s.answerSync(m, SyncResponse{Code: codeUnknownMemberID})
	g.drop(m)
}

// expel removes m and lets the others go on without it.
func (s *shard) expel(g *group, m *member) {
	s.remove(g, m)
	s.rebalanceOrComplete(g)
}

// sessionExpired: m did not show itself. Who waits for an answer is alive, unless it does not even know its id.
func (s *shard) sessionExpired(g *group, m *member) {
	if g.members[m.id] != m {
		return
	}
	if !m.fresh && (m.join != nil || m.sync != nil) {
		s.awaitHeartbeat(m)
		return
	}
	s.expel(g, m)
}

// pendingExpired: the member to be never came back. If only it was waited for, the rebalance ends.
func (s *shard) pendingExpired(g *group, id string) {
	delete(g.pending, id)
	if g.state == preparingRebalance {
		s.tryComplete(g)
	}
}
