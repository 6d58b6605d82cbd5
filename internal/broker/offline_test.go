package broker

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// A replica that does not work on a node that lives is named offline by every node, also by one that starts later, until it works again.
func TestEveryNodeNamesReplicasThatDoNotWork(t *testing.T) {
	c := startThree(t)
	data := t.TempDir()
	four := c.join(4, "log.dirs="+filepath.Join(data, "a")+","+filepath.Join(data, "b"))
	one, two := c.nodes[1], c.nodes[2]
	one.until("node 4 to be known", func() bool { return len(one.broker.Image().Live()) == 4 })
	topic := c.topic("t", []int32{1, 4, 3}, []int32{1, 4, 3})
	// offline are the partitions of which node n says that only the replica of node 4 is offline.
	offline := func(n *node) (numbers []int32) {
		listed, err := n.admin.Metadata(n.ctx(), "t")
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range listed.Topics["t"].Partitions.Sorted() {
			if slices.Equal(p.OfflineReplicas, []int32{4}) {
				numbers = append(numbers, p.Partition)
			}
		}
		return numbers
	}
	two.until("all replicas to be in sync", func() bool {
		return len(two.broker.InSync(topic.ID, 0)) == 3 && len(two.broker.InSync(topic.ID, 1)) == 3
	})
	if found := offline(two); len(found) > 0 {
		t.Errorf("partitions %d have a replica that is offline", found)
	}
	second := four.broker.dirs.data[1]
	want := []int32{0}
	if four.hosted("t", 1).home == second {
		want = []int32{1}
	}
	if err := os.Rename(second.path, second.path+".away"); err != nil {
		t.Fatal(err)
	}
	for _, id := range []int32{2, 4} {
		n := c.nodes[id]
		n.until("the replica to be offline", func() bool { return slices.Equal(offline(n), want) })
	}
	two.restart()
	two.until("the replica to be offline on a node that has restarted", func() bool { return slices.Equal(offline(two), want) })
	if err := os.Rename(second.path+".away", second.path); err != nil {
		t.Fatal(err)
	}
	for _, id := range []int32{1, 2, 3, 4} {
		n := c.nodes[id]
		n.until("the replica to be back", func() bool { return len(offline(n)) == 0 })
	}
}
