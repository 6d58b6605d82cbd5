package cluster

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/barnabas-log/barnabas/cmd/barnabas/cli/clitest"
)

// metadataOf makes a cluster: racks names each broker's rack, by id from 1; replicas are those of the partitions of the topic "t".
func metadataOf(racks []string, replicas ...[]int32) kadm.Metadata {
	m := kadm.Metadata{Topics: kadm.TopicDetails{}}
	for i := range racks {
		m.Brokers = append(m.Brokers, kadm.BrokerDetail{NodeID: int32(i + 1), Rack: &racks[i]})
	}
	t := kadm.TopicDetail{Topic: "t", Partitions: kadm.PartitionDetails{}}
	for i, r := range replicas {
		t.Partitions[int32(i)] = kadm.PartitionDetail{Topic: "t", Partition: int32(i), Replicas: r, ISR: r, Leader: r[0]}
	}
	m.Topics["t"] = t
	return m
}

func shown(moves []move) string {
	var b strings.Builder
	for _, m := range moves {
		fmt.Fprintf(&b, "%d:%v->%v ", m.Partition, m.From, m.To)
	}
	return strings.TrimSpace(b.String())
}

func TestDrainGivesEachReplicaToTheEmptiestBrokerOfTheRarestRack(t *testing.T) {
	l := newLayout(metadataOf([]string{"a", "b", "c", "c", "a"}, []int32{1, 2, 3}, []int32{2, 3, 1}, []int32{3, 1, 2}), 3)
	if stuck := l.drain(3); len(stuck) != 0 {
		t.Fatalf("%d stuck", len(stuck))
	}
	if got, want := shown(l.moves()), "0:[1 2 3]->[1 2 4] 1:[2 3 1]->[2 4 1] 2:[3 1 2]->[4 1 2]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	l = newLayout(metadataOf([]string{"", "", ""}, []int32{1, 2, 3}, []int32{1, 2}), 1)
	if stuck := l.drain(1); len(stuck) != 1 || stuck[0].number != 0 {
		t.Errorf("%d stuck, want partition 0, of which every broker has a replica", len(stuck))
	}
}

func TestResize(t *testing.T) {
	l := newLayout(metadataOf([]string{"a", "a", "b"}, []int32{1}, []int32{1, 2, 3}))
	if !l.resize(l.partitions[0], 2) || !l.resize(l.partitions[1], 1) || l.resize(l.partitions[0], 4) {
		t.Error("resized otherwise")
	}
	if got := l.partitions[0].replicas[:2]; !slices.Equal(got, []int32{1, 3}) {
		t.Errorf("%v, want the other rack first", got)
	}
	if got := l.partitions[1].replicas; !slices.Equal(got, []int32{1}) {
		t.Errorf("%v", got)
	}
}

func TestBalanceSharesWithANewBroker(t *testing.T) {
	l := newLayout(metadataOf([]string{"", "", "", ""}, []int32{1, 2, 3}, []int32{1, 2, 3}, []int32{1, 2, 3}, []int32{1, 2, 3}))
	l.balance()
	for id := int32(1); id <= 4; id++ {
		if l.replicas[id] != 3 || l.leads[id] != 1 {
			t.Errorf("broker %d has %d replicas and prefers to lead %d: %s", id, l.replicas[id], l.leads[id], shown(l.moves()))
		}
	}
	if len(newLayout(metadataOf([]string{"", ""}, []int32{1, 2}, []int32{2, 1})).moves()) != 0 {
		t.Error("what is even is left alone")
	}
}

// Whatever the cluster looks like, a balanced one has the same factors, no broker twice, no fewer racks, counts that add up, and nothing left to do.
func TestBalanceOfRandomClusters(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		racks := make([]string, 2+r.IntN(6))
		for i := range racks {
			racks[i] = string(rune('a' + r.IntN(3)))
		}
		var replicas [][]int32
		for range 1 + r.IntN(30) {
			var ids []int32
			for _, i := range r.Perm(len(racks))[:1+r.IntN(min(3, len(racks)))] {
				ids = append(ids, int32(i+1))
			}
			replicas = append(replicas, ids)
		}
		m := metadataOf(racks, replicas...)
		l := newLayout(m)
		l.balance()
		in := func(ids []int32) map[string]bool {
			set := map[string]bool{}
			for _, id := range ids {
				set[racks[id-1]] = true
			}
			return set
		}
		total := 0
		for _, p := range l.partitions {
			total += len(p.replicas)
			if sorted := slices.Sorted(slices.Values(p.replicas)); len(p.replicas) != len(p.before) || len(slices.Compact(sorted)) != len(p.before) ||
				len(in(p.replicas)) < len(in(p.before)) {
				t.Fatalf("seed %d: %v became %v", seed, p.before, p.replicas)
			}
		}
		for _, n := range l.replicas {
			total -= n
		}
		if total != 0 || l.evenReplicas() || l.evenLeaders() {
			t.Fatalf("seed %d: not balanced", seed)
		}
	}
}

func TestPlansAreShownAndNotCarriedOut(t *testing.T) {
	b := clitest.NewCluster(t, []kfake.Opt{kfake.NumBrokers(3), kfake.DefaultNumPartitions(1)}, Command)
	b.Create("orders", 3)
	b.Run("cluster", "reassign", "orders", "--to", "2,1", "--partitions", "1").Want(t, 0).Contains(t, "TOPIC   PARTITION  FROM", "orders          1").
		Says(t, "--execute carries it out")
	b.Run("cluster", "reassign", "orders").Want(t, 2)
	b.Run("cluster", "reassign", "orders", "--to", "1", "--cancel").Want(t, 2)
	b.Run("cluster", "reassign", "absent", "--to", "1").Want(t, 4)
	b.Run("cluster", "drain", "nobody").Want(t, 2)
}

func TestDiagnosis(t *testing.T) {
	m := metadataOf([]string{"", "", ""}, []int32{1, 2}, []int32{2, 1}, []int32{3, 1}, []int32{1, 3})
	for number, change := range map[int32]func(*kadm.PartitionDetail){
		1: func(p *kadm.PartitionDetail) { p.ISR = []int32{1}; p.Leader = 1 },
		2: func(p *kadm.PartitionDetail) { p.Leader = -1 },
		3: func(p *kadm.PartitionDetail) { p.Replicas = []int32{2, 1, 3}; p.Leader = 2 },
	} {
		p := m.Topics["t"].Partitions[number]
		change(&p)
		m.Topics["t"].Partitions[number] = p
	}
	h := diagnose(m, kadm.ListPartitionReassignmentsResponses{"t": {3: {Topic: "t", Partition: 3}}})
	if len(h.Leaderless) != 1 || h.Leaderless[0].Partition != 2 || len(h.UnderReplicated) != 1 || h.UnderReplicated[0].Partition != 1 ||
		len(h.Moving) != 1 || h.Moving[0].Partition != 3 || h.NotPreferred != 1 || h.Partitions != 4 {
		t.Errorf("%+v", h)
	}
}
