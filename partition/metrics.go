package partition

import "github.com/barnabas-log/barnabas/internal/metrics"

// Metrics are the figures of all partitions of a node together.
type Metrics struct {
	elected  metrics.Counter
	resigned metrics.Counter
	trims    metrics.Counter
	failures metrics.Counter
}

// NewMetrics makes the figures, once for a registry.
func NewMetrics(r *metrics.Registry) *Metrics {
	return &Metrics{
		elected:  r.Counter("partition_leaderships_won_total", "How often this node began to lead a partition."),
		resigned: r.Counter("partition_leaderships_lost_total", "How often this node ceased to lead a partition: voted out, handed over, or stopped."),
		trims:    r.Counter("partition_trims_total", "How often retention or DeleteRecords moved the start of a partition here."),
		failures: r.Counter("partition_failures_total", "Replicas that stopped for good because their data could not be written or read."),
	}
}

// changeLeadershipLocked replaces who leads, and counts when that begins or ends to be this node.
func (p *Partition) changeLeadershipLocked(l *leadership) {
	before := p.leadership.Swap(l)
	switch {
	case l.here && !(before.here && before.term == l.term):
		p.metrics.elected.Inc()
		if before.here {
			p.metrics.resigned.Inc()
		}
	case before.here && !l.here:
		p.metrics.resigned.Inc()
	}
}

// Lag is how many records are stored here that are not applied: on a leader, what a majority has not confirmed; on a follower, also what its leader has not yet told it to be
// committed.
func (p *Partition) Lag() int64 { return max(0, int64(p.log.EndOffset()-p.HighWatermark())) }

// MinInsyncReplicas is min.insync.replicas, at least 1.
func (p *Partition) MinInsyncReplicas() int { return max(1, p.config.Load().MinInsyncReplicas) }
