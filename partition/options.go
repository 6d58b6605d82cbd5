package partition

import (
	"math"
	"time"

	"github.com/barnabas-log/barnabas/log"
	"go.uber.org/zap"
)

// Config holds the topic-level configuration that a partition acts on. It may change while the partition is open. Where nothing else is said, the
// zero value means Kafka's default.
type Config struct {
	MaxMessageBytes     int           // max.message.bytes
	Compacted           bool          // cleanup.policy contains compact
	DeletePolicy        bool          // cleanup.policy contains delete
	RetentionTime       time.Duration // retention.ms, < 0 unlimited, taken literally: 0 keeps nothing
	RetentionBytes      int64         // retention.bytes, < 0 unlimited, taken literally: 0 keeps nothing
	CompressionType     string        // compression.type: "producer" (or "") or a codec
	CompressionLevel    int           // compression.<codec>.level; 0 means the codec's default
	LogAppendTime       bool          // message.timestamp.type
	TimestampBefore     time.Duration // message.timestamp.before.max.ms; math.MaxInt64 is unlimited, the default
	TimestampAfter      time.Duration // message.timestamp.after.max.ms; math.MaxInt64 is unlimited, the default is an hour
	MinInsyncReplicas   int           // min.insync.replicas
	MinDirtyRatio       float64       // min.cleanable.dirty.ratio, taken literally: 0 compacts whenever there is something new
	MinCompactionLag    time.Duration // min.compaction.lag.ms
	MaxCompactionLag    time.Duration // max.compaction.lag.ms; 0 is never
	DeleteRetention     time.Duration // delete.retention.ms, taken literally
	ProducerIDExpiry    time.Duration // producer.id.expiration.ms (broker)
	CheckpointEachBytes int64         // write a checkpoint after this many bytes; 0 means 64 MiB
	Log                 log.Config
}

// Options are fixed at Open.
type Options struct {
	Topic  string
	Number int32
	NodeID int32    // this node, as Leader reports it
	Log    *log.Log // owned by the partition once it is open
	Config Config
	Logger *zap.Logger      // nil: no output
	Now    func() time.Time // nil: time.Now
	// Metrics counts what the partition does, nil for nobody. Partitions of a node share one.
	Metrics *Metrics
	// Suspect is told of every damage of the files that a reader meets. Called by any goroutine; must not block. nil: nobody.
	Suspect func(error)
	// InSyncCount says how many replicas are caught up, this one included; asked for acks=all before an append. nil: not checked. Must not block.
	InSyncCount func() int
	// Room is asked before an append whether the disk takes so many bytes more; its error is what the producer is told (ErrNoRoom). nil: not asked. Must not block.
	Room func(bytes int) error
	// Alone says whether no other replica could lead when this one stops: it then goes on to answer readers. nil: never. Must not block.
	Alone func() bool
}

const (
	defaultMaxMessageBytes = 1048588
	defaultExpiry          = 24 * time.Hour
	defaultCheckpointBytes = 64 << 20
	defaultTimestampAfter  = time.Hour
	unlimited              = time.Duration(math.MaxInt64)

	// maxExpandedBytes caps what one compressed batch may expand to.
	maxExpandedBytes = 256 << 20
)

// ensureDefaults replaces zero values by Kafka's defaults.
func (c Config) ensureDefaults() Config {
	if c.MaxMessageBytes == 0 {
		c.MaxMessageBytes = defaultMaxMessageBytes
	}
	if c.TimestampBefore == 0 {
		c.TimestampBefore = unlimited
	}
	if c.TimestampAfter == 0 {
		c.TimestampAfter = defaultTimestampAfter
	}
	if c.ProducerIDExpiry == 0 {
		c.ProducerIDExpiry = defaultExpiry
	}
	if c.CheckpointEachBytes == 0 {
		c.CheckpointEachBytes = defaultCheckpointBytes
	}
	return c
}

func (o Options) ensureDefaults() Options {
	o.Config = o.Config.ensureDefaults()
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Suspect == nil {
		o.Suspect = func(error) {}
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil)
	}
	return o
}
