package history

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// Rule is a promise that a history can show broken.
type Rule string

const (
	// Lost: an acknowledged record is not in the final reading.
	Lost Rule = "lost"
	// Vanished: a record that a reader got is not in the final reading, acknowledged or not.
	Vanished Rule = "vanished"
	// Moved: a record is at another offset than the one it was acknowledged with.
	Moved Rule = "moved"
	// Duplicated: a record is at two offsets.
	Duplicated Rule = "duplicated"
	// Divergent: two records were seen at, or acknowledged with, one offset.
	Divergent Rule = "divergent"
	// Reordered: of two records of one producer in one partition the later has the lower offset.
	Reordered Rule = "reordered"
	// Backdated: a record has a lower offset than one that was acknowledged before it was even invoked.
	Backdated Rule = "backdated"
	// Skipped: a reader's next offset is not the next; or nobody of a group ever got an offset that lies below one that somebody got.
	Skipped Rule = "skipped"
	// Forgotten: a reader of a group begins below an offset that was committed before the partition was assigned to it, and not where an Unsettled commit may have put it.
	Forgotten Rule = "forgotten"
	// Unwritten: a record was seen that nobody wrote, or in another partition than it was written to, or before it was invoked.
	Unwritten Rule = "unwritten"
	// Denied: a record was seen of which the cluster had said that it was not stored.
	Denied Rule = "denied"
)

// Violation is one broken promise.
type Violation struct {
	Rule      Rule
	Partition Partition
	ID        ID
	Offset    int64
	Detail    string
}

func (v Violation) String() string {
	return fmt.Sprintf("%s: %v record %v offset %d: %s", v.Rule, v.Partition, v.ID, v.Offset, v.Detail)
}

// Counts say how large a history is.
type Counts struct {
	Invoked, Acknowledged, Refused, Unknown, Consumed, Committed, Final, Readers int64
}

// Verdict on a history.
type Verdict struct {
	Counts Counts
	// Broken counts all violations by rule; Violations holds the first ones of each.
	Broken     map[Rule]int
	Violations []Violation
}

// Sound says that no promise was broken.
func (v *Verdict) Sound() bool { return len(v.Broken) == 0 }

func (v *Verdict) String() string {
	var b strings.Builder
	c := v.Counts
	fmt.Fprintf(&b, "%d records invoked, %d acknowledged, %d refused, %d unknown; %d consumed by %d readers, %d commits; %d in the final reading", c.Invoked, c.Acknowledged,
		c.Refused, c.Unknown, c.Consumed, c.Readers, c.Committed, c.Final)
	rules := []Rule{Lost, Vanished, Moved, Duplicated, Divergent, Reordered, Backdated, Skipped, Forgotten, Unwritten, Denied}
	for _, r := range rules {
		fmt.Fprintf(&b, "\n  %-10s %d", r, v.Broken[r])
	}
	for _, violation := range v.Violations {
		fmt.Fprintf(&b, "\n%v", violation)
	}
	return b.String()
}

// maxOffset is the highest offset that a history may speak of: the checker keeps a place for each.
const maxOffset = 1 << 32

// violationsKept is how many violations of each rule a Verdict spells out.
const violationsKept = 10

// CheckFile judges a history as a Recorder wrote it.
func CheckFile(r io.Reader) (*Verdict, error) {
	c := newChecker()
	if err := Read(r, func(e Event) error { c.add(e); return nil }); err != nil {
		return nil, err
	}
	return c.verdict(), nil
}

// Check judges events, which are in the order in which they happened.
func Check(events []Event) *Verdict {
	c := newChecker()
	for _, e := range events {
		c.add(e)
	}
	return c.verdict()
}

// written is what producers know of a record.
type written struct {
	partition *partition
	outcome   Kind  // Invoked while nothing is known
	offset    int64 // if acknowledged
	after     int64 // the highest offset that was acknowledged in the partition when this record was invoked, -1 for none
}

// seat is what is known of an offset.
type seat struct {
	id          ID
	seen, final bool // a reader had it; it is in the final reading
	reported    bool // as divergent
}

// partition collects what is known of one.
type partition struct {
	name    Partition
	seats   []seat // by offset; an id of {-1, -1} is an offset that nobody spoke of
	highest int64  // acknowledged so far, -1 for none
	acked   []ID
	groups  map[string][]bool
	commits map[string]int64 // of each group, the highest
	// unsettled are the offsets of each group whose commits nobody answered.
	unsettled map[string]map[int64]bool
}

// reader is a Reader's position.
type reader struct {
	partition *partition
	group     string
	next      int64 // -1: anything
	committed int64 // by the group when the reader was assigned
}

type checker struct {
	result     *Verdict
	partitions map[Partition]*partition
	records    map[ID]*written
	readers    map[int32]*reader
}

func newChecker() *checker {
	return &checker{result: &Verdict{Broken: map[Rule]int{}}, partitions: map[Partition]*partition{}, records: map[ID]*written{},
		readers: map[int32]*reader{}}
}

var nobody = ID{-1, -1}

func (c *checker) broken(rule Rule, p Partition, id ID, offset int64, format string, args ...any) {
	c.result.Broken[rule]++
	if c.result.Broken[rule] <= violationsKept {
		c.result.Violations = append(c.result.Violations, Violation{rule, p, id, offset, fmt.Sprintf(format, args...)})
	}
}

