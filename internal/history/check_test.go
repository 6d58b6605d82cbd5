package history

import (
	"fmt"
	"strings"
	"testing"
)

// story turns lines into events. Records are producer/number, all in partition t-0 unless @n names another:
//
//	invoke 1/0 · ack 1/0 5 · refuse 1/0 · unknown 1/0 · assign r7 [group] · read r7 1/0 5 · commit g 5 · unsettled g 5 · final 1/0 5
func story(t *testing.T, text string) []Event {
	t.Helper()
	var events []Event
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		e := Event{Partition: Partition{Topic: "t"}}
		for i, w := range words {
			if n, ok := strings.CutPrefix(w, "@"); ok {
				scan(t, n, "%d", &e.Partition.Number)
				words = append(words[:i:i], words[i+1:]...)
				break
			}
		}
		rest := words[1:]
		if words[0] == "read" || words[0] == "assign" {
			scan(t, rest[0], "r%d", &e.Reader)
			rest = rest[1:]
		}
		e.Kind = map[string]Kind{"invoke": Invoked, "ack": Acknowledged, "refuse": Refused, "unknown": Unknown, "assign": Assigned, "read": Consumed,
			"commit": Committed, "final": Final, "unsettled": Unsettled}[words[0]]
		switch {
		case e.Kind == 0:
			t.Fatalf("what is %q?", line)
		case e.Kind == Assigned && len(rest) > 0:
			e.Group = rest[0]
		case e.Kind == Committed, e.Kind == Unsettled:
			e.Group = rest[0]
			scan(t, rest[1], "%d", &e.Offset)
		case e.Kind != Assigned:
			scan(t, rest[0], "%d/%d", &e.ID.Producer, &e.ID.Number)
			if e.Kind.hasOffset() {
				scan(t, rest[1], "%d", &e.Offset)
			}
		}
		events = append(events, e)
	}
	return events
}

func scan(t *testing.T, s, format string, into ...any) {
	t.Helper()
	if _, err := fmt.Sscanf(s, format, into...); err != nil {
		t.Fatalf("%q is not %s: %v", s, format, err)
	}
}

// three records of one producer, all well.
const three = `
	invoke 1/0
	ack 1/0 0
	invoke 1/1
	invoke 1/2
	ack 1/1 1
	ack 1/2 2
`

func TestSoundHistories(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":                        ``,
		"an unsettled commit comes late": three + "assign r1 g\nread r1 1/0 0\nunsettled g 1\nread r1 1/1 1\ncommit g 2\nassign r2 g\nread r2 1/1 1\nread r2 1/2 2\nfinal 1/0 0\nfinal 1/1 1\nfinal 1/2 2",
		"three records":                  three + "final 1/0 0\nfinal 1/1 1\nfinal 1/2 2",
		"unknown and stored":             "invoke 1/0\nunknown 1/0\nfinal 1/0 0",
		"unknown and not stored":         "invoke 1/0\nunknown 1/0",
		"refused and not stored":         "invoke 1/0\nrefuse 1/0",
		"never answered":                 "invoke 1/0\ninvoke 1/1\nfinal 1/0 0",
		"read before acknowledged":       "invoke 1/0\nassign r1\nread r1 1/0 0\nack 1/0 0\nfinal 1/0 0",
		"two partitions":                 "invoke 1/0\ninvoke 1/1 @1\nack 1/1 0 @1\nack 1/0 0\nfinal 1/0 0\nfinal 1/1 0 @1",
		"two producers mixed":            "invoke 1/0\ninvoke 2/0\nack 2/0 0\nack 1/0 1\nfinal 2/0 0\nfinal 1/0 1",
		"a member takes over": three + `
			assign r1 g
			read r1 1/0 0
			commit g 1
			read r1 1/1 1
			assign r2 g
			commit g 2
			read r2 1/1 1
			read r2 1/2 2
			final 1/0 0
			final 1/1 1
			final 1/2 2`,
		"a reader from the middle, without a group":  three + "assign r1\nread r1 1/2 2\nfinal 1/0 0\nfinal 1/1 1\nfinal 1/2 2",
		"acknowledged late and out of order of time": "invoke 1/0\ninvoke 1/1\nack 1/1 1\nack 1/0 0\nfinal 1/0 0\nfinal 1/1 1",
	} {
		t.Run(name, func(t *testing.T) {
			if v := Check(story(t, text)); !v.Sound() {
				t.Errorf("%v", v)
			}
		})
	}
}

