package consumergroup

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/barnabas-log/barnabas/internal/coordinator"
	"github.com/twmb/franz-go/pkg/kerr"
)

// stage is one shard with a hand-moved clock, a log of what was written, and everyone who waits.
type stage struct {
	opts    Options
	shard   *shard
	now     time.Time
	start   time.Time
	log     []coordinator.Record
	actors  map[string]*actor
	waiting map[*coordinator.Caller]asked
	said    strings.Builder
	nextID  int
}

// actor is what a client remembers.
type actor struct {
	id         string
	generation int32
}

// asked is who waits for what.
type asked struct{ who, what string }

func newStage() *stage {
	st := &stage{start: time.Unix(1_700_000_000, 0), actors: map[string]*actor{}, waiting: map[*coordinator.Caller]asked{}}
	st.now = st.start
	st.opts = Options{NewID: func() string { st.nextID++; return fmt.Sprint(st.nextID) }}
	st.opts.ensureDefaults()
	return st
}

func (st *stage) actor(who string) *actor {
	a := st.actors[who]
	if a == nil {
		a = &actor{generation: -1}
		st.actors[who] = a
	}
	return a
}

func (st *stage) sayf(format string, args ...any) {
	st.said.WriteString(strings.TrimRight(fmt.Sprintf(format, args...), " ") + "\n")
}

func (st *stage) take() string {
	said := st.said.String()
	st.said.Reset()
	return said
}

// load makes a new shard from the log. Who waited waits in vain.
func (st *stage) load() {
	st.shard = newShard(&st.opts, nil)
	for _, r := range st.log {
		if err := st.shard.Replay(r); err != nil {
			st.sayf("skipped: %v", err)
		}
	}
	st.effects(func(out *coordinator.Effects) { st.shard.Loaded(st.now, out) })
}

// effects runs one event and says what came of it.
func (st *stage) effects(event func(out *coordinator.Effects)) {
	var out coordinator.Effects
	event(&out)
	for _, r := range out.Records {
		st.log = append(st.log, r)
		st.sayf("  log: %s", showRecord(r))
	}
	for _, r := range out.Replies {
		who, ok := st.waiting[r.Caller]
		if !ok {
			panic("answered twice, or someone who did not ask")
		}
		delete(st.waiting, r.Caller)
		st.answered(who, r.Answer)
	}
}

func (st *stage) ask(who, what string, message any) {
	c := coordinator.NewCaller()
	st.waiting[c] = asked{who, what}
	st.effects(func(out *coordinator.Effects) { st.shard.Handle(st.now, c, message, out) })
	if _, ok := st.waiting[c]; ok {
		st.sayf("%s %s: waits", who, what)
	}
}

// pass lets time pass, from one deadline to the next.
func (st *stage) pass(d time.Duration) {
	end := st.now.Add(d)
	for {
		next, ok := st.shard.Next()
		if !ok || next.After(end) {
			break
		}
		if next.After(st.now) {
			st.now = next
		}
		before := st.said.Len()
		st.effects(func(out *coordinator.Effects) { st.shard.Tick(st.now, out) })
		if text := st.said.String(); len(text) > before {
			added := text[before:]
			st.said.Reset()
			st.said.WriteString(text[:before])
			st.sayf("after %v", st.now.Sub(st.start))
			st.said.WriteString(added)
		}
	}
	st.now = end
}

func (st *stage) answered(who asked, answer any) {
	a := st.actor(who.who)
	prefix := strings.TrimSpace(who.who + " " + who.what)
	switch r := answer.(type) {
	case JoinResponse:
		if r.MemberID != "" {
			a.id = r.MemberID
		}
		if r.Code != codeNone {
			st.sayf("%s: %s id %s", prefix, name(r.Code), r.MemberID)
			return
		}
		a.generation = r.Generation
		line := fmt.Sprintf("%s: generation %d, %s, leader %s, id %s", prefix, r.Generation, r.Protocol, r.Leader, r.MemberID)
		for _, m := range r.Members {
			line += fmt.Sprintf(", %s%s reads %s", m.ID, showInstance(m.InstanceID), showTopics(m.Metadata))
		}
		if r.SkipAssignment {
			line += ", need not assign"
		}
		st.sayf("%s", line)
	case SyncResponse:
		if r.Code != codeNone {
			st.sayf("%s: %s", prefix, name(r.Code))
			return
		}
		st.sayf("%s: %s, %s, %s", prefix, r.ProtocolType, r.Protocol, showAssignment(r.Assignment))
	case int16:
		st.sayf("%s: %s", prefix, name(r))
	case LeaveResponse:
		st.sayf("%s: %s", prefix, strings.Join(append(onlyErrors(r.Code), names(r.Members)...), " "))
	case []int16:
		st.sayf("%s: %s", prefix, strings.Join(names(r), " "))
	case fetchAnswer:
		var parts []string
		for _, o := range r.offsets {
			parts = append(parts, fmt.Sprintf("%s:%d=%s", o.Topic, o.Partition, showOffset(o.Offset)))
		}
		st.sayf("%s: %s", prefix, strings.Join(parts, " "))
	case deleteOffsetsAnswer:
		st.sayf("%s: %s", prefix, strings.Join(append(onlyErrors(r.code), names(r.codes)...), " "))
	case Described:
		st.describe(prefix, r)
	case []Listed:
		for _, l := range r {
			st.sayf("%s: %s, %q, %s, %s", prefix, l.Group, l.ProtocolType, l.State, l.Type)
		}
	default:
		panic(fmt.Sprintf("answer of type %T", answer))
	}
}

