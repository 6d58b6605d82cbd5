package metadata

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// cluster is a metadata group of one: a proposal is committed at once. before, when set, runs ahead of each proposal (another controller wins a race).
type cluster struct {
	mu     sync.Mutex
	index  uint64
	state  *State
	before func()
	fail   error
	count  int
}

func (c *cluster) Propose(ctx context.Context, command []byte) (any, error) {
	if before := c.before; before != nil {
		c.before = nil
		before()
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fail != nil {
		return nil, c.fail
	}
	c.index++
	c.count++
	return c.state.Apply(c.index, command), nil
}

// ids counts topic ids up from 1.
func ids() func() TopicID {
	n := byte(0)
	return func() TopicID {
		n++
		return TopicID{15: n}
	}
}

func newCluster(t *testing.T, brokers int, opts Options) (*cluster, *Controller) {
	t.Helper()
	c := &cluster{state: NewState(nil)}
	if opts.NewTopicID == nil {
		opts.NewTopicID = ids()
	}
	controller := New(c.state, c, opts)
	for id := range int32(brokers) {
		if err := controller.RegisterBroker(context.Background(), broker(id+1, "")); err != nil {
			t.Fatal(err)
		}
	}
	return c, controller
}

func broker(id int32, rack string) Broker {
	return Broker{ID: id, Rack: rack, Listeners: []Listener{{Name: "PLAINTEXT", Host: fmt.Sprintf("host%d", id), Port: 9092}}}
}

func code(err error) int16 {
	var e *Error
	switch {
	case err == nil:
		return 0
	case errors.As(err, &e):
		return e.Code
	}
	return -999
}

func create(t *testing.T, c *Controller, topic NewTopic) *Topic {
	t.Helper()
	made, errs := c.CreateTopics(context.Background(), []NewTopic{topic}, false)
	if errs[0] != nil {
		t.Fatal(errs[0])
	}
	return made[0]
}

func plain(name string, partitions int32, factor int16) NewTopic {
	return NewTopic{Name: name, Partitions: partitions, ReplicationFactor: factor}
}

func TestRaceLostInApplyIsRefusedLikeOneSeenBefore(t *testing.T) {
	ctx := context.Background()
	tests := []struct {
		name string
		race func(other *Controller, first *Topic)
		do   func(c *Controller, first *Topic) error
		code int16
	}{
		{"same name",
			func(o *Controller, _ *Topic) { o.CreateTopics(ctx, []NewTopic{plain("new", 1, 1)}, false) },
			func(c *Controller, _ *Topic) error {
				_, errs := c.CreateTopics(ctx, []NewTopic{plain("new", 1, 1)}, false)
				return errs[0]
			}, CodeTopicAlreadyExists},
		{"colliding name",
			func(o *Controller, _ *Topic) { o.CreateTopics(ctx, []NewTopic{plain("a.b", 1, 1)}, false) },
			func(c *Controller, _ *Topic) error {
				_, errs := c.CreateTopics(ctx, []NewTopic{plain("a_b", 1, 1)}, false)
				return errs[0]
			}, CodeInvalidTopic},
		{"broker gone",
			func(o *Controller, _ *Topic) { o.UnregisterBroker(ctx, 1) },
			func(c *Controller, _ *Topic) error {
				_, errs := c.CreateTopics(ctx, []NewTopic{plain("new", 1, 1)}, false)
				return errs[0]
			}, CodeInvalidReplicaAssignment},
		{"deleted twice",
			func(o *Controller, f *Topic) { o.DeleteTopic(ctx, "", f.ID) },
			func(c *Controller, f *Topic) error { _, err := c.DeleteTopic(ctx, f.Name, TopicID{}); return err },
			CodeUnknownTopicOrPartition},
		{"recreated under the deleter's feet",
			func(o *Controller, f *Topic) {
				o.DeleteTopic(ctx, "", f.ID)
				o.CreateTopics(ctx, []NewTopic{plain(f.Name, 1, 1)}, false)
			},
			func(c *Controller, f *Topic) error { _, err := c.DeleteTopic(ctx, f.Name, TopicID{}); return err },
			CodeUnknownTopicOrPartition},
		{"grown twice",
			func(o *Controller, f *Topic) {
				o.CreatePartitions(ctx, NewPartitions{Topic: f.Name, Count: 3}, false)
			},
			func(c *Controller, f *Topic) error {
				return c.CreatePartitions(ctx, NewPartitions{Topic: f.Name, Count: 2}, false)
			}, CodeInvalidPartitions},
		{"configuration of a deleted topic",
			func(o *Controller, f *Topic) { o.DeleteTopic(ctx, "", f.ID) },
			func(c *Controller, f *Topic) error {
				return c.ReplaceConfig(ctx, ConfigResource{TopicConfig, f.Name}, nil, false)
			}, CodeUnknownTopicOrPartition},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cluster, c := newCluster(t, 1, Options{})
			first := create(t, c, plain("first", 1, 1))
			cluster.before = func() { test.race(c, first) }
			if err := test.do(c, first); code(err) != test.code {
				t.Errorf("got %v (code %d), want code %d", err, code(err), test.code)
			}
		})
	}
}

