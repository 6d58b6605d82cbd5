package metadata

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

// rounds of the property tests: enough to meet every shape of small cluster.
const rounds = 2000

// scene is a random cluster with topics in it, and a request for partitions.
type scene struct {
	image    *Image
	brokers  []*Broker
	racks    map[int32]string
	existing []Partition
	count    int
	factor   int
	seed     uint64
}

func newScene(r *rand.Rand) scene {
	s := scene{image: NewImage(), racks: map[int32]string{}, seed: r.Uint64()}
	racks := 1 + r.IntN(4)
	for range 1 + r.IntN(9) {
		b := broker(int32(len(s.brokers)*3), fmt.Sprint("rack", r.IntN(racks)))
		s.brokers = append(s.brokers, &b)
		s.racks[b.ID] = b.Rack
		s.image.Brokers[b.ID] = &b
	}
	for i := range r.IntN(4) {
		t := &Topic{Name: fmt.Sprint("t", i), ID: TopicID{byte(i + 1)}, Partitions: place(s.image, nil, 1+r.IntN(9), 1+r.IntN(len(s.brokers)), s.brokers, r.Uint64())}
		s.image.putTopic(t)
		s.existing = t.Partitions
	}
	if r.IntN(2) == 0 {
		s.existing = nil
	}
	s.count, s.factor = 1+r.IntN(40), 1+r.IntN(len(s.brokers))
	return s
}

func forEachScene(t *testing.T, check func(s scene, placed []Partition) error) {
	t.Helper()
	for seed := range uint64(rounds) {
		s := newScene(rand.New(rand.NewPCG(seed, 1)))
		if err := check(s, place(s.image, s.existing, s.count, s.factor, s.brokers, s.seed)); err != nil {
			t.Fatalf("scene %d (%d brokers, %d partitions x %d): %v", seed, len(s.brokers), s.count, s.factor, err)
		}
	}
}

func TestPlacementIsCompleteAndDeterministic(t *testing.T) {
	forEachScene(t, func(s scene, placed []Partition) error {
		if len(placed) != s.count {
			return fmt.Errorf("%d partitions", len(placed))
		}
		if err := checkReplicas(s.image, placed, s.factor); err != nil {
			return err
		}
		if again := place(s.image, s.existing, s.count, s.factor, s.brokers, s.seed); !reflect.DeepEqual(placed, again) {
			return fmt.Errorf("another answer to the same question")
		}
		return nil
	})
}

func TestPlacementCoversAsManyRacksAsItCan(t *testing.T) {
	forEachScene(t, func(s scene, placed []Partition) error {
		all := map[string]bool{}
		for _, rack := range s.racks {
			all[rack] = true
		}
		for _, p := range placed {
			used := map[string]bool{}
			for _, id := range p.Replicas {
				used[s.racks[id]] = true
			}
			if want := min(len(all), s.factor); len(used) != want {
				return fmt.Errorf("replicas %v are in %d racks of %d", p.Replicas, len(used), len(all))
			}
		}
		return nil
	})
}

func TestPlacementSpreadsLeadersOfATopic(t *testing.T) {
	forEachScene(t, func(s scene, placed []Partition) error {
		if s.existing != nil {
			return nil
		}
		leaders := loads(s, placed, 1)
		if low, high := slices.Min(leaders), slices.Max(leaders); high-low > 1 {
			return fmt.Errorf("leaders for each broker: %v", leaders)
		}
		return nil
	})
}

func TestPlacementSpreadsReplicasOfATopicWithoutRacks(t *testing.T) {
	forEachScene(t, func(s scene, _ []Partition) error {
		for _, b := range s.brokers {
			b.Rack = ""
		}
		placed := place(s.image, nil, s.count, s.factor, s.brokers, s.seed)
		replicas := loads(s, placed, s.factor)
		if low, high := slices.Min(replicas), slices.Max(replicas); high-low > 1 {
			return fmt.Errorf("replicas on each broker: %v", replicas)
		}
		return nil
	})
}

// Many topics of one partition must not all land on the same brokers.
func TestPlacementSpreadsSmallTopicsOverTheCluster(t *testing.T) {
	_, c := newCluster(t, 3, Options{NewTopicID: nil})
	for i := range 30 {
		create(t, c, plain(fmt.Sprint("t", i), 1, 2))
	}
	leaders, replicas := map[int32]int{}, map[int32]int{}
	for _, topic := range c.Image().Topics {
		leaders[topic.Partitions[0].Replicas[0]]++
		for _, id := range topic.Partitions[0].Replicas {
			replicas[id]++
		}
	}
	for id := range int32(3) {
		if leaders[id+1] != 10 || replicas[id+1] < 19 || replicas[id+1] > 21 {
			t.Errorf("broker %d leads %d and holds %d", id+1, leaders[id+1], replicas[id+1])
		}
	}
}

func TestPlacementSpreadsTheTopicsOfOneRequest(t *testing.T) {
	_, c := newCluster(t, 3, Options{})
	var topics []NewTopic
	for i := range 30 {
		topics = append(topics, plain(fmt.Sprint("t", i), 1, 1))
	}
	made, errs := c.CreateTopics(context.Background(), topics, false)
	leaders := map[int32]int{}
	for i := range topics {
		if errs[i] != nil {
			t.Fatal(errs[i])
		}
		leaders[made[i].Partitions[0].Replicas[0]]++
	}
	if leaders[1] != 10 || leaders[2] != 10 || leaders[3] != 10 {
		t.Errorf("leaders: %v", leaders)
	}
}

// When a broker dies, those that lead in its place should be all the others, not one.
func TestFollowersOfOneLeaderAreSpread(t *testing.T) {
	_, c := newCluster(t, 4, Options{})
	topic := create(t, c, plain("t", 120, 2))
	next := map[int32]int{}
	for _, p := range topic.Partitions {
		if p.Replicas[0] == 1 {
			next[p.Replicas[1]]++
		}
	}
	for _, id := range []int32{2, 3, 4} {
		if next[id] < 3 {
			t.Errorf("of 30 partitions led by broker 1, broker %d follows in %d: %v", id, next[id], next)
		}
	}
}

// loads counts the first replicas of each partition by broker.
func loads(s scene, placed []Partition, first int) []int {
	counts := make([]int, len(s.brokers))
	for _, p := range placed {
		for _, id := range p.Replicas[:first] {
			counts[id/3]++
		}
	}
	return counts
}
