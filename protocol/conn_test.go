package protocol

import (
	"context"
	"encoding/binary"
	"net"
	"testing"
	"time"

	"github.com/barnabas-log/barnabas/internal/metadata"
	"github.com/barnabas-log/barnabas/partition"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func metadataRequest(version int16) *kmsg.MetadataRequest {
	req := kmsg.NewPtrMetadataRequest()
	req.SetVersion(version)
	return req
}

func apiVersionsRequest(version int16) *kmsg.ApiVersionsRequest {
	req := kmsg.NewPtrApiVersionsRequest()
	req.SetVersion(version)
	req.ClientSoftwareName, req.ClientSoftwareVersion = "raw", "1.0"
	return req
}

// Requests of every kind, sent at once, are answered in their order, although the produces in front of them wait.
func TestRepliesLeaveInTheOrderOfTheirRequests(t *testing.T) {
	s := serve(t, Options{})
	s.create("t", 2, partition.Config{})
	g := s.group("t", 0)
	g.hold(true)
	c := dial(t, s)
	poll := fetchFrom("t", 1, 11, 0)
	poll.MaxWaitMillis = 50
	c.send(produceTo("t", 0, 9, -1, batch(1)), produceTo("t", 1, 9, 1, batch(1)), produceTo("t", 0, 9, 1, batch(2)), metadataRequest(9), poll,
		produceTo("t", 1, 9, -1, batch(1)), apiVersionsRequest(3), apiVersionsRequest(99))
	c.wantSilence(50 * time.Millisecond)
	g.hold(false)
	for want := int32(1); want <= 7; want++ {
		if id, _ := c.receive(); id != want {
			t.Fatalf("reply to %d, want %d", id, want)
		}
	}
	if id, _, err := c.read(); id != 8 || err != nil {
		t.Fatalf("reply to %d, %v, want 8", id, err)
	}
}

// A produce is proposed while those before it still wait, up to a bound.
func TestProducesArePipelined(t *testing.T) {
	s := serve(t, Options{})
	s.create("t", 1, partition.Config{})
	g := s.group("t", 0)
	g.hold(true)
	c := dial(t, s)
	const n = 3 * maxInFlight
	go func() {
		for range n {
			if _, err := c.Write(c.frame(produceTo("t", 0, 9, -1, batch(1)))); err != nil {
				t.Error(err)
			}
		}
	}()
	// One is in the writer's hand, maxInFlight are queued and one more is on its way into the queue.
	until(t, "pipelined produces", func() bool { return g.queued() == maxInFlight+2 })
	time.Sleep(20 * time.Millisecond)
	if q := g.queued(); q != maxInFlight+2 {
		t.Errorf("%d produces are in flight, the bound is %d", q, maxInFlight+2)
	}
	g.hold(false)
	for i := range int64(n) {
		id, b, err := c.read()
		if err != nil || id != int32(i+1) {
			t.Fatalf("reply to %d, %v, want %d", id, err, i+1)
		}
		resp := kmsg.NewPtrProduceResponse()
		resp.SetVersion(9)
		if err := resp.ReadFrom(b[1:]); err != nil {
			t.Fatal(err)
		}
		if p := resp.Topics[0].Partitions[0]; p.ErrorCode != 0 || p.BaseOffset != i {
			t.Fatalf("produce %d: code %d, offset %d", i, p.ErrorCode, p.BaseOffset)
		}
	}
}

func TestAcksZeroIsNotAnswered(t *testing.T) {
	s := serve(t, Options{})
	s.create("t", 1, partition.Config{})
	c := dial(t, s)
	c.send(produceTo("t", 0, 9, 0, batch(3)), produceTo("t", 0, 9, 0, batch(3)))
	want := c.send(metadataRequest(9))
	if id, _ := c.receive(); id != want {
		t.Fatalf("reply to %d: a produce with acks=0 was answered", id)
	}
	until(t, "both are committed", func() bool { return s.group("t", 0).p.HighWatermark() == 6 })
	// A refusal cannot be answered: the connection ends, after the replies that came before it.
	want = c.send(produceTo("t", 0, 9, 1, batch(1)))
	c.send(produceTo("nowhere", 0, 9, 0, batch(1)))
	if id, _ := c.receive(); id != want {
		t.Fatalf("reply to %d, want %d", id, want)
	}
	c.wantClosed()
}

// A produce that was not committed in time is answered REQUEST_TIMED_OUT; its bytes stay untouched, and charged, until the partition lets go.
func TestAProduceThatIsLateIsToldSo(t *testing.T) {
	s := serve(t, Options{})
	s.create("t", 1, partition.Config{})
	g := s.group("t", 0)
	g.hold(true)
	c := dial(t, s)
	req := produceTo("t", 0, 9, -1, batch(1))
	req.TimeoutMillis = 30
	resp := c.ask(req).(*kmsg.ProduceResponse)
	if p := resp.Topics[0].Partitions[0]; p.ErrorCode != codeRequestTimedOut || p.BaseOffset != -1 {
		t.Errorf("code %d, offset %d", p.ErrorCode, p.BaseOffset)
	}
	if s.server.budget.free.TryAcquire(s.server.opts.InFlightBytes) {
		t.Error("the bytes of a batch that is still queued are not charged")
	}
	g.hold(false)
	until(t, "the budget is whole again", func() bool { return s.server.budget.free.TryAcquire(s.server.opts.InFlightBytes) })
	s.server.budget.give(s.server.opts.InFlightBytes)
	if end := g.p.HighWatermark(); end != 1 {
		t.Errorf("high watermark %d, want 1: the write goes on", end)
	}
}

func TestWhatIsNotServedClosesTheConnection(t *testing.T) {
	core, logged := observer.New(zap.InfoLevel)
	s := serve(t, Options{Logger: zap.New(core)})
	for name, b := range map[string][]byte{
		"unknown key":           {0, 0, 0, 10, 3, 0xff, 0, 0, 0, 0, 0, 1, 0xff, 0xff},
		"version too high":      {0, 0, 0, 10, 0, 3, 0, 99, 0, 0, 0, 1, 0xff, 0xff},
		"negative version":      {0, 0, 0, 10, 0, 3, 0xff, 0xff, 0, 0, 0, 1, 0xff, 0xff},
		"size 0":                {0, 0, 0, 0},
		"negative size":         {0xff, 0xff, 0xff, 0xff},
		"larger than the limit": {0x7f, 0xff, 0xff, 0xff},
		"short header":          {0, 0, 0, 3, 0, 3, 0},
		"no body":               {0, 0, 0, 10, 0, 3, 0, 9, 0, 0, 0, 1, 0xff, 0xff},
		"text":                  []byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, s)
			c.Write(b)
			c.wantClosed()
			until(t, "the reason is in the log", func() bool {
				all := logged.TakeAll()
				return len(all) == 1 && all[0].Level == zap.InfoLevel && all[0].ContextMap()["reason"] != nil
			})
		})
	}
}

