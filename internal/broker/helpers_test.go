package broker

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/barnabas-log/barnabas/internal/config"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// node is a broker under test, with a client of its own. It can be stopped and started again on the same data.
type node struct {
	*testing.T
	dir      string
	settings []string
	broker   *Broker
	client   *kgo.Client
	admin    *kadm.Client
}

// start opens a broker on a fresh directory, on a port that is free.
func start(t *testing.T, settings ...string) *node {
	t.Helper()
	n := &node{T: t, dir: t.TempDir(), settings: settings}
	n.open()
	t.Cleanup(func() {
		if n.broker != nil {
			n.stop()
		}
	})
	return n
}

// settingsOf are what every test wants: a small offsets topic, no wait for further members, house kept at once.
func settingsOf(dir string, more ...string) []string {
	return append([]string{"log.dirs=" + dir, "listeners=PLAINTEXT://127.0.0.1:0", "barnabas.http.listener=", "offsets.topic.num.partitions=3", "group.initial.rebalance.delay.ms=0",
		"log.retention.check.interval.ms=50"}, more...)
}

func tryOpen(settings []string) (*Broker, error) {
	c, _, err := config.Load(config.Input{Set: settings})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return Open(ctx, Options{Config: c})
}

func (n *node) open() {
	n.Helper()
	var err error
	if n.broker, err = tryOpen(settingsOf(n.dir, n.settings...)); err != nil {
		n.Fatal(err)
	}
	n.client = n.newClient()
	n.admin = kadm.NewClient(n.client)
	for _, topic := range n.broker.Image().Topics { // clients would wait for leaders; some of our questions cannot
		if err := n.broker.hosting.awaitLeaders(n.ctx(), topic); err != nil {
			n.Fatalf("leaders of %s: %v", topic.Name, err)
		}
	}
}

// stop closes client and broker, gracefully, and says how long the broker took.
func (n *node) stop() time.Duration {
	n.Helper()
	n.client.Close()
	begin := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := n.broker.Close(ctx); err != nil {
		n.Error(err)
	}
	n.broker = nil
	return time.Since(begin)
}

func (n *node) restart() {
	n.Helper()
	n.stop()
	n.open()
}

func (n *node) newClient(opts ...kgo.Opt) *kgo.Client {
	n.Helper()
	opts = append([]kgo.Opt{kgo.SeedBrokers(n.broker.Addr()), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MetadataMinAge(20 * time.Millisecond),
		kgo.RetryBackoffFn(func(int) time.Duration { return 10 * time.Millisecond })}, opts...)
	client, err := kgo.NewClient(opts...)
	if err != nil {
		n.Fatal(err)
	}
	n.Cleanup(client.Close)
	return client
}

func (n *node) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	n.Cleanup(cancel)
	return ctx
}

// create makes a topic; pairs are its configuration.
func (n *node) create(topic string, partitions int32, pairs ...string) kadm.CreateTopicResponse {
	n.Helper()
	configs := map[string]*string{}
	for i := 0; i < len(pairs); i += 2 {
		configs[pairs[i]] = &pairs[i+1]
	}
	resp, err := n.admin.CreateTopic(n.ctx(), partitions, 1, configs, topic)
	if err != nil {
		n.Fatal(err)
	}
	return resp
}

// alter sets a configuration of a topic, or of all brokers when topic is "".
func (n *node) alter(topic, name, value string) error {
	n.Helper()
	configs := []kadm.AlterConfig{{Op: kadm.SetConfig, Name: name, Value: &value}}
	var resp kadm.AlterConfigsResponses
	var err error
	if topic == "" {
		resp, err = n.admin.AlterBrokerConfigs(n.ctx(), configs)
	} else {
		resp, err = n.admin.AlterTopicConfigs(n.ctx(), configs, topic)
	}
	if err != nil {
		n.Fatal(err)
	}
	return resp[0].Err
}

