package log

import (
	"testing"
	"time"
)

func segmentsOf(l *Log) (bases []Offset) {
	for _, s := range l.Segments() {
		bases = append(bases, s.BaseOffset)
	}
	return bases
}

// A segment that is old enough is closed though nothing follows it, but not while somebody writes: then its batches decide, and those may be of any time.
func TestAnOldSegmentIsRolledWhenNothingIsWritten(t *testing.T) {
	l := testLog(t, emptyDisk(), Config{SegmentAge: time.Minute})
	at := func(after time.Duration) int {
		t.Helper()
		if err := l.RollIdle(time.UnixMilli(1000).Add(after)); err != nil {
			t.Fatal(err)
		}
		return len(l.Segments())
	}
	for range 2 {
		if got := at(time.Hour); got != 1 {
			t.Fatal("an empty segment was rolled")
		}
	}
	putKeys(t, l, 1, "value", "a")
	for range 2 {
		if got := at(time.Minute); got != 1 {
			t.Fatal("rolled before its time")
		}
	}
	putKeys(t, l, 1, "value", "b")
	if got := at(time.Hour); got != 1 {
		t.Fatal("rolled between two batches")
	}
	if got := at(time.Hour); got != 2 {
		t.Fatal("not rolled")
	}
	if got := at(2 * time.Hour); got != 2 {
		t.Fatal("rolled again")
	}
	putKeys(t, l, 1, "value", "c")
	if got := segmentsOf(l); len(got) != 2 || got[1] != 2 {
		t.Fatal(got)
	}
}

// A follower that was away gets empty batches where the leader has compacted. They do not keep its segment open for ever.
func TestASegmentThatBeginsWithAnEmptyBatchIsRolledToo(t *testing.T) {
	for _, more := range []bool{true, false} {
		l := testLog(t, emptyDisk(), Config{SegmentAge: time.Minute})
		if _, err := l.Append([]Entry{{Index: 1, Term: 1, Kind: KindBatch, Data: emptyBatch(0, 5, 1)}}); err != nil {
			t.Fatal(err)
		}
		if more {
			putKeys(t, l, 1, "value", "a")
		}
		for _, after := range []time.Duration{0, 0, time.Hour} {
			if err := l.RollIdle(time.UnixMilli(1000).Add(after)); err != nil {
				t.Fatal(err)
			}
			if got, want := len(l.Segments()), 1; after == 0 && more && got != want {
				t.Fatal("rolled before its time")
			}
		}
		if got := segmentsOf(l); len(got) != 2 {
			t.Fatal(got)
		}
	}
}

// Logs with a jitter roll at different ages, each before segment.ms, and the replicas of one at the same.
func TestSegmentJitterScattersTheLogs(t *testing.T) {
	config := Config{SegmentAge: time.Hour, SegmentJitter: 30 * time.Minute}
	ages := map[time.Duration]bool{}
	for _, name := range []string{"0.a", "1.a", "2.a", "0.b", "1.b"} {
		age := config.scattered("/here/" + name).SegmentAge
		if age <= 30*time.Minute || age > time.Hour || age != config.scattered("/elsewhere/"+name).SegmentAge {
			t.Errorf("%s: %v", name, age)
		}
		ages[age] = true
	}
	if len(ages) != 5 {
		t.Error(ages)
	}
	if age := (Config{SegmentAge: time.Hour}).scattered("x").SegmentAge; age != time.Hour {
		t.Error("without a jitter:", age)
	}
	if age := (Config{SegmentAge: time.Minute, SegmentJitter: time.Hour}).scattered("x").SegmentAge; age <= 0 {
		t.Error("a jitter that is too large:", age)
	}
	// It counts from the start, and when it is changed.
	l := testLog(t, emptyDisk(), config)
	if l.config.SegmentAge != config.scattered(modelDir).SegmentAge {
		t.Error(l.config.SegmentAge)
	}
	config.SegmentJitter = 0
	if l.Configure(config); l.config.SegmentAge != time.Hour {
		t.Error(l.config.SegmentAge)
	}
}
