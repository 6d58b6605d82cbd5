package testcluster

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/barnabas-log/barnabas/log"
	"github.com/barnabas-log/barnabas/log/record"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// stored is what a node has on disk of the only partition of a topic: how many records, the last value of each key that has one, and where it ends.
func (n *Node) stored(topic string) (records int64, values map[string]string, report *log.Report, err error) {
	dirs, err := filepath.Glob(filepath.Join(n.Dir(), "topics", topic, "0.*"))
	if err != nil || len(dirs) != 1 {
		return 0, nil, nil, fmt.Errorf("directories %v: %w", dirs, err)
	}
	values = map[string]string{}
	report, err = log.Inspect(dirs[0], log.InspectOptions{Records: true, OnBatch: func(b log.InspectedBatch) error {
		return record.Each(b.Data, 1<<20, func(r record.Record) error {
			records++
			delete(values, string(r.Key))
			if r.Value != nil {
				values[string(r.Key)] = fmt.Sprintf("%s@%d", r.Value, r.Offset)
			}
			return nil
		})
	}})
	return records, values, report, err
}

// Three replicas compact by themselves; one is away while half of the history is written, compacted, and rid of its tombstones. It comes back and all three hold the same.
func TestReplicaThatWasAwayConvergesOnACompactedTopic(t *testing.T) {
	for seed := range uint64(2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { convergeCompacted(t, seed) })
	}
}