// A flood of rubbish does not become a flood of log lines.
func TestComplaintsAreLimited(t *testing.T) {
	var c complaints
	now, allowed := time.Unix(5, 0), 0
	for range 1000 {
		if c.allow(now) {
			allowed++
		}
	}
	if allowed != maxComplaints || !c.allow(now.Add(time.Second)) {
		t.Errorf("%d lines in a second", allowed)
	}
}

func TestClientsSayWhatTheyAre(t *testing.T) {
	s := serve(t, Options{})
	dial(t, s).ask(apiVersionsRequest(3))
	if all := s.server.Clients(); len(all) != 1 || all[0].Software != "raw" || all[0].Version != "1.0" || all[0].Listener != "PLAINTEXT" {
		t.Errorf("%+v", all)
	}
}

// KIP-511: whatever version is asked, the reply is one that every client can read, and names what is served.
func TestApiVersionsAboveOursIsAnsweredInVersionZero(t *testing.T) {
	s := serve(t, Options{})
	c := dial(t, s)
	c.send(apiVersionsRequest(77))
	_, b, err := c.read()
	if err != nil {
		t.Fatal(err)
	}
	resp := kmsg.NewPtrApiVersionsResponse()
	if err := resp.ReadFrom(b); err != nil {
		t.Fatal(err)
	}
	if resp.ErrorCode != codeUnsupportedVersion || len(resp.ApiKeys) != 1 || resp.ApiKeys[0].ApiKey != 18 || resp.ApiKeys[0].MaxVersion != 5 {
		t.Errorf("%+v", resp)
	}
	if resp := c.ask(apiVersionsRequest(5)).(*kmsg.ApiVersionsResponse); len(resp.ApiKeys) != len(apis) {
		t.Errorf("%d APIs are advertised, %d served", len(resp.ApiKeys), len(apis))
	}
}

