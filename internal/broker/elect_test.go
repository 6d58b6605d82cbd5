package broker

import (
	"errors"
	"testing"

	"github.com/barnabas-log/barnabas/internal/metadata"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func codeOf(err error) int16 {
	var refused *metadata.Error
	if errors.As(err, &refused) {
		return refused.Code
	}
	return 0
}

func TestElectionsAndTheQuorum(t *testing.T) {
	t.Parallel()
	c := startThree(t)
	four := c.join(4)
	topic := c.topic("t", []int32{1, 2, 3})
	for _, n := range c.nodes {
		n.until("all to be in sync", func() bool { return len(n.broker.InSync(topic.ID, 0)) == 3 })
	}
	if code := codeOf(four.broker.ElectLeader(four.ctx(), topic, 0, false)); code != codeElectionNotNeeded {
		t.Errorf("the preferred replica leads already: code %d", code)
	}
	c.ask("t", 0, 2, 1, 3)
	c.arrived(topic, 0, 2, 1, 3)
	topic = four.broker.Image().ByID[topic.ID]
	if err := four.broker.ElectLeader(four.ctx(), topic, 0, false); err != nil && codeOf(err) != codeElectionNotNeeded { // the leader may have been faster by itself
		t.Error(err)
	}
	four.until("node 2 to lead", func() bool { leader, _ := four.broker.Leader(topic.ID, 0); return leader == 2 })
	if code := codeOf(four.broker.ElectLeader(four.ctx(), topic, 0, true)); code != codeElectionNotNeeded {
		t.Errorf("there is a leader: code %d", code)
	}

	req := kmsg.NewPtrDescribeQuorumRequest()
	req.Topics = []kmsg.DescribeQuorumRequestTopic{{Topic: "__cluster_metadata", Partitions: []kmsg.DescribeQuorumRequestTopicPartition{{Partition: 0}}}}
	resp, err := req.RequestWith(four.ctx(), four.client)
	if err != nil {
		t.Fatal(err)
	}
	p := resp.Topics[0].Partitions[0]
	if p.ErrorCode != 0 || p.LeaderID != four.broker.Controller() || len(p.CurrentVoters) != 3 || len(p.Observers) != 1 || p.Observers[0].ReplicaID != 4 ||
		p.HighWatermark < int64(four.broker.Image().Index) || p.Observers[0].LogEndOffset == 0 || p.Observers[0].LastFetchTimestamp <= 0 {
		t.Errorf("%+v", p)
	}
}
