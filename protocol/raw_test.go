package protocol

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/barnabas-log/barnabas/log/record"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// raw is a client that speaks in frames, for what real clients do not do.
type raw struct {
	testing.TB
	*net.TCPConn
	r         *bufio.Reader
	formatter *kmsg.RequestFormatter
	sent      map[int32]kmsg.Request
	last      int32
}

func dial(tb testing.TB, s *served) *raw {
	tb.Helper()
	c, err := net.Dial("tcp", s.address)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return &raw{TB: tb, TCPConn: c.(*net.TCPConn), r: bufio.NewReader(c), sent: map[int32]kmsg.Request{},
		formatter: kmsg.NewRequestFormatter(kmsg.FormatterClientID("raw"))}
}

// frame encodes a request and remembers it.
func (c *raw) frame(req kmsg.Request) []byte {
	c.last++
	c.sent[c.last] = req
	return c.formatter.AppendRequest(nil, req, c.last)
}

// send sends requests in one write and returns the last one's correlation id.
func (c *raw) send(reqs ...kmsg.Request) int32 {
	c.Helper()
	var b []byte
	for _, req := range reqs {
		b = append(b, c.frame(req)...)
	}
	if _, err := c.Write(b); err != nil {
		c.Fatal(err)
	}
	return c.last
}

// read reads one reply's bytes: correlation id, and what follows.
func (c *raw) read() (int32, []byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(c.r, size[:]); err != nil {
		return 0, nil, err
	}
	b := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(c.r, b); err != nil {
		return 0, nil, err
	}
	return int32(binary.BigEndian.Uint32(b)), b[4:], nil
}

// receive reads and decodes the next reply.
func (c *raw) receive() (int32, kmsg.Response) {
	c.Helper()
	id, b, err := c.read()
	if err != nil {
		c.Fatal(err)
	}
	req := c.sent[id]
	if req == nil {
		c.Fatalf("reply to %d, which was not sent", id)
	}
	resp := req.ResponseKind()
	if resp.IsFlexible() && resp.Key() != keyApiVersions {
		if b[0] != 0 {
			c.Fatalf("tags in the header of a reply: %x", b[:8])
		}
		b = b[1:]
	}
	if err := resp.ReadFrom(b); err != nil {
		c.Fatalf("decode the reply to %T version %d: %v: %x", req, req.GetVersion(), err, b)
	}
	if again := resp.AppendTo(nil); !bytes.Equal(again, b) {
		c.Fatalf("the reply to %T version %d has more or other bytes than it decodes to:\n%x\n%x", req, req.GetVersion(), b, again)
	}
	return id, resp
}

// ask sends one request and waits for its reply.
func (c *raw) ask(req kmsg.Request) kmsg.Response {
	c.Helper()
	want := c.send(req)
	id, resp := c.receive()
	if id != want {
		c.Fatalf("reply to %d, want %d", id, want)
	}
	return resp
}

// wantClosed fails unless the server has closed the connection, without another byte.
func (c *raw) wantClosed() {
	c.Helper()
	_, b, err := c.read()
	if err == nil {
		c.Fatalf("the connection is open, and said %x", b)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.Fatal("the connection is still open")
	}
}

// wantSilence fails if anything arrives within a moment.
func (c *raw) wantSilence(d time.Duration) {
	c.Helper()
	c.SetReadDeadline(time.Now().Add(d))
	defer c.SetReadDeadline(time.Now().Add(20 * time.Second))
	if b, err := c.r.Peek(1); !errors.Is(err, os.ErrDeadlineExceeded) {
		c.Fatalf("heard %x, %v", b, err)
	}
}

// batch builds a batch of n records.
func batch(n int) []byte {
	b := record.New()
	for range n {
		b.Add(record.Record{Timestamp: time.Now().UnixMilli(), Key: []byte("key"), Value: []byte("value")})
	}
	return append([]byte(nil), b.Batch()...)
}

// produceTo makes a produce of one batch.
func produceTo(topic string, number int32, version, acks int16, records []byte) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.SetVersion(version)
	req.Acks, req.TimeoutMillis = acks, 10_000
	t := kmsg.NewProduceRequestTopic()
	t.Topic = topic
	p := kmsg.NewProduceRequestTopicPartition()
	p.Partition, p.Records = number, records
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	return req
}

// fetchFrom makes a fetch of one partition that does not wait.
func fetchFrom(topic string, number int32, version int16, offset int64) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.SetVersion(version)
	req.MinBytes, req.MaxBytes, req.SessionEpoch = 1, 1<<20, -1
	t := kmsg.NewFetchRequestTopic()
	t.Topic = topic
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = number, offset, 1<<20
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	return req
}

// until waits for a condition, without a fixed sleep.
func until(tb testing.TB, what string, f func() bool) {
	tb.Helper()
	for end := time.Now().Add(10 * time.Second); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			tb.Fatalf("waited in vain: %s", what)
		}
	}
}

// queued is how many proposals a held group has.
func (g *single) queued() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.queue)
}