func TestApiVersionsChecksWhoAsks(t *testing.T) {
	s := serve(t, Options{})
	c := dial(t, s)
	cluster, other := "a-cluster", "b-cluster"
	for name, tc := range map[string]struct {
		software string
		cluster  *string
		node     int32
		want     int16
	}{
		"good":           {"apache-kafka-java", nil, -1, codeNone},
		"bad name":       {"-x", nil, -1, codeInvalidRequest},
		"empty name":     {"", nil, -1, codeInvalidRequest},
		"this node":      {"x", &cluster, 1, codeNone},
		"other node":     {"x", &cluster, 2, codeRebootstrapRequired},
		"other cluster":  {"x", &other, 1, codeRebootstrapRequired},
		"cluster only":   {"x", &cluster, -1, codeInvalidRequest},
		"node only":      {"x", nil, 1, codeInvalidRequest},
		"long but valid": {"x-1.2.3-y", nil, -1, codeNone},
	} {
		req := apiVersionsRequest(5)
		req.ClientSoftwareName, req.ClusterID, req.NodeID = tc.software, tc.cluster, tc.node
		if got := c.ask(req).(*kmsg.ApiVersionsResponse).ErrorCode; got != tc.want {
			t.Errorf("%s: code %d, want %d", name, got, tc.want)
		}
	}
}

// Announcing costs nothing: neither memory nor budget, for anybody.
func TestAnnouncedBytesAreNotHeld(t *testing.T) {
	s := serve(t, Options{InFlightBytes: 1 << 20})
	for range 50 {
		c := dial(t, s)
		c.Write(binary.BigEndian.AppendUint32(nil, 100<<20))
		c.Write([]byte{0, 0, 0, 9})
	}
	until(t, "50 connections", func() bool { return s.server.Connections() == 50 })
	if !s.server.budget.free.TryAcquire(1 << 20) {
		t.Error("bytes that did not arrive are charged")
	}
	s.server.budget.give(1 << 20)
	dial(t, s).ask(metadataRequest(9))
}

// Few bytes that would be much, or take for ever, once decoded.
func TestAmplificationIsRefused(t *testing.T) {
	s := serve(t, Options{MaxRequestBytes: 1 << 20})
	header := []byte{0, 3, 0, 9, 0, 0, 0, 1, 0xff, 0xff}
	topics := append(binary.AppendUvarint(append(header, 0), 200_001), make([]byte, 400_004)...)
	for i := 0; i < 400_000; i += 2 {
		topics[len(topics)-400_004+i] = 1 // an empty name, no tags
	}
	endless := binary.AppendUvarint(header, 1<<32-1)
	for name, body := range map[string][]byte{"200,000 topics": topics, "4 billion tags": endless} {
		start := time.Now()
		c := dial(t, s)
		c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...))
		c.wantClosed()
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("%s: refused after %v", name, d)
		}
	}
}

