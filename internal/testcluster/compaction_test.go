package testcluster

import (
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