// produce writes values to a partition, each in a batch of its own.
func (n *node) produce(topic string, partition int32, values ...string) error {
	n.Helper()
	for _, value := range values {
		if err := n.client.ProduceSync(n.ctx(), &kgo.Record{Topic: topic, Partition: partition, Value: []byte(value)}).FirstErr(); err != nil {
			return err
		}
	}
	return nil
}

// read reads a partition from an offset to its end.
func (n *node) read(topic string, partition int32, from int64) []string {
	n.Helper()
	end := n.end(topic, partition)
	client := n.newClient(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {partition: kgo.NewOffset().At(from)}}), kgo.FetchMaxWait(time.Second))
	defer client.Close()
	var values []string
	for next := from; next < end; {
		fetches := client.PollFetches(n.ctx())
		if err := fetches.Err(); err != nil {
			n.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset != next {
				n.Fatalf("offset %d where %d was expected", r.Offset, next)
			}
			next++
			values = append(values, string(r.Value))
		})
	}
	return values
}

func (n *node) end(topic string, partition int32) int64 {
	n.Helper()
	offsets, err := n.admin.ListEndOffsets(n.ctx(), topic)
	if err != nil {
		n.Fatal(err)
	}
	at, _ := offsets.Lookup(topic, partition)
	return at.Offset
}

func (n *node) begin(topic string, partition int32) int64 {
	n.Helper()
	offsets, err := n.admin.ListStartOffsets(n.ctx(), topic)
	if err != nil {
		n.Fatal(err)
	}
	at, _ := offsets.Lookup(topic, partition)
	return at.Offset
}

// ask sends one request to the broker, without any help from the client.
func ask[R kmsg.Response](n *node, req kmsg.Request) R {
	n.Helper()
	resp, err := n.client.Broker(1).Request(n.ctx(), req)
	if err != nil {
		n.Fatalf("%T: %v", req, err)
	}
	return resp.(R)
}

// files lists the files below the data directory's topics whose path has part in it.
func (n *node) files(part string) (found []string) {
	n.Helper()
	err := filepath.WalkDir(filepath.Join(n.dir, "topics"), func(path string, _ fs.DirEntry, err error) error {
		if err == nil && strings.Contains(path, part) {
			found = append(found, path)
		}
		return nil // what is being deleted while we look is no error
	})
	if err != nil {
		n.Fatal(err)
	}
	return found
}

// until waits for a condition, without a fixed sleep.
func (n *node) until(what string, done func() bool) {
	n.Helper()
	for end := time.Now().Add(10 * time.Second); !done(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			n.Fatalf("waited in vain: %s", what)
		}
	}
}

// wantCode fails unless err is Kafka's error of that code; 0 is none.
func (n *node) wantCode(what string, err error, code int16) {
	n.Helper()
	if want := kerr.ErrorForCode(code); err != want {
		n.Errorf("%s: %v, want %v", what, err, want)
	}
}

func numbered(prefix string, count int) []string {
	values := make([]string, count)
	for i := range values {
		values[i] = fmt.Sprintf("%s %d", prefix, i)
	}
	return values
}

// startSeveralDirs opens a node with two data directories.
func startSeveralDirs(t *testing.T, settings ...string) *node {
	t.Helper()
	dir := t.TempDir()
	return start(t, append(settings, "log.dirs="+filepath.Join(dir, "first")+","+filepath.Join(dir, "second"))...)
}

// tryAgain opens the node, with partitions that may be offline.
func (n *node) tryAgain() {
	n.Helper()
	var err error
	if n.broker, err = tryOpen(settingsOf(n.dir, n.settings...)); err != nil {
		n.Fatal(err)
	}
	n.greet()
}

// offsetsOf names one offset of partition 0 of a topic.
func offsetsOf(topic string, offset int64) kadm.Offsets {
	var o kadm.Offsets
	o.AddOffset(topic, 0, offset, -1)
	return o
}
