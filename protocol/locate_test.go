package protocol

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/barnabas-log/barnabas/log/record"
	"github.com/barnabas-log/barnabas/partition"
)

func TestAPartitionThatCannotBeOpenedIsAStorageError(t *testing.T) {
	s := serve(t, Options{})
	topic := s.create("t", 1, partition.Config{})
	c := dial(t, s)
	b := record.New()
	b.Add(record.Record{Value: []byte("value")})
	batch := b.Batch()
	c.produced(produceTo("t", 0, 9, -1, batch))
	s.fake.broken.Store(true)
	if p := c.listed("t", 7, -1); p.ErrorCode != codeKafkaStorageError {
		t.Errorf("ListOffsets: code %d", p.ErrorCode)
	}
	written := c.ask(produceTo("t", 0, 9, -1, batch)).(*kmsg.ProduceResponse).Topics[0].Partitions[0]
	if written.ErrorCode != codeKafkaStorageError {
		t.Errorf("Produce: code %d", written.ErrorCode)
	}
	fetch := kmsg.NewPtrFetchRequest()
	fetch.SetVersion(13)
	fetch.ReplicaID, fetch.MaxBytes = -1, 1<<20
	in, at := kmsg.NewFetchRequestTopic(), kmsg.NewFetchRequestTopicPartition()
	in.TopicID, at.PartitionMaxBytes = topic.ID, 1<<20
	in.Partitions = append(in.Partitions, at)
	fetch.Topics = append(fetch.Topics, in)
	if got := c.ask(fetch).(*kmsg.FetchResponse); len(got.Topics) != 1 || got.Topics[0].Partitions[0].ErrorCode != codeKafkaStorageError {
		t.Errorf("Fetch: %+v", got)
	}
	s.fake.broken.Store(false)
	if p := c.listed("t", 7, -1); p.ErrorCode != codeNone || p.Offset != 1 {
		t.Errorf("afterwards: %+v", p)
	}
}
