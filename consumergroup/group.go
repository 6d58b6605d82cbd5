package consumergroup

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"github.com/barnabas-log/barnabas/internal/coordinator"
)

// state is where a group stands. See doc.go for the way between them. A group that is no longer there has no state: it is not in the shard.
type state int8

const (
	empty state = iota
	preparingRebalance
	completingRebalance
	stable
)

// String is Kafka's name of the state.
func (s state) String() string {
	return [...]string{"Empty", "PreparingRebalance", "CompletingRebalance", "Stable"}[s]
}

// consumerType is the protocol type of consumers, the only one whose metadata the coordinator can read.
const consumerType = "consumer"

// member is one member of a group.
type member struct {
	id               string
	instance         *string // static member
	client           Client
	sessionTimeout   time.Duration
	rebalanceTimeout time.Duration
	protocols        []Protocol
	assignment       []byte
	order            uint64 // of joining: lists and elections follow it
	fresh            bool   // its first join is not answered: it does not know its id and cannot heartbeat
	join             *coordinator.Caller
	sync             *coordinator.Caller
	session          timer
}

// group is one group: its members, and the offsets committed under its name. A group of a simple consumer has only offsets.
type group struct {
	name         string
	state        state
	previous     state // the state before
	since        time.Time
	generation   int32
	protocolType string // "": never had members
	protocol     string // "": none chosen
	leader       string // "": none
	stored       bool   // the log holds a record of it, so that its end must be written too

	members   map[string]*member
	instances map[string]string // instance id -> member id
	pending   map[string]*timer // ids given out by MEMBER_ID_REQUIRED
	unsynced  map[string]struct{}
	supported map[string]int // protocol -> how many members support it
	joining   int            // members whose join waits
	nextOrder uint64

	rebalance timer
	syncing   timer
	// The first rebalance waits in rounds of the initial delay as long as new members come. grown says that one came in this round; remaining is what
	// is left of the rebalance timeout after it.
	grown     bool
	remaining time.Duration
	round     time.Duration

	offsets map[string]map[int32]commitment // topic -> partition
}

func newGroup(name string, now time.Time) *group {
	g := &group{
		name: name, since: now,
		members: map[string]*member{}, instances: map[string]string{}, pending: map[string]*timer{}, unsynced: map[string]struct{}{},
		supported: map[string]int{}, offsets: map[string]map[int32]commitment{},
	}
	g.rebalance = timer{kind: rebalanceTimer, group: g}
	g.syncing = timer{kind: syncTimer, group: g}
	return g
}

func (g *group) become(s state, now time.Time) {
	g.previous, g.state, g.since = g.state, s, now
}

// add takes m in as the last member.
func (g *group) add(m *member, protocolType string) {
	if len(g.members) == 0 {
		g.protocolType = protocolType
	}
	if g.leader == "" {
		g.leader = m.id
	}
	g.nextOrder++
	m.order = g.nextOrder
	m.session = timer{kind: sessionTimer, group: g, member: m}
	g.members[m.id] = m
	if m.instance != nil {
		g.instances[*m.instance] = m.id
	}
	g.count(m.protocols, 1)
}

// drop removes m. Whoever waits in its name must have been answered before.
func (g *group) drop(m *member) {
	m.session.stop()
	g.count(m.protocols, -1)
	delete(g.members, m.id)
	delete(g.unsynced, m.id)
	if m.instance != nil {
		delete(g.instances, *m.instance)
	}
	if g.leader == m.id {
		g.leader = ""
		if next := g.first(func(*member) bool { return true }); next != nil {
			g.leader = next.id
		}
	}
}

// rename gives m's place to newID.
func (g *group) rename(m *member, newID string) {
	if g.leader == m.id {
		g.leader = newID
	}
	if _, ok := g.unsynced[m.id]; ok {
		delete(g.unsynced, m.id)
		g.unsynced[newID] = struct{}{}
	}
	delete(g.members, m.id)
	m.id = newID
	g.members[newID] = m
	g.instances[*m.instance] = newID
}

