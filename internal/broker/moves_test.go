package broker

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/barnabas-log/barnabas/internal/metadata"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// several are the nodes of one cluster in this process: three that vote, and those that joined.
type several struct {
	*testing.T
	voters string
	nodes  map[int32]*node
}

// startThree opens three nodes that vote.
func startThree(t *testing.T, settings ...string) *several {
	t.Helper()
	c := &several{T: t, nodes: map[int32]*node{}}
	var ports [4]string
	var voters []string
	for id := 1; id <= 3; id++ {
		ports[id] = "127.0.0.1:" + freePort(t)
		voters = append(voters, fmt.Sprintf("%d@%s", id, ports[id]))
	}
	c.voters = strings.Join(voters, ",")
	var opening sync.WaitGroup
	for id := int32(1); id <= 3; id++ {
		n := c.add(id, append(slices.Clone(settings), "listeners=PLAINTEXT://127.0.0.1:0,CONTROLLER://"+ports[id], "controller.listener.names=CONTROLLER")...)
		opening.Go(func() {
			var err error
			if n.broker, err = tryOpen(settingsOf(n.dir, n.settings...)); err != nil {
				t.Error(err)
			}
		})
	}
	opening.Wait()
	for _, n := range c.nodes {
		if n.broker == nil {
			t.Fatal("a node did not start")
		}
		n.greet()
	}
	for _, n := range c.nodes {
		n.until("all to know each other", func() bool { return len(n.broker.Image().Live()) == len(c.nodes) })
	}
	return c
}

// join opens a node that does not vote.
func (c *several) join(id int32, settings ...string) *node {
	c.Helper()
	n := c.add(id, append(settings, "process.roles=broker", "controller.listener.names=CONTROLLER")...)
	n.open()
	return n
}

func (c *several) add(id int32, settings ...string) *node {
	for i := range settings {
		settings[i] = strings.ReplaceAll(settings[i], "{id}", fmt.Sprint(id))
	}
	n := &node{T: c.T, dir: c.TempDir(), settings: append(settings, fmt.Sprintf("node.id=%d", id), "controller.quorum.voters="+c.voters)}
	c.nodes[id] = n
	c.Cleanup(func() {
		if n.broker != nil {
			n.stop()
		}
	})
	return n
}

// greet gives an open node its clients.
func (n *node) greet() {
	n.client = n.newClient()
	n.admin = kadm.NewClient(n.client)
}

// topic creates a topic whose partitions have the given replicas.
func (c *several) topic(name string, replicas ...[]int32) *metadata.Topic {
	c.Helper()
	assignment := map[int32][]int32{}
	for i, r := range replicas {
		assignment[int32(i)] = r
	}
	made, errs := c.nodes[1].broker.Admin().CreateTopics(c.nodes[1].ctx(), []metadata.NewTopic{{Name: name, Partitions: -1, ReplicationFactor: -1, Assignment: assignment}}, false)
	if errs[0] != nil {
		c.Fatal(errs[0])
	}
	return made[0]
}

// move asks a node for a move and waits until all nodes know that it is done.
func (c *several) move(t *metadata.Topic, number int32, to ...int32) {
	c.Helper()
	c.ask(t.Name, number, to...)
	c.arrived(t, number, to...)
}

func (c *several) ask(topic string, number int32, to ...int32) {
	c.Helper()
	req := kadm.AlterPartitionAssignmentsReq{}
	req.Assign(topic, number, to)
	n := c.nodes[1]
	if n.broker == nil {
		n = c.nodes[2]
	}
	got, err := n.admin.AlterPartitionAssignments(n.ctx(), req)
	if err == nil {
		err = got.Error()
	}
	if err != nil {
		c.Fatalf("move %s-%d: %v", topic, number, err)
	}
}

func (c *several) arrived(t *metadata.Topic, number int32, at ...int32) {
	c.Helper()
	for id, n := range c.nodes {
		if n.broker == nil {
			continue
		}
		n.until(fmt.Sprintf("node %d to see %s-%d on %v", id, t.Name, number, at), func() bool {
			p := n.broker.Image().ByID[t.ID].Partitions[number]
			return p.Target == nil && slices.Equal(p.Replicas, at)
		})
		n.until(fmt.Sprintf("node %d to host what it should", id), func() bool {
			leader, _ := n.broker.Leader(t.ID, number)
			return (n.broker.hosting.find(t.ID, number) != nil) == slices.Contains(at, id) && leader >= 0
		})
	}
}