func (c *checker) partition(name Partition) *partition {
	p := c.partitions[name]
	if p == nil {
		p = &partition{name: name, highest: -1, groups: map[string][]bool{}, commits: map[string]int64{}, unsettled: map[string]map[int64]bool{}}
		c.partitions[name] = p
	}
	return p
}

func (p *partition) seat(offset int64) *seat {
	for int64(len(p.seats)) <= offset {
		p.seats = append(p.seats, seat{id: nobody})
	}
	return &p.seats[offset]
}

func (c *checker) add(e Event) {
	p := c.partition(e.Partition)
	switch e.Kind {
	case Invoked:
		c.result.Counts.Invoked++
		if c.records[e.ID] != nil {
			c.broken(Unwritten, p.name, e.ID, -1, "invoked twice: the history is wrong")
			return
		}
		c.records[e.ID] = &written{partition: p, outcome: Invoked, offset: -1, after: p.highest}
	case Acknowledged:
		c.result.Counts.Acknowledged++
		c.acknowledged(p, e)
	case Refused, Unknown:
		if e.Kind == Refused {
			c.result.Counts.Refused++
		} else {
			c.result.Counts.Unknown++
		}
		if w := c.records[e.ID]; w != nil {
			w.outcome = e.Kind
		}
	case Assigned:
		c.result.Counts.Readers++
		c.readers[e.Reader] = &reader{partition: p, group: e.Group, next: -1, committed: p.commits[e.Group]}
	case Consumed:
		c.result.Counts.Consumed++
		c.consumed(p, e)
	case Committed:
		c.result.Counts.Committed++
		p.commits[e.Group] = max(p.commits[e.Group], e.Offset)
	case Unsettled:
		if p.unsettled[e.Group] == nil {
			p.unsettled[e.Group] = map[int64]bool{}
		}
		p.unsettled[e.Group][e.Offset] = true
	case Final:
		c.result.Counts.Final++
		if s := c.sit(p, e); s != nil {
			s.final = true
		}
	}
}

func (c *checker) acknowledged(p *partition, e Event) {
	w := c.records[e.ID]
	if w == nil {
		c.broken(Unwritten, p.name, e.ID, e.Offset, "acknowledged and never invoked")
		return
	}
	w.outcome, w.offset = Acknowledged, e.Offset
	p.acked = append(p.acked, e.ID)
	if e.Offset < 0 || e.Offset > maxOffset {
		c.broken(Moved, p.name, e.ID, e.Offset, "acknowledged with an impossible offset")
		return
	}
	p.highest = max(p.highest, e.Offset)
	s := p.seat(e.Offset)
	if s.id == nobody {
		s.id = e.ID
	} else if s.id != e.ID && !s.reported {
		s.reported = true
		c.broken(Divergent, p.name, e.ID, e.Offset, "acknowledged where record %v was seen or acknowledged", s.id)
	}
}

// sit notes that a record was seen at an offset, by a reader or in the final reading.
func (c *checker) sit(p *partition, e Event) *seat {
	w := c.records[e.ID]
	switch {
	case w == nil:
		c.broken(Unwritten, p.name, e.ID, e.Offset, "seen and not invoked before")
	case w.partition != p:
		c.broken(Unwritten, p.name, e.ID, e.Offset, "written to %v", w.partition.name)
	}
	if e.Offset < 0 || e.Offset > maxOffset {
		c.broken(Moved, p.name, e.ID, e.Offset, "seen at an impossible offset")
		return nil
	}
	s := p.seat(e.Offset)
	if s.id == nobody {
		s.id = e.ID
	} else if s.id != e.ID {
		if !s.reported {
			s.reported = true
			c.broken(Divergent, p.name, e.ID, e.Offset, "record %v was seen there, or acknowledged with it, before", s.id)
		}
		if e.Kind == Final {
			if s.seen {
				c.broken(Vanished, p.name, s.id, e.Offset, "a reader had it, the final reading has record %v", e.ID)
			}
			s.id = e.ID // what the cluster stands by
		}
	}
	return s
}

func (c *checker) consumed(p *partition, e Event) {
	if s := c.sit(p, e); s != nil && s.id == e.ID {
		s.seen = true
	}
	r := c.readers[e.Reader]
	if r == nil || r.partition != p {
		c.broken(Skipped, p.name, e.ID, e.Offset, "reader %d was never given this partition", e.Reader)
		return
	}
	if r.next >= 0 && e.Offset != r.next {
		c.broken(Skipped, p.name, e.ID, e.Offset, "reader %d (%s) expected offset %d", e.Reader, cmp.Or(r.group, "no group"), r.next)
	}
	if r.next < 0 && e.Offset < r.committed && !p.unsettled[r.group][e.Offset] {
		c.broken(Forgotten, p.name, e.ID, e.Offset, "reader %d begins there, and group %s had committed %d", e.Reader, r.group, r.committed)
	}
	r.next = e.Offset + 1
	if r.group != "" && e.Offset >= 0 && e.Offset <= maxOffset {
		got := p.groups[r.group]
		for int64(len(got)) <= e.Offset {
			got = append(got, false)
		}
		got[e.Offset] = true
		p.groups[r.group] = got
	}
}

// verdict judges what only the whole history shows.
func (c *checker) verdict() *Verdict {
	for _, name := range slices.SortedFunc(maps.Keys(c.partitions), func(a, b Partition) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Number, b.Number))
	}) {
		c.judge(c.partitions[name])
	}
	return c.result
}
