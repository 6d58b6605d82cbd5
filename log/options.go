package log

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"path"
	"time"

	"go.uber.org/zap"

	"github.com/barnabas-log/barnabas/internal/vfs"
	"github.com/barnabas-log/barnabas/log/journal"
)

// Config is what may change while a log is open. Units are in the names; zero values mean Kafka's defaults.
type Config struct {
	// SegmentBytes is segment.bytes: a batch that would make the segment longer starts a new one. Default 1 GiB, at most 2^31-1.
	SegmentBytes int64
	// SegmentAge is segment.ms, judged by batch timestamps so that all replicas roll alike; RollIdle is for segments that no batch follows. Default 7 days.
	SegmentAge time.Duration
	// SegmentJitter is segment.jitter.ms: up to so much is taken off SegmentAge, in every log another part, the same on all replicas. Default none.
	SegmentJitter time.Duration
	// SegmentIndexBytes is segment.index.bytes: a segment with a full index is rolled. Default 10 MiB.
	SegmentIndexBytes int64
	// IndexIntervalBytes is index.interval.bytes: how far index entries lie apart. Default 4096.
	IndexIntervalBytes int64
	// FlushMessages is flush.messages, only when SyncOnAppend is off: Append syncs when so many records are not yet durable. Default never.
	FlushMessages int64
	// FlushAge is flush.ms, only when SyncOnAppend is off: a background flush every so often. Default never.
	FlushAge time.Duration
	// DeleteDelay is file.delete.delay.ms, taken literally: how long the files of a segment that is gone stay on the disk, if there is a Remover.
	DeleteDelay time.Duration
	// SyncOnAppend: Append returns only after the data is on stable storage. The default of the product.
	SyncOnAppend bool
}

// Options are fixed at Open.
type Options struct {
	Config Config
	// Logger takes what an operator would want to know; nil is silent.
	Logger *zap.Logger
	// FS is the file system, nil the one of the machine.
	FS vfs.FS
	// SyncSlots bounds how many logs of a node wait for the disk at once, in an fdatasync or a write around the page cache: its capacity is the bound, and each holds one element. nil is no bound.
	SyncSlots chan struct{}
	// Metrics counts what the log does, nil for nobody. Logs of a node share one.
	Metrics *Metrics

	// Journal makes small appends of many logs durable together. Logs under its root share one; nil, and for a log elsewhere: each syncs its own files.
	Journal *journal.Journal

	// Remover removes the files of segments that are gone, in the background. Logs of a node share one; nil: they are removed at once.
	Remover *Remover

	// SameBoot: the machine has run since this log was written last, and every write to it succeeded, so that what was written is there. Then only the last write can be torn, and
	// short; any other damage behind the recovery point is corruption too, and not what a power cut left.
	SameBoot bool

	// noFlusher is for tests that need every sync on their own goroutine.
	noFlusher bool
}

// EnsureDefaults fills in Kafka's defaults for zero values.
func (c *Config) EnsureDefaults() {
	orDefault(&c.SegmentBytes, 1<<30)
	orDefault(&c.SegmentAge, 7*24*time.Hour)
	orDefault(&c.SegmentIndexBytes, 10<<20)
	orDefault(&c.IndexIntervalBytes, 4096)
	orDefault(&c.FlushMessages, math.MaxInt64)
	orDefault(&c.FlushAge, math.MaxInt64)
}

func orDefault[T ~int64](value *T, otherwise T) {
	if *value == 0 {
		*value = otherwise
	}
}

// Validate says everything that is wrong.
func (c *Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("%w: "+format, append([]any{ErrInvalid}, args...)...))
		}
	}
	check(c.SegmentBytes > 0 && c.SegmentBytes <= math.MaxInt32, "segment bytes %d are not within 1 to %d", c.SegmentBytes, math.MaxInt32)
	check(c.SegmentAge > 0, "segment age %v is not positive", c.SegmentAge)
	check(c.SegmentJitter >= 0, "segment jitter %v is negative", c.SegmentJitter)
	check(c.SegmentIndexBytes >= 2*timeEntrySize, "segment index bytes %d are less than %d", c.SegmentIndexBytes, 2*timeEntrySize)
	check(c.IndexIntervalBytes > 0, "index interval %d is not positive", c.IndexIntervalBytes)
	check(c.FlushMessages > 0, "flush messages %d is not positive", c.FlushMessages)
	check(c.FlushAge > 0, "flush age %v is not positive", c.FlushAge)
	check(c.DeleteDelay >= 0, "delete delay %v is negative", c.DeleteDelay)
	return errors.Join(errs...)
}

// scattered is the configuration for the log in a directory, whose last element is the same on all replicas.
func (c Config) scattered(dir string) Config {
	if most := min(c.SegmentJitter, c.SegmentAge); most > 0 {
		h := fnv.New64a()
		_, _ = h.Write([]byte(path.Base(dir))) // never fails
		c.SegmentAge -= time.Duration(h.Sum64() % uint64(most))
	}
	return c
}

// EnsureDefaults fills in what is not set.
func (o *Options) EnsureDefaults() {
	o.Config.EnsureDefaults()
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.FS == nil {
		o.FS = vfs.OS{}
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil)
	}
}
