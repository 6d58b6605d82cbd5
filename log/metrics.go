package log

import (
	"time"

	"github.com/barnabas-log/barnabas/internal/metrics"
)

// Metrics are the figures of all logs of a node together.
type Metrics struct {
	fsync           metrics.Histogram
	appendBatches   metrics.Histogram
	appendedBytes   metrics.Counter
	appendedRecords metrics.Counter
	coldBytes       metrics.Counter
	journalBytes    metrics.Counter
	journalRefused  metrics.Counter
	deletedSegments metrics.Counter
	deletedBytes    metrics.Counter
	checkpoints     metrics.Counter
	failures        metrics.Counter
	compactions     metrics.Counter
	compactedBytes  metrics.Counter
	reclaimedBytes  metrics.Counter
	removedRecords  metrics.Counter
}

// NewMetrics makes the figures, once for a registry.
func NewMetrics(r *metrics.Registry) *Metrics {
	return &Metrics{
		fsync: r.Histogram("log_fsync_seconds", "How long the disk took to make the records of a segment, or a group of small appends in the journal, durable.", metrics.Latencies()),
		appendBatches: r.Histogram("log_append_batches", "How many batches were written together, with one write and one fsync.",
			metrics.Powers(1, 10)),
		appendedBytes:   r.Counter("log_appended_bytes_total", "Bytes of record batches written, on leaders and followers."),
		appendedRecords: r.Counter("log_appended_records_total", "Records written, on leaders and followers."),
		coldBytes:       r.Counter("log_cold_bytes_total", "Bytes of record batches written around the page cache, because nobody had read the log for a while."),
		journalBytes:    r.Counter("log_journal_bytes_total", "Bytes written to the journals in which small appends of many partitions become durable together."),
		journalRefused:  r.Counter("log_journal_refused_total", "Small appends that a journal did not take, because it was full, being made, or failed. Each was synced in its own segment."),
		deletedSegments: r.Counter("log_deleted_segments_total", "Segments deleted because retention or DeleteRecords moved the log's start past them."),
		deletedBytes:    r.Counter("log_deleted_bytes_total", "Bytes of the segments deleted."),
		checkpoints:     r.Counter("log_checkpoints_total", "Checkpoints written."),
		compactions:     r.Counter("log_compactions_total", "Compactions of a log that rewrote something."),
		compactedBytes:  r.Counter("log_compaction_read_bytes_total", "Bytes of segments read by compaction."),
		reclaimedBytes:  r.Counter("log_compaction_reclaimed_bytes_total", "Bytes by which compaction made logs shorter."),
		removedRecords:  r.Counter("log_compaction_removed_records_total", "Records that compaction removed."),
		failures:        r.Counter("log_failures_total", "Logs that stopped for good because a write or an fsync failed."),
	}
}

// appended counts the entries of one Append.
func (m *Metrics) appended(metas []Meta) {
	batches, bytes, records := 0, 0, Offset(0)
	for k := range metas {
		if e := &metas[k]; e.Kind == KindBatch {
			batches++
			bytes += e.Size
			records += e.NextOffset - e.BaseOffset
		}
	}
	if batches > 0 {
		m.appendBatches.Observe(float64(batches))
		m.appendedBytes.Add(float64(bytes))
		m.appendedRecords.Add(float64(records))
	}
}

// synced counts an fsync of a segment that began at a time and has ended.
func (m *Metrics) synced(began time.Time) { m.fsync.Observe(time.Since(began).Seconds()) }

// compacted counts a compaction.
func (m *Metrics) compacted(c *Compacted) {
	if c.SegmentsMade > 0 {
		m.compactions.Inc()
	}
	m.compactedBytes.Add(float64(c.BytesRead))
	m.reclaimedBytes.Add(float64(max(0, c.BytesBefore-c.BytesAfter)))
	m.removedRecords.Add(float64(c.Records - c.RecordsKept))
}

// deleted counts segments that are about to be unlinked.
func (m *Metrics) deleted(gone []*segment) {
	for _, s := range gone {
		bytes, _ := s.extent.get()
		m.deletedSegments.Inc()
		m.deletedBytes.Add(float64(bytes))
	}
}
