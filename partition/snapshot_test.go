package partition

import (
	"bytes"
	"testing"
	"time"

	"github.com/barnabas-log/barnabas/log"
)

// A replica that is older than the leader's log starts from the floor, with a state that may be newer than it, and gets the rest as entries.
func TestSnapshotAndEntriesGiveTheLeadersState(t *testing.T) {
	leader := newReplica(t, Config{DeletePolicy: true, CheckpointEachBytes: 400, Log: log.Config{SegmentBytes: 500}})
	leader.elect(1)
	for i := range int32(40) {
		d, err := leader.p.Append(batchOf(storyStart, 7+int64(i%2), 0, i/2, 1), AcksAll)
		if err != nil {
			t.Fatal(err)
		}
		leader.run()
		waitFor(t, d)
	}
	if _, err := leader.p.proposeCommand(encodeTrim(21)); err != nil {
		t.Fatal(err)
	}
	leader.run()
	leader.p.background.Wait()
	floor := leader.log.Floor()
	if floor.Offset == 0 || floor.Offset > 21 || stateOffset(floor.State) < floor.Offset {
		t.Fatalf("floor at %d, its state at %d", floor.Offset, stateOffset(floor.State))
	}

	follower := newReplica(t, leader.config)
	w := NewWaiter()
	defer w.Close()
	follower.p.Watch(w)
	if err := follower.log.Reset(floor); err != nil {
		t.Fatal(err)
	}
	if err := follower.p.Restore(floor.State); err != nil {
		t.Fatal(err)
	}
	follower.applied = floor.Index
	if !woken(w) || follower.p.HighWatermark() < floor.Offset {
		t.Errorf("woken %t, high watermark %d", woken(w), follower.p.HighWatermark())
	}
	for i := floor.Index + 1; i <= leader.log.LastIndex(); i++ {
		m, err := leader.log.Meta(i)
		if err != nil {
			t.Fatal(err)
		}
		data, err := leader.log.Data(nil, m)
		if err != nil {
			t.Fatal(err)
		}
		follower.term = m.Term
		follower.append(log.Entry{Kind: m.Kind, Data: data})
	}
	follower.commit(1000)
	if follower.p.LogStart() != 21 || follower.p.HighWatermark() != leader.p.HighWatermark() {
		t.Errorf("start %d, mark %d", follower.p.LogStart(), follower.p.HighWatermark())
	}
	a, errA := leader.p.State()
	b, errB := follower.p.State()
	if errA != nil || errB != nil || !bytes.Equal(a, b) {
		t.Errorf("states differ: %v, %v\n%x\n%x", errA, errB, a, b)
	}
	follower.elect(2)
	d, err := follower.p.Append(batchOf(storyStart, 8, 0, 17, 1), AcksAll)
	if err != nil {
		t.Fatal(err)
	}
	if result := waitFor(t, d); result.BaseOffset != 35 {
		t.Errorf("a batch that the old leader stored at 35 is at %d", result.BaseOffset)
	}
}

func TestRestoreFailsWhatIsPending(t *testing.T) {
	r := newReplica(t, Config{})
	r.elect(1)
	d, err := r.p.Append(plainBatch(1), AcksAll)
	if err != nil {
		t.Fatal(err)
	}
	floor := log.Floor{Index: 10, Term: 3, Offset: 100, Start: 100}
	if err := r.log.Reset(floor); err != nil {
		t.Fatal(err)
	}
	if err := r.p.Restore(nil); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Wait(t.Context()); name(err) != "NotLeader" {
		t.Errorf("%v", err)
	}
	if r.p.HighWatermark() != 100 || r.p.LogStart() != 100 || r.p.LogEnd() != 100 {
		t.Errorf("start %d, mark %d, end %d", r.p.LogStart(), r.p.HighWatermark(), r.p.LogEnd())
	}
	if err := r.p.Restore([]byte{9}); err == nil {
		t.Error("a state of version 9 was accepted")
	}
	r.reopen()
	if r.p.HighWatermark() != 100 {
		t.Errorf("mark %d after reopening", r.p.HighWatermark())
	}
}

// Retention by time and bytes, through the replicated path, down to the files.
func TestEnforceDropsFiles(t *testing.T) {
	r := newReplica(t, Config{DeletePolicy: true, RetentionTime: time.Hour, RetentionBytes: -1, Log: log.Config{SegmentBytes: 500}})
	r.elect(1)
	fill := func() {
		for range 20 {
			if _, err := r.p.Append(batchOf(r.clock.Now(), -1, -1, -1, 1), AcksAll); err != nil {
				t.Fatal(err)
			}
		}
		r.run()
	}
	enforce := func() {
		t.Helper()
		done := make(chan error, 1)
		go func() { done <- r.p.Enforce(t.Context()) }()
		for {
			select {
			case err := <-done:
				if err != nil {
					t.Fatal(err)
				}
				r.p.background.Wait()
				return
			default:
				r.run()
			}
		}
	}
	fill()
	enforce()
	if r.p.LogStart() != 0 {
		t.Fatalf("start %d, nothing is old", r.p.LogStart())
	}
	r.clock.advance(2 * time.Hour)
	fill()
	before := r.p.Size()
	enforce()
	if start := r.p.LogStart(); start < 10 || start > 20 {
		t.Errorf("start %d, 20 of 40 are old", start)
	}
	if r.p.Size() >= before {
		t.Errorf("%d bytes before, %d after", before, r.p.Size())
	}
	r.config.RetentionBytes = 600
	r.p.Configure(r.config)
	enforce()
	if r.p.Size() > 1200 {
		t.Errorf("%d bytes are left of %d", r.p.Size(), before)
	}
	r.clock.advance(2 * time.Hour) // the active segment expires too
	enforce()
	if r.p.LogStart() != 40 || r.p.Size() != 0 {
		t.Errorf("start %d, %d bytes left", r.p.LogStart(), r.p.Size())
	}
	fill()
	r.reopen()
	if r.p.LogStart() != 40 || r.p.LogEnd() != 60 {
		t.Errorf("start %d, end %d after reopening", r.p.LogStart(), r.p.LogEnd())
	}
}

func TestEnforceForgetsOldProducers(t *testing.T) {
	r := newReplica(t, Config{})
	r.elect(1)
	if _, err := r.p.Append(batchOf(storyStart, 7, 0, 0, 1), AcksAll); err != nil {
		t.Fatal(err)
	}
	r.run()
	r.p.Resign(2, 2)
	r.clock.advance(25 * time.Hour)
	if err := r.p.Enforce(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := r.p.Producers(); len(left) != 0 {
		t.Errorf("%v", left)
	}
}
