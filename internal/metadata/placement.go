package metadata

import (
	"math/rand/v2"
	"slices"
)

// place chooses replicas for count new partitions of one topic. existing are the partitions that the topic already has, brokers those that may be used (at least
// factor of them). It is deterministic: the same image, brokers and seed give the same answer.
//
// Rules, the first first:
//
//  1. the first replica (preferred to lead) goes to the broker that is first for the fewest partitions of this topic, then of the cluster;
//  2. the others go to racks that the partition has fewest replicas in;
//  3. then to the broker with the fewest replicas of this topic, then of the cluster;
//  4. ties are broken by the seed, anew for each partition, so that the followers of one leader are spread and its death burdens no single broker.
//
// All leaders are chosen before the first follower: a follower placed on a broker that later becomes a leader would spoil rule 3. In the end, followers are moved
// until no broker has two replicas of the topic more than another, as far as racks allow.
func place(image *Image, existing []Partition, count, factor int, brokers []*Broker, seed uint64) []Partition {
	p := newPlacement(image, existing, brokers, seed)
	placed := make([]Partition, count)
	for i := range placed {
		leader := p.leader()
		placed[i].Replicas = append(make([]int32, 0, factor), leader.broker.ID)
	}
	for i := range placed {
		p.follow(&placed[i], factor)
	}
	p.even(placed)
	return placed
}

// seat is one broker as placement sees it.
type seat struct {
	broker          *Broker
	topicLeaders    int
	topicReplicas   int
	clusterLeaders  int
	clusterReplicas int
	draw            uint64 // breaks ties
}

type placement struct {
	seats  []*seat
	byID   map[int32]*seat
	random *rand.Rand
}

func newPlacement(image *Image, existing []Partition, brokers []*Broker, seed uint64) *placement {
	p := &placement{byID: map[int32]*seat{}, random: rand.New(rand.NewPCG(seed, 0))}
	for _, b := range brokers {
		s := &seat{broker: b}
		p.seats = append(p.seats, s)
		p.byID[b.ID] = s
	}
	for _, t := range image.Topics {
		for _, partition := range t.Partitions {
			p.count(partition, func(s *seat) { s.clusterLeaders++ }, func(s *seat) { s.clusterReplicas++ })
		}
	}
	for _, partition := range existing {
		p.count(partition, func(s *seat) { s.topicLeaders++ }, func(s *seat) { s.topicReplicas++ })
	}
	return p
}

func (p *placement) count(partition Partition, leads, holds func(*seat)) {
	for i, id := range partition.Replicas {
		s := p.byID[id]
		if s == nil {
			continue
		}
		if i == 0 {
			leads(s)
		}
		holds(s)
	}
}

func (p *placement) leader() *seat {
	best := p.best(func(a, b *seat) int {
		return firstDifference(a.topicLeaders-b.topicLeaders, a.clusterLeaders-b.clusterLeaders,
			a.topicReplicas-b.topicReplicas, a.clusterReplicas-b.clusterReplicas)
	})
	best.topicLeaders++
	best.clusterLeaders++
	best.take()
	return best
}

// follow fills a partition up to factor replicas.
func (p *placement) follow(partition *Partition, factor int) {
	racks := map[string]int{p.byID[partition.Replicas[0]].broker.Rack: 1}
	for len(partition.Replicas) < factor {
		used := func(s *seat) int {
			if slices.Contains(partition.Replicas, s.broker.ID) {
				return 1
			}
			return 0
		}
		best := p.best(func(a, b *seat) int {
			return firstDifference(used(a)-used(b), racks[a.broker.Rack]-racks[b.broker.Rack],
				a.topicReplicas-b.topicReplicas, a.clusterReplicas-b.clusterReplicas)
		})
		racks[best.broker.Rack]++
		best.take()
		partition.Replicas = append(partition.Replicas, best.broker.ID)
	}
}

// even moves followers from the fullest broker to the emptiest while that helps: choosing one by one, the last partitions may be left with a poor choice. A move
// never takes a rack from a partition. Each move makes the replica counts more equal, so it ends.
func (p *placement) even(placed []Partition) {
	for {
		moved := false
		for _, high := range p.seats {
			for _, low := range p.seats {
				if high.topicReplicas-low.topicReplicas > 1 && p.move(placed, high, low) {
					moved = true
				}
			}
		}
		if !moved {
			return
		}
	}
}

// move makes low follow in one partition where high does.
func (p *placement) move(placed []Partition, high, low *seat) bool {
	for i := range placed {
		replicas := placed[i].Replicas
		at := slices.Index(replicas, high.broker.ID)
		if at < 1 || slices.Contains(replicas, low.broker.ID) {
			continue
		}
		inRack := func(rack string) (count int) {
			for _, id := range replicas {
				if p.byID[id].broker.Rack == rack {
					count++
				}
			}
			return count
		}
		if low.broker.Rack != high.broker.Rack && inRack(low.broker.Rack) >= inRack(high.broker.Rack) {
			continue
		}
		replicas[at] = low.broker.ID
		high.topicReplicas, high.clusterReplicas = high.topicReplicas-1, high.clusterReplicas-1
		low.take()
		return true
	}
	return false
}

func (s *seat) take() {
	s.topicReplicas++
	s.clusterReplicas++
}

// best is the least seat by compare, ties broken by a fresh draw.
func (p *placement) best(compare func(a, b *seat) int) *seat {
	var best *seat
	for _, s := range p.seats {
		s.draw = p.random.Uint64()
		if best == nil || compare(s, best) < 0 || compare(s, best) == 0 && s.draw < best.draw {
			best = s
		}
	}
	return best
}

func firstDifference(differences ...int) int {
	for _, d := range differences {
		if d != 0 {
			return d
		}
	}
	return 0
}