func TestAPartitionMovesToANodeThatJoined(t *testing.T) {
	t.Parallel()
	c := startThree(t)
	four := c.join(4)
	three, one := c.topic("three", []int32{1, 2, 3}), c.topic("one", []int32{2})
	values := numbered("v", 100)
	for _, topic := range []*metadata.Topic{three, one} {
		if err := four.produce(topic.Name, 0, values...); err != nil {
			t.Fatal(err)
		}
	}
	c.move(three, 0, 4, 2, 3) // one for another
	c.move(one, 0, 4)         // the only replica, which leads
	for _, topic := range []*metadata.Topic{three, one} {
		if got := four.read(topic.Name, 0, 0); !slices.Equal(got, values) {
			t.Errorf("%s has %d records after its move", topic.Name, len(got))
		}
		four.until("node 4 to lead", func() bool { node, _ := four.broker.Leader(topic.ID, 0); return node == 4 })
	}
	for id, part := range map[int32]string{1: "three/0.", 2: "one/0."} {
		c.nodes[id].until("the files to be gone", func() bool { return len(c.nodes[id].files(part)) == 0 })
	}
	c.move(one, 0, 1, 2, 3)      // more replicas, on nodes that have had one and lost it
	c.move(three, 0, 1, 2, 3, 4) // and one back
	c.move(three, 0, 3)
	four.restart()
	if got := four.read("one", 0, 0); !slices.Equal(got, values) {
		t.Errorf("%d records in the end", len(got))
	}
	if err := four.produce("three", 0, "more"); err != nil {
		t.Error(err)
	}
}

// A move to a node that is down lasts until it is back, over restarts of everybody, or until it is cancelled.
func TestAMoveSurvivesAndCanBeCancelled(t *testing.T) {
	t.Parallel()
	c := startThree(t)
	four := c.join(4)
	topic := c.topic("t", []int32{1, 2}, []int32{1, 2})
	if err := four.produce("t", 0, "a"); err != nil {
		t.Fatal(err)
	}
	four.stop()
	c.ask("t", 0, 4, 2)
	c.ask("t", 1, 4, 2)
	n := c.nodes[3]
	n.until("both to be listed", func() bool {
		listed, err := (&kmsg.ListPartitionReassignmentsRequest{}).RequestWith(n.ctx(), n.client)
		if err != nil || len(listed.Topics) != 1 || len(listed.Topics[0].Partitions) != 2 {
			return false
		}
		got := listed.Topics[0].Partitions[0]
		return slices.Equal(got.Replicas, []int32{4, 2, 1}) && slices.Equal(got.AddingReplicas, []int32{4}) && slices.Equal(got.RemovingReplicas, []int32{1})
	})
	leader := c.nodes[1]
	leader.until("node 4 to be a learner", func() bool {
		for id := int32(1); id <= 2; id++ {
			if r := c.nodes[id].broker.hosting.find(topic.ID, 0); len(r.group.Members()) == 3 {
				return true
			}
		}
		return false
	})
	c.nodes[1].restart()
	cancel := kmsg.NewPtrAlterPartitionAssignmentsRequest()
	in := kmsg.NewAlterPartitionAssignmentsRequestTopic()
	in.Topic = "t"
	in.Partitions = append(in.Partitions, kmsg.AlterPartitionAssignmentsRequestTopicPartition{Partition: 1})
	cancel.Topics = append(cancel.Topics, in)
	got, err := cancel.RequestWith(n.ctx(), n.client)
	if err != nil || got.Topics[0].Partitions[0].ErrorCode != 0 {
		t.Fatalf("cancel: %+v, %v", got, err)
	}
	c.arrived(topic, 1, 1, 2)
	four.open()
	c.arrived(topic, 0, 4, 2)
	four.until("every broker to name the leaders", func() bool { // who asks for the end of a log does not wait for one
		_, err := four.admin.ListEndOffsets(four.ctx(), "t")
		return err == nil
	})
	if got := four.read("t", 0, 0); !slices.Equal(got, []string{"a"}) {
		t.Errorf("read %v", got)
	}
	if got, err = cancel.RequestWith(n.ctx(), n.client); err != nil || got.Topics[0].Partitions[0].ErrorCode != 85 {
		t.Errorf("nothing to cancel: %+v, %v", got, err)
	}
}

