package protocol

import (
	"testing"

	"github.com/barnabas-log/barnabas/internal/metadata"
	"github.com/barnabas-log/barnabas/log/record"
	"github.com/barnabas-log/barnabas/partition"
)

// racks is a backend of nodes 1 in rack r1, 2 and 3 in r2, 4 in r4, of which 1, 2 and 4 are in sync; 4 is fenced.
type racks struct{ *fake }

func (b racks) Image() *metadata.Image {
	image := *b.fake.Image()
	listeners := image.Brokers[1].Listeners
	image.Brokers = map[int32]*metadata.Broker{1: {ID: 1, Rack: "r1", Listeners: listeners}, 2: {ID: 2, Rack: "r2", Listeners: listeners},
		3: {ID: 3, Rack: "r2", Listeners: listeners}, 4: {ID: 4, Rack: "r4", Listeners: listeners, Fenced: true}}
	return &image
}

func (racks) InSync(metadata.TopicID, int32) []int32 { return []int32{1, 2, 4} }

func TestALeaderSendsConsumersToTheirRack(t *testing.T) {
	for _, aware := range []bool{true, false} {
		s := serve(t, Options{RackAware: aware})
		s.server.backend = racks{s.fake}
		s.create("t", 1, partition.Config{})
		c := dial(t, s)
		c.produced(produceTo("t", 0, 9, -1, twoRecords()))
		for _, tc := range []struct {
			rack    string
			version int16
			offset  int64
			to      int32
			code    int16
		}{
			{"r2", 11, 0, 2, 0}, {"r2", 12, 2, 2, 0}, // also for what is still to come
			{"r2", 10, 0, -1, 0},                       // too old to understand
			{"r1", 12, 0, -1, 0}, {"r3", 12, 0, -1, 0}, // here, nowhere
			{"r4", 12, 0, -1, 0}, {"", 12, 0, -1, 0}, // out of service, unsaid
			{"r2", 12, 7, -1, codeOffsetOutOfRange}, // no replica has that
		} {
			if !aware {
				tc.to = -1
			}
			req := fetchFrom("t", 0, tc.version, tc.offset)
			req.Rack = tc.rack
			p := c.fetched(req)
			if p.ErrorCode != tc.code || p.PreferredReadReplica != tc.to || (len(p.RecordBatches) > 0) != (tc.to < 0 && tc.code == 0 && tc.offset < 2) || tc.code == 0 && p.HighWatermark != 2 {
				t.Errorf("aware %t, %+v: code %d, to %d, %d bytes, high watermark %d", aware, tc, p.ErrorCode, p.PreferredReadReplica, len(p.RecordBatches), p.HighWatermark)
			}
		}
	}
}

func TestAFollowerServesConsumersThatSayWhereTheyAre(t *testing.T) {
	s := serve(t, Options{})
	topic := s.create("t", 1, partition.Config{})
	c := dial(t, s)
	c.produced(produceTo("t", 0, 9, -1, twoRecords()))
	p := s.Partition(topic.ID, 0)
	p.Resign(4, 2)
	for _, tc := range []struct {
		rack    string
		version int16
		offset  int64
		epoch   int32
		code    int16
		records bool
	}{
		{"r", 12, 0, -1, 0, true},
		{"r", 12, 0, 4, 0, true},
		{"r", 12, 2, -1, 0, false},
		{"r", 12, 3, -1, codeOffsetNotAvailable, false}, // the leader may have it
		{"r", 12, 0, 3, codeFencedLeaderEpoch, false},
		{"r", 12, 0, 5, codeUnknownLeaderEpoch, false},
		{"r", 10, 0, -1, codeNotLeaderOrFollower, false},
		{"", 12, 0, -1, codeNotLeaderOrFollower, false},
	} {
		req := fetchFrom("t", 0, tc.version, tc.offset)
		req.Rack, req.Topics[0].Partitions[0].CurrentLeaderEpoch = tc.rack, tc.epoch
		if got := c.fetched(req); got.ErrorCode != tc.code || (len(got.RecordBatches) > 0) != tc.records || got.PreferredReadReplica != -1 {
			t.Errorf("%+v: code %d, %d bytes, to %d", tc, got.ErrorCode, len(got.RecordBatches), got.PreferredReadReplica)
		}
	}
	p.Resign(5, -1)
	req := fetchFrom("t", 0, 12, 0)
	req.Rack = "r"
	if got := c.fetched(req); got.ErrorCode != codeNotLeaderOrFollower {
		t.Errorf("a follower without a leader: code %d", got.ErrorCode)
	}
}

func twoRecords() []byte {
	b := record.New()
	for _, value := range []string{"a", "b"} {
		b.Add(record.Record{Timestamp: 1000, Value: []byte(value)})
	}
	return b.Batch()
}
