package log

import (
	"errors"
	"testing"

	"github.com/barnabas-log/barnabas/internal/metrics"
	"github.com/barnabas-log/barnabas/internal/vfs"
)

func TestWhatALogDoesIsCounted(t *testing.T) {
	r := metrics.New()
	failing := vfs.NewFailing(memoryFS())
	l := open(t, "/d/p", Options{FS: failing, Metrics: NewMetrics(r), Config: Config{SyncOnAppend: true, SegmentBytes: 1000}})
	value := func(name string) float64 { v, _ := r.Value("log_" + name); return v }
	appendBatches(t, l, 3)
	two := []Entry{{Index: l.LastIndex() + 1, Term: 1, Kind: KindBatch, Data: batchOf(3, 10, 5)}, {Index: l.LastIndex() + 2, Term: 2, Kind: KindNoop}}
	if _, err := l.Append(two); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]float64{"fsync_seconds": 4, "append_batches": 4, "appended_records_total": 9, "appended_bytes_total": float64(l.Size())} {
		if got := value(name); got != want {
			t.Errorf("%s is %v, not %v", name, got, want)
		}
	}
	once := func() error {
		_, err := l.Append([]Entry{{Index: l.LastIndex() + 1, Term: 2, Kind: KindBatch, Data: batchOf(2, 400, 5)}})
		return err
	}
	for range 3 {
		if err := once(); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.WriteCheckpoint(Checkpoint{Index: l.LastIndex(), Term: 2, HighWatermark: l.EndOffset()}); err != nil {
		t.Fatal(err)
	}
	before, segments := l.Size(), len(l.Segments())
	if err := l.Trim(l.EndOffset(), l.LastIndex(), nil); err != nil {
		t.Fatal(err)
	}
	if value("checkpoints_total") != 1 || value("deleted_segments_total") != float64(segments) || value("deleted_bytes_total") != float64(before-l.Size()) || segments < 2 {
		t.Errorf("%v checkpoints, %v of %d segments, %v bytes", value("checkpoints_total"), value("deleted_segments_total"), segments, value("deleted_bytes_total"))
	}
	failing.FailWhen(func(vfs.Kind, string) error { return errors.New("no disk") })
	for range 2 {
		if err := once(); err == nil {
			t.Fatal("appended without a disk")
		}
	}
	if value("failures_total") != 1 {
		t.Errorf("%v failures", value("failures_total"))
	}
}
