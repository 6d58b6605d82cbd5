package partition

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/barnabas-log/barnabas/log"
	"github.com/barnabas-log/barnabas/log/record"
)

// keyed appends a batch of one record, commits it, and lets a second pass.
func (r *replica) keyed(id int64, sequence int32, key, value string) {
	r.t.Helper()
	b := record.New()
	b.ProducerID, b.ProducerEpoch, b.BaseSequence = id, 0, sequence
	rec := record.Record{Timestamp: r.clock.Now().UnixMilli(), Key: []byte(key)}
	if value != "" {
		rec.Value = []byte(value)
	}
	b.Add(rec)
	d, err := r.p.Append(append([]byte(nil), b.Batch()...), AcksAll)
	if err != nil {
		r.t.Fatal(err)
	}
	r.run()
	if _, err := d.Wait(context.Background()); err != nil {
		r.t.Fatal(err)
	}
	r.clock.advance(time.Second)
}

// keys are the values on the replica by key, with the offset of each.
func (r *replica) keys() map[string]string {
	r.t.Helper()
	all := map[string]string{}
	for i := r.log.FirstIndex(); i <= r.log.LastIndex(); i++ {
		m, err := r.log.Meta(i)
		if err != nil {
			r.t.Fatal(err)
		}
		if m.Kind != log.KindBatch {
			continue
		}
		b, err := r.log.Data(nil, m)
		if err == nil {
			err = record.Each(b, 1<<20, func(rec record.Record) error {
				all[string(rec.Key)] += fmt.Sprintf("%s@%d ", rec.Value, rec.Offset)
				return nil
			})
		}
		if err != nil {
			r.t.Fatal(err)
		}
	}
	return all
}

func compactedConfig() Config {
	return Config{Compacted: true, MinDirtyRatio: 0.5, DeleteRetention: time.Minute, Log: log.Config{SegmentAge: 3 * time.Second}}
}

// A replica that is built from a compacted log, entry by entry, knows the same of the producers as the one that wrote it, although most of their batches are gone.
func TestAReplicaBuiltFromACompactedLogKnowsTheProducers(t *testing.T) {
	r := newReplica(t, compactedConfig())
	r.elect(1)
	for i := range int32(30) {
		r.keyed(int64(i%3), i/3, fmt.Sprint("key ", i%2), fmt.Sprint(i))
	}
	done, err := r.p.Compact(context.Background(), Cleaning{})
	if err != nil || done.RecordsKept > 4 || done.Records < 20 {
		t.Fatalf("%+v %v", done, err)
	}
	other := newReplica(t, compactedConfig())
	other.term = 1
	for i := r.log.FirstIndex(); i <= r.log.LastIndex(); i++ {
		m, err := r.log.Meta(i)
		if err != nil {
			t.Fatal(err)
		}
		b, err := r.log.Data(nil, m)
		if err != nil {
			t.Fatal(err)
		}
		other.append(log.Entry{Kind: m.Kind, Data: b})
	}
	got, want := other.p.Producers(), r.p.Producers()
	for i := range got { // of a batch that is empty nobody knows the time
		got[i].LastTimestamp, want[i].LastTimestamp = 0, 0
	}
	if len(want) != 3 || !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v, not %+v", got, want)
	}
	if !reflect.DeepEqual(other.keys(), r.keys()) {
		t.Fatalf("%v, not %v", other.keys(), r.keys())
	}
}

