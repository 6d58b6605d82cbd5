package log

import "time"

// CompactPolicy says when a log is to be compacted. Zero values mean: always, and without a limit.
type CompactPolicy struct {
	// MinDirtyRatio is min.cleanable.dirty.ratio: the share of what can be compacted that must not have been compacted before.
	MinDirtyRatio float64
	// MinLag is min.compaction.lag.ms: a segment with a younger record is left alone, and so is what follows it.
	MinLag time.Duration
	// MaxLag is max.compaction.lag.ms: a log with an older record that was never compacted is compacted whatever the ratio. 0 is never.
	MaxLag time.Duration
}

// CompactPlan is what there is to compact.
type CompactPlan struct {
	// From is the first offset that was never compacted, To where compaction must end: the base offset of a segment.
	From, To Offset
	// Clean are the bytes before From, Dirty those from there to To.
	Clean, Dirty int64
	// Overdue: MaxLag has passed for a record after From.
	Overdue bool
	// Roll: what is overdue lies in the active segment, which must be rolled first.
	Roll bool
	// Due: it is worth while now.
	Due bool
}

// Ratio is the share of Clean and Dirty that is dirty.
func (p *CompactPlan) Ratio() float64 {
	if p.Dirty == 0 {
		return 0
	}
	return float64(p.Dirty) / float64(p.Clean+p.Dirty)
}

// PlanCompaction says what of a log should be compacted: whole segments that are finished and lie before limit, which must be applied and covered by a checkpoint.
// Pure.
func PlanCompaction(segments []SegmentInfo, limit Offset, policy CompactPolicy, now time.Time) CompactPlan {
	var p CompactPlan
	k := 0
	for ; k < len(segments) && segments[k].Compacted && !segments[k].Active; k++ {
		p.Clean += segments[k].Bytes
	}
	if k == len(segments) {
		return p
	}
	p.From, p.To = segments[k].BaseOffset, segments[k].BaseOffset
	if first := segments[k]; policy.MaxLag > 0 && first.FirstTimestamp >= 0 && now.UnixMilli()-first.FirstTimestamp > policy.MaxLag.Milliseconds() {
		p.Overdue = first.Bytes > 0
		p.Roll = p.Overdue && first.Active && first.NextOffset <= limit
	}
	for ; k < len(segments); k++ {
		s := segments[k]
		if s.Active || s.NextOffset > limit || policy.MinLag > 0 && s.MaxTimestamp > now.UnixMilli()-policy.MinLag.Milliseconds() {
			break
		}
		p.Dirty += s.Bytes
		p.To = s.NextOffset
	}
	p.Due = p.Dirty > 0 && (p.Overdue || p.Ratio() >= policy.MinDirtyRatio)
	return p
}
