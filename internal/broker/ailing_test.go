package broker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/barnabas-log/barnabas/internal/config"
	"github.com/barnabas-log/barnabas/internal/vfs"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// startOn opens a node whose partitions live on a file system that fails when told to.
func startOn(t *testing.T, measure func(string) (volume, error), settings ...string) (*node, *vfs.Failing) {
	t.Helper()
	disk := vfs.NewFailing(vfs.OS{})
	n := &node{T: t, dir: t.TempDir(), settings: settings}
	c, _, err := config.Load(config.Input{Set: settingsOf(n.dir, settings...)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if n.broker, err = Open(ctx, Options{Config: c, FS: disk, measure: measure}); err != nil {
		t.Fatal(err)
	}
	n.greet()
	t.Cleanup(func() {
		disk.FailWhen(nil)
		n.stop()
	})
	return n, disk
}

// load produces numbered values to a partition, one after another, until it is ended; it keeps what was acknowledged.
type workload struct {
	end  context.CancelFunc
	done sync.WaitGroup
	acks atomic.Int64
	list []string
}

func (n *node) work(topic string) *workload {
	ctx, cancel := context.WithCancel(context.Background())
	l := &workload{end: cancel}
	client := n.newClient(kgo.ProduceRequestTimeout(time.Second), kgo.RequestRetries(1000), kgo.RecordRetries(1000))
	l.done.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			value := fmt.Sprintf("value %d %s", i, strings.Repeat("x", 20000))
			// The client itself tries again; the value counts once it was acknowledged.
			if client.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte(value)}).FirstErr() == nil {
				l.list = append(l.list, value)
				l.acks.Add(1)
			}
		}
	})
	return l
}

func (l *workload) stop() []string {
	l.end()
	l.done.Wait()
	return l.list
}

// holds fails unless what was acknowledged is there, in order and once.
func (n *node) holds(topic string, acknowledged []string) {
	n.Helper()
	there := n.read(topic, 0, n.begin(topic, 0))
	next := 0
	for _, value := range there {
		if next < len(acknowledged) && value == acknowledged[next] {
			next++
		}
	}
	if next < len(acknowledged) {
		n.Fatalf("%d values were acknowledged and %d of them are there, among %d", len(acknowledged), next, len(there))
	}
	seen := map[string]bool{}
	for _, value := range there {
		if seen[value] {
			n.Fatalf("there twice: %.20s", value)
		}
		seen[value] = true
	}
}

// produceCode is what a node answers to one record, without any client that tries again.
func (n *node) produceCode(topic string) int16 {
	n.Helper()
	client := n.newClient(kgo.RecordRetries(0), kgo.RequestRetries(0), kgo.DisableIdempotentWrite(), kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ProducerBatchMaxBytes(1<<20))
	defer client.Close()
	err := client.ProduceSync(n.ctx(), &kgo.Record{Topic: topic, Value: []byte("x")}).FirstErr()
	var known *kerr.Error
	if err == nil || !errors.As(err, &known) {
		if err != nil {
			n.Logf("produce: %v", err)
			return -1
		}
		return 0
	}
	return known.Code
}

