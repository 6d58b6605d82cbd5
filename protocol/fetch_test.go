package protocol

import (
	"net"
	"testing"
	"time"

	"github.com/barnabas-log/barnabas/partition"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// fetched asks for one fetch and returns its only partition.
func (c *raw) fetched(req *kmsg.FetchRequest) kmsg.FetchResponseTopicPartition {
	c.Helper()
	return c.ask(req).(*kmsg.FetchResponse).Topics[0].Partitions[0]
}

// A reply is cut at whole batches; the first batch comes whole, however small the limits are (KIP-74), and only the first.
func TestFetchLimits(t *testing.T) {
	s := serve(t, Options{})
	s.create("t", 2, partition.Config{})
	c := dial(t, s)
	size := len(batch(10))
	for range 5 {
		c.produced(produceTo("t", 0, 9, -1, batch(10)))
		c.produced(produceTo("t", 1, 9, -1, batch(10)))
	}
	for _, tc := range []struct {
		total, part  int
		first, other int // batches
	}{
		{1 << 20, 1 << 20, 5, 5}, {1, 1, 1, 0}, {0, 0, 1, 0}, {1 << 20, size, 1, 1}, {1 << 20, 2*size + 1, 2, 2}, {3 * size, 1 << 20, 3, 0},
		{3*size + 1, 2 * size, 2, 1}, {1 << 20, size - 1, 1, 0}, {-1, -1, 1, 0},
	} {
		req := fetchFrom("t", 0, 11, 0)
		req.Topics[0].Partitions = append(req.Topics[0].Partitions, req.Topics[0].Partitions[0])
		req.Topics[0].Partitions[1].Partition = 1
		req.MaxBytes = int32(tc.total)
		for i := range req.Topics[0].Partitions {
			req.Topics[0].Partitions[i].PartitionMaxBytes = int32(tc.part)
		}
		parts := c.ask(req).(*kmsg.FetchResponse).Topics[0].Partitions
		if a, b := len(parts[0].RecordBatches), len(parts[1].RecordBatches); a != tc.first*size || b != tc.other*size {
			t.Errorf("%+v: %d and %d bytes, a batch has %d", tc, a, b, size)
		}
		if parts[1].HighWatermark != 50 {
			t.Errorf("%+v: high watermark %d where there was no room", tc, parts[1].HighWatermark)
		}
	}
	s.server.opts.FetchMaxBytes = 2 * size
	if n := len(c.fetched(fetchFrom("t", 0, 11, 0)).RecordBatches); n != 2*size {
		t.Errorf("%d bytes with fetch.max.bytes of two batches", n)
	}
}

func TestFetchAnswersWithWhatIsWrong(t *testing.T) {
	s := serve(t, Options{})
	s.create("t", 1, partition.Config{})
	s.create("zstd", 1, partition.Config{}).Config["compression.type"] = "zstd"
	s.create("elsewhere", 1, partition.Config{})
	s.group("elsewhere", 0).p.Resign(4, 2)
	c := dial(t, s)
	c.produced(produceTo("t", 0, 9, -1, batch(3)))
	epoch := func(current int32) *kmsg.FetchRequest {
		req := fetchFrom("t", 0, 11, 0)
		req.Topics[0].Partitions[0].CurrentLeaderEpoch = current
		return req
	}
	for name, tc := range map[string]struct {
		req  *kmsg.FetchRequest
		want int16
	}{
		"at the end":        {fetchFrom("t", 0, 11, 3), codeNone},
		"beyond the end":    {fetchFrom("t", 0, 11, 4), codeOffsetOutOfRange},
		"before the start":  {fetchFrom("t", 0, 11, -1), codeOffsetOutOfRange},
		"no such topic":     {fetchFrom("nowhere", 0, 11, 0), codeUnknownTopicOrPartition},
		"no such partition": {fetchFrom("t", 7, 11, 0), codeUnknownTopicOrPartition},
		"no such id":        {fetchFrom("t", 0, 13, 0), codeUnknownTopicID},
		"led elsewhere":     {fetchFrom("elsewhere", 0, 11, 0), codeNotLeaderOrFollower},
		"zstd too early":    {fetchFrom("zstd", 0, 9, 0), codeUnsupportedCompressionType},
		"zstd":              {fetchFrom("zstd", 0, 10, 0), codeNone},
		"this epoch":        {epoch(3), codeNone},
		"an old epoch":      {epoch(2), codeFencedLeaderEpoch},
		"an epoch to come":  {epoch(4), codeUnknownLeaderEpoch},
	} {
		p := c.fetched(tc.req)
		if p.ErrorCode != tc.want || tc.want != codeNone && (p.HighWatermark != -1 || p.LastStableOffset != -1) {
			t.Errorf("%s: code %d, high watermark %d, want code %d", name, p.ErrorCode, p.HighWatermark, tc.want)
		}
	}
}

// An error ends a long poll at once: the client has something to do.
func TestAnErrorEndsALongPoll(t *testing.T) {
	s := serve(t, Options{})
	s.create("t", 2, partition.Config{})
	c := dial(t, s)
	req := fetchFrom("t", 0, 11, 0)
	req.MaxWaitMillis = 600_000
	req.Topics = append(req.Topics, fetchFrom("nowhere", 0, 11, 0).Topics...)
	c.ask(req)
	req = fetchFrom("t", 0, 11, 0)
	req.MaxWaitMillis = 600_000
	c.send(req)
	c.wantSilence(20 * time.Millisecond)
	s.group("t", 0).p.Resign(4, 2)
	_, resp := c.receive()
	if p := resp.(*kmsg.FetchResponse).Topics[0].Partitions[0]; p.ErrorCode != codeNotLeaderOrFollower {
		t.Errorf("after a change of leader: code %d", p.ErrorCode)
	}
}

func TestAFetchFromTheWrongNodeNamesTheLeader(t *testing.T) {
	s := serve(t, Options{})
	topic := s.create("t", 1, partition.Config{})
	s.group("t", 0).p.Resign(4, 2)
	req := fetchFrom("t", 0, 16, 0)
	req.Topics[0].TopicID = topic.ID
	resp := dial(t, s).ask(req).(*kmsg.FetchResponse)
	if l := resp.Topics[0].Partitions[0].CurrentLeader; l.LeaderID != 2 || l.LeaderEpoch != 4 {
		t.Errorf("leader %d, epoch %d", l.LeaderID, l.LeaderEpoch)
	}
	if len(resp.Brokers) != 1 || resp.Brokers[0].NodeID != 2 {
		t.Errorf("nodes: %+v", resp.Brokers)
	}
}

// KIP-595: a reader whose last record is of an epoch that we never had learns where to go back to.
func TestAFetchAfterADivergenceIsToldWhere(t *testing.T) {
	s := serve(t, Options{})
	s.create("t", 1, partition.Config{})
	c := dial(t, s)
	c.produced(produceTo("t", 0, 9, -1, batch(3)))
	req := fetchFrom("t", 0, 12, 3)
	req.Topics[0].Partitions[0].LastFetchedEpoch = 3
	if p := c.fetched(req); p.ErrorCode != 0 || p.DivergingEpoch.Epoch != -1 {
		t.Errorf("the same history: %+v", p)
	}
	req.Topics[0].Partitions[0].FetchOffset = 5
	if p := c.fetched(req); p.DivergingEpoch.Epoch != 3 || p.DivergingEpoch.EndOffset != 3 || len(p.RecordBatches) != 0 {
		t.Errorf("a longer history: %+v", p)
	}
}

// read_committed: a list of aborted transactions that is empty; read_uncommitted: null, or old clients drop what they should not.
func TestAbortedTransactionsAreNullUnlessAskedFor(t *testing.T) {
	s := serve(t, Options{})
	s.create("t", 1, partition.Config{})
	c := dial(t, s)
	req := fetchFrom("t", 0, 11, 0)
	if p := c.fetched(req); p.AbortedTransactions != nil {
		t.Error("read_uncommitted: the list is not null")
	}
	req.IsolationLevel = 1
	if p := c.fetched(req); p.AbortedTransactions == nil || len(p.AbortedTransactions) != 0 {
		t.Error("read_committed: the list is null")
	}
}

// counted is a chunk that counts how often it was released.
type counted struct {
	memoryChunk
	released *int
}

func (c counted) Release() { *c.released++ }

// Chunks are pinned segments: every one is given back exactly once, also when the client has gone.
func TestChunksAreReleasedWhenTheReplyCannotBeSent(t *testing.T) {
	s := serve(t, Options{})
	local, remote := net.Pipe()
	remote.Close()
	c := newConn(s.server, local, "PLAINTEXT")
	released := 0
	chunk := counted{memoryChunk("records"), &released}
	q := fetchRun{server: s.server, call: &call{conn: c}, req: fetchFrom("t", 0, 11, 0), image: s.Image()}
	q.parts = []fetchPart{{topic: "t", chunk: chunk, leader: noHint}, {topic: "t", chunk: chunk, leader: noHint}}
	if err := q.reply(codeNone); err == nil {
		t.Error("a reply to nobody was sent")
	}
	q.close()
	if released != 2 {
		t.Errorf("2 chunks were released %d times", released)
	}
}

// A client that reads slowly, and leaves in the middle of a reply from files, disturbs nobody.
func TestAClientMayLeaveInTheMiddleOfAReply(t *testing.T) {
	s := serve(t, Options{})
	s.create("t", 1, partition.Config{})
	c := dial(t, s)
	for range 10 {
		c.produced(produceTo("t", 0, 9, -1, filled(900<<10)))
	}
	slow := dial(t, s)
	req := fetchFrom("t", 0, 11, 0)
	req.MaxBytes, req.Topics[0].Partitions[0].PartitionMaxBytes = 50<<20, 50<<20
	slow.send(req, req, req)
	if _, err := slow.r.Peek(1); err != nil {
		t.Fatal(err)
	}
	slow.SetLinger(0)
	slow.Close()
	until(t, "the slow client has gone", func() bool { return s.server.Connections() == 1 })
	if n := len(c.fetched(req).RecordBatches); n < 9000<<10 {
		t.Errorf("%d bytes", n)
	}
}