// A fourth node joins, everything of node 1 moves to it while an idempotent producer goes on, node 1 leaves. The producer sees no error and nothing is lost, in order.
func TestANodeIsReplacedUnderLoad(t *testing.T) {
	t.Parallel()
	c := startThree(t, "broker.session.timeout.ms=2000", "broker.heartbeat.interval.ms=200")
	topic := c.topic("t", []int32{1, 2, 3}, []int32{2, 3, 1}, []int32{3, 1, 2}, []int32{1, 3, 2})
	producer := c.nodes[2].newClient(kgo.RecordPartitioner(kgo.RoundRobinPartitioner()), kgo.DefaultProduceTopic("t"),
		kgo.SeedBrokers(c.nodes[1].broker.Addr(), c.nodes[2].broker.Addr(), c.nodes[3].broker.Addr()))
	load := newLoad(producer)
	load.until(c, 500)
	four := c.join(4)
	for number, p := range topic.Partitions {
		to := slices.Clone(p.Replicas)
		to[slices.Index(to, 1)] = 4
		c.ask("t", int32(number), to...)
	}
	for number, p := range topic.Partitions {
		to := slices.Clone(p.Replicas)
		to[slices.Index(to, 1)] = 4
		c.arrived(topic, int32(number), to...)
	}
	load.until(c, 500)
	c.nodes[1].stop()
	load.until(c, 500)
	n := c.nodes[2]
	n.until("node 1 to be fenced", func() bool { return n.broker.Image().Brokers[1].Fenced })
	if got, err := (&kmsg.UnregisterBrokerRequest{BrokerID: 1}).RequestWith(n.ctx(), n.client); err != nil || got.ErrorCode != 0 {
		t.Errorf("unregister: %+v, %v", got, err)
	}
	sent := load.stop(c)
	four.until("the preferred replicas to lead", func() bool {
		for number, p := range four.broker.Image().Topics["t"].Partitions {
			if leader, _ := four.broker.Leader(topic.ID, int32(number)); leader != p.Replicas[0] {
				return false
			}
		}
		return true
	})
	for number := range topic.Partitions {
		if got := four.read("t", int32(number), 0); !slices.Equal(got, sent[int32(number)]) {
			t.Errorf("partition %d: %d records were acknowledged, %d are there, in order: %t", number, len(sent[int32(number)]), len(got), slices.IsSorted(got))
		}
	}
}

// load produces without pause and remembers what was acknowledged, by partition and in order.
type load struct {
	cancel context.CancelFunc
	done   chan struct{}

	mu    sync.Mutex
	sent  map[int32][]string
	count int
	err   error
}

func newLoad(producer *kgo.Client) *load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{cancel: cancel, done: make(chan struct{}), sent: map[int32][]string{}}
	go func() {
		defer close(l.done)
		for i := 0; ctx.Err() == nil; i++ {
			producer.Produce(context.Background(), &kgo.Record{Value: fmt.Appendf(nil, "%08d", i)}, func(r *kgo.Record, err error) {
				l.mu.Lock()
				defer l.mu.Unlock()
				if err != nil {
					l.err = err
					return
				}
				l.sent[r.Partition] = append(l.sent[r.Partition], string(r.Value))
				l.count++
			})
			if i%20 == 0 {
				time.Sleep(time.Millisecond) // some thousand a second
			}
		}
		_ = producer.Flush(context.Background())
	}()
	return l
}

// until waits for that many more acknowledgements.
func (l *load) until(c *several, more int) {
	c.Helper()
	l.mu.Lock()
	goal := l.count + more
	l.mu.Unlock()
	c.nodes[2].until(fmt.Sprint(more, " more acknowledgements"), func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.count >= goal || l.err != nil
	})
}

func (l *load) stop(c *several) map[int32][]string {
	c.Helper()
	l.cancel()
	<-l.done
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		c.Errorf("the producer saw %v", l.err)
	}
	c.Logf("%d records", l.count)
	return l.sent
}