func (st *stage) describe(prefix string, d Described) {
	if d.Code != codeNone {
		st.sayf("%s: %s %s", prefix, name(d.Code), d.State)
		return
	}
	st.sayf("%s: %s, %q, %q, %d members", prefix, d.State, d.ProtocolType, d.Protocol, len(d.Members))
	for _, m := range d.Members {
		st.sayf("  %s%s reads %s, has %s", m.ID, showInstance(m.InstanceID), showTopics(m.Metadata), showAssignment(m.Assignment))
	}
}

func onlyErrors(code int16) []string {
	if code == codeNone {
		return nil
	}
	return []string{name(code)}
}

func name(code int16) string {
	if code == codeNone {
		return "ok"
	}
	return kerr.TypedErrorForCode(code).Message
}

func names(codes []int16) (all []string) {
	for _, code := range codes {
		all = append(all, name(code))
	}
	return all
}

func showInstance(instance *string) string {
	if instance == nil {
		return ""
	}
	return "/" + *instance
}

func showOffset(o Offset) string {
	s := fmt.Sprint(o.Offset)
	if o.LeaderEpoch >= 0 {
		s += fmt.Sprintf("@%d", o.LeaderEpoch)
	}
	if o.Metadata != "" {
		s += fmt.Sprintf("%q", o.Metadata)
	}
	return s
}

func showTopics(metadata []byte) string {
	topics, err := subscribedTopics(metadata)
	if err != nil {
		return fmt.Sprintf("%q", metadata)
	}
	return strings.Join(topics, ",")
}

func showAssignment(b []byte) string {
	switch {
	case len(b) == 0:
		return "no bytes"
	case slices.Equal(b, emptyAssignment):
		return "empty assignment"
	}
	return string(b)
}

// subscription is a ConsumerProtocolSubscription of version 0.
func subscription(topics ...string) []byte {
	b := binary.BigEndian.AppendUint16(nil, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(len(topics)))
	for _, topic := range topics {
		b = binary.BigEndian.AppendUint16(b, uint16(len(topic)))
		b = append(b, topic...)
	}
	return binary.BigEndian.AppendUint32(b, 0xffffffff)
}

func showRecord(r coordinator.Record) string {
	d, err := decode(r)
	if err != nil {
		return err.Error()
	}
	switch {
	case d.topic != nil && d.deleted:
		return fmt.Sprintf("offset %s %s:%d deleted", d.group, d.topic.Topic, d.topic.Partition)
	case d.topic != nil:
		return fmt.Sprintf("offset %s %s:%d=%s", d.group, d.topic.Topic, d.topic.Partition, showOffset(d.offset.Offset))
	case d.deleted:
		return fmt.Sprintf("group %s deleted", d.group)
	}
	v := d.metadata
	s := fmt.Sprintf("group %s generation %d", d.group, v.Generation)
	if len(v.Members) == 0 {
		return s + " without members"
	}
	s += fmt.Sprintf(", %s, leader %s", *v.Protocol, *v.Leader)
	for _, m := range v.Members {
		s += fmt.Sprintf(", %s%s has %s", m.MemberID, showInstance(m.InstanceID), showAssignment(m.Assignment))
	}
	return s
}

