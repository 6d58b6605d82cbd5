package log

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/barnabas-log/barnabas/internal/vfs"
)

// A kernel whose write-back failed says so once, keeps the pages and calls them clean: the next fsync succeeds and writes nothing. A log that was opened again after that and read
// those pages would tell its group that the entries are durable here.
func TestWhatAFailedSyncLeftInMemoryIsNotTakenForDurable(t *testing.T) {
	for what, lost := range map[string]Entry{".log": {Kind: KindBatch, Data: batchOf(2, 100, 5)}, "/ctl": {Kind: KindNoop}} {
		t.Run(what, func(t *testing.T) {
			memory := memoryFS()
			failing := vfs.NewFailing(memory)
			failing.LoseWrites = true
			options := Options{FS: failing, Config: Config{SyncOnAppend: true}}
			l := open(t, "/d/p", options)
			appendBatches(t, l, 3)
			acknowledged := l.LastIndex()
			failing.FailWhen(func(kind vfs.Kind, name string) error {
				if kind == vfs.Sync && strings.HasSuffix(name, what) {
					return vfs.ErrInjected
				}
				return nil
			})
			lost.Index, lost.Term = acknowledged+1, 1
			if _, err := l.Append([]Entry{lost}); err == nil {
				t.Fatal("a failed sync was not noticed")
			}
			l.Close()
			failing.FailWhen(nil)
			again := open(t, "/d/p", options)
			told := again.LastIndex()
			if told < acknowledged {
				t.Fatalf("entries up to %d, %d were acknowledged", told, acknowledged)
			}
			left := open(t, "/d/p", Options{FS: memory.CrashClone(rand.New(rand.NewPCG(1, 2)))})
			if left.LastIndex() < told {
				t.Fatalf("after the failed sync the log told of entries up to %d; after a power cut there are %d", told, left.LastIndex())
			}
		})
	}
}