func TestEachRuleIsFoundBroken(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       map[Rule]int
	}{
		{"the last record is lost", three + "final 1/0 0\nfinal 1/1 1", map[Rule]int{Lost: 1}},
		{"all is lost", three, map[Rule]int{Lost: 3}},
		{"a hole", three + "final 1/0 0\nfinal 1/2 2", map[Rule]int{Lost: 1, Skipped: 1}},
		{"replaced by another, as by an early acknowledgement",
			"invoke 1/0\nack 1/0 0\ninvoke 2/0\nack 2/0 0\nfinal 2/0 0", map[Rule]int{Lost: 1, Divergent: 1, Backdated: 1}},
		{"read, not acknowledged, gone", "invoke 1/0\nassign r1\nread r1 1/0 0", map[Rule]int{Vanished: 1}},
		{"read, then another in its place", "invoke 1/0\ninvoke 2/0\nassign r1\nread r1 1/0 0\nfinal 2/0 0", map[Rule]int{Vanished: 1, Divergent: 1}},
		{"two readers differ", "invoke 1/0\ninvoke 2/0\nassign r1\nassign r2\nread r1 1/0 0\nread r2 2/0 0\nfinal 1/0 0", map[Rule]int{Divergent: 1}},
		{"twice in the final reading", "invoke 1/0\nack 1/0 0\nfinal 1/0 0\nfinal 1/0 1", map[Rule]int{Duplicated: 1}},
		{"acknowledged elsewhere", "invoke 1/0\ninvoke 1/1\nack 1/1 2\nack 1/0 0\nfinal 1/0 0\nfinal 1/1 1", map[Rule]int{Moved: 1}},
		{"acknowledged at -1", "invoke 1/0\nack 1/0 -1\nfinal 1/0 0", map[Rule]int{Moved: 2}},
		{"two acknowledged with one offset", "invoke 1/0\ninvoke 2/0\nack 1/0 0\nack 2/0 0\nfinal 1/0 0\nfinal 2/0 1", map[Rule]int{Divergent: 1, Moved: 1}},
		{"one producer's records change places", "invoke 1/0\ninvoke 1/1\nack 1/1 0\nack 1/0 1\nfinal 1/1 0\nfinal 1/0 1", map[Rule]int{Reordered: 1}},
		{"a later record before an acknowledged one", "invoke 1/0\nack 1/0 1\ninvoke 2/0\nack 2/0 0\nfinal 2/0 0\nfinal 1/0 1", map[Rule]int{Backdated: 1}},
		{"a reader skips", three + "assign r1\nread r1 1/0 0\nread r1 1/2 2\nfinal 1/0 0\nfinal 1/1 1\nfinal 1/2 2", map[Rule]int{Skipped: 1}},
		{"a reader goes back", three + "assign r1\nread r1 1/0 0\nread r1 1/1 1\nread r1 1/0 0\nfinal 1/0 0\nfinal 1/1 1\nfinal 1/2 2", map[Rule]int{Skipped: 1}},
		{"a reader of what it was not given", three + "read r1 1/0 0\nfinal 1/0 0\nfinal 1/1 1\nfinal 1/2 2", map[Rule]int{Skipped: 1}},
		{"a group's second member begins too late",
			three + "assign r1 g\nread r1 1/0 0\nassign r2 g\nread r2 1/2 2\nfinal 1/0 0\nfinal 1/1 1\nfinal 1/2 2", map[Rule]int{Skipped: 1}},
		{"a group forgets a commit",
			three + "assign r1 g\nread r1 1/0 0\nread r1 1/1 1\ncommit g 2\nassign r2 g\nread r2 1/1 1\nread r2 1/2 2\nfinal 1/0 0\nfinal 1/1 1\nfinal 1/2 2",
			map[Rule]int{Forgotten: 1}},
		{"an unsettled commit that is not where the reader begins",
			three + "assign r1 g\nread r1 1/0 0\nread r1 1/1 1\nunsettled g 0\ncommit g 2\nassign r2 g\nread r2 1/1 1\nread r2 1/2 2\nfinal 1/0 0\nfinal 1/1 1\nfinal 1/2 2",
			map[Rule]int{Forgotten: 1}},
		{"a record out of nowhere", "invoke 1/0\nack 1/0 0\nfinal 1/0 0\nfinal 9/9 1", map[Rule]int{Unwritten: 1}},
		{"in a partition it was not written to", "invoke 1/0\nassign r1 @1\nread r1 1/0 0 @1\nfinal 1/0 0 @1", map[Rule]int{Unwritten: 2}},
		{"refused and stored", "invoke 1/0\nrefuse 1/0\nfinal 1/0 0", map[Rule]int{Denied: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := Check(story(t, c.text))
			if fmt.Sprint(v.Broken) != fmt.Sprint(c.want) {
				t.Errorf("broken %v, want %v\n%v", v.Broken, c.want, v)
			}
		})
	}
}

func TestVerdictSpellsOutOnlyTheFirstViolations(t *testing.T) {
	var events []Event
	for i := range int64(100) {
		id := ID{1, i}
		events = append(events, Event{Kind: Invoked, ID: id}, Event{Kind: Acknowledged, ID: id, Offset: i})
	}
	v := Check(events)
	if v.Broken[Lost] != 100 || len(v.Violations) != violationsKept {
		t.Errorf("%d lost, %d spelled out", v.Broken[Lost], len(v.Violations))
	}
	if s := v.String(); !strings.Contains(s, "100 records invoked, 100 acknowledged") || !strings.Contains(s, "lost: -0 record 1/0 offset 0") {
		t.Error(s)
	}
}
