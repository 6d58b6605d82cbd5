package protocol

import (
	"slices"
	"testing"

	"github.com/barnabas-log/barnabas/log/record"
	"github.com/barnabas-log/barnabas/partition"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// listed asks for the offset at one timestamp.
func (c *raw) listed(topic string, version int16, timestamp int64) kmsg.ListOffsetsResponseTopicPartition {
	c.Helper()
	req := kmsg.NewPtrListOffsetsRequest()
	req.SetVersion(version)
	req.ReplicaID = -1
	in := kmsg.NewListOffsetsRequestTopic()
	in.Topic = topic
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Timestamp, p.MaxNumOffsets = timestamp, 5
	in.Partitions = append(in.Partitions, p)
	req.Topics = append(req.Topics, in)
	return c.ask(req).(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0]
}

func TestListOffsetsAnswersEveryTimestamp(t *testing.T) {
	s := serve(t, Options{})
	s.create("t", 1, partition.Config{})
	c := dial(t, s)
	for _, ms := range []int64{1000, 3000, 2000} {
		b := record.New()
		b.Add(record.Record{Timestamp: ms})
		c.produced(produceTo("t", 0, 9, -1, b.Batch()))
	}
	for _, tc := range []struct {
		version   int16
		timestamp int64
		code      int16
		offset    int64
		at        int64
		epoch     int32
	}{
		{11, -1, 0, 3, -1, 3}, {11, -2, 0, 0, -1, 3}, {11, -3, 0, 1, 3000, 3}, {11, -4, 0, 0, -1, 3}, {11, -5, 0, -1, -1, -1}, {11, -6, 0, -1, -1, -1},
		{11, 0, 0, 0, 1000, 3}, {11, 1001, 0, 1, 3000, 3}, {11, 3001, 0, -1, -1, -1},
		{6, -3, codeUnsupportedVersion, -1, -1, -1}, {7, -4, codeUnsupportedVersion, -1, -1, -1}, {8, -5, codeUnsupportedVersion, -1, -1, -1},
		{10, -6, codeUnsupportedVersion, -1, -1, -1}, {11, -7, codeUnsupportedVersion, -1, -1, -1}, {1, -1, 0, 3, -1, -1},
	} {
		p := c.listed("t", tc.version, tc.timestamp)
		if p.ErrorCode != tc.code || p.Offset != tc.offset || p.Timestamp != tc.at || p.LeaderEpoch != tc.epoch {
			t.Errorf("version %d, timestamp %d: %+v, want %+v", tc.version, tc.timestamp, p, tc)
		}
	}
	if p := c.listed("t", 0, -1); !slices.Equal(p.OldStyleOffsets, []int64{3, 0}) {
		t.Errorf("version 0: %v", p.OldStyleOffsets)
	}
	if p := c.listed("nowhere", 11, -1); p.ErrorCode != codeUnknownTopicOrPartition {
		t.Errorf("no such topic: code %d", p.ErrorCode)
	}
}

func TestListOffsetsRefusesAPartitionNamedTwice(t *testing.T) {
	s := serve(t, Options{})
	s.create("t", 2, partition.Config{})
	req := kmsg.NewPtrListOffsetsRequest()
	req.SetVersion(5)
	in := kmsg.NewListOffsetsRequestTopic()
	in.Topic = "t"
	for _, number := range []int32{0, 1, 0} {
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Partition, p.Timestamp = number, -1
		in.Partitions = append(in.Partitions, p)
	}
	req.Topics = append(req.Topics, in)
	parts := dial(t, s).ask(req).(*kmsg.ListOffsetsResponse).Topics[0].Partitions
	if parts[0].ErrorCode != codeInvalidRequest || parts[1].ErrorCode != codeNone || parts[2].ErrorCode != codeInvalidRequest {
		t.Errorf("%+v", parts)
	}
}

func TestOffsetForLeaderEpoch(t *testing.T) {
	s := serve(t, Options{})
	s.create("t", 1, partition.Config{})
	c := dial(t, s)
	c.produced(produceTo("t", 0, 9, -1, batch(4)))
	ask := func(epoch, current int32) kmsg.OffsetForLeaderEpochResponseTopicPartition {
		req := kmsg.NewPtrOffsetForLeaderEpochRequest()
		req.SetVersion(4)
		in := kmsg.NewOffsetForLeaderEpochRequestTopic()
		in.Topic = "t"
		p := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
		p.LeaderEpoch, p.CurrentLeaderEpoch = epoch, current
		in.Partitions = append(in.Partitions, p)
		req.Topics = append(req.Topics, in)
		return c.ask(req).(*kmsg.OffsetForLeaderEpochResponse).Topics[0].Partitions[0]
	}
	if p := ask(3, -1); p.ErrorCode != 0 || p.LeaderEpoch != 3 || p.EndOffset != 4 {
		t.Errorf("the current epoch: %+v", p)
	}
	if p := ask(9, 3); p.ErrorCode != 0 || p.LeaderEpoch != -1 || p.EndOffset != -1 {
		t.Errorf("an epoch to come: %+v", p)
	}
	if p := ask(3, 2); p.ErrorCode != codeFencedLeaderEpoch {
		t.Errorf("a client of an old leader: %+v", p)
	}
	if p := ask(3, 4); p.ErrorCode != codeUnknownLeaderEpoch {
		t.Errorf("a client of a leader to come: %+v", p)
	}
}

func TestDeleteRecordsMovesTheLogStart(t *testing.T) {
	s := serve(t, Options{})
	s.create("t", 1, partition.Config{})
	c := dial(t, s)
	c.produced(produceTo("t", 0, 9, -1, batch(10)))
	ask := func(topic string, offset int64) kmsg.DeleteRecordsResponseTopicPartition {
		req := kmsg.NewPtrDeleteRecordsRequest()
		req.SetVersion(2)
		req.TimeoutMillis = 5000
		in := kmsg.NewDeleteRecordsRequestTopic()
		in.Topic = topic
		p := kmsg.NewDeleteRecordsRequestTopicPartition()
		p.Offset = offset
		in.Partitions = append(in.Partitions, p)
		req.Topics = append(req.Topics, in)
		return c.ask(req).(*kmsg.DeleteRecordsResponse).Topics[0].Partitions[0]
	}
	for _, tc := range []struct {
		topic  string
		offset int64
		code   int16
		low    int64
	}{{"t", 4, 0, 4}, {"t", 2, 0, 4}, {"t", 11, codeOffsetOutOfRange, -1}, {"t", -2, codeOffsetOutOfRange, -1}, {"t", -1, 0, 10},
		{"nowhere", 0, codeUnknownTopicOrPartition, -1}} {
		if p := ask(tc.topic, tc.offset); p.ErrorCode != tc.code || p.LowWatermark != tc.low {
			t.Errorf("%s up to %d: code %d, low watermark %d, want %d, %d", tc.topic, tc.offset, p.ErrorCode, p.LowWatermark, tc.code, tc.low)
		}
	}
	if p := c.listed("t", 11, -2); p.Offset != 10 {
		t.Errorf("log start %d", p.Offset)
	}
	if p := c.ask(fetchFrom("t", 0, 11, 3)).(*kmsg.FetchResponse).Topics[0].Partitions[0]; p.ErrorCode != codeOffsetOutOfRange || p.HighWatermark != -1 {
		t.Errorf("a fetch of what was deleted: code %d, high watermark %d", p.ErrorCode, p.HighWatermark)
	}
}