// support replaces m's protocols.
func (g *group) support(m *member, protocols []Protocol) {
	g.count(m.protocols, -1)
	m.protocols = protocols
	g.count(m.protocols, 1)
}

func (g *group) count(protocols []Protocol, by int) {
	for i, p := range protocols {
		if named(protocols[:i], p.Name) { // a name given twice counts once
			continue
		}
		if g.supported[p.Name] += by; g.supported[p.Name] == 0 {
			delete(g.supported, p.Name)
		}
	}
}

func named(protocols []Protocol, name string) bool {
	return slices.ContainsFunc(protocols, func(p Protocol) bool { return p.Name == name })
}

// first is the member that joined first among those that ok accepts, or nil.
func (g *group) first(ok func(*member) bool) (first *member) {
	for _, m := range g.members {
		if ok(m) && (first == nil || m.order < first.order) {
			first = m
		}
	}
	return first
}

// inOrder lists the members in the order in which they joined.
func (g *group) inOrder() []*member {
	members := make([]*member, 0, len(g.members))
	for _, m := range g.members {
		members = append(members, m)
	}
	slices.SortFunc(members, func(a, b *member) int {
		if a.order < b.order {
			return -1
		}
		return 1
	})
	return members
}

// accepts says whether a member that supports these protocols can be with those who are there.
func (g *group) accepts(protocolType string, protocols []Protocol) bool {
	if protocolType == "" || len(protocols) == 0 {
		return false
	}
	if len(g.members) == 0 {
		return true
	}
	return protocolType == g.protocolType && slices.ContainsFunc(protocols, func(p Protocol) bool { return g.supported[p.Name] == len(g.members) })
}

// hasRoom says whether memberID may join a group of at most limit members. While members join, those who were not yet heard of may be too many: who comes first
// stays.
func (g *group) hasRoom(memberID string, limit int) bool {
	m := g.members[memberID]
	switch g.state {
	case empty:
		return true
	case preparingRebalance:
		return m != nil && m.join != nil || g.joining < limit
	default:
		return m != nil || len(g.members) < limit
	}
}

// vote chooses a protocol: of those that all support, the one that most members like best. Ties go to the name that sorts first. It is "" if they agree on none.
func (g *group) vote() string {
	votes := map[string]int{}
	for _, m := range g.members {
		for _, p := range m.protocols {
			if g.supported[p.Name] == len(g.members) {
				votes[p.Name]++
				break
			}
		}
	}
	var winner string
	for name, n := range votes {
		if n > votes[winner] || n == votes[winner] && strings.Compare(name, winner) < 0 {
			winner = name
		}
	}
	return winner
}

// longest is the rebalance timeout of the most patient member.
func (g *group) longest() (d time.Duration) {
	for _, m := range g.members {
		d = max(d, m.rebalanceTimeout)
	}
	return d
}

// complete says whether everyone who is known has joined.
func (g *group) complete() bool {
	return g.joining == len(g.members) && len(g.pending) == 0
}

// idle says that nothing but the name is left.
func (g *group) idle() bool {
	return g.state == empty && len(g.members) == 0 && len(g.pending) == 0 && len(g.offsets) == 0
}

// metadata is what m said for the protocol.
func (m *member) metadata(protocol string) []byte {
	for _, p := range m.protocols {
		if p.Name == protocol {
			return p.Metadata
		}
	}
	return nil
}

// supports says whether m said exactly this when it joined.
func (m *member) supports(protocols []Protocol) bool {
	return slices.EqualFunc(m.protocols, protocols, func(a, b Protocol) bool { return a.Name == b.Name && bytes.Equal(a.Metadata, b.Metadata) })
}

// subscribed is every topic that a member of a consumer group reads; ok is false when that cannot be known.
func (g *group) subscribed() (topics map[string]struct{}, ok bool) {
	if g.protocolType != consumerType || g.protocol == "" {
		return nil, false
	}
	topics = map[string]struct{}{}
	for _, m := range g.members {
		names, err := subscribedTopics(m.metadata(g.protocol))
		if err != nil {
			return nil, false
		}
		for _, name := range names {
			topics[name] = struct{}{}
		}
	}
	return topics, true
}
