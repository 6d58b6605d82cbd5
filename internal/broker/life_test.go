package broker

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/barnabas-log/barnabas/internal/freeport"
	recordlog "github.com/barnabas-log/barnabas/log/record"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// freePort is a port that was free a moment ago.
func freePort(t *testing.T) string {
	t.Helper()
	port, err := freeport.Find()
	if err != nil {
		t.Fatal(err)
	}
	return strconv.Itoa(port)
}

// versionsWith are a client's newest versions, but at most max for one API.
func versionsWith(key, max int16) *kversion.Versions {
	v := kversion.Tip()
	v.SetMaxKeyVersion(key, max)
	return v
}

func TestADataDirectoryBelongsToOneNode(t *testing.T) {
	n := start(t)
	if _, err := tryOpen(settingsOf(n.dir)); err == nil || !strings.Contains(err.Error(), "in use by another process") || !strings.Contains(err.Error(), n.dir) {
		t.Errorf("a second broker on the same directory: %v", err)
	}
	n.stop()
	_, err := tryOpen(settingsOf(n.dir, "node.id=2"))
	if err == nil || !strings.Contains(err.Error(), "belongs to node 1") {
		t.Errorf("another node on the same directory: %v", err)
	}
	n.open() // neither of them did any harm
}

// What stands in the way of starting is said, and nothing is left behind: neither a goroutine (TestMain looks) nor the lock.
func TestAPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	_, err = tryOpen(settingsOf(dir, "listeners=PLAINTEXT://"+l.Addr().String()))
	if err == nil || !strings.Contains(err.Error(), "address already in use") || !strings.Contains(err.Error(), "PLAINTEXT") || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Errorf("%v", err)
	}
	_, err = tryOpen(settingsOf(dir, "listeners=A://127.0.0.1:0,B://"+l.Addr().String(), "listener.security.protocol.map=A:PLAINTEXT,B:PLAINTEXT"))
	if err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("the second listener: %v", err)
	}
	l.Close()
	b, err := tryOpen(settingsOf(dir, "listeners=PLAINTEXT://"+l.Addr().String()))
	if err != nil {
		t.Fatalf("once the port is free: %v", err)
	}
	if err := b.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// An idempotent producer's sequence numbers are remembered across a restart: what it repeats is acknowledged and not written again.
