package log

import (
	"path"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/barnabas-log/barnabas/internal/vfs"
)

// slowRemoval is a file system on which removing a segment, or a directory, takes a minute.
type slowRemoval struct{ vfs.FS }

func (s slowRemoval) wait(name string) {
	if base := path.Base(name); strings.Contains(base, logSuffix) || !strings.Contains(base, "0000") && Removed(name) {
		time.Sleep(time.Minute)
	}
}

func (s slowRemoval) RemoveAll(name string) error {
	s.wait(name)
	return s.FS.RemoveAll(name)
}

func (s slowRemoval) Remove(name string) error {
	s.wait(name)
	return s.FS.Remove(name)
}

func (s slowRemoval) left(t *testing.T, suffix string) int {
	t.Helper()
	infos, err := s.ReadDir(modelDir)
	if err != nil {
		t.Fatal(err)
	}
	return len(slices.DeleteFunc(infos, func(i vfs.Info) bool { return !strings.HasSuffix(i.Name, suffix) }))
}

// Nobody who appends, trims or compacts waits for a file to be removed; it is removed after its delay, and one that is left goes when the log is opened again.
func TestRemovingFilesHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := slowRemoval{emptyDisk()}
		remover := NewRemover(disk, nil)
		options := Options{FS: disk, Remover: remover, Config: Config{SegmentBytes: 500, SyncOnAppend: true, DeleteDelay: time.Hour}}
		l, err := Open(modelDir, options)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		for range 40 {
			putKeys(t, l, 1, "value", "a", "b", "c", "d")
		}
		before := disk.left(t, logSuffix)
		if err := l.WriteCheckpoint(Checkpoint{Index: l.LastIndex(), Term: 1, HighWatermark: l.EndOffset()}); err != nil {
			t.Fatal(err)
		}
		if err := l.Trim(l.EndOffset()/2, l.LastIndex(), nil); err != nil {
			t.Fatal(err)
		}
		if err := l.Roll(); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Compact(CompactOptions{To: l.EndOffset()}); err != nil {
			t.Fatal(err)
		}
		putKeys(t, l, 1, "value", "a")
		if waited := time.Since(began); waited > 0 {
			t.Fatalf("waited %v", waited)
		}
		const segmentsGone = logSuffix + deletedSuffix
		gone := disk.left(t, segmentsGone)
		if logs := disk.left(t, logSuffix); logs > before*2/3 || gone < before/3 {
			t.Fatalf("%d of %d segments, %d to be removed", logs, before, gone)
		}
		time.Sleep(time.Hour - time.Minute)
		if left := disk.left(t, segmentsGone); left != gone {
			t.Fatalf("%d of %d are left before their time", left, gone)
		}
		time.Sleep(time.Duration(gone) * time.Minute) // and as long a rest after each: half of them
		if left := disk.left(t, segmentsGone); left < gone/3 || left > 2*gone/3 {
			t.Fatalf("%d of %d are left", left, gone)
		}
		remover.Close()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		remover = NewRemover(disk, nil)
		options.Remover = remover
		reopened := time.Now()
		if l, err = Open(modelDir, options); err != nil {
			t.Fatal(err)
		}
		for remover.Waiting() > 0 {
			time.Sleep(time.Minute)
		}
		if took := time.Since(reopened); took > time.Hour {
			t.Fatalf("what was left waited for %v", took)
		}
		remover.Close()
		if left := disk.left(t, deletedSuffix); left != 0 {
			t.Fatalf("%d are left after all", left)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// A partition that is deleted, comes back and is deleted again before its files are gone takes nothing with it, and leaves nothing.
func TestALogIsRemovedTwiceBeforeItsFilesAreGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := slowRemoval{emptyDisk()}
		remover := NewRemover(disk, nil)
		defer remover.Close()
		vacated := 0
		for range 3 {
			l, err := Open(modelDir, Options{FS: disk, Remover: remover, noFlusher: true})
			if err != nil {
				t.Fatal(err)
			}
			if l.EndOffset() != 0 {
				t.Fatal("the old log is there")
			}
			putKeys(t, l, 1, "value", "a")
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if err := Remove(disk, modelDir, remover, func() { vacated++ }); err != nil {
				t.Fatal(err)
			}
		}
		for remover.Waiting() > 0 {
			time.Sleep(time.Hour)
		}
		time.Sleep(time.Hour)
		if infos, err := disk.ReadDir("/data"); err != nil || len(infos) != 0 || vacated != 3 {
			t.Fatal(infos, err, vacated)
		}
	})
}
