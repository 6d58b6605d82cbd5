package protocol

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/barnabas-log/barnabas/log"
	"github.com/barnabas-log/barnabas/log/record"
	"github.com/barnabas-log/barnabas/partition"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// produced asks for one produce and returns its only partition.
func (c *raw) produced(req *kmsg.ProduceRequest) kmsg.ProduceResponseTopicPartition {
	c.Helper()
	return c.ask(req).(*kmsg.ProduceResponse).Topics[0].Partitions[0]
}

// Old librdkafka needs versions 0 to 2 advertised; asked, they are refused.
func TestProduceBelowVersionThreeIsRefused(t *testing.T) {
	s := serve(t, Options{})
	s.create("t", 1, partition.Config{})
	c := dial(t, s)
	for version := int16(0); version < 3; version++ {
		if p := c.produced(produceTo("t", 0, version, 1, batch(1))); p.ErrorCode != codeUnsupportedVersion || p.BaseOffset != -1 {
			t.Errorf("version %d: code %d, offset %d", version, p.ErrorCode, p.BaseOffset)
		}
	}
	if end := s.group("t", 0).p.LogEnd(); end != 0 {
		t.Errorf("log end %d: something was appended", end)
	}
}

func TestProduceAnswersWithWhatIsWrong(t *testing.T) {
	s := serve(t, Options{})
	s.create("t", 1, partition.Config{})
	s.create("small", 1, partition.Config{MaxMessageBytes: 100})
	s.create("keyed", 1, partition.Config{Compacted: true})
	s.create("elsewhere", 1, partition.Config{})
	g := s.group("elsewhere", 0)
	g.p.Resign(4, 2)
	c := dial(t, s)
	corrupt := batch(1)
	corrupt[len(corrupt)-1] ^= 1
	large := filled(600 << 10) // checked by the sums of its pieces
	corruptAt := func(i int) []byte {
		b := bytes.Clone(large)
		b[i] ^= 1
		return b
	}
	zstd := batch(1)
	zstd[22] |= 4
	keyless := record.New()
	keyless.Add(record.Record{Key: []byte("key")})
	keyless.Add(record.Record{})
	for name, tc := range map[string]struct {
		req  *kmsg.ProduceRequest
		want int16
	}{
		"good":              {produceTo("t", 0, 9, -1, batch(1)), codeNone},
		"acks 2":            {produceTo("t", 0, 9, 2, batch(1)), codeInvalidRequiredAcks},
		"no such topic":     {produceTo("nowhere", 0, 9, -1, batch(1)), codeUnknownTopicOrPartition},
		"no such partition": {produceTo("t", 1, 9, -1, batch(1)), codeUnknownTopicOrPartition},
		"negative":          {produceTo("t", -1, 9, -1, batch(1)), codeUnknownTopicOrPartition},
		"no such id":        {produceTo("", 0, 13, -1, batch(1)), codeUnknownTopicID},
		"corrupt":           {produceTo("t", 0, 9, -1, corrupt), codeCorruptMessage},
		"large":             {produceTo("t", 0, 9, -1, large), codeNone},
		"corrupt early":     {produceTo("t", 0, 9, -1, corruptAt(log.ChecksumFrom)), codeCorruptMessage},
		"corrupt amidst":    {produceTo("t", 0, 9, -1, corruptAt(300<<10)), codeCorruptMessage},
		"corrupt late":      {produceTo("t", 0, 9, -1, corruptAt(len(large)-1)), codeCorruptMessage},
		"short":             {produceTo("t", 0, 9, -1, []byte("short")), codeCorruptMessage},
		"nothing":           {produceTo("t", 0, 9, -1, nil), codeInvalidRecord},
		"two batches":       {produceTo("t", 0, 9, -1, append(batch(1), batch(1)...)), codeInvalidRecord},
		"too large":         {produceTo("small", 0, 9, -1, batch(10)), codeMessageTooLarge},
		"zstd too early":    {produceTo("t", 0, 6, -1, zstd), codeUnsupportedCompressionType},
		"without a key":     {produceTo("keyed", 0, 9, -1, keyless.Batch()), codeInvalidRecord},
		"led elsewhere":     {produceTo("elsewhere", 0, 9, -1, batch(1)), codeNotLeaderOrFollower},
	} {
		if p := c.produced(tc.req); p.ErrorCode != tc.want || (p.BaseOffset == -1) != (tc.want != codeNone) {
			t.Errorf("%s: code %d, offset %d, want code %d", name, p.ErrorCode, p.BaseOffset, tc.want)
		}
	}
	p := c.produced(produceTo("keyed", 0, 9, -1, keyless.Batch()))
	if p.ErrorMessage == nil || len(p.ErrorRecords) != 1 || p.ErrorRecords[0].RelativeOffset != 1 {
		t.Errorf("a record without a key: %+v", p)
	}
}