func convergeCompacted(t *testing.T, seed uint64) {
	s := beginWith(t, Options{Set: []string{"log.cleaner.backoff.ms=50"}}, 1, map[string]string{
		"cleanup.policy": "compact", "segment.ms": "1000", "min.cleanable.dirty.ratio": "0.01", "delete.retention.ms": "0"})
	const half, keys = 300, 40
	r := rand.New(rand.NewPCG(seed, 1))
	at, want := 0, map[string]string{}
	begin := time.Now().Add(-time.Hour)
	produce := func(count int) {
		t.Helper()
		for range count {
			key := fmt.Sprint("key ", r.IntN(keys))
			rec := &kgo.Record{Topic: topic, Key: []byte(key), Timestamp: begin.Add(time.Duration(at) * 100 * time.Millisecond)}
			delete(want, key)
			if r.IntN(4) > 0 {
				rec.Value = fmt.Append(nil, "value ", at)
				want[key] = fmt.Sprintf("%s@%d", rec.Value, at)
			}
			if err := s.client.ProduceSync(s.ctx, rec).FirstErr(); err != nil {
				t.Fatal(err)
			}
			if rec.Offset != int64(at) {
				t.Fatalf("record %d has offset %d", at, rec.Offset)
			}
			at++
		}
	}
	await := func(what string, n *Node, ok func(records int64, report *log.Report) bool) {
		t.Helper()
		for {
			records, _, report, err := n.stored(topic)
			if err == nil && ok(records, report) {
				return
			}
			if s.ctx.Err() != nil {
				t.Fatalf("node %d: %s: %d records, %v", n.ID, what, records, err)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	compacted := func(records int64, report *log.Report) bool {
		return int(report.EndOffset) == at && records < int64(keys+30)
	}

	produce(half)
	leader := s.leader(0)
	away := s.Node(leader.ID%3 + 1)
	away.Kill()
	produce(half)
	for _, n := range s.Nodes() {
		if n != away {
			await("compacted", n, compacted)
		}
	}
	away.Start()
	await("caught up and compacted", away, compacted)
	produce(half)
	for _, n := range s.Nodes() {
		await("compacted again", n, compacted)
	}
	for _, n := range s.Nodes() {
		n.Stop()
	}
	for _, n := range s.Nodes() {
		records, values, report, err := n.stored(topic)
		if err != nil || len(report.Findings) > 0 || int(report.EndOffset) != at {
			t.Fatalf("node %d: %+v %v", n.ID, report, err)
		}
		if !maps.Equal(values, want) {
			t.Fatalf("node %d holds %v, not %v", n.ID, values, want)
		}
		t.Logf("node %d: %d records of %d in %d batches", n.ID, records, at, report.Batches)
	}
}

// beginWith is begin with options and a topic configuration.
func beginWith(t *testing.T, o Options, partitions int32, configs map[string]string) *scene {
	t.Helper()
	s := &scene{Cluster: Start(t, o), t: t, ctx: deadline(t)}
	s.client = s.connect()
	s.admin = kadm.NewClient(s.client)
	pointers := map[string]*string{}
	for name, value := range configs {
		pointers[name] = &value
	}
	if _, err := s.admin.CreateTopic(s.ctx, partitions, 3, pointers, topic); err != nil {
		t.Fatal(err)
	}
	return s
}

func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// A tombstone stays on all replicas until every one of them has compacted past it, and then it goes from all, also from those that never led. If a replica dropped it as soon as all have
// it, one that is fetched anew could get the value from a replica that has not compacted yet, and what follows from the one that has nothing to delete it with any more.
func TestTombstonesWaitForTheReplicaThatHasNotCompacted(t *testing.T) {
	s := beginWith(t, Options{Set: []string{"log.cleaner.backoff.ms=30"}}, 1, map[string]string{
		"cleanup.policy": "compact", "segment.ms": "1000", "min.cleanable.dirty.ratio": "0.01", "delete.retention.ms": "0"})
	leader := s.leader(0)
	idle := s.Node(leader.ID%3 + 1)
	idle.Stop()
	idle.Set = []string{"log.cleaner.enable=false"}
	idle.Start()

	begin, at := time.Now().Add(-time.Hour), 0
	put := func(key, value string) {
		t.Helper()
		r := &kgo.Record{Topic: topic, Key: []byte(key), Timestamp: begin.Add(time.Duration(at) * 100 * time.Millisecond)}
		if value != "" {
			r.Value = []byte(value)
		}
		if err := s.client.ProduceSync(s.ctx, r).FirstErr(); err != nil {
			t.Fatal(err)
		}
		at++
	}
	// has says whether a node has a record of the key, with or without a value.
	has := func(n *Node, key string) (value, tombstone bool) {
		t.Helper()
		found, err := n.recordsOf(topic, key)
		for ; err != nil && s.ctx.Err() == nil; found, err = n.recordsOf(topic, key) { // a segment was replaced meanwhile
			time.Sleep(5 * time.Millisecond)
		}
		for _, r := range found {
			value, tombstone = value || r.Value != nil, tombstone || r.Value == nil
		}
		return value, tombstone
	}
	rounds := 0
	// compact writes until the node has compacted once more.
	compact := func(n *Node) {
		t.Helper()
		marker := fmt.Sprint("marker ", rounds)
		rounds++
		put(marker, "first")
		for {
			for range 15 {
				put(marker, fmt.Sprint(at))
			}
			found, err := n.recordsOf(topic, marker)
			if err == nil && (len(found) == 0 || string(found[0].Value) != "first") {
				return
			}
			if s.ctx.Err() != nil {
				t.Fatalf("node %d does not compact", n.ID)
			}
		}
	}
	put("gone", "value")
	put("gone", "")
	for value, tombstone := false, false; !value || !tombstone; value, tombstone = has(idle, "gone") {
		if time.Sleep(time.Millisecond); s.ctx.Err() != nil {
			t.Fatal("the records do not come to the replica that was started anew")
		}
	}
	for range 4 {
		compact(leader)
	}
	for _, n := range s.Nodes() {
		value, tombstone := has(n, "gone")
		if value != (n == idle) || !tombstone {
			t.Fatalf("node %d, leader %d, without a cleaner %d: value %v, tombstone %v", n.ID, leader.ID, idle.ID, value, tombstone)
		}
	}
	idle.Stop()
	idle.Set = nil
	idle.Start()
	for _, n := range s.Nodes() {
		for {
			if value, tombstone := has(n, "gone"); !value && !tombstone {
				break
			}
			if s.ctx.Err() != nil {
				t.Fatalf("node %d keeps the tombstone", n.ID)
			}
			compact(n)
		}
	}
}

// recordsOf are the records of a key that a node has on disk of the only partition of a topic.
func (n *Node) recordsOf(topic, key string) (found []record.Record, err error) {
	dirs, err := filepath.Glob(filepath.Join(n.Dir(), "topics", topic, "0.*"))
	if err != nil || len(dirs) != 1 {
		return nil, fmt.Errorf("directories %v: %w", dirs, err)
	}
	_, err = log.Inspect(dirs[0], log.InspectOptions{Records: true, OnBatch: func(b log.InspectedBatch) error {
		return record.Each(b.Data, 1<<20, func(r record.Record) error {
			if string(r.Key) == key {
				found = append(found, record.Record{Offset: r.Offset, Value: bytes.Clone(r.Value)})
			}
			return nil
		})
	}})
	return found, err
}
