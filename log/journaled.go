package log

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"go.uber.org/zap"

	"github.com/barnabas-log/barnabas/internal/vfs"
	"github.com/barnabas-log/barnabas/log/journal"
)

// JournalOptions say how the journal of a directory is opened.
type JournalOptions struct {
	// Bytes is how large it may become on the disk. 32 MiB to begin with, or all of it if that is less.
	Bytes int64
	// Room says whether it may take so many bytes more of the disk. nil: it may.
	Room func(bytes int64) bool
	// FS, Logger and Metrics as for a log.
	FS      vfs.FS
	Logger  *zap.Logger
	Metrics *Metrics
}

// OpenJournal opens the journal for the logs under a directory, after doing again what it holds of them. No log is open there.
func OpenJournal(root string, options JournalOptions) (*journal.Journal, error) {
	o := journal.Options{FS: options.FS, Logger: options.Logger, Room: options.Room}
	if o.FS == nil {
		o.FS = vfs.OS{}
	}
	if m := options.Metrics; m != nil {
		o.Synced = func(began time.Time, bytes int) {
			m.synced(began)
			m.journalBytes.Add(float64(bytes))
		}
	}
	o.Largest = max(options.Bytes/2, journal.LeastFile)
	o.Smallest = min(journal.SmallestFile, o.Largest)
	return journal.Open(root, o)
}

// attachJournal has the log use the journal, if it lies under its root, after what that holds of it was written where it belongs.
func (l *Log) attachJournal(j *journal.Journal) error {
	if j == nil {
		return nil
	}
	owner, ok := j.Owner(l.dir)
	if !ok {
		return nil
	}
	l.journal, l.owner = j, owner
	return j.Attach(owner)
}

// leaveJournalLocked makes the segments durable without the journal, and has that forget them. It comes before every change of segments but appending.
func (l *Log) leaveJournalLocked() error {
	if l.journal == nil || !l.journal.Holds(l.owner) {
		return nil
	}
	if err := l.syncFiles(l.unsynced, l.view.Load().active()); err != nil {
		return err
	}
	if err := l.journal.Forget(l.owner); err != nil {
		return fmt.Errorf("leave the journal: %w", err)
	}
	return nil
}

// journaled is a segment of which the journal holds writes.
type journaled struct {
	log     *Log
	segment *segment
}

// Settle implements journal.Target.
func (t journaled) Settle() error {
	l := t.log
	if err := l.Err(); err != nil { // what is in memory is not to be trusted: the journal goes on to hold what was acknowledged
		if _, gone := l.fs.Stat(l.dir); errors.Is(gone, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	err := l.syncActive(t.segment)
	if err == nil || errors.Is(err, ErrNotFound) { // trimmed away, replaced, or closed: nobody does that before it is durable or not needed
		return nil
	}
	return l.fail(err)
}
