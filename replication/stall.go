package replication

import (
	"sync/atomic"
	"time"
)

// stallWatch knows since when a write is under way. A leader whose disk hangs must stop its heartbeats, or it would lead for ever (trap 6).
type stallWatch struct {
	since atomic.Int64 // nanoseconds since 1970, 0: no write under way
}

func (w *stallWatch) begin() { w.since.Store(time.Now().UnixNano()) }
func (w *stallWatch) end()   { w.since.Store(0) }

// stalled is how long the write under way has taken so far.
func (w *stallWatch) stalled(now time.Time) time.Duration {
	since := w.since.Load()
	if since == 0 {
		return 0
	}
	return now.Sub(time.Unix(0, since))
}