func TestTombstonesStayUntilTheirTimeHasComeAndAllReplicasHaveThem(t *testing.T) {
	r := newReplica(t, compactedConfig())
	r.elect(1)
	fill := func() {
		for i := range 40 {
			r.keyed(-1, -1, fmt.Sprint("key ", i%2), "more")
		}
	}
	compact := func(everywhere log.Offset) {
		t.Helper()
		fill()
		if done, err := r.p.Compact(context.Background(), Cleaning{TombstonesBelow: everywhere}); err != nil || done.SegmentsMade == 0 {
			t.Fatalf("%+v %v", done, err)
		}
	}
	r.keyed(-1, -1, "gone", "value")
	r.keyed(-1, -1, "gone", "")
	compact(1000)
	if got := r.keys()["gone"]; got != "@1 " {
		t.Fatalf("at first: %q", got)
	}
	r.clock.advance(time.Hour)
	compact(1)
	if got := r.keys()["gone"]; got != "@1 " {
		t.Fatalf("a replica lacks it: %q", got)
	}
	compact(2)
	if got, still := r.keys()["gone"]; still {
		t.Fatalf("in the end: %q", got)
	}
	r.reopen()
	if got, still := r.keys()["gone"]; still || r.p.LogStart() != 0 {
		t.Fatalf("after all: %q", got)
	}
}

func TestCompactionWaitsForItsTurnAndEndsWithThePartition(t *testing.T) {
	r := newReplica(t, compactedConfig())
	r.elect(1)
	for i := range 20 {
		r.keyed(-1, -1, "key", fmt.Sprint(i))
	}
	if plan := r.p.PlanCompaction(); !plan.Due || plan.From != 0 {
		t.Fatalf("%+v", plan)
	}
	ctx, cancel := context.WithCancel(context.Background())
	_, err := r.p.Compact(ctx, Cleaning{Throttle: func(ctx context.Context, _ int) error {
		cancel()
		return ctx.Err()
	}})
	if !errors.Is(err, context.Canceled) || r.p.Err() != nil {
		t.Fatal(err)
	}
	entered, released := make(chan struct{}), make(chan struct{})
	result := make(chan error)
	go func() {
		calls := 0
		_, err := r.p.Compact(context.Background(), Cleaning{Throttle: func(context.Context, int) error {
			if calls++; calls == 1 {
				close(entered)
				<-released
			}
			return nil
		}})
		result <- err
	}()
	<-entered
	closed := make(chan error)
	go func() { closed <- r.p.Close() }()
	for r.p.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	close(released)
	if err := <-result; err != nil && !errors.Is(err, log.ErrClosed) {
		t.Fatal(err)
	}
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	if _, err := r.p.Compact(context.Background(), Cleaning{}); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
	c := compactedConfig()
	c.Compacted = false
	r.open()
	r.p.Configure(c)
	if plan := r.p.PlanCompaction(); plan.Due {
		t.Fatalf("not compacted: %+v", plan)
	}
}

// min.compaction.lag.ms holds compaction back, max.compaction.lag.ms brings it about, and closes the active segment for it.
func TestCompactionLags(t *testing.T) {
	c := compactedConfig()
	c.Log.SegmentAge = time.Hour
	c.MinDirtyRatio, c.MaxCompactionLag = 1, 10*time.Minute
	r := newReplica(t, c)
	r.elect(1)
	for i := range 4 {
		r.keyed(-1, -1, "key", fmt.Sprint(i))
	}
	compact := func() int64 {
		t.Helper()
		done, err := r.p.Compact(context.Background(), Cleaning{})
		if err != nil {
			t.Fatal(err)
		}
		return done.Records - done.RecordsKept
	}
	if plan := r.p.PlanCompaction(); plan.Due || plan.Roll || compact() != 0 {
		t.Fatalf("at once: %+v", plan)
	}
	r.clock.advance(11 * time.Minute)
	if plan := r.p.PlanCompaction(); !plan.Roll || compact() != 3 {
		t.Fatalf("overdue: %+v", plan)
	}
	c.MinDirtyRatio, c.MaxCompactionLag, c.MinCompactionLag = 0.01, 0, time.Hour
	r.p.Configure(c)
	r.keyed(-1, -1, "key", "last")
	if err := r.log.Roll(); err != nil {
		t.Fatal(err)
	}
	if plan := r.p.PlanCompaction(); plan.Due || compact() != 0 {
		t.Fatalf("too young: %+v", plan)
	}
	r.clock.advance(time.Hour)
	if plan := r.p.PlanCompaction(); !plan.Due || compact() != 1 {
		t.Fatalf("old enough: %+v", plan)
	}
}
