package broker

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/barnabas-log/barnabas/internal/metadata"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// quorum asks a node who votes and who observes.
func (c *several) quorum(n *node) kmsg.DescribeQuorumResponseTopicPartition {
	c.Helper()
	req := kmsg.NewPtrDescribeQuorumRequest()
	req.Topics = []kmsg.DescribeQuorumRequestTopic{{Topic: "__cluster_metadata", Partitions: []kmsg.DescribeQuorumRequestTopicPartition{{Partition: 0}}}}
	var p kmsg.DescribeQuorumResponseTopicPartition
	n.until("the quorum to be described", func() bool {
		resp, err := req.RequestWith(n.ctx(), n.client)
		if err != nil {
			return false
		}
		p = resp.Topics[0].Partitions[0]
		return p.ErrorCode == 0
	})
	return p
}

func (c *several) votersSeenBy(n *node) (ids []int32) {
	for _, v := range c.quorum(n).CurrentVoters {
		ids = append(ids, v.ReplicaID)
	}
	slices.Sort(ids)
	return ids
}

// directory is the id that a node's votes are under.
func (c *several) directory(n *node, id int32) [16]byte {
	p := c.quorum(n)
	for _, m := range append(p.CurrentVoters, p.Observers...) {
		if m.ReplicaID == id {
			return m.ReplicaDirectoryID
		}
	}
	c.Fatalf("node %d is not described", id)
	return [16]byte{}
}

func (c *several) addVoter(n *node, change func(*kmsg.AddRaftVoterRequest)) int16 {
	c.Helper()
	req := kmsg.NewPtrAddRaftVoterRequest()
	change(req)
	resp, err := req.RequestWith(n.ctx(), n.client)
	if err != nil {
		c.Fatal(err)
	}
	if resp.ErrorMessage != nil {
		c.Log(*resp.ErrorMessage)
	}
	return resp.ErrorCode
}

func (c *several) removeVoter(n *node, id int32, directory [16]byte) int16 {
	c.Helper()
	req := kmsg.NewPtrRemoveRaftVoterRequest()
	req.VoterID, req.VoterDirectoryID = id, directory
	resp, err := req.RequestWith(n.ctx(), n.client)
	if err != nil {
		c.Fatal(err)
	}
	if resp.ErrorMessage != nil {
		c.Log(*resp.ErrorMessage)
	}
	return resp.ErrorCode
}

// reopen opens stopped nodes, all at the same time: none can serve alone.
func (c *several) reopen(ids ...int32) {
	c.Helper()
	var opening sync.WaitGroup
	for _, id := range ids {
		n := c.nodes[id]
		opening.Go(func() {
			var err error
			if n.broker, err = tryOpen(settingsOf(n.dir, n.settings...)); err != nil {
				c.Error(err)
			}
		})
	}
	opening.Wait()
	if c.Failed() {
		c.FailNow()
	}
	for _, id := range ids {
		c.nodes[id].greet()
	}
}