// When the budget is spent, nobody is read until something is answered.
func TestASpentBudgetStopsReading(t *testing.T) {
	s := serve(t, Options{InFlightBytes: 150 << 10})
	s.create("t", 1, partition.Config{})
	g := s.group("t", 0)
	g.hold(true)
	first, second := dial(t, s), dial(t, s)
	first.send(produceTo("t", 0, 9, -1, batch(8000))) // about 100 KiB
	until(t, "the first is proposed", func() bool { return g.queued() == 1 })
	second.send(produceTo("t", 0, 9, -1, batch(8000)))
	second.wantSilence(50 * time.Millisecond)
	if g.queued() != 1 {
		t.Fatal("the budget is spent, and yet a request was read")
	}
	g.hold(false)
	first.receive()
	second.receive()
}

func TestAFrameThatTakesTooLongIsCutOff(t *testing.T) {
	s := serve(t, Options{})
	s.server.frameTimeout = 50 * time.Millisecond
	c := dial(t, s)
	b := c.frame(metadataRequest(9))
	c.Write(b[:len(b)-1])
	c.wantClosed()
}

func TestAnIdleConnectionIsClosed(t *testing.T) {
	s := serve(t, Options{MaxIdleMs: 50})
	c := dial(t, s)
	c.ask(metadataRequest(9))
	c.wantClosed()
}

// Waiting for the outcome of a produce is not idleness.
func TestAConnectionThatWaitsIsNotIdle(t *testing.T) {
	s := serve(t, Options{MaxIdleMs: 30})
	s.create("t", 1, partition.Config{})
	g := s.group("t", 0)
	g.hold(true)
	c := dial(t, s)
	c.send(produceTo("t", 0, 9, -1, batch(1)))
	c.wantSilence(100 * time.Millisecond)
	g.hold(false)
	c.receive()
	c.wantClosed()
}

// A client that has closed its side for writing still gets what it asked for.
func TestAHalfClosedConnectionIsAnswered(t *testing.T) {
	s := serve(t, Options{})
	s.create("t", 1, partition.Config{})
	g := s.group("t", 0)
	g.hold(true)
	c := dial(t, s)
	c.send(produceTo("t", 0, 9, -1, batch(1)), produceTo("t", 0, 9, -1, batch(1)))
	c.CloseWrite()
	until(t, "both are proposed", func() bool { return g.queued() == 2 })
	g.hold(false)
	c.receive()
	c.receive()
	c.wantClosed()
}

func TestTooManyConnectionsAreRefused(t *testing.T) {
	s := serve(t, Options{MaxConnections: 3, MaxPerIP: 2})
	one, two := dial(t, s), dial(t, s)
	one.ask(metadataRequest(1))
	two.ask(metadataRequest(1))
	dial(t, s).wantClosed()
	one.Close()
	until(t, "one has gone", func() bool { return s.server.Connections() == 1 })
	dial(t, s).ask(metadataRequest(1))
}

// A long poll ends when its client leaves, not after its full time.
func TestALongPollEndsWhenTheClientHangsUp(t *testing.T) {
	s := serve(t, Options{})
	s.create("t", 1, partition.Config{})
	c := dial(t, s)
	poll := fetchFrom("t", 0, 11, 0)
	poll.MaxWaitMillis = 600_000
	c.send(poll)
	c.wantSilence(20 * time.Millisecond)
	c.Close()
	until(t, "the connection has gone", func() bool { return s.server.Connections() == 0 })
}

func TestALongPollEndsWithNewRecords(t *testing.T) {
	t.Run("before the client is watched", func(t *testing.T) { pollUntilRecords(t, unwatched/5) })
	t.Run("while it is watched", func(t *testing.T) { pollUntilRecords(t, 2*unwatched) })
}

