package consumergroup

import (
	"context"
	"maps"
	"slices"

	"github.com/barnabas-log/barnabas/internal/coordinator"
)

// Survey is what the groups of this node look like from afar, for figures.
type Survey struct {
	States    map[string]int // how many groups are in each state, by Kafka's name of it; every state is there
	Members   int            // of all groups
	Committed []Committed    // by partition of __consumer_offsets, then by group
	Omitted   int            // committed offsets beyond the limit
}

// Committed is one committed offset.
type Committed struct {
	Group string
	TopicPartition
	Offset int64
}

// surveyMessage asks a shard for its part of a survey, with at most so many offsets.
type surveyMessage struct{ limit int }

// Survey counts the groups whose coordinator is this node and lists up to limit of their offsets, always the same ones as long as nothing changes. Shards that still load, or that do not answer
// before ctx ends, are left out.
func (s *Service) Survey(ctx context.Context, limit int) Survey {
	sum := newSurvey()
	var calls []*coordinator.Call
	numbers := s.runtime.Numbers()
	slices.Sort(numbers)
	for _, number := range numbers {
		if call, err := s.runtime.Send(ctx, number, surveyMessage{limit}); err == nil {
			calls = append(calls, call)
		}
	}
	for _, call := range calls {
		answer, err := call.Wait(ctx)
		if err != nil {
			continue
		}
		part := answer.(Survey)
		for state, n := range part.States {
			sum.States[state] += n
		}
		sum.Members += part.Members
		room := min(limit-len(sum.Committed), len(part.Committed))
		sum.Committed = append(sum.Committed, part.Committed[:room]...)
		sum.Omitted += part.Omitted + len(part.Committed) - room
	}
	return sum
}

func newSurvey() Survey {
	v := Survey{States: map[string]int{}}
	for s := empty; s <= stable; s++ {
		v.States[s.String()] = 0
	}
	return v
}

// survey looks at every group, and at the offsets of as many as fit.
func (s *shard) survey(limit int) Survey {
	v := newSurvey()
	for _, name := range slices.Sorted(maps.Keys(s.groups)) {
		g := s.groups[name]
		v.States[g.state.String()]++
		v.Members += len(g.members)
		if room := limit - len(v.Committed); room <= 0 {
			for _, partitions := range g.offsets {
				v.Omitted += len(partitions)
			}
			continue
		}
		for _, p := range g.committed(every) {
			if len(v.Committed) == limit {
				v.Omitted++
				continue
			}
			v.Committed = append(v.Committed, Committed{name, p, g.offsets[p.Topic][p.Partition].Offset.Offset})
		}
	}
	return v
}