// Each kind of failure is injected on a live node under load. When the disk works again, so does the partition, by itself, and everything that was acknowledged is there.
func TestAPartitionComesBackAfterItsDiskFailed(t *testing.T) {
	for _, test := range []struct {
		name  string
		kinds vfs.Kind
		err   error
		reads bool // readers are served while the disk fails
	}{
		{"full", vfs.Write, syscall.ENOSPC, true},
		{"quota", vfs.Write, syscall.EDQUOT, true},
		{"write", vfs.Write, syscall.EIO, true},
		{"fsync", vfs.Sync, syscall.EIO, true},
		{"read-only", vfs.Changes, syscall.EROFS, true},
		{"everything", vfs.All &^ vfs.Close, syscall.EIO, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			n, disk := startOn(t, nil)
			n.create("t", 1, "segment.bytes", "1048576")
			l := n.work("t")
			n.until("values to be acknowledged", func() bool { return l.acks.Load() > 100 })
			disk.FailWhen(func(kind vfs.Kind, name string) error {
				if kind&test.kinds != 0 && strings.Contains(name, "/t/") {
					return test.err
				}
				return nil
			})
			n.until("the partition to stop", func() bool { return n.broker.hosting.offline() == 1 })
			if why := n.broker.Unhealthy(); len(why) != 1 || !strings.Contains(why[0], test.err.Error()) {
				t.Errorf("health: %q", why)
			}
			noRoom := test.err == syscall.ENOSPC || test.err == syscall.EDQUOT
			n.broker.hosting.each(func(r *replica) {
				if r.topic.Name == "t" && (r.longestPause() == lastRoom) != noRoom {
					t.Errorf("it is left alone for up to %v", r.longestPause())
				}
			})
			if test.reads {
				if code := n.produceCode("t"); code != kerr.KafkaStorageError.Code {
					t.Errorf("a produce while the disk fails: code %d", code)
				}
				end := n.end("t", 0)
				if got := n.read("t", 0, 0); int64(len(got)) != end || end < 100 {
					t.Errorf("%d records can be read of %d", len(got), end)
				}
			}
			before := l.acks.Load()
			disk.FailWhen(nil)
			n.until("produces to go on", func() bool { return l.acks.Load() > before+100 })
			n.holds("t", l.stop())
			if why := n.broker.Unhealthy(); len(why) != 0 {
				t.Errorf("health afterwards: %q", why)
			}
		})
	}
}

func TestAReadThatFailsIsAnAnswerAndNotTheEnd(t *testing.T) {
	n, disk := startOn(t, nil)
	n.create("t", 1, "segment.bytes", "1048576")
	n.create("other", 1)
	client := n.newClient(kgo.ProducerBatchMaxBytes(5000), kgo.ProducerBatchCompression(kgo.NoCompression()))
	for range 3000 {
		client.Produce(n.ctx(), &kgo.Record{Topic: "t", Value: make([]byte, 3000)}, nil)
	}
	if err := client.Flush(n.ctx()); err != nil { // batches of one record
		t.Fatal(err)
	}
	id := n.broker.Image().Topics["t"].ID
	r := n.broker.hosting.find(id, 0)
	disk.FailWhen(func(kind vfs.Kind, name string) error {
		if kind&(vfs.Open|vfs.Read) != 0 && strings.Contains(name, "/t/") {
			return syscall.EIO
		}
		return nil
	})
	fetch := kmsg.NewPtrFetchRequest()
	fetch.MaxBytes, fetch.MinBytes = 1<<20, 1
	topic := kmsg.NewFetchRequestTopic()
	topic.Topic, topic.TopicID = "t", id
	p := kmsg.NewFetchRequestTopicPartition()
	p.FetchOffset, p.PartitionMaxBytes = 3, 1<<20
	topic.Partitions = append(topic.Partitions, p)
	fetch.Topics = append(fetch.Topics, topic)
	answer := ask[*kmsg.FetchResponse](n, fetch)
	if len(answer.Topics) != 1 || answer.Topics[0].Partitions[0].ErrorCode != kerr.KafkaStorageError.Code {
		t.Errorf("fetch: %d", answer.Topics[0].Partitions[0].ErrorCode)
	}
	disk.FailWhen(nil)
	if err := n.produce("t", 0, "last"); err != nil {
		t.Fatal(err)
	}
	if got := n.read("t", 0, 0); len(got) != 3001 {
		t.Errorf("%d records", len(got))
	}
	if n.broker.hosting.find(id, 0) != r {
		t.Error("a read that failed stopped the replica")
	}
}