func TestAnIdempotentProducerAcrossARestart(t *testing.T) {
	port := freePort(t)
	n := start(t, "listeners=PLAINTEXT://127.0.0.1:"+port)
	n.create("t", 1)
	producer := n.newClient()
	if err := producer.ProduceSync(n.ctx(), record("one"), record("two")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	id, epoch, err := producer.ProducerID(n.ctx())
	if err != nil {
		t.Fatal(err)
	}
	n.restart()
	if err := producer.ProduceSync(n.ctx(), record("three")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if again, now, err := producer.ProducerID(n.ctx()); err != nil || again != id || now != epoch {
		t.Errorf("producer %d epoch %d became %d epoch %d, %v", id, epoch, again, now, err)
	}
	if got := n.read("t", 0, 0); len(got) != 3 || got[2] != "three" {
		t.Errorf("read %q", got)
	}
	for what, each := range map[string]struct {
		epoch    int16
		sequence int32
		code     int16
		offset   int64
	}{
		"repeated":      {epoch, 2, 0, 2},
		"a gap":         {epoch, 7, 45, -1},
		"an older life": {epoch - 1, 3, 47, -1},
	} {
		if each.epoch < 0 {
			continue
		}
		got := n.produceAs(id, each.epoch, each.sequence)
		if got.ErrorCode != each.code || got.BaseOffset != each.offset {
			t.Errorf("%s: code %d, offset %d; want %d, %d", what, got.ErrorCode, got.BaseOffset, each.code, each.offset)
		}
	}
	if end := n.end("t", 0); end != 3 {
		t.Errorf("the log ends at %d", end)
	}
	if other, _, err := n.newClient().ProducerID(n.ctx()); err != nil || other == id {
		t.Errorf("another producer has id %d, %v", other, err)
	}
}

func record(value string) *kgo.Record { return &kgo.Record{Topic: "t", Value: []byte(value)} }

// produceAs sends one record as a producer would that is at a sequence number.
func (n *node) produceAs(id int64, epoch int16, sequence int32) kmsg.ProduceResponseTopicPartition {
	n.Helper()
	p := kmsg.NewProduceRequestTopicPartition()
	p.Records = batchOf(id, epoch, sequence)
	req := kmsg.NewPtrProduceRequest()
	req.SetVersion(9)
	req.Acks, req.TimeoutMillis = -1, 5000
	req.Topics = []kmsg.ProduceRequestTopic{{Topic: "t", Partitions: []kmsg.ProduceRequestTopicPartition{p}}}
	client := n.newClient(kgo.MaxVersions(versionsWith(0, 9)))
	defer client.Close()
	resp, err := client.Broker(1).Request(n.ctx(), req)
	if err != nil {
		n.Fatal(err)
	}
	return resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0]
}

// Closing while producers, long polls and a rebalance are under way takes no longer than what is in hand, and loses nothing that was acknowledged.
func TestCloseUnderLoad(t *testing.T) {
	n := start(t, "group.initial.rebalance.delay.ms=60000")
	n.create("t", 3)
	var group sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var acknowledged [3]atomic.Int64
	for partition := range int32(3) {
		client := n.newClient(kgo.DisableIdempotentWrite(), kgo.RecordRetries(0))
		group.Go(func() {
			for ctx.Err() == nil {
				if client.ProduceSync(ctx, &kgo.Record{Topic: "t", Partition: partition, Value: []byte("value")}).FirstErr() != nil {
					return
				}
				acknowledged[partition].Add(1)
			}
		})
	}
	poller := n.newClient(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"t": {0: kgo.NewOffset().AtEnd()}}), kgo.FetchMaxWait(time.Minute), kgo.FetchMinBytes(1<<30))
	group.Go(func() { poller.PollFetches(ctx) })
	joiner := n.newClient(kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"))
	group.Go(func() { joiner.PollFetches(ctx) })
	n.until("everyone is busy", func() bool {
		return acknowledged[0].Load() > 20 && acknowledged[1].Load() > 20 && acknowledged[2].Load() > 20 && n.describe("g").State == "PreparingRebalance"
	})
	if took := n.stop(); took > 2*time.Second {
		t.Errorf("closing took %v", took)
	}
	cancel()
	poller.Close()
	joiner.Close()
	group.Wait()
	n.open()
	for partition := range int32(3) {
		want := acknowledged[partition].Load()
		if end := n.end("t", partition); end < want || end > want+1 {
			t.Errorf("partition %d: %d acknowledged, %d there", partition, want, end)
		}
		if got := n.read("t", partition, 0); int64(len(got)) < want {
			t.Errorf("partition %d: %d acknowledged, %d read", partition, want, len(got))
		}
	}
}

// Close gives up on requests in hand when its context ends, and says so.
func TestCloseWithoutPatience(t *testing.T) {
	n := start(t)
	n.create("t", 1)
	if err := n.produce("t", 0, "value"); err != nil {
		t.Fatal(err)
	}
	n.client.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := n.broker.Close(ctx); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	n.open()
	if got := n.read("t", 0, 0); len(got) != 1 {
		t.Errorf("read %q", got)
	}
}

// batchOf is a batch of one record of an idempotent producer.
func batchOf(id int64, epoch int16, sequence int32) []byte {
	b := recordlog.New()
	b.ProducerID, b.ProducerEpoch, b.BaseSequence = id, epoch, sequence
	b.Add(recordlog.Record{Timestamp: time.Now().UnixMilli(), Value: []byte("value")})
	return b.Batch()
}