func TestAppendsFromTwoControllersBothStay(t *testing.T) {
	ctx := context.Background()
	cluster, c := newCluster(t, 1, Options{ListConfig: func(ConfigType, string) (string, bool) { return "base", true }})
	create(t, c, plain("t", 1, 1))
	add := func(value string) error {
		return c.AlterConfig(ctx, ConfigResource{TopicConfig, "t"}, []ConfigOp{{Name: "list", Op: opAppend, Value: &value}}, false)
	}
	cluster.before = func() {
		if err := add("one"); err != nil {
			t.Error(err)
		}
	}
	if err := add("two"); err != nil {
		t.Fatal(err)
	}
	if got := c.Image().Topics["t"].Config["list"]; got != "base,one,two" {
		t.Errorf("list is %q", got)
	}
}

func TestImageNeverChanges(t *testing.T) {
	ctx := context.Background()
	_, c := newCluster(t, 2, Options{})
	create(t, c, plain("a", 1, 1))
	held := c.Image()
	before, err := EncodeImage(held)
	if err != nil {
		t.Fatal(err)
	}
	value := "1"
	create(t, c, plain("b", 1, 2))
	c.CreatePartitions(ctx, NewPartitions{Topic: "a", Count: 9}, false)
	c.AlterConfig(ctx, ConfigResource{TopicConfig, "a"}, []ConfigOp{{Name: "x", Value: &value}}, false)
	c.AlterConfig(ctx, ConfigResource{BrokerConfig, ""}, []ConfigOp{{Name: "x", Value: &value}}, false)
	c.AlterConfig(ctx, ConfigResource{GroupConfig, "g"}, []ConfigOp{{Name: "x", Value: &value}}, false)
	c.RegisterBroker(ctx, broker(1, "elsewhere"))
	c.FenceBroker(ctx, 2, 0, true)
	c.DeleteTopic(ctx, "a", TopicID{})
	c.SetClusterID(ctx, "id")
	c.NextProducerID(ctx)
	if after, _ := EncodeImage(held); string(after) != string(before) {
		t.Errorf("the image that was held changed:\n%s\n%s", before, after)
	}
	if len(held.ByID) != 1 || len(held.merged) != 1 {
		t.Errorf("the indexes of the image that was held changed: %v %v", held.ByID, held.merged)
	}
}

func TestSnapshotRestoresTheSameImage(t *testing.T) {
	ctx := context.Background()
	cluster, c := newCluster(t, 3, Options{})
	value := "v"
	create(t, c, NewTopic{Name: "a.b", Partitions: 3, ReplicationFactor: 2, Config: map[string]string{"k": "v"}, Internal: true})
	c.AlterConfig(ctx, ConfigResource{BrokerConfig, "2"}, []ConfigOp{{Name: "x", Value: &value}}, false)
	c.AlterConfig(ctx, ConfigResource{GroupConfig, "g"}, []ConfigOp{{Name: "x", Value: &value}}, false)
	c.SetClusterID(ctx, "cluster")
	c.NextProducerID(ctx)
	data, err := cluster.state.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	restored := NewState(nil)
	if err := restored.Restore(data); err != nil {
		t.Fatal(err)
	}
	again, err := restored.Snapshot()
	if err != nil || string(again) != string(data) {
		t.Errorf("restored differently (%v):\n%s\n%s", err, data, again)
	}
	if code(checkNewName(restored.Image(), "a_b")) != CodeInvalidTopic {
		t.Error("the restored image does not see a collision")
	}
	if restored.Image().ByID[c.Image().Topics["a.b"].ID] == nil {
		t.Error("the restored image does not find a topic by id")
	}
}

func TestFutureCommandFreezesTheState(t *testing.T) {
	for _, future := range []string{
		`{"kind":"split-partition","version":0,"body":{}}`,
		`{"kind":"delete-topic","version":1,"body":{}}`,
		`{"kind":"delete-topic","version":0,"body":{"name":"a","id":"AAAAAAAAAAAAAAAAAAAAAQ","cascade":true}}`,
	} {
		cluster, c := newCluster(t, 1, Options{})
		create(t, c, plain("a", 1, 1))
		image := c.Image()
		result := cluster.state.Apply(image.Index+1, []byte(future))
		if err := errorOf(result); code(err) != CodeUnsupportedVersion || !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s: %v", future, result)
		}
		if _, err := cluster.state.Snapshot(); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s: snapshot: %v", future, err)
		}
		if result := cluster.state.Apply(image.Index+2, mustEncode(t, SetClusterID{ID: "x"})); code(errorOf(result)) != CodeUnsupportedVersion {
			t.Errorf("%s: a later command gave %v", future, result)
		}
		if c.Image() != image {
			t.Errorf("%s: the image moved", future)
		}
	}
}

