package broker

import (
	"testing"

	"github.com/barnabas-log/barnabas/consumergroup"
)

// A broker that dies between the deletion of a topic and the coordinator's hearing of it leaves the topic's offsets behind: whoever loads them next finds that there is no such
// topic. Here the coordinator is given such an offset directly.
func TestOffsetsWithoutATopicGoWhenTheyAreLoaded(t *testing.T) {
	n := start(t)
	n.create("t", 1)
	n.commit("g", 7)
	left := func() map[string]int64 {
		offsets, code := n.broker.groups.Fetch(n.ctx(), consumergroup.FetchRequest{Group: "g"})
		if code != 0 {
			return nil
		}
		all := map[string]int64{}
		for _, o := range offsets {
			all[o.Topic] = o.Offset.Offset
		}
		return all
	}
	codes := n.broker.groups.Commit(n.ctx(), consumergroup.CommitRequest{Group: "g", Generation: -1, Retention: -1, Offsets: []consumergroup.CommitOffset{
		{TopicPartition: consumergroup.TopicPartition{Topic: "deleted", Partition: 0}, Offset: consumergroup.Offset{Offset: 5}}}})
	if codes[0] != 0 || left()["deleted"] != 5 {
		t.Fatalf("codes %v, offsets %v", codes, left())
	}
	n.restart()
	n.until("the offsets of the deleted topic to go", func() bool {
		all := left()
		return all != nil && all["deleted"] == 0 && all["t"] == 7
	})
}
