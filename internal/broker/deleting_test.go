package broker

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	records "github.com/barnabas-log/barnabas/log/record"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// push sends one record to partition 0 of a topic, by name and id, and gives the error code and its offset.
func push(ctx context.Context, client *kgo.Client, topic string, id [16]byte, value string) (int16, int64, error) {
	b := records.New()
	b.Add(records.Record{Timestamp: time.Now().UnixMilli(), Value: []byte(value)})
	p := kmsg.NewProduceRequestTopicPartition()
	p.Records = b.Batch()
	t := kmsg.NewProduceRequestTopic()
	t.Topic, t.TopicID, t.Partitions = topic, id, []kmsg.ProduceRequestTopicPartition{p}
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis, req.Topics = -1, 10_000, []kmsg.ProduceRequestTopic{t}
	resp, err := client.Broker(1).Request(ctx, req)
	if err != nil {
		return 0, 0, err
	}
	answer := resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0]
	return answer.ErrorCode, answer.BaseOffset, nil
}

// A topic is deleted and made again, several times, while producers write and readers wait: nobody hangs, nobody gets a wrong error, what was acknowledged after the last
// creation is there and nothing else, and when the topic is deleted for good nothing is left of it: no file, no vote, no offset of a group.
func TestATopicIsDeletedUnderLoad(t *testing.T) {
	n := start(t)
	ctx := n.ctx()
	const generations = 6
	var mu sync.Mutex // guards following
	ids := [][16]byte{n.create("t", 3).ID}
	acked := map[[16]byte][]string{}
	current := func() [16]byte {
		mu.Lock()
		defer mu.Unlock()
		return ids[len(ids)-1]
	}
	load, stop := context.WithCancel(ctx)
	var working sync.WaitGroup
	for producer := range 4 {
		client := n.newClient()
		working.Go(func() {
			for k := 0; load.Err() == nil; k++ {
				id, value := current(), fmt.Sprint(producer, " ", k)
				code, _, err := push(ctx, client, "t", id, value)
				if err != nil {
					t.Errorf("produce: %v", err)
					return
				}
				switch code {
				case 0:
					mu.Lock()
					acked[id] = append(acked[id], value)
					mu.Unlock()
				case 3, 6, 100: // deleted, or being deleted or made
				default:
					t.Errorf("produce: code %d", code)
				}
			}
		})
	}
	reader := n.newClient()
	working.Go(func() { // long polls by id
		for load.Err() == nil {
			req := kmsg.NewPtrFetchRequest()
			req.MinBytes, req.MaxBytes, req.MaxWaitMillis, req.SessionEpoch = 1<<20, 1<<20, 100, -1
			p := kmsg.NewFetchRequestTopicPartition()
			p.PartitionMaxBytes = 1 << 20
			req.Topics = []kmsg.FetchRequestTopic{{Topic: "t", TopicID: current(), Partitions: []kmsg.FetchRequestTopicPartition{p}}}
			resp, err := reader.Broker(1).Request(ctx, req)
			if err != nil {
				t.Errorf("fetch: %v", err)
				return
			}
			if code := resp.(*kmsg.FetchResponse).Topics[0].Partitions[0].ErrorCode; !slices.Contains([]int16{0, 1, 3, 6, 100}, code) {
				t.Errorf("fetch: code %d", code)
			}
		}
	})
	some := func(id [16]byte) func() bool {
		return func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(acked[id]) > 20
		}
	}
	for range generations - 1 {
		id := current()
		n.until("records are acknowledged", some(id))
		n.commit("g", 5)
		deleted, err := n.admin.DeleteTopics(ctx, "t")
		if err != nil || deleted["t"].Err != nil {
			t.Fatalf("%+v, %v", deleted, err)
		}
		made := n.create("t", 3)
		if made.Err != nil {
			t.Fatal(made.Err)
		}
		mu.Lock()
		ids = append(ids, made.ID)
		mu.Unlock()
		if code, _, err := push(ctx, reader, "t", id, "old"); err != nil || code != 100 && n.producesByID() {
			t.Errorf("produce to the old id: code %d, %v", code, err)
		}
		if code := n.fetchByID(id); code != 100 {
			t.Errorf("fetch of the old id: code %d", code)
		}
	}
	last := current()
	n.until("records are acknowledged", some(last))
	stop()
	working.Wait()
	got, want := n.read("t", 0, 0), acked[last]
	slices.Sort(got)
	slices.Sort(want)
	if n.producesByID() && !slices.Equal(got, want) {
		t.Errorf("%d records, %d were acknowledged", len(got), len(want))
	}
	n.until("offsets of the topic's predecessors are gone", func() bool { return n.committed("g") == -1 })
	n.commit("g", 1)

	if _, err := n.admin.DeleteTopics(ctx, "t"); err != nil {
		t.Fatal(err)
	}
	gone := func() bool {
		for _, id := range ids {
			for number := range int32(3) {
				if n.broker.node.Promised(groupID(id, number)) {
					return false
				}
			}
		}
		offsets, err := n.fresh().FetchOffsets(ctx, "g")
		_, committed := offsets.Lookup("t", 0)
		return len(n.files("topics/t")) == 0 && err == nil && !committed
	}
	n.until("nothing is left", gone)
	n.restart()
	if !gone() {
		t.Errorf("after a restart there are again %v", n.files("topics/t"))
	}
}

// producesByID says whether this server takes topics by their id in Produce (version 13).
func (n *node) producesByID() bool {
	n.Helper()
	versions, err := n.admin.ApiVersions(n.ctx())
	if err != nil {
		n.Fatal(err)
	}
	of := versions[1]
	highest, _ := of.KeyMaxVersion(0)
	return highest >= 13
}