func TestAFullDiskRefusesProducesUpToItsReserve(t *testing.T) {
	var usable atomic.Int64
	usable.Store(1 << 40)
	n, _ := startOn(t, func(string) (volume, error) { return volume{total: 1 << 40, usable: usable.Load()}, nil }, "barnabas.disk.reserve.bytes=1000000")
	n.create("t", 1)
	l := n.work("t")
	n.until("values to be acknowledged", func() bool { return l.acks.Load() > 20 })
	usable.Store(900_000)
	n.until("the disk to be full", func() bool { return n.broker.dirs.meta.room.full.Load() })
	n.until("produces to be refused", func() bool { return n.produceCode("t") == kerr.KafkaStorageError.Code })
	if got := n.read("t", 0, 0); len(got) < 20 {
		t.Errorf("%d records can be read", len(got))
	}
	if why := n.broker.Unready(); len(why) != 0 {
		t.Errorf("a full disk is no reason not to be asked: %q", why)
	}
	if moved, err := n.admin.DeleteRecords(n.ctx(), offsetsOf("t", 5)); err != nil || moved["t"][0].Err != nil {
		t.Errorf("room cannot be made: %v %+v", err, moved)
	}
	if err := n.admin.CommitAllOffsets(n.ctx(), "g", offsetsOf("t", 7)); err != nil {
		t.Errorf("offsets cannot be committed: %v", err)
	}
	before := l.acks.Load()
	usable.Store(1_050_000)
	if n.produceCode("t") == 0 {
		t.Error("room came back by less than the hysteresis, and was given")
	}
	usable.Store(2_000_000)
	n.until("produces to go on", func() bool { return l.acks.Load() > before+20 })
	acknowledged := l.stop()
	n.holds("t", acknowledged[5:])
}

func TestADirectoryThatVanishesTakesItsPartitionsAlongAndReturns(t *testing.T) {
	n := startSeveralDirs(t)
	for i := range 4 {
		n.create(fmt.Sprint("t", i), 1)
		if err := n.produce(fmt.Sprint("t", i), 0, "a", "b"); err != nil {
			t.Fatal(err)
		}
	}
	second := n.broker.dirs.data[1]
	if err := os.Rename(second.path, second.path+".away"); err != nil {
		t.Fatal(err)
	}
	n.until("the directory to be missed", func() bool { return n.broker.hosting.offline() == 2 })
	served, refused := 0, 0
	for i := range 4 {
		switch n.produceCode(fmt.Sprint("t", i)) {
		case 0:
			served++
		case kerr.KafkaStorageError.Code:
			refused++
		}
	}
	if served != 2 || refused != 2 {
		t.Errorf("%d partitions are served and %d refused", served, refused)
	}
	// A node that starts without it stays, and does not begin the partitions anew in the other.
	n.client.Close()
	if err := n.broker.Close(n.ctx()); err != nil {
		t.Log(err)
	}
	if err := os.WriteFile(second.path, nil, 0o644); err != nil { // in the way, so that it cannot be made
		t.Fatal(err)
	}
	n.tryAgain()
	if off := n.broker.hosting.offline(); off != 2 {
		t.Errorf("%d partitions are offline after a start without the directory", off)
	}
	if err := errors.Join(os.Remove(second.path), os.Rename(second.path+".away", second.path)); err != nil {
		t.Fatal(err)
	}
	n.until("the directory to be back", func() bool { return n.broker.hosting.offline() == 0 })
	for _, topic := range n.broker.Image().Topics {
		if err := n.broker.hosting.awaitLeaders(n.ctx(), topic); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 4 {
		if got := n.read(fmt.Sprint("t", i), 0, 0); len(got) < 2 || got[0] != "a" || got[1] != "b" {
			t.Errorf("t%d: %q", i, got)
		}
	}
}

func TestAnotherDiskIsNotTakenForTheOneThatWasThere(t *testing.T) {
	n := startSeveralDirs(t)
	for i := range 2 {
		n.create(fmt.Sprint("t", i), 1)
	}
	second := n.broker.dirs.data[1].path
	n.stop()
	if err := os.Rename(second, second+".away"); err != nil {
		t.Fatal(err)
	}
	n.tryAgain()
	lost := 0
	for i := range 2 {
		if r := n.broker.hosting.find(n.broker.Image().Topics[fmt.Sprint("t", i)].ID, 0); errors.Is(r.err, errLost) {
			lost++
		}
	}
	if lost != 1 {
		t.Errorf("%d replicas are known to be lost, not 1", lost)
	}
}

func TestNewReplicasGoWhereThereAreFewest(t *testing.T) {
	n := startSeveralDirs(t)
	n.create("t", 7)
	n.create("u", 3)
	for _, d := range n.broker.LogDirs() {
		if len(d.Replicas) != 5 || d.Err != nil || d.TotalBytes <= 0 || d.UsableBytes <= 0 {
			t.Errorf("%+v", d)
		}
	}
	n.stop()
	n.tryAgain()
	for _, d := range n.broker.LogDirs() {
		if len(d.Replicas) != 5 {
			t.Errorf("after a restart: %+v", d)
		}
	}
}
