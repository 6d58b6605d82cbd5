package broker

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/barnabas-log/barnabas/internal/metrics"
	"github.com/barnabas-log/barnabas/log"
	"go.uber.org/zap"
)

// scrubber reads all segments of the node again, slowly, to find what has changed on the disk since it was written. Damage goes the way of all corruption (see refetcher); index files are
// made anew. It begins with the first partition whenever the node starts.
type scrubber struct {
	b    *Broker
	pace pace

	bytes    metrics.Counter
	segments metrics.Counter
	rebuilt  metrics.Counter
	damaged  metrics.Counter

	ended    atomic.Int64 // of the last round that was whole, 0: none
	whole    atomic.Int64 // segments of the round under way
	progress atomic.Int64 // of which so many are done
}

// doubtPause is how often the scrubber looks for index files that are known to be damaged.
const doubtPause = time.Second

// scrubbedTo is how far the scrub has come with a replica.
type scrubbedTo struct {
	at  time.Time
	to  log.Offset // where the segment that was read last ends
	err error      // what was wrong with it
}

// scrubTarget is one segment to read.
type scrubTarget struct {
	at   place
	base log.Offset
	next log.Offset
}

func newScrubber(b *Broker) *scrubber {
	r := b.observed.registry
	s := &scrubber{b: b, pace: pace{perSecond: b.config.ScrubBytesPerSecond},
		bytes:    r.Counter("scrub_bytes_total", "Bytes of segments that were read again to find damage."),
		segments: r.Counter("scrub_segments_total", "Segments that were read again to find damage."),
		rebuilt:  r.Counter("scrub_rebuilt_indexes_total", "Segments whose index files were damaged, and were made anew."),
		damaged:  r.Counter("scrub_damaged_segments_total", "Damaged segments that were found, each as often as it was read."),
	}
	if r != nil {
		r.Sample(s.look, scrubProgress, scrubEnded, replicasDamaged, replicasFetched)
	}
	return s
}

// What is looked up when someone scrapes.
var (
	scrubProgress   = metrics.Gauge("scrub_round_progress", "How much of the segments the scrub round under way has read, 0 to 1.")
	scrubEnded      = metrics.Gauge("scrub_last_round_seconds", "When the last whole scrub round ended, in seconds since 1970; 0: none since the node started.")
	replicasDamaged = metrics.Gauge("replicas_damaged", "Replicas of this node whose files are damaged, those included that are being fetched anew.")
	replicasFetched = metrics.Gauge("replicas_fetched_anew", "Replicas that were damaged and have been fetched anew since the node started.")
)

func (s *scrubber) look(emit metrics.Emit) {
	emit(scrubProgress, float64(s.progress.Load())/float64(max(1, s.whole.Load())))
	emit(scrubEnded, float64(s.ended.Load()))
	f := s.b.refetcher
	f.mu.Lock()
	damaged, fetched := len(f.lost), f.fetched
	f.mu.Unlock()
	emit(replicasDamaged, float64(damaged))
	emit(replicasFetched, float64(fetched))
}

// run works until ctx ends: one round every barnabas.scrub.interval.ms, and what is in doubt in between.
func (s *scrubber) run(ctx context.Context) {
	for ctx.Err() == nil {
		began := time.Now()
		if s.pace.perSecond > 0 {
			s.round(ctx)
		}
		for ctx.Err() == nil && (s.pace.perSecond <= 0 || time.Since(began) < s.b.config.ScrubInterval) {
			s.doubted(ctx)
			pause(ctx, min(doubtPause, max(s.b.config.ScrubInterval-time.Since(began), time.Millisecond)))
		}
	}
}

// round reads every segment once.
func (s *scrubber) round(ctx context.Context) {
	var all []scrubTarget
	s.b.hosting.each(func(r *replica) {
		for _, each := range r.part.Segments() {
			all = append(all, scrubTarget{r.place(), each.BaseOffset, each.NextOffset})
		}
	})
	s.whole.Store(int64(len(all)))
	s.progress.Store(0)
	looked := time.Now()
	for _, t := range all {
		if ctx.Err() != nil {
			return
		}
		if r := s.b.hosting.find(t.at.topic, t.at.number); r != nil && r.err == nil && r.part.Err() == nil {
			if err := s.read(ctx, r, t.base, s.throttle(ctx)); ctx.Err() == nil {
				r.scrubbed.Store(&scrubbedTo{at: time.Now(), to: t.next, err: err})
			}
		}
		s.progress.Add(1)
		if time.Since(looked) > doubtPause {
			s.doubted(ctx)
			looked = time.Now()
		}
	}
	s.ended.Store(time.Now().Unix())
}

func (s *scrubber) throttle(ctx context.Context) func(int) error {
	return func(bytes int) error { return s.pace.wait(ctx, bytes) }
}

// doubted makes damaged index files anew, without delay: until then reading is slow.
func (s *scrubber) doubted(ctx context.Context) {
	s.b.hosting.each(func(r *replica) {
		if r.part.Err() != nil {
			return
		}
		for _, base := range r.part.Doubted() {
			_ = s.read(ctx, r, base, func(int) error { return ctx.Err() }) // it has told
		}
	})
}

// read scrubs one segment, and tells what is wrong with it.
func (s *scrubber) read(ctx context.Context, r *replica, base log.Offset, throttle func(int) error) error {
	done, err := r.part.Scrub(base, throttle)
	s.bytes.Add(float64(done.Bytes))
	s.segments.Inc()
	if done.Rebuilt {
		s.rebuilt.Inc()
	}
	if err == nil || ctx.Err() != nil {
		return err
	}
	if errors.Is(err, log.ErrCorrupt) { // the refetcher was told
		s.damaged.Inc()
	}
	s.b.logger.Warn("scrub: a segment is damaged, or cannot be read", zap.String("topic", r.topic.Name), zap.Int32("partition", r.number), zap.Int64("base_offset", int64(base)), zap.Error(err))
	return err
}
