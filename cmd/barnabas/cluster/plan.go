package cluster

import (
	"cmp"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
)

// move takes one partition from some brokers to others.
type move struct {
	Topic     string  `json:"topic"`
	Partition int32   `json:"partition"`
	From      []int32 `json:"from"`
	To        []int32 `json:"to"`
}

// layout is where replicas are, as a plan changes it.
type layout struct {
	racks      map[int32]string // of the brokers that may take replicas
	partitions []*placed        // by topic and number
	replicas   map[int32]int
	leads      map[int32]int // partitions that prefer the broker
}

type placed struct {
	topic    string
	number   int32
	before   []int32
	replicas []int32
}

// newLayout reads the cluster's metadata. Brokers that are named in without take nothing.
func newLayout(m kadm.Metadata, without ...int32) *layout {
	l := &layout{racks: map[int32]string{}, replicas: map[int32]int{}, leads: map[int32]int{}}
	for _, b := range m.Brokers {
		if slices.Contains(without, b.NodeID) {
			continue
		}
		l.racks[b.NodeID] = ""
		if b.Rack != nil {
			l.racks[b.NodeID] = *b.Rack
		}
	}
	m.Topics.EachPartition(func(p kadm.PartitionDetail) {
		l.partitions = append(l.partitions, &placed{p.Topic, p.Partition, p.Replicas, slices.Clone(p.Replicas)})
		for i, id := range p.Replicas {
			l.replicas[id]++
			if i == 0 {
				l.leads[id]++
			}
		}
	})
	slices.SortFunc(l.partitions, func(a, b *placed) int { return cmp.Or(cmp.Compare(a.topic, b.topic), cmp.Compare(a.number, b.number)) })
	return l
}

// brokers are those that may take replicas, by id.
func (l *layout) brokers() []int32 {
	var ids []int32
	for id := range l.racks {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// replace puts another broker in the place of one; at is len(p.replicas) to add one.
func (l *layout) replace(p *placed, at int, with int32) {
	if at < len(p.replicas) {
		l.replicas[p.replicas[at]]--
		if at == 0 {
			l.leads[p.replicas[at]]--
		}
		p.replicas[at] = with
	} else {
		p.replicas = append(p.replicas, with)
	}
	l.replicas[with]++
	if at == 0 {
		l.leads[with]++
	}
}

// candidate is the broker that should take a replica in place at: not one that has the partition, in a rack of which it has the fewest replicas, with the fewest replicas in
// all. false: there is none.
func (l *layout) candidate(p *placed, at int) (best int32, ok bool) {
	taken := map[string]int{}
	for i, id := range p.replicas {
		if rack, known := l.racks[id]; known && i != at {
			taken[rack]++
		}
	}
	for _, id := range l.brokers() {
		if slices.Contains(p.replicas, id) {
			continue
		}
		if !ok || cmp.Or(cmp.Compare(taken[l.racks[id]], taken[l.racks[best]]), cmp.Compare(l.replicas[id], l.replicas[best]),
			cmp.Compare(l.leads[id], l.leads[best])) < 0 {
			best, ok = id, true
		}
	}
	return best, ok
}

// drain takes everything off a broker that newLayout was told to leave out. It returns the partitions that no other broker can take.
func (l *layout) drain(broker int32) (stuck []*placed) {
	for _, p := range l.partitions {
		at := slices.Index(p.replicas, broker)
		if at < 0 {
			continue
		}
		to, ok := l.candidate(p, at)
		if !ok {
			stuck = append(stuck, p)
			continue
		}
		l.replace(p, at, to)
	}
	return stuck
}

// resize gives a partition another number of replicas; false: there are not enough brokers.
func (l *layout) resize(p *placed, factor int) bool {
	for len(p.replicas) > factor {
		last := len(p.replicas) - 1
		l.replicas[p.replicas[last]]--
		p.replicas = p.replicas[:last]
	}
	for len(p.replicas) < factor {
		to, ok := l.candidate(p, len(p.replicas))
		if !ok {
			return false
		}
		l.replace(p, len(p.replicas), to)
	}
	return true
}

// balance moves replicas from the fullest broker to the emptiest until they differ by one at most, as far as racks allow, and then makes the brokers prefer to lead
// equally many partitions. It moves no more data than that takes. Each step makes the counts more equal, so it ends.
func (l *layout) balance() {
	for l.evenReplicas() {
	}
	for l.evenLeaders() {
	}
}

// byCount are the brokers, the fullest first.
func (l *layout) byCount(count map[int32]int) []int32 {
	ids := l.brokers()
	slices.SortStableFunc(ids, func(a, b int32) int { return cmp.Compare(count[b], count[a]) })
	return ids
}

func (l *layout) evenReplicas() bool {
	ids := l.byCount(l.replicas)
	for _, high := range ids {
		for _, low := range slices.Backward(ids) {
			if l.replicas[high]-l.replicas[low] < 2 {
				break
			}
			for _, p := range l.partitions {
				if at := slices.Index(p.replicas, high); at >= 0 && l.mayMove(p, at, low) {
					l.replace(p, at, low)
					return true
				}
			}
		}
	}
	return false
}

// mayMove says whether a broker may take the place of another without putting two replicas in a rack that had one.
func (l *layout) mayMove(p *placed, at int, to int32) bool {
	if slices.Contains(p.replicas, to) {
		return false
	}
	from := l.racks[p.replicas[at]]
	count := func(rack string) (n int) {
		for _, id := range p.replicas {
			if r, known := l.racks[id]; known && r == rack {
				n++
			}
		}
		return n
	}
	return l.racks[to] == from || count(l.racks[to]) < count(from)
}

// evenLeaders changes the order of one partition's replicas.
func (l *layout) evenLeaders() bool {
	ids := l.byCount(l.leads)
	for _, high := range ids {
		for _, low := range slices.Backward(ids) {
			if l.leads[high]-l.leads[low] < 2 {
				break
			}
			for _, p := range l.partitions {
				if at := slices.Index(p.replicas, low); at > 0 && p.replicas[0] == high {
					p.replicas[0], p.replicas[at] = low, high
					l.leads[high]--
					l.leads[low]++
					return true
				}
			}
		}
	}
	return false
}

// moves is what has changed.
func (l *layout) moves() []move {
	moves := []move{}
	for _, p := range l.partitions {
		if !slices.Equal(p.before, p.replicas) {
			moves = append(moves, move{p.topic, p.number, p.before, p.replicas})
		}
	}
	return moves
}
