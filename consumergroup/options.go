package consumergroup

import (
	"math"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"
)

// Options of a Service. Zero values are Kafka's defaults; names in brackets are Kafka's.
type Options struct {
	Partitions             int32         // of __consumer_offsets (offsets.topic.num.partitions): 50. Wrong: groups are looked for where they are not
	CountPartitions        func() int32  // how many there are now; nil: Partitions
	InitialRebalanceDelay  time.Duration // group.initial.rebalance.delay.ms: 3 s; negative: none
	MinSessionTimeout      time.Duration // group.min.session.timeout.ms: 6 s
	MaxSessionTimeout      time.Duration // group.max.session.timeout.ms: 30 min
	MaxSize                int           // group.max.size: unlimited
	MaxMetadataSize        int           // offset.metadata.max.bytes: 4096, in UTF-16 units as in Kafka
	OffsetRetention        time.Duration // offsets.retention.minutes: 7 days
	RetentionCheckInterval time.Duration // offsets.retention.check.interval.ms: 10 min
	CommitTimeout          time.Duration // offsets.commit.timeout.ms: 5 s, for everything that waits for a write and not for other members

	Logger *zap.Logger      // nil: no output
	Now    func() time.Time // nil: time.Now
	NewID  func() string    // makes the unique part of member ids; nil: random UUIDs
}

func (o *Options) ensureDefaults() {
	if o.Partitions <= 0 {
		o.Partitions = 50
	}
	if o.CountPartitions == nil {
		count := o.Partitions
		o.CountPartitions = func() int32 { return count }
	}
	orDefault(&o.InitialRebalanceDelay, 3*time.Second)
	o.InitialRebalanceDelay = max(0, o.InitialRebalanceDelay)
	orDefault(&o.MinSessionTimeout, 6*time.Second)
	orDefault(&o.MaxSessionTimeout, 30*time.Minute)
	orDefault(&o.OffsetRetention, 7*24*time.Hour)
	orDefault(&o.RetentionCheckInterval, 10*time.Minute)
	orDefault(&o.CommitTimeout, 5*time.Second)
	if o.MaxSize <= 0 {
		o.MaxSize = math.MaxInt
	}
	if o.MaxMetadataSize <= 0 {
		o.MaxMetadataSize = 4096
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.NewID == nil {
		o.NewID = uuid.NewString
	}
}

func orDefault(d *time.Duration, value time.Duration) {
	if *d == 0 {
		*d = value
	}
}
