package broker

import (
	"net"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// reads counts the bytes of fetches by the broker that they came from.
type reads struct {
	mu    sync.Mutex
	bytes map[int32]int
}

func (r *reads) OnBrokerRead(meta kgo.BrokerMetadata, key int16, bytes int, _, _ time.Duration, _ error) {
	if key == (*kmsg.FetchRequest)(nil).Key() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.bytes[meta.NodeID] += bytes
	}
}

func (r *reads) OnBrokerConnect(kgo.BrokerMetadata, time.Duration, net.Conn, error) {}

func (r *reads) take() map[int32]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.bytes
	r.bytes = map[int32]int{}
	return b
}

// A consumer reads from the follower in its rack, and from the leader when that is gone: franz-go asks the leader again after RecheckPreferredReplicaInterval, whatever
// becomes of the follower.
func TestAConsumerReadsNearby(t *testing.T) {
	t.Parallel()
	c := startThree(t, "broker.rack=rack-{id}", "replica.selector.class=org.apache.kafka.common.replica.RackAwareReplicaSelector",
		"broker.session.timeout.ms=2000", "broker.heartbeat.interval.ms=200")
	topic := c.topic("t", []int32{1, 2, 3})
	n := c.nodes[1]
	n.until("all to be in sync", func() bool { return len(n.broker.InSync(topic.ID, 0)) == 3 })
	values := numbered("a", 2000)
	if err := n.produce("t", 0, values...); err != nil {
		t.Fatal(err)
	}
	counted := &reads{bytes: map[int32]int{}}
	consumer := n.newClient(kgo.Rack("rack-3"), kgo.RecheckPreferredReplicaInterval(time.Second), kgo.WithHooks(counted), kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.SeedBrokers(c.nodes[1].broker.Addr(), c.nodes[2].broker.Addr(), c.nodes[3].broker.Addr()))
	next := 0
	read := func(count int) {
		t.Helper()
		for until := next + count; next < until; {
			fetches := consumer.PollFetches(n.ctx())
			for _, err := range fetches.Errors() {
				t.Fatal(err.Err)
			}
			fetches.EachRecord(func(r *kgo.Record) {
				if r.Offset != int64(next) {
					t.Fatalf("offset %d after %d", r.Offset, next-1)
				}
				next++
			})
		}
	}
	read(2000)
	if b := counted.take(); b[3] < 10*(b[1]+b[2]) {
		t.Errorf("bytes read by broker: %v, want nearly all from 3", b)
	}
	if err := n.produce("t", 0, "while it waits"); err != nil {
		t.Fatal(err)
	}
	read(1)
	counted.take()
	c.nodes[3].stop()
	if err := n.produce("t", 0, numbered("c", 2000)...); err != nil {
		t.Fatal(err)
	}
	read(2000)
	if b := counted.take(); b[1]+b[2] == 0 {
		t.Errorf("bytes read by broker: %v", b)
	}
}