func pollUntilRecords(t *testing.T, after time.Duration) {
	s := serve(t, Options{})
	s.create("t", 1, partition.Config{})
	c := dial(t, s)
	poll := fetchFrom("t", 0, 11, 0)
	poll.MaxWaitMillis = 600_000
	c.send(poll)
	c.wantSilence(after)
	dial(t, s).ask(produceTo("t", 0, 9, -1, batch(1)))
	_, resp := c.receive()
	if n := len(resp.(*kmsg.FetchResponse).Topics[0].Partitions[0].RecordBatches); n == 0 {
		t.Error("the poll ended without records")
	}
	// The connection works on: the watch for a hang-up has left no trace.
	c.ask(metadataRequest(9))
	poll.MinBytes, poll.MaxWaitMillis = 1000, 50
	if n := len(c.ask(poll).(*kmsg.FetchResponse).Topics[0].Partitions[0].RecordBatches); n == 0 {
		t.Error("a poll that is over gives what there is")
	}
}

// Shutdown answers what is in hand, ends long polls at once and leaves nothing behind.
func TestShutdownFinishesWhatIsInHand(t *testing.T) {
	t.Run("before the poller is watched", func(t *testing.T) { shutDownWithWorkInHand(t, unwatched/5) })
	t.Run("while it is watched", func(t *testing.T) { shutDownWithWorkInHand(t, 2*unwatched) })
}

func shutDownWithWorkInHand(t *testing.T, after time.Duration) {
	s := serve(t, Options{})
	s.create("t", 1, partition.Config{})
	g := s.group("t", 0)
	poller, producer, idle := dial(t, s), dial(t, s), dial(t, s)
	poll := fetchFrom("t", 0, 11, 0)
	poll.MaxWaitMillis = 600_000
	poller.send(poll)
	idle.ask(metadataRequest(9))
	g.hold(true)
	producer.send(produceTo("t", 0, 9, -1, batch(1)))
	until(t, "the produce is proposed", func() bool { return g.queued() == 1 })
	poller.wantSilence(after)
	done := make(chan error)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		done <- s.server.Shutdown(ctx)
	}()
	poller.receive()
	poller.wantClosed()
	idle.wantClosed()
	g.hold(false)
	producer.receive()
	producer.wantClosed()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", s.address); err == nil {
		t.Error("the listener is still open")
	}
}

func TestShutdownCutsOffWhatDoesNotEnd(t *testing.T) {
	s := serve(t, Options{})
	s.create("t", 1, partition.Config{})
	g := s.group("t", 0)
	g.hold(true)
	c := dial(t, s)
	c.send(produceTo("t", 0, 9, 1, batch(1)))
	until(t, "the produce is proposed", func() bool { return g.queued() == 1 })
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	if err := s.server.Shutdown(ctx); err == nil {
		t.Error("Shutdown does not say that it cut something off")
	}
	c.wantClosed()
}

// panicky panics when it is asked for a coordinator.
type panicky struct{ *fake }

func (p panicky) GroupCoordinator(context.Context, string) (int32, error) { panic("a bug") }
func (p panicky) Image() *metadata.Image                                  { return p.fake.Image() }

func TestAPanicEndsOnlyItsConnection(t *testing.T) {
	core, logged := observer.New(zap.ErrorLevel)
	s := serve(t, Options{Logger: zap.New(core)})
	s.server.backend = panicky{s.fake}
	other := dial(t, s)
	other.ask(metadataRequest(9))
	c := dial(t, s)
	c.send(kmsg.NewPtrFindCoordinatorRequest())
	c.wantClosed()
	other.ask(metadataRequest(9))
	if logged.FilterMessage("panic while serving a connection").Len() != 1 {
		t.Errorf("logged: %v", logged.All())
	}
	until(t, "the budget has the bytes of the request that panicked", func() bool { // they come back after the panic was logged
		return s.server.budget.free.TryAcquire(s.server.opts.InFlightBytes)
	})
	s.server.budget.give(s.server.opts.InFlightBytes)
}
