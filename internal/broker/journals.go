package broker

import (
	"fmt"

	"github.com/barnabas-log/barnabas/log"
	"github.com/barnabas-log/barnabas/log/journal"
	"go.uber.org/zap"
)

// openJournals opens the journals of the data directories that are in service, before anybody looks at the partitions in them. One whose journal cannot be done again is out of service.
func (b *Broker) openJournals() {
	for _, d := range b.dirs.all() {
		if d.err() != errUnread { // it is out of service, which was said
			continue
		}
		if err := b.openJournal(d); err != nil {
			b.logger.Error("data directory is out of service: its partitions are offline", zap.String("directory", d.path), zap.Error(err))
		}
	}
}

// openJournal does again what the journal of a directory holds, and opens it unless it is open, or there shall be none.
func (b *Broker) openJournal(d *dataDir) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.lock == nil || d.failed != nil || d.journal != nil {
		return d.failed
	}
	j, err := log.OpenJournal(d.path, log.JournalOptions{Bytes: b.config.JournalBytes, FS: b.files(), Logger: b.logger, Metrics: b.observed.log,
		Room: func(bytes int64) bool { return d.room.take(int(bytes), false) == nil }})
	if err == nil && b.config.JournalBytes == 0 {
		j, err = nil, j.Close()
	}
	if err != nil {
		err = fmt.Errorf("data directory %s: %w", d.path, err)
	}
	d.journal, d.unread = j, err
	return err
}

// journalOf is the directory's journal, nil if it has none.
func (d *dataDir) journalOf() *journal.Journal {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.journal
}
