package broker

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/barnabas-log/barnabas/internal/metadata"
	"github.com/barnabas-log/barnabas/log"
	"go.uber.org/zap"
)

// A tombstone may go once no replica holds what it deletes, or can get it. The leader of a compacted partition finds out: it notes how far it has compacted itself, then asks
// all others, and tells everybody the least of the answers. Why that is enough is argued in docs/decisions/0006.

// accord is what a replica knows of how far all of them have compacted.
type accord struct {
	below atomic.Int64 // tombstones below this offset may go; it never falls
	told  atomic.Int64 // on the leader: all others know of this bound
}

func (a *accord) raise(to log.Offset) {
	for {
		old := a.below.Load()
		if int64(to) <= old || a.below.CompareAndSwap(old, int64(to)) {
			return
		}
	}
}

// compacted asks how far the asked node has compacted partitions that the asking one leads.
type compacted struct {
	Partitions []compactedPartition `json:"partitions"`
}

type compactedPartition struct {
	Topic  metadata.TopicID `json:"topic"`
	Number int32            `json:"number"`
	Term   log.Term         `json:"term"`
	Below  log.Offset       `json:"below"` // tombstones below it may go
}

// tombstonesBelow is from where on a replica keeps tombstones whatever their age.
func (b *Broker) tombstonesBelow(r *replica) log.Offset {
	if m := r.group.Members(); len(m) == 1 && m[0].Node == b.nodeID {
		r.accord.raise(r.part.CompactedTo())
	}
	return log.Offset(r.accord.below.Load())
}

// agreeOnTombstones asks, every so often until ctx ends, about the partitions that this node leads.
func (b *Broker) agreeOnTombstones(ctx context.Context, every time.Duration) {
	for ctx.Err() == nil {
		b.askCompacted(ctx)
		pause(ctx, max(every, time.Millisecond))
	}
}

// survey is one round about one partition.
type survey struct {
	*replica
	question compactedPartition
	missing  int        // members that have not answered
	least    log.Offset // of the answers, this node's own first
}

// surveys begins a round: this node looks at itself before it asks anybody.
func (b *Broker) surveys() (all []*survey, byNode map[int32][]*survey) {
	byNode = map[int32][]*survey{}
	b.hosting.each(func(r *replica) {
		_, epoch, here := r.part.Leader()
		if !here || !r.part.Compacted() {
			return
		}
		least := r.part.CompactedTo()
		below := r.accord.below.Load()
		if int64(least) <= below && r.accord.told.Load() == below {
			return // nobody would learn anything
		}
		s := &survey{replica: r, least: least,
			question: compactedPartition{r.topic.ID, r.number, log.Term(epoch), log.Offset(below)}}
		for _, m := range r.group.Members() {
			if m.Node != b.nodeID {
				s.missing++
				byNode[m.Node] = append(byNode[m.Node], s)
			}
		}
		all = append(all, s)
	})
	return all, byNode
}

// askCompacted does one round.
func (b *Broker) askCompacted(ctx context.Context) {
	all, byNode := b.surveys()
	var mu sync.Mutex // guards all
	var asking sync.WaitGroup
	for node, about := range byNode {
		asking.Go(func() {
			answers := b.askCompactedOf(ctx, node, about)
			mu.Lock()
			defer mu.Unlock()
			for k, to := range answers {
				if to >= 0 {
					about[k].missing--
					about[k].least = min(about[k].least, to)
				}
			}
		})
	}
	asking.Wait()
	for _, s := range all {
		if s.missing == 0 {
			s.accord.told.Store(int64(s.question.Below))
			s.accord.raise(s.least)
		}
	}
}

// askCompactedOf gives the answers of a node, in the order of the surveys; none if it cannot be reached.
func (b *Broker) askCompactedOf(ctx context.Context, node int32, about []*survey) []log.Offset {
	var q compacted
	for _, s := range about {
		q.Partitions = append(q.Partitions, s.question)
	}
	ctx, cancel := context.WithTimeout(ctx, tellLimit)
	defer cancel()
	r, err := b.ask(ctx, node, question{Compacted: &q})
	if err != nil || len(r.Compacted) != len(about) {
		b.logger.Debug("a broker did not say how far it has compacted", zap.Int32("broker", node), zap.Error(err))
		return nil
	}
	return r.Compacted
}

// howFarCompacted answers: -1 for a partition that is not here, or that is in another term by now.
func (b *Broker) howFarCompacted(q compacted) []log.Offset {
	answers := slices.Repeat([]log.Offset{-1}, len(q.Partitions))
	for k, p := range q.Partitions {
		r := b.hosting.find(p.Topic, p.Number)
		if r == nil || r.err != nil {
			continue
		}
		r.accord.raise(p.Below) // that was true when it was found out, and stays true
		to := r.part.CompactedTo()
		if r.group.Term() == p.Term { // asked after to was found, so that it was true in that term
			answers[k] = to
		}
	}
	return answers
}
