package consumergroup

import (
	"fmt"
	"time"

	"github.com/barnabas-log/barnabas/internal/coordinator"
)

// shard is the state of all groups of one partition of __consumer_offsets: the machine that internal/coordinator runs.
type shard struct {
	opts   *Options
	groups map[string]*group
	timers timerQueue
	sweep  timer
	// deleted has the topics that were deleted before the load, with the times: notices do not reach a shard that is not there.
	deleted map[string]int64
	// chores are pieces of work on single groups, done a few at a time so that no event holds the shard for long.
	chores []chore

	// Of the event under way.
	now time.Time
	out *coordinator.Effects
}

// chore is work on one group: to drop the offsets of a deleted topic, or (topic "") to expire offsets.
type chore struct {
	group string
	topic string
	until int64 // offsets of the topic that were committed later belong to its successor
}

const (
	choresAtOnce  = 64   // groups
	offsetsAtOnce = 1024 // offsets of one group
	timersAtOnce  = 256
)

// Messages that are not requests of their own type.
type (
	describeMessage      struct{ group string }
	listMessage          struct{}
	deleteMessage        struct{ group string }
	deleteOffsetsMessage struct {
		group      string
		partitions []TopicPartition
	}
	topicDeletedNotice struct {
		topic string
		at    int64 // milliseconds since 1970
	}
	keepTopicsNotice struct {
		exists func(topic string) bool
		at     int64 // milliseconds since 1970
	}
)

// Answers that need more than one value.
type (
	fetchAnswer struct {
		offsets []FetchedOffset
		code    int16
	}
	deleteOffsetsAnswer struct {
		codes []int16
		code  int16
	}
)

// newShard makes an empty shard. deleted may be nil and is not changed.
func newShard(opts *Options, deleted map[string]int64) *shard {
	return &shard{opts: opts, groups: map[string]*group{}, sweep: timer{kind: sweepTimer}, deleted: deleted}
}

// Replay implements coordinator.Machine.
func (s *shard) Replay(r coordinator.Record) error {
	d, err := decode(r)
	if err != nil {
		return err
	}
	g := s.groups[d.group]
	if g == nil {
		if d.deleted {
			return nil
		}
		g = newGroup(d.group, time.Time{})
		s.groups[d.group] = g
	}
	switch {
	case d.topic != nil && d.deleted:
		g.forget(*d.topic)
	case d.topic != nil:
		g.remember(*d.topic, d.offset)
	case d.deleted: // its offsets may stay: they were committed by a simple consumer under the same name
		fresh := newGroup(g.name, time.Time{})
		fresh.offsets = g.offsets
		g = fresh
		s.groups[g.name] = g
	default:
		restoreGroup(g, &d.metadata)
	}
	if g.idle() && !g.stored {
		delete(s.groups, g.name)
	}
	return nil
}

// Loaded implements coordinator.Machine. Members have a whole session timeout from now to show themselves.
func (s *shard) Loaded(now time.Time, out *coordinator.Effects) {
	s.begin(now, out)
	defer s.end()
	for _, g := range s.groups {
		if g.since.IsZero() {
			g.since = now
		}
		for _, m := range g.members {
			s.awaitHeartbeat(m)
		}
		for topic := range g.offsets {
			if at, ok := s.deleted[topic]; ok {
				s.chores = append(s.chores, chore{group: g.name, topic: topic, until: at})
			}
		}
		if len(g.members) > s.opts.MaxSize { // the limit was lowered: who joins first stays
			s.prepareRebalance(g)
		}
	}
	s.timers.set(&s.sweep, now.Add(s.opts.RetentionCheckInterval))
}

func (s *shard) begin(now time.Time, out *coordinator.Effects) { s.now, s.out = now, out }
func (s *shard) end()                                          { s.out = nil }

// Handle implements coordinator.Machine.
func (s *shard) Handle(now time.Time, caller *coordinator.Caller, message any, out *coordinator.Effects) {
	s.begin(now, out)
	defer s.end()
	switch m := message.(type) {
	case JoinRequest:
		s.join(caller, &m)
	case SyncRequest:
		s.sync(caller, &m)
	case HeartbeatRequest:
		s.out.Reply(caller, s.heartbeat(&m))
	case LeaveRequest:
		s.out.Reply(caller, s.leave(&m))
	case CommitRequest:
		s.out.Reply(caller, s.commit(&m))
	case FetchRequest:
		s.out.Reply(caller, s.fetch(&m))
	case describeMessage:
		s.out.Reply(caller, s.describe(m.group))
	case listMessage:
		s.out.Reply(caller, s.list())
	case surveyMessage:
		s.out.Reply(caller, s.survey(m.limit))
	case deleteMessage:
		s.out.Reply(caller, s.delete(m.group))
	case deleteOffsetsMessage:
		s.out.Reply(caller, s.deleteOffsets(&m))
	case topicDeletedNotice:
		s.topicDeleted(m.topic, m.at)
	case keepTopicsNotice:
		s.keepTopics(m.exists, m.at)
	default:
		panic(fmt.Sprintf("consumergroup: message of type %T", message))
	}
}

// Next implements coordinator.Machine.
func (s *shard) Next() (time.Time, bool) {
	if len(s.chores) > 0 {
		return s.now, true
	}
	return s.timers.next()
}

// Tick implements coordinator.Machine.
func (s *shard) Tick(now time.Time, out *coordinator.Effects) {
	s.begin(now, out)
	defer s.end()
	for range timersAtOnce {
		t := s.timers.pop(now)
		if t == nil {
			break
		}
		s.fire(t)
	}
	for i := 0; i < choresAtOnce && len(s.chores) > 0 && len(out.Records) < offsetsAtOnce; i++ {
		c := s.chores[0]
		s.chores = s.chores[1:]
		s.do(c)
	}
}

func (s *shard) fire(t *timer) {
	if t.kind == sweepTimer {
		for name := range s.groups {
			s.chores = append(s.chores, chore{group: name})
		}
		s.timers.set(t, s.now.Add(s.opts.RetentionCheckInterval))
		return
	}
	g := t.group
	if s.groups[g.name] != g {
		return
	}
	switch t.kind {
	case sessionTimer:
		s.sessionExpired(g, t.member)
	case pendingTimer:
		s.pendingExpired(g, t.id)
	case rebalanceTimer:
		s.rebalanceDue(g)
	case syncTimer:
		s.syncDue(g)
	}
	s.tidy(g)
}

func (s *shard) do(c chore) {
	g := s.groups[c.group]
	if g == nil {
		return
	}
	more := false
	if c.topic != "" {
		more = s.dropTopic(g, c.topic, c.until)
	} else {
		more = s.expire(g)
	}
	if more {
		s.chores = append(s.chores, c)
	}
}

// create makes a group. It costs nothing in the log until it has something to keep.
func (s *shard) create(name string) *group {
	g := newGroup(name, s.now)
	s.groups[name] = g
	return g
}

// tidy forgets a group that came to nothing: a join that was refused, a pending member that never came back.
func (s *shard) tidy(g *group) {
	if g.idle() && !g.stored && s.groups[g.name] == g {
		delete(s.groups, g.name)
	}
}

// store writes the group as it is.
func (s *shard) store(g *group) {
	g.stored = true
	s.out.Write(groupRecord(g))
}
