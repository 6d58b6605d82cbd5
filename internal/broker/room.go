package broker

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/barnabas-log/barnabas/partition"
)

// room knows whether a file system takes more records. Some of it, the reserve, is kept free of them: for votes, metadata and checkpoints, and for the trims and compactions that
// make room. Between two looks at the file system it counts what was let in.
type room struct {
	path    string
	reserve int64 // as configured; at most a twentieth of the file system counts
	measure func(path string) (volume, error)

	left    atomic.Int64 // bytes that may come before the next look
	scarce  atomic.Int64 // the same for the node's own records, which may use most of the reserve
	full    atomic.Bool  // with hysteresis
	changed atomic.Bool  // full is news

	mu     sync.Mutex // guards following
	looked time.Time
}

// lookPause is how long one look at a full file system serves everybody.
const lookPause = 10 * time.Millisecond

var errReadOnly = errors.New("the file system is read-only")

// take asks for bytes. own records (offsets that consumers commit, say) may use three quarters of the reserve.
func (r *room) take(bytes int, own bool) error {
	if r.reserve == 0 {
		return nil
	}
	left := &r.left
	if own {
		left = &r.scarce
	}
	if left.Add(-int64(bytes)) >= 0 && (own || !r.full.Load()) {
		return nil
	}
	r.mu.Lock()
	if time.Since(r.looked) >= lookPause {
		_ = r.lookLocked()
	}
	r.mu.Unlock()
	if left.Add(-int64(bytes)) >= 0 && (own || !r.full.Load()) {
		return nil
	}
	return fmt.Errorf("%w: %s has reached its reserve (barnabas.disk.reserve.bytes)", partition.ErrNoRoom, r.path)
}

// look measures the file system now.
func (r *room) look() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lookLocked()
}

func (r *room) lookLocked() error {
	v, err := r.measure(r.path)
	if err != nil {
		return err
	}
	r.looked = time.Now()
	if v.readOnly {
		return fmt.Errorf("%w: %s", errReadOnly, r.path)
	}
	keep := min(r.reserve, v.total/20)
	free := v.usable - keep
	r.left.Store(free)
	r.scarce.Store(v.usable - keep/4)
	full := keep > 0 && (free <= 0 || r.full.Load() && free < keep/8)
	if r.full.Swap(full) != full {
		r.changed.Store(true)
	}
	return nil
}
