package log

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/barnabas-log/barnabas/internal/metrics"
	"github.com/barnabas-log/barnabas/internal/vfs"
)

// journaledLog opens a log with a journal, which the first append has made.
func journaledLog(t *testing.T, files vfs.FS) (*Log, Options) {
	t.Helper()
	if err := files.MkdirAll("/data"); err != nil {
		t.Fatal(err)
	}
	if err := files.SyncDir("/"); err != nil {
		t.Fatal(err)
	}
	options := Options{FS: files, Config: Config{SyncOnAppend: true}, Journal: openTestJournal(t, files)}
	l := open(t, modelDir, options)
	appendBatches(t, l, 1)
	return l, options
}

// TestSmallAppendsSyncTheJournalAndLargeOnesTheirSegment counts who is synced.
func TestSmallAppendsSyncTheJournalAndLargeOnesTheirSegment(t *testing.T) {
	memory := vfs.NewMemory()
	l, _ := journaledLog(t, memory)
	synced := map[string]int{}
	memory.OnSync(func(name string, done bool) {
		if done {
			synced[name]++
		}
	})
	appendBatches(t, l, 5)
	const segment, journal = modelDir + "/00000000000000000000.log", "/data/journal/0"
	if synced[segment] != 0 || synced[journal] != 5 {
		t.Fatal(synced)
	}
	large := Entry{Index: l.LastIndex() + 1, Term: 1, Kind: KindBatch, Data: batchOf(1, journalLimit, 5)}
	if _, err := l.Append([]Entry{large}); err != nil {
		t.Fatal(err)
	}
	if synced[segment] != 1 || synced[journal] != 5 {
		t.Fatal(synced)
	}
	memory.OnSync(nil)
}

// TestWhatTheJournalDoesNotTakeIsSyncedInItsSegment, and counted.
func TestWhatTheJournalDoesNotTakeIsSyncedInItsSegment(t *testing.T) {
	memory := vfs.NewMemory()
	failing := vfs.NewFailing(memory)
	l, _ := journaledLog(t, failing)
	figures := metrics.New()
	l.metrics = NewMetrics(figures)
	failing.FailWhen(func(kind vfs.Kind, name string) error {
		if kind == vfs.Write && strings.HasPrefix(name, "/data/journal/") {
			return vfs.ErrInjected
		}
		return nil
	})
	synced := 0
	memory.OnSync(func(name string, done bool) {
		if done && strings.HasSuffix(name, ".log") {
			synced++
		}
	})
	appendBatches(t, l, 3)
	memory.OnSync(nil)
	if refused, _ := figures.Value("log_journal_refused_total"); refused != 3 || synced != 3 {
		t.Fatalf("%v refused, %d synced", refused, synced)
	}
}

// TestAResetIsNotUndone: the segment that begins a log anew has the name of one of which the journal holds writes.
func TestAResetIsNotUndone(t *testing.T) {
	memory := vfs.NewMemory()
	l, options := journaledLog(t, memory)
	appendBatches(t, l, 5)
	if err := l.Reset(Floor{Index: 9, Term: 1}); err != nil {
		t.Fatal(err)
	}
	appendBatches(t, l, 1)
	for seed := range uint64(10) {
		options.FS = memory.CrashClone(rand.New(rand.NewPCG(seed, 1)))
		options.Journal = openTestJournal(t, options.FS)
		if again := open(t, modelDir, options); again.LastIndex() != 10 || again.Size() != l.Size() {
			t.Fatal(again.LastIndex(), again.Size())
		}
	}
}

// TestAcknowledgedWritesOutliveTheirSegmentsSync: what the journal holds of a log is there when that is opened again in the same process, after a sync of its segment has failed and the system
// has dropped what it did not write.
func TestAcknowledgedWritesOutliveTheirSegmentsSync(t *testing.T) {
	memory := vfs.NewMemory()
	failing := vfs.NewFailing(memory)
	failing.LoseWrites = true
	l, options := journaledLog(t, failing)
	appendBatches(t, l, 5)
	acknowledged := l.LastIndex()
	failing.FailWhen(func(kind vfs.Kind, name string) error {
		if kind == vfs.Sync && strings.HasSuffix(name, ".log") {
			return vfs.ErrInjected
		}
		return nil
	})
	large := Entry{Index: acknowledged + 1, Term: 1, Kind: KindBatch, Data: batchOf(1, journalLimit, 5)}
	if _, err := l.Append([]Entry{large}); err == nil {
		t.Fatal("a failed sync was not noticed")
	}
	_ = l.Close()
	failing.FailWhen(nil)
	for what, files := range map[string]vfs.FS{"reopened": failing, "power cut": memory.CrashClone(rand.New(rand.NewPCG(1, 2)))} {
		t.Run(what, func(t *testing.T) {
			o := options
			if o.FS = files; what != "reopened" {
				o.Journal = openTestJournal(t, files)
			}
			again := open(t, modelDir, o)
			if again.LastIndex() < acknowledged {
				t.Fatalf("entries up to %d, %d were acknowledged", again.LastIndex(), acknowledged)
			}
			for i := again.FirstIndex(); i <= acknowledged; i++ {
				m, err := again.Meta(i)
				if err != nil {
					t.Fatal(err)
				}
				if b, err := again.Data(nil, m); err != nil || CheckBatch(b) != nil {
					t.Fatal(i, err, CheckBatch(b))
				}
			}
		})
	}
}

// TestALogElsewhereHasNoJournal, and syncs its own files.
func TestALogElsewhereHasNoJournal(t *testing.T) {
	memory := vfs.NewMemory()
	_, options := journaledLog(t, memory)
	if err := memory.MkdirAll("/other"); err != nil {
		t.Fatal(err)
	}
	l := open(t, "/other/p", options)
	synced := 0
	memory.OnSync(func(name string, done bool) {
		if done && strings.HasSuffix(name, ".log") {
			synced++
		}
	})
	appendBatches(t, l, 3)
	if memory.OnSync(nil); synced != 3 {
		t.Fatal(fmt.Sprint(synced))
	}
}

// TestASyncThatFailedGoesOnToFail: the system tells of it once, and whoever asks next must not take the segment for durable.
func TestASyncThatFailedGoesOnToFail(t *testing.T) {
	failing := vfs.NewFailing(vfs.NewMemory())
	l, _ := journaledLog(t, failing)
	s := l.view.Load().active()
	failing.FailNth(vfs.Sync, 1)
	if err := s.syncData(); !errors.Is(err, vfs.ErrInjected) {
		t.Fatal(err)
	}
	if err := (journaled{l, s}).Settle(); !errors.Is(err, vfs.ErrInjected) {
		t.Fatal(err)
	}
	if !errors.Is(l.Err(), ErrFailed) {
		t.Fatal("the log goes on")
	}
}