func mustEncode(t *testing.T, c Command) []byte {
	t.Helper()
	data, err := EncodeCommand(c)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestMalformedCommandIsRefusedAndSkipped(t *testing.T) {
	s := NewState(nil)
	for i, bad := range []string{"", "{", "null", "[]", `{"kind":""}`, `{"kind":"delete-topic","version":0}`, `{"kind":"create-topics","body":{"topics":7}}`} {
		result := s.Apply(uint64(i+1), []byte(bad))
		if err := errorOf(result); code(err) != CodeInvalidRequest || !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %v", bad, result)
		}
		if s.Image().Index != uint64(i+1) || s.Err() != nil {
			t.Errorf("%q: index %d, err %v", bad, s.Image().Index, s.Err())
		}
	}
	if err := errorOf(s.Apply(1, mustEncode(t, SetClusterID{ID: "x"}))); code(err) != CodeUnknownServerError {
		t.Errorf("an index that was applied already: %v", err)
	}
}

func TestProducerIDsAreUniqueAndCheap(t *testing.T) {
	ctx := context.Background()
	cluster, one := newCluster(t, 1, Options{})
	two := New(cluster.state, cluster, Options{})
	cluster.count = 0
	var mu sync.Mutex
	seen := map[int64]bool{}
	var wait sync.WaitGroup
	for i := range 8 {
		c := []*Controller{one, two}[i%2]
		wait.Go(func() {
			for range 500 {
				id, err := c.NextProducerID(ctx)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if seen[id] {
					t.Errorf("id %d twice", id)
				}
				seen[id] = true
				mu.Unlock()
			}
		})
	}
	wait.Wait()
	if len(seen) != 4000 || cluster.count != 4 {
		t.Errorf("%d ids with %d proposals", len(seen), cluster.count)
	}
}

func TestProducerIDsAfterAFailedProposal(t *testing.T) {
	cluster, c := newCluster(t, 1, Options{})
	cluster.fail = errors.New("no leader")
	if _, err := c.NextProducerID(context.Background()); code(err) != CodeNotController || !errors.Is(err, cluster.fail) {
		t.Errorf("got %v", err)
	}
	cluster.fail = nil
	if id, err := c.NextProducerID(context.Background()); id != 0 || err != nil {
		t.Errorf("got %d, %v", id, err)
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	cluster.fail = context.Canceled
	other := New(cluster.state, cluster, Options{})
	if _, err := other.NextProducerID(ended); code(err) != CodeRequestTimedOut {
		t.Errorf("got %v", err)
	}
}

func TestSubscriptionWakesOnceForManyChanges(t *testing.T) {
	_, c := newCluster(t, 1, Options{})
	sub := c.state.Subscribe()
	<-sub.C() // the first is there at once
	seen := c.Image()
	for i := range 100 {
		create(t, c, plain(fmt.Sprint("t", i), 1, 1)) // nobody reads: Apply must not block
	}
	<-sub.C()
	if changes := Diff(seen, c.Image()); len(changes.Created) != 100 {
		t.Errorf("%d topics created", len(changes.Created))
	}
	select {
	case <-sub.C():
		t.Error("woken again without a change")
	default:
	}
	sub.Close()
	create(t, c, plain("last", 1, 1))
	select {
	case <-sub.C():
		t.Error("woken after Close")
	default:
	}
}

func TestDiff(t *testing.T) {
	ctx := context.Background()
	_, c := newCluster(t, 1, Options{})
	for _, name := range []string{"same", "grows", "configured", "goes", "recreated"} {
		create(t, c, plain(name, 1, 1))
	}
	old, value := c.Image(), "v"
	c.CreatePartitions(ctx, NewPartitions{Topic: "grows", Count: 2}, false)
	c.AlterConfig(ctx, ConfigResource{TopicConfig, "configured"}, []ConfigOp{{Name: "k", Value: &value}}, false)
	c.DeleteTopic(ctx, "goes", TopicID{})
	c.DeleteTopic(ctx, "recreated", TopicID{})
	create(t, c, plain("recreated", 1, 1))
	create(t, c, plain("new", 1, 1))
	changes := Diff(old, c.Image())
	got, _ := json.Marshal([][]string{names(changes.Created), names(changes.Deleted), names(changes.Grown), names(changes.Config)})
	if want := `[["new","recreated"],["goes","recreated"],["grows"],["configured"]]`; string(got) != want || changes.Brokers || changes.DynamicConfig {
		t.Errorf("got %s, %v %v", got, changes.Brokers, changes.DynamicConfig)
	}
	c.AlterConfig(ctx, ConfigResource{BrokerConfig, ""}, []ConfigOp{{Name: "k", Value: &value}}, false)
	c.FenceBroker(ctx, 1, 0, true)
	if changes := Diff(old, c.Image()); !changes.Brokers || !changes.DynamicConfig {
		t.Errorf("brokers %v, dynamic %v", changes.Brokers, changes.DynamicConfig)
	}
	if all := Diff(nil, old); len(all.Created) != 5 || !all.Brokers {
		t.Errorf("against nothing: %+v", all)
	}
}

func names(topics []*Topic) []string {
	out := []string{}
	for _, t := range topics {
		out = append(out, t.Name)
	}
	return out
}
