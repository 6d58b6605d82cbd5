package broker

import (
	"os"
	"slices"
	"testing"

	"github.com/barnabas-log/barnabas/internal/metadata"
)

// A node that is killed while it makes the directory of a new replica has promised nothing in it. Taken for the replica's home, it would be a home whose files are gone.
func TestADirectoryThatWasOnlyBegunIsNobodysHome(t *testing.T) {
	n := start(t)
	n.create("t", 1)
	n.restart() // the list of homes is there from now on

	h, d := n.broker.hosting, n.broker.dirs.data[0]
	image := *n.broker.Image()
	topic := *image.Topics["t"]
	topic.Partitions = append(slices.Clone(topic.Partitions), metadata.Partition{Replicas: []int32{n.broker.nodeID}})
	image.Topics = map[string]*metadata.Topic{"t": &topic}
	begun := place{topic.ID, 1}
	if err := os.Mkdir(d.replicaDir("t", begun), 0o755); err != nil {
		t.Fatal(err)
	}
	h.mu.Lock()
	err := h.sweepDir(d, &image)
	h.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	if id := h.homes.of(begun); id != "" {
		t.Errorf("it lives in %s", id)
	}
	if _, err := os.Stat(d.replicaDir("t", begun)); !os.IsNotExist(err) {
		t.Errorf("its directory: %v", err)
	}
	if h.homes.of(place{topic.ID, 0}) == "" {
		t.Error("the other one has lost its home")
	}
}