func TestVotersComeAndGo(t *testing.T) {
	t.Parallel()
	c := startThree(t)
	four := c.add(4, "process.roles=broker", "controller.listener.names=CONTROLLER")
	if err := os.WriteFile(filepath.Join(four.dir, "meta.properties"), []byte("version=1\nnode.id=4\ndirectory.id=AAAAAAAAAAAAAAAAAAAABA\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	four.open()
	for _, n := range c.nodes {
		n.until("node 4 to be known", func() bool { return n.broker.Image().Brokers[4] != nil })
	}
	directory, err := metadata.ParseTopicID("AAAAAAAAAAAAAAAAAAAABA")
	if err != nil || c.directory(four, 4) != directory {
		t.Fatalf("directory %v, not %v: %v", c.directory(four, 4), directory, err)
	}
	other := "AAAAAAAAAAAAAAAAAAAAAA"
	for _, tc := range []struct {
		name   string
		change func(*kmsg.AddRaftVoterRequest)
		code   int16
	}{
		{"of another cluster", func(r *kmsg.AddRaftVoterRequest) { r.VoterID, r.ClusterID = 4, &other }, metadata.CodeInconsistentClusterID},
		{"no id", func(r *kmsg.AddRaftVoterRequest) { r.VoterID = -1 }, metadata.CodeInvalidRequest},
		{"votes already", func(r *kmsg.AddRaftVoterRequest) { r.VoterID = 2 }, codeDuplicateVoter},
		{"nobody knows it", func(r *kmsg.AddRaftVoterRequest) { r.VoterID, r.TimeoutMillis = 9, 1 }, metadata.CodeRequestTimedOut},
		{"its disk was another", func(r *kmsg.AddRaftVoterRequest) { r.VoterID, r.VoterDirectoryID = 4, [16]byte{7} }, codeInvalidVoterKey},
		{"as it is", func(r *kmsg.AddRaftVoterRequest) { r.VoterID, r.VoterDirectoryID = 4, directory }, 0},
	} {
		if code := c.addVoter(four, tc.change); code != tc.code {
			t.Errorf("add a voter, %s: code %d, not %d", tc.name, code, tc.code)
		}
	}
	if p := c.quorum(four); len(p.CurrentVoters) != 4 || len(p.Observers) != 0 {
		t.Fatalf("%+v", p)
	}
	for id, code := range map[int32]int16{9: codeVoterNotFound, 4: codeVoterNotFound} {
		if got := c.removeVoter(four, id, [16]byte{7}); got != code {
			t.Errorf("remove voter %d from another directory: code %d, not %d", id, got, code)
		}
	}

	// The node that leads hands over and goes on to follow, so do its clients.
	gone := four.broker.Controller()
	if gone == 4 {
		gone = 1
	}
	if code := c.removeVoter(c.nodes[gone], gone, c.directory(four, gone)); code != 0 {
		t.Fatalf("remove node %d, which leads: code %d", gone, code)
	}
	if got := c.votersSeenBy(four); len(got) != 3 || slices.Contains(got, gone) {
		t.Fatalf("voters %v without node %d", got, gone)
	}
	c.nodes[gone].restart() // its controller.quorum.voters name itself; what is stored counts
	c.topic("after", []int32{2})
	c.nodes[gone].until("the node without a vote to know a new topic", func() bool { return c.nodes[gone].broker.Image().Topics["after"] != nil })
	if got := c.votersSeenBy(c.nodes[gone]); len(got) != 3 || slices.Contains(got, gone) {
		t.Fatalf("voters %v after a restart", got)
	}

	// One that is configured goes too: of the two that are left node 4 is one, whose address stands in no configuration.
	second := slices.DeleteFunc([]int32{1, 2, 3}, func(id int32) bool { return id == gone })[0]
	if code := c.removeVoter(four, second, c.directory(four, second)); code != 0 {
		t.Fatalf("remove node %d: code %d", second, code)
	}
	for _, n := range c.nodes {
		n.stop()
	}
	c.reopen(1, 2, 3, 4)
	left := slices.DeleteFunc([]int32{1, 2, 3, 4}, func(id int32) bool { return id == gone || id == second })
	if got := c.votersSeenBy(four); !slices.Equal(got, left) {
		t.Fatalf("voters %v after all were restarted, not %v", got, left)
	}
	c.topic("again", []int32{1})
	for id, n := range c.nodes {
		n.until(fmt.Sprintf("node %d to know the last topic", id), func() bool { return n.broker.Image().Topics["again"] != nil })
	}
	for _, id := range left {
		if code := c.removeVoter(four, id, c.directory(four, id)); code != 0 && code != metadata.CodeInvalidRequest {
			t.Errorf("remove node %d: code %d", id, code)
		}
	}
	if got := c.votersSeenBy(four); len(got) != 1 {
		t.Errorf("voters %v: the last one stays", got)
	}
}

// Every broker can be asked, and a request that nobody can meet ends in time.
func TestAVoterThatIsAwayIsNotWaitedForLong(t *testing.T) {
	t.Parallel()
	c := startThree(t, "broker.session.timeout.ms=1000", "broker.heartbeat.interval.ms=100")
	four := c.join(4)
	c.nodes[1].until("node 4 to be known", func() bool { return c.nodes[1].broker.Image().Brokers[4] != nil })
	directory := c.directory(c.nodes[1], 4)
	four.stop()
	c.nodes[1].until("node 4 to be fenced", func() bool { return c.nodes[1].broker.Image().Brokers[4].Fenced })
	if code := c.addVoter(c.nodes[1], func(r *kmsg.AddRaftVoterRequest) { r.VoterID, r.VoterDirectoryID, r.TimeoutMillis = 4, directory, 10 }); code != metadata.CodeRequestTimedOut {
		t.Errorf("code %d", code)
	}
	if got := c.votersSeenBy(c.nodes[1]); !slices.Equal(got, []int32{1, 2, 3}) {
		t.Errorf("voters %v", got)
	}
}
