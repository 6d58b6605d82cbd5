package broker

import (
	"cmp"
	"errors"
	"slices"
	"time"

	httpadmin "github.com/barnabas-log/barnabas/internal/admin"
)

// Replicas implements admin.Status.
func (b *Broker) Replicas(topic string) httpadmin.Node {
	n := httpadmin.Node{ID: b.nodeID}
	damaged := b.refetcher.all()
	for _, t := range *b.hosting.topics.Load() {
		name := t.topic.Load().Name
		if topic != "" && topic != name {
			continue
		}
		for number := range t.replicas {
			if r := t.replicas[number].Load(); r != nil {
				n.Partitions = append(n.Partitions, r.describe(name, damaged[r.place()]))
			}
		}
	}
	slices.SortFunc(n.Partitions, func(x, y httpadmin.Replica) int {
		return cmp.Or(cmp.Compare(x.Topic, y.Topic), cmp.Compare(x.Partition, y.Partition))
	})
	return n
}

// describe is what an operator is told of a replica; l is nil unless its files are damaged.
func (r *replica) describe(topic string, l *lost) httpadmin.Replica {
	a := httpadmin.Replica{Topic: topic, Partition: r.number, Leader: -1, Directory: r.dir}
	if r.err == nil {
		r.describeLog(&a)
	}
	switch err := r.ailment(); {
	case l != nil && (errors.Is(r.err, errAside) || r.err == nil && r.group.Recovering()):
		a.State, a.Problem, a.Since = httpadmin.FetchedAnew, l.why.Error(), &l.since
	case l != nil:
		a.State, a.Problem, a.Since = httpadmin.Damaged, l.why.Error(), &l.since
	case err != nil:
		a.State, a.Problem = httpadmin.Failed, err.Error()
		if since := r.ails.Load(); since > 0 {
			at := time.UnixMilli(since)
			a.Since = &at
		}
	}
	return a
}

// describeLog tells of a replica that is open.
func (r *replica) describeLog(a *httpadmin.Replica) {
	node, _, here := r.part.Leader()
	a.Leader, a.State = node, httpadmin.Following
	switch {
	case here:
		a.State = httpadmin.Leading
	case node < 0:
		a.State = httpadmin.Leaderless
	}
	a.Segments, a.Bytes = len(r.part.Segments()), r.part.Size()
	a.Start, a.End, a.HighWatermark = int64(r.part.LogStart()), int64(r.part.LogEnd()), int64(r.part.HighWatermark())
	if r.part.Compacted() {
		plan := r.part.PlanCompaction()
		a.Compaction = &httpadmin.Compaction{To: int64(r.part.CompactedTo()), CleanBytes: plan.Clean, DirtyBytes: plan.Dirty, DirtyRatio: plan.Ratio()}
		if last := r.cleaned.Load(); last != nil {
			a.Compaction.Last, a.Compaction.Refused, a.Compaction.Problem = &last.at, last.refused, words(last.err)
		}
	}
	if last := r.scrubbed.Load(); last != nil {
		a.Scrub = &httpadmin.Scrub{To: int64(last.to), Last: last.at, Problem: words(last.err)}
	}
}

func words(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