// KIP-951: whoever asks the wrong node is told the right one, with its address on the client's listener.
func TestAProduceToTheWrongNodeNamesTheLeader(t *testing.T) {
	s := serve(t, Options{})
	s.create("t", 1, partition.Config{})
	s.group("t", 0).p.Resign(4, 2)
	c := dial(t, s)
	resp := c.ask(produceTo("t", 0, 10, -1, batch(1))).(*kmsg.ProduceResponse)
	if l := resp.Topics[0].Partitions[0].CurrentLeader; l.LeaderID != 2 || l.LeaderEpoch != 4 {
		t.Errorf("leader %d, epoch %d", l.LeaderID, l.LeaderEpoch)
	}
	if len(resp.Brokers) != 1 || resp.Brokers[0].NodeID != 2 || resp.Brokers[0].Host != "127.0.0.1" {
		t.Errorf("nodes: %+v", resp.Brokers)
	}
	if resp := c.ask(produceTo("t", 0, 9, -1, batch(1))).(*kmsg.ProduceResponse); len(resp.Brokers) != 0 {
		t.Errorf("version 9 names nodes: %+v", resp.Brokers)
	}
}

func TestProduceByTopicID(t *testing.T) {
	s := serve(t, Options{})
	topic := s.create("t", 1, partition.Config{})
	c := dial(t, s)
	req := produceTo("", 0, 13, -1, batch(2))
	req.Topics[0].TopicID = topic.ID
	if p := c.produced(req); p.ErrorCode != codeNone {
		t.Errorf("code %d", p.ErrorCode)
	}
}

// Many partitions in one request fail or succeed each for itself.
func TestPartitionsOfOneProduceAreIndependent(t *testing.T) {
	s := serve(t, Options{})
	s.create("t", 3, partition.Config{})
	c := dial(t, s)
	req := produceTo("t", 0, 9, -1, batch(1))
	for number, records := range [][]byte{nil, batch(2), []byte("rubbish")} {
		if number > 0 {
			p := kmsg.NewProduceRequestTopicPartition()
			p.Partition, p.Records = int32(number), records
			req.Topics[0].Partitions = append(req.Topics[0].Partitions, p)
		}
	}
	req.Topics = append(req.Topics, produceTo("nowhere", 0, 9, -1, batch(1)).Topics...)
	resp := c.ask(req).(*kmsg.ProduceResponse)
	var codes []int16
	for _, topic := range resp.Topics {
		for _, p := range topic.Partitions {
			codes = append(codes, p.ErrorCode)
		}
	}
	want := []int16{codeNone, codeNone, codeCorruptMessage, codeUnknownTopicOrPartition}
	for i := range want {
		if codes[i] != want[i] {
			t.Fatalf("codes %v, want %v", codes, want)
		}
	}
}

// The log stores the very bytes that the client sent, but for base offset and leader epoch.
func TestRecordsAreStoredAsTheyWereSent(t *testing.T) {
	s := serve(t, Options{})
	s.create("t", 1, partition.Config{})
	c := dial(t, s)
	c.produced(produceTo("t", 0, 9, -1, batch(5)))
	sent := batch(3)
	c.produced(produceTo("t", 0, 9, -1, sent))
	got := c.ask(fetchFrom("t", 0, 11, 5)).(*kmsg.FetchResponse).Topics[0].Partitions[0].RecordBatches
	binary.BigEndian.PutUint64(sent, 5)
	binary.BigEndian.PutUint32(sent[12:], 3)
	if string(got) != string(sent) {
		t.Errorf("got %x\nwant %x", got, sent)
	}
	if log.Header(got).LeaderEpoch() != 3 {
		t.Errorf("leader epoch %d", log.Header(got).LeaderEpoch())
	}
}
