package consumergroup

import (
	"cmp"
	"maps"
	"slices"
	"unicode/utf16"
)

func (g *group) remember(p TopicPartition, c commitment) {
	partitions := g.offsets[p.Topic]
	if partitions == nil {
		partitions = map[int32]commitment{}
		g.offsets[p.Topic] = partitions
	}
	partitions[p.Partition] = c
}

func (g *group) forget(p TopicPartition) {
	partitions := g.offsets[p.Topic]
	delete(partitions, p.Partition)
	if len(partitions) == 0 {
		delete(g.offsets, p.Topic)
	}
}

// committed lists the partitions whose offsets are wanted, sorted.
func (g *group) committed(wanted func(topic string, c commitment) bool) (list []TopicPartition) {
	for topic, partitions := range g.offsets {
		for number, c := range partitions {
			if wanted(topic, c) {
				list = append(list, TopicPartition{Topic: topic, Partition: number})
			}
		}
	}
	slices.SortFunc(list, func(a, b TopicPartition) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return list
}

func every(string, commitment) bool { return true }

func (s *shard) commit(r *CommitRequest) []int16 {
	codes := make([]int16, len(r.Offsets))
	g := s.groups[r.Group]
	if code := s.checkCommit(g, r); code != codeNone {
		for i := range codes {
			codes[i] = code
		}
		return codes
	}
	if g == nil {
		g = s.create(r.Group)
	}
	expires := int64(-1)
	if r.Retention >= 0 {
		expires = s.now.Add(r.Retention).UnixMilli()
	}
	for i, o := range r.Offsets {
		if utf16Length(o.Metadata) > s.opts.MaxMetadataSize {
			codes[i] = codeOffsetMetadataTooLarge
			continue
		}
		c := commitment{Offset: o.Offset, committed: s.now.UnixMilli(), expires: expires}
		g.remember(o.TopicPartition, c)
		s.out.Write(offsetRecord(g.name, o.TopicPartition, c))
	}
	s.tidy(g)
	return codes
}

// checkCommit says whether the request may commit. Members may while others still join, but not between their join and their sync: what they read belongs to the
// generation before. Without a member or generation it is a simple consumer or an operator, who may only while nobody is in the group.
func (s *shard) checkCommit(g *group, r *CommitRequest) int16 {
	if g == nil {
		if r.Generation >= 0 {
			return codeIllegalGeneration
		}
		return codeNone
	}
	if r.Generation < 0 && g.state == empty {
		return codeNone
	}
	if r.Generation < 0 && r.MemberID == "" && r.InstanceID == nil {
		return codeUnknownMemberID
	}
	m, code := g.check(r.MemberID, r.InstanceID, r.Generation)
	if code != codeNone {
		return code
	}
	if g.state == completingRebalance {
		return codeRebalanceInProgress
	}
	s.awaitHeartbeat(m)
	return codeNone
}

func (s *shard) fetch(r *FetchRequest) fetchAnswer {
	g := s.groups[r.Group]
	partitions := r.Partitions
	if partitions == nil && g != nil {
		partitions = g.committed(every)
	}
	answer := fetchAnswer{offsets: make([]FetchedOffset, len(partitions))}
	for i, p := range partitions {
		answer.offsets[i] = FetchedOffset{TopicPartition: p, Offset: Offset{Offset: -1, LeaderEpoch: -1}}
		if g == nil {
			continue
		}
		if c, ok := g.offsets[p.Topic][p.Partition]; ok {
			answer.offsets[i].Offset = c.Offset
		}
	}
	return answer
}

func (s *shard) deleteOffsets(r *deleteOffsetsMessage) deleteOffsetsAnswer {
	answer := deleteOffsetsAnswer{codes: make([]int16, len(r.partitions))}
	g := s.groups[r.group]
	switch {
	case g == nil:
		answer.code = codeGroupIDNotFound
	case g.state != empty && g.protocolType != consumerType:
		answer.code = codeNonEmptyGroup
	}
	if answer.code != codeNone {
		for i := range answer.codes {
			answer.codes[i] = answer.code
		}
		return answer
	}
	reads := func(string) bool { return false }
	if g.state != empty {
		reads = g.reads()
	}
	for i, p := range r.partitions {
		if reads(p.Topic) {
			answer.codes[i] = codeGroupSubscribedToTopic
			continue
		}
		s.dropOffset(g, p)
	}
	s.tidy(g)
	return answer
}

// reads says of a topic whether a member may read it.
func (g *group) reads() func(topic string) bool {
	topics, ok := g.subscribed()
	return func(topic string) bool {
		_, subscribed := topics[topic]
		return subscribed || !ok
	}
}

// dropOffset deletes an offset, if there is one.
func (s *shard) dropOffset(g *group, p TopicPartition) {
	if _, ok := g.offsets[p.Topic][p.Partition]; ok {
		g.forget(p)
		s.out.Write(offsetTombstone(g.name, p))
	}
}

// topicDeleted drops the topic's offsets of all groups that were committed until then, little by little.
func (s *shard) topicDeleted(topic string, until int64) {
	var names []string
	for name, g := range s.groups {
		if _, ok := g.offsets[topic]; ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		s.chores = append(s.chores, chore{group: name, topic: topic, until: until})
	}
}

// keepTopics drops the offsets of topics that do not exist, as topicDeleted does.
func (s *shard) keepTopics(exists func(string) bool, until int64) {
	gone := map[string]bool{}
	for _, g := range s.groups {
		for topic := range g.offsets {
			gone[topic] = gone[topic] || !exists(topic)
		}
	}
	for _, topic := range slices.Sorted(maps.Keys(gone)) {
		if gone[topic] {
			s.topicDeleted(topic, until)
		}
	}
}

// dropTopic drops offsets of a deleted topic; more says that there are others.
func (s *shard) dropTopic(g *group, topic string, until int64) (more bool) {
	more = s.dropSome(g, func(t string, c commitment) bool { return t == topic && c.committed <= until })
	s.tidy(g)
	return more
}

// expire drops what was kept long enough, and the group with its last offset; more says that there is more to do.
func (s *shard) expire(g *group) (more bool) {
	more = s.dropSome(g, s.expiry(g))
	if g.idle() {
		s.endGroup(g)
	}
	return more
}

// dropSome drops offsets that are due, in order; more says that it left some for the next time.
func (s *shard) dropSome(g *group, due func(topic string, c commitment) bool) (more bool) {
	drop := g.committed(due)
	if len(drop) > offsetsAtOnce {
		drop, more = drop[:offsetsAtOnce], true
	}
	for _, p := range drop {
		s.dropOffset(g, p)
	}
	return more
}

// expiry says of an offset whether its time is over. In a group without members the time runs from when it lost the last (or from the commit, if that
// was later), in one of consumers from the commit, for topics that no member reads; in others offsets stay. A retention that came with the commit replaces ours.
func (s *shard) expiry(g *group) func(topic string, c commitment) bool {
	over := func(c commitment, from int64) bool {
		if c.expires >= 0 {
			return s.now.UnixMilli() >= c.expires
		}
		return s.now.UnixMilli()-from >= s.opts.OffsetRetention.Milliseconds()
	}
	switch {
	case g.state == empty && g.protocolType == "":
		return func(_ string, c commitment) bool { return over(c, c.committed) }
	case g.state == empty:
		return func(_ string, c commitment) bool { return over(c, max(c.committed, g.since.UnixMilli())) }
	case g.state == stable && g.protocolType == consumerType:
		reads := g.reads()
		return func(topic string, c commitment) bool { return !reads(topic) && over(c, c.committed) }
	}
	return func(string, commitment) bool { return false }
}

// endGroup forgets a group, and has the log forget it.
func (s *shard) endGroup(g *group) {
	delete(s.groups, g.name)
	if g.stored {
		s.out.Write(groupTombstone(g.name))
	}
}

// utf16Length is the length of a string as Java counts it.
func utf16Length(text string) (n int) {
	for _, r := range text {
		n += utf16.RuneLen(r)
	}
	return n
}
