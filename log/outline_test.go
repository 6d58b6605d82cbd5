package log

import (
	"errors"
	"path"
	"testing"
	"time"
)

// The outline of a directory says what the log says of itself, whatever has been done to it.
func TestOutlineSaysWhatTheLogSays(t *testing.T) {
	disk := emptyDisk()
	l := testLog(t, disk, Config{SegmentBytes: 2000})
	expect := func(when string) {
		t.Helper()
		o, err := ReadOutline(disk, modelDir)
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		plan := PlanCompaction(l.Segments(), l.EndOffset(), CompactPolicy{}, time.Time{})
		want := Outline{Segments: len(l.Segments()), Bytes: l.Size(), Start: l.StartOffset(), End: l.EndOffset(), HighWatermark: l.Checkpoint().HighWatermark,
			CompactedTo: max(plan.From, l.StartOffset()), DirtyBytes: l.Size() - plan.Clean}
		if o != want {
			t.Fatalf("%s: %+v, not %+v", when, o, want)
		}
	}
	expect("empty")
	for round := range 40 {
		putKeys(t, l, 2, "value", "a", "b", "c", string(rune('d'+round)))
	}
	expect("full")
	middle := l.Segments()[3].BaseOffset
	if err := l.WriteCheckpoint(Checkpoint{Index: l.LastIndex(), Term: 1, HighWatermark: l.EndOffset()}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Compact(CompactOptions{To: middle}); err != nil {
		t.Fatal(err)
	}
	expect("compacted to the middle")
	if o, _ := ReadOutline(disk, modelDir); o.CompactedTo != middle || o.DirtyBytes == 0 {
		t.Fatalf("%+v", o)
	}
	if err := l.Trim(middle+1, l.LastIndex(), nil); err != nil {
		t.Fatal(err)
	}
	expect("trimmed")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	damage(t, disk, path.Join(modelDir, manifestName), 20)
	if o, err := ReadOutline(disk, modelDir); !errors.Is(err, ErrCorrupt) || o.End != l.EndOffset() {
		t.Fatalf("%+v %v", o, err)
	}
}
