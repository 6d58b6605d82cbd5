package broker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/barnabas-log/barnabas/log"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// hosted is a partition of a topic as this node hosts it.
func (n *node) hosted(topic string, number int32) *replica {
	n.Helper()
	r := n.broker.hosting.find(n.broker.Image().Topics[topic].ID, number)
	if r == nil {
		n.Fatalf("%s-%d is not here", topic, number)
	}
	return r
}

// awaitCompacted waits until nothing is left to compact and something was.
func (n *node) awaitCompacted(topic string, number int32) {
	n.Helper()
	n.until(topic+" is compacted", func() bool {
		plan := n.hosted(topic, number).part.PlanCompaction()
		return plan.Clean > 0 && plan.Dirty == 0
	})
}

func TestConsumersReadAcrossTheHolesOfACompactedTopic(t *testing.T) {
	n := start(t, "log.cleaner.backoff.ms=20")
	n.create("t", 1, "cleanup.policy", "compact", "segment.ms", "1000", "min.cleanable.dirty.ratio", "0.01")
	begin := time.Now().Add(-time.Hour)
	const records, keys = 400, 23
	for i := range records {
		r := &kgo.Record{Topic: "t", Timestamp: begin.Add(time.Duration(i) * 50 * time.Millisecond), Key: fmt.Append(nil, i*i%keys), Value: fmt.Append(nil, i)}
		if i%50 == 49 {
			r.Value = nil
		}
		if err := n.client.ProduceSync(n.ctx(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	n.until("all of it is compacted, the last segment too", func() bool { return n.hosted("t", 0).part.CompactedTo() == records })
	check := func() {
		t.Helper()
		whole := n.consume(0, records)
		clean := int64(n.hosted("t", 0).part.PlanCompaction().From)
		last := map[string]int64{}
		for i := range clean {
			last[fmt.Sprint(i*i%keys)] = i
		}
		var want []int64
		for i := range int64(records) {
			if i >= clean || last[fmt.Sprint(i*i%keys)] == i {
				want = append(want, i)
			}
		}
		if clean < records/2 || !slices.Equal(whole, want) {
			t.Fatalf("compacted to %d: %v, not %v", clean, whole, want)
		}
		for from := int64(0); from < records; from += 17 {
			k, _ := slices.BinarySearch(want, from)
			if got := n.consume(from, records); !slices.Equal(got, want[k:]) {
				t.Fatalf("from %d: %v, not %v", from, got, want[k:])
			}
		}
	}
	check()
	n.restart()
	check()
}

// consume reads the offsets of t-0 from an offset to its last record, which compaction never removes here.
func (n *node) consume(from, end int64) (offsets []int64) {
	n.Helper()
	client := n.newClient(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"t": {0: kgo.NewOffset().At(from)}}), kgo.FetchMaxWait(time.Second))
	defer client.Close()
	for len(offsets) == 0 || offsets[len(offsets)-1] < end-1 {
		ctx := n.ctx()
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil || ctx.Err() != nil {
			n.Fatalf("from %d, after %v: %v", from, offsets, err)
		}
		fetches.EachRecord(func(r *kgo.Record) { offsets = append(offsets, r.Offset) })
	}
	return offsets
}

// What groups have committed is the same before and after __consumer_offsets was compacted and loaded again.
func TestCommittedOffsetsSurviveCompaction(t *testing.T) {
	n := start(t, "log.cleaner.backoff.ms=20", "offsets.topic.num.partitions=1")
	n.create("t", 1)
	n.commit("first", 1)
	for _, pair := range [][2]string{{"segment.ms", "1"}, {"min.cleanable.dirty.ratio", "0.01"}} {
		if err := n.alter("__consumer_offsets", pair[0], pair[1]); err != nil {
			t.Fatal(err)
		}
	}
	admin := n.fresh()
	commit := func(group string, offset int64) {
		offsets := kadm.Offsets{}
		offsets.AddOffset("t", 0, offset, -1)
		if err := admin.CommitAllOffsets(n.ctx(), group, offsets); err != nil {
			t.Fatal(err)
		}
	}
	for i := range int64(120) {
		commit(fmt.Sprint("group ", i%5), i)
		time.Sleep(time.Millisecond) // so that segments are rolled, which follows the records' time
	}
	part := n.hosted("__consumer_offsets", 0).part
	if _, err := admin.DeleteGroups(n.ctx(), "group 4"); err != nil {
		t.Fatal(err)
	}
	commit("last", 7)
	n.awaitCompacted("__consumer_offsets", 0)
	if plan := part.PlanCompaction(); plan.From < log.Offset(100) {
		t.Fatalf("%+v", plan)
	}
	for range 2 {
		for group, want := range map[string]int64{"first": 1, "group 0": 115, "group 1": 116, "group 2": 117, "group 3": 118, "group 4": -1, "last": 7} {
			if got := n.committed(group); got != want {
				t.Errorf("%s has committed %d, not %d", group, got, want)
			}
		}
		n.restart()
	}
}

// A replica whose compaction meets damage is left alone; the one that takes its place is compacted, as the topic is configured by then.
func TestReplicaThatTakesThePlaceOfADamagedOneIsCompacted(t *testing.T) {
	n := start(t, "log.cleaner.backoff.ms=20")
	n.create("t", 1, "segment.ms", "1000")
	begin := time.Now().Add(-time.Hour)
	for i := range 100 {
		r := &kgo.Record{Topic: "t", Timestamp: begin.Add(time.Duration(i) * 100 * time.Millisecond), Key: fmt.Append(nil, i%7), Value: fmt.Append(nil, "value ", i)}
		if err := n.client.ProduceSync(n.ctx(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	damaged := n.hosted("t", 0)
	name := filepath.Join(damaged.dir, fmt.Sprintf("%020d.log", damaged.part.Segments()[2].BaseOffset))
	sound, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	change := func(at int, to byte) {
		t.Helper()
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteAt([]byte{to}, int64(at)); err != nil {
			t.Fatal(err)
		}
	}
	at := log.HeaderSize + 8
	change(at, sound[at]^1)
	for _, pair := range [][2]string{{"min.cleanable.dirty.ratio", "0.01"}, {"cleanup.policy", "compact"}} {
		if err := n.alter("t", pair[0], pair[1]); err != nil {
			t.Fatal(err)
		}
	}
	n.until("the damage is met", func() bool { c := damaged.cleaned.Load(); return c != nil && c.refused })
	if c := damaged.cleaned.Load(); !errors.Is(c.err, log.ErrCorrupt) {
		t.Fatal(c.err)
	}

	change(at, sound[at])
	h := n.broker.hosting
	h.mu.Lock()
	if err := damaged.close(); err != nil {
		t.Error(err)
	}
	next := h.again(damaged)
	h.open(next, n.broker.Image())
	h.replace(damaged, next)
	h.mu.Unlock()
	n.awaitCompacted("t", 0)
	n.until("it says so", func() bool { return n.hosted("t", 0).cleaned.Load() != nil })
	if c := n.hosted("t", 0).cleaned.Load(); c.err != nil || c.at.IsZero() {
		t.Fatalf("%+v", c)
	}
}

func TestPaceHoldsTheRateAndEndsWithItsContext(t *testing.T) {
	p := pace{perSecond: 1 << 20}
	began := time.Now()
	for range 10 {
		if err := p.wait(context.Background(), 20<<10); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(began); took < 150*time.Millisecond {
		t.Fatal("200 KiB at 1 MiB/s took", took)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := p.wait(ctx, 1<<30); err == nil {
		t.Fatal("went on")
	}
}
