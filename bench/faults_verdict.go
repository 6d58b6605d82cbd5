package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/barnabas-log/barnabas/internal/history"
)

// row is what became of one damage.
type row struct {
	damage, phase, role, did, message, followed string

	noticed time.Duration // until the node said so
	silence time.Duration // longest time without an acknowledgement
	whole   time.Duration // until nothing was wrong with the files any more
	lost    stretch       // offsets of the damaged bytes, where nobody else has them
	records int64         // acknowledged records that are lost, of those
}

func (r row) String() string {
	lost := fmt.Sprint(r.records)
	if r.lost.to > 0 {
		lost += fmt.Sprintf(" (of the %d in the damaged bytes)", r.lost.to-r.lost.from)
	}
	return fmt.Sprintf("%s, %s, %s | %s | %s | %s | lost: %s | noticed after %v, no acknowledgement for %v at most, whole after %v", r.damage, r.phase, r.role, r.did, r.message, r.followed,
		lost, r.noticed.Round(time.Millisecond), r.silence.Round(time.Millisecond), r.whole.Round(time.Millisecond))
}

// printRows prints the table, for a page.
func printRows(rows []row) {
	fmt.Println("| fault | done to | the node logged | what followed | acknowledged records lost | noticed after | longest time without acknowledgement | whole after |")
	fmt.Println("|---|---|---|---|---|---|---|---|")
	for _, r := range rows {
		lost := fmt.Sprint(r.records)
		if r.lost.to > 0 {
			lost += fmt.Sprintf(" of %d in the damaged bytes", r.lost.to-r.lost.from)
		}
		cells := []string{r.damage + ": " + r.did, r.role + ", " + r.phase, r.message, r.followed, lost, r.noticed.Round(time.Millisecond).String(), r.silence.Round(time.Millisecond).String(),
			r.whole.Round(time.Millisecond).String()}
		for i := range cells {
			cells[i] = strings.ReplaceAll(cells[i], "|", "/")
		}
		fmt.Println("| " + strings.Join(cells, " | ") + " |")
	}
}

// lastAcknowledged is the offset behind the last record that was read or acknowledged so far.
func (s *suffering) lastAcknowledged() int64 {
	s.trial.people.mu.Lock()
	defer s.trial.people.mu.Unlock()
	var last int64
	for _, reached := range s.trial.people.reached {
		last = max(last, reached)
	}
	return last
}

// judge says what is wrong with the history, where records may be lost only in what is spared.
func (s *suffering) judge(problems []string) error {
	verdict, err := s.trial.verdict()
	if err != nil {
		return err
	}
	lost, skipped, err := s.losses()
	if err != nil {
		return err
	}
	for _, offset := range lost {
		for i := range s.rows {
			if within([]stretch{s.rows[i].lost}, offset, offset+1) {
				s.rows[i].records++
			}
		}
		if !within(s.spared, offset, offset+1) {
			problems = append(problems, fmt.Sprintf("offset %d was acknowledged and is lost", offset))
		}
	}
	for _, gap := range skipped {
		if !within(s.spared, gap.from, gap.to) {
			problems = append(problems, fmt.Sprintf("a reader skipped offsets %d to %d", gap.from, gap.to-1))
		}
	}
	if len(s.spared) > 0 {
		for _, rule := range []history.Rule{history.Lost, history.Vanished, history.Skipped} { // looked at above
			delete(verdict.Broken, rule)
		}
		for _, rule := range s.damage.hides {
			if !slices.ContainsFunc(verdict.Violations, func(v history.Violation) bool { return v.Rule == rule && !within(s.spared, v.Offset, v.Offset+1) }) {
				delete(verdict.Broken, rule)
			}
		}
		problems = slices.DeleteFunc(problems, func(p string) bool { return strings.HasPrefix(p, unread) })
	}
	if !verdict.Sound() {
		fmt.Println(verdict)
		return errors.Join(errBroken, failed(problems))
	}
	return failed(problems)
}

// losses are the offsets that were acknowledged and are not in the final reading, and what readers left out.
func (s *suffering) losses() (lost []int64, skipped []stretch, err error) {
	if _, err := s.trial.file.Seek(0, 0); err != nil {
		return nil, nil, err
	}
	acknowledged, final, next := map[history.ID]int64{}, map[history.ID]bool{}, map[int32]int64{}
	err = history.Read(s.trial.file, func(e history.Event) error {
		switch e.Kind {
		case history.Acknowledged:
			acknowledged[e.ID] = e.Offset
		case history.Final:
			final[e.ID] = true
		case history.Consumed:
			if at, known := next[e.Reader]; known && e.Offset > at {
				skipped = append(skipped, stretch{at, e.Offset})
			}
			next[e.Reader] = e.Offset + 1
		}
		return nil
	})
	for id, offset := range acknowledged {
		if !final[id] {
			lost = append(lost, offset)
		}
	}
	slices.Sort(lost)
	return lost, skipped, err
}