// do plays one command.
func (st *stage) do(line string) error {
	words := strings.Fields(line)
	a := parseArguments(words[1:], "group", "topics", "protocols", "type", "session", "rebalance", "instance", "id", "gen", "protocol", "retention", "epoch", "metadata")
	group := a.get("group", "g")
	if st.shard == nil && words[0] != "options" {
		st.load()
	}
	switch words[0] {
	case "options":
		return st.configure(a)
	case "join":
		st.ask(a.plain[0], "join", st.joinRequest(group, a))
	case "sync":
		st.ask(a.plain[0], "sync", st.syncRequest(group, a))
	case "heartbeat":
		who := st.actor(a.plain[0])
		st.ask(a.plain[0], "heartbeat", HeartbeatRequest{
			Group: group, MemberID: a.get("id", who.id), InstanceID: a.pointer("instance"), Generation: int32(a.number("gen", int64(who.generation))),
		})
	case "leave":
		st.ask("", line, st.leaveRequest(group, a))
	case "commit":
		st.ask(a.plain[0], "commit", st.commitRequest(group, a))
	case "fetch":
		r := FetchRequest{Group: group, MemberEpoch: -1}
		for _, p := range a.plain {
			r.Partitions = append(r.Partitions, parsePartition(p))
		}
		st.ask("", "fetch", r)
	case "describe":
		st.ask("", "describe", describeMessage{group})
	case "list":
		st.ask("", "list", listMessage{})
	case "delete":
		st.ask("", "delete", deleteMessage{group})
	case "delete-offsets":
		m := deleteOffsetsMessage{group: group}
		for _, p := range a.plain {
			m.partitions = append(m.partitions, parsePartition(p))
		}
		st.ask("", "delete-offsets", m)
	case "topic-deleted":
		st.effects(func(out *coordinator.Effects) {
			st.shard.Handle(st.now, nil, topicDeletedNotice{a.plain[0], st.now.UnixMilli()}, out)
		})
		st.pass(0)
	case "wait":
		d, err := time.ParseDuration(a.plain[0])
		if err != nil {
			return err
		}
		st.pass(d)
	case "restart":
		for _, who := range st.waiting {
			st.sayf("%s %s: NOT_COORDINATOR", who.who, who.what)
		}
		clear(st.waiting)
		st.load()
	default:
		return fmt.Errorf("unknown command")
	}
	return nil
}

func (st *stage) configure(a arguments) error {
	if st.shard != nil {
		return fmt.Errorf("too late")
	}
	st.opts.InitialRebalanceDelay = a.duration("delay", st.opts.InitialRebalanceDelay)
	st.opts.OffsetRetention = a.duration("retention", st.opts.OffsetRetention)
	st.opts.RetentionCheckInterval = a.duration("check", st.opts.RetentionCheckInterval)
	st.opts.MaxSize = int(a.number("max-size", int64(st.opts.MaxSize)))
	st.opts.MaxMetadataSize = int(a.number("max-metadata", int64(st.opts.MaxMetadataSize)))
	return nil
}

func (st *stage) memberID(a arguments) string {
	switch id := a.get("id", st.actor(a.plain[0]).id); id {
	case "-":
		return ""
	default:
		return id
	}
}

func (st *stage) joinRequest(group string, a arguments) JoinRequest {
	r := JoinRequest{
		Client: Client{ID: a.plain[0], Host: "/127.0.0.1"}, Group: group, MemberID: st.memberID(a), InstanceID: a.pointer("instance"),
		ProtocolType: a.get("type", consumerType), SessionTimeout: a.duration("session", 10*time.Second), RebalanceTimeout: a.duration("rebalance", time.Minute),
		RequireMemberID: !a.has("old"), SkipAssignment: a.has("v9"),
	}
	for _, protocol := range strings.Split(a.get("protocols", "range"), ",") {
		r.Protocols = append(r.Protocols, Protocol{Name: protocol, Metadata: subscription(strings.Split(a.get("topics", "t"), ",")...)})
	}
	return r
}

func (st *stage) syncRequest(group string, a arguments) SyncRequest {
	r := SyncRequest{
		Group: group, MemberID: st.memberID(a), InstanceID: a.pointer("instance"), Generation: int32(a.number("gen", int64(st.actor(a.plain[0]).generation))),
		Protocol: a.pointer("protocol"), ProtocolType: a.pointer("type"), Assignments: map[string][]byte{},
	}
	for _, who := range a.pairs {
		r.Assignments[st.actor(who).id] = []byte(a.named[who])
	}
	return r
}

func (st *stage) leaveRequest(group string, a arguments) LeaveRequest {
	r := LeaveRequest{Group: group}
	for _, who := range a.plain {
		member, instance, static := strings.Cut(who, "/")
		l := LeavingMember{}
		if static {
			l.InstanceID = &instance
		}
		if member != "-" {
			l.MemberID = st.actor(member).id
		}
		r.Members = append(r.Members, l)
	}
	return r
}

func (st *stage) commitRequest(group string, a arguments) CommitRequest {
	r := CommitRequest{Group: group, Generation: -1, Retention: a.duration("retention", -1), InstanceID: a.pointer("instance")}
	if a.plain[0] != "-" {
		who := st.actor(a.plain[0])
		r.MemberID, r.Generation = a.get("id", who.id), int32(a.number("gen", int64(who.generation)))
	}
	for _, p := range a.pairs {
		r.Offsets = append(r.Offsets, CommitOffset{
			TopicPartition: parsePartition(p),
			Offset:         Offset{Offset: mustInt(a.named[p]), LeaderEpoch: int32(a.number("epoch", -1)), Metadata: a.get("metadata", "")},
		})
	}
	return r
}
