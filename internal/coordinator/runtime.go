package coordinator

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/barnabas-log/barnabas/partition"
	"go.uber.org/zap"
)

// Why a call was not answered. The client asks again: the first somewhere else, the others here.
var (
	ErrNotCoordinator = errors.New("this node does not lead the partition that holds the state") // NOT_COORDINATOR
	ErrLoading        = errors.New("the state is being loaded")                                  // COORDINATOR_LOAD_IN_PROGRESS
	ErrUnavailable    = errors.New("the state could not be written")                             // COORDINATOR_NOT_AVAILABLE
)

// Options of a Runtime; zero values are defaults, but NewMachine is required.
type Options struct {
	// NewMachine makes the empty state of one shard.
	NewMachine func(number int32) Machine
	// BatchBytes closes a batch for further events (default 1 MiB). One event is never split, so a batch may be larger.
	BatchBytes int
	// LoadBytes is how much is read at once while loading (default 1 MiB).
	LoadBytes int
	// ExpandedBytes bounds what one compressed batch of the topic may expand to (default 64 MiB); we write none, but a copied topic may have some.
	ExpandedBytes int
	// RetryDelay is how long a shard waits before it loads again after a failure (default 500 ms).
	RetryDelay time.Duration
	Logger     *zap.Logger      // nil: no output
	Now        func() time.Time // nil: time.Now. Timers are those of package time: tests run in a synctest bubble
}

func (o *Options) ensureDefaults() {
	if o.BatchBytes <= 0 {
		o.BatchBytes = 1 << 20
	}
	if o.LoadBytes <= 0 {
		o.LoadBytes = 1 << 20
	}
	if o.ExpandedBytes <= 0 {
		o.ExpandedBytes = 64 << 20
	}
	if o.RetryDelay <= 0 {
		o.RetryDelay = 500 * time.Millisecond
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

// Runtime runs the shards of one internal topic that this node leads. All methods may be called from anywhere.
type Runtime struct {
	opts Options

	mu sync.Mutex
	// mu guards following
	shards map[int32]*shard
	last   map[int32]<-chan struct{} // closed when the partition's latest shard has stopped
	closed bool
}

// New makes a runtime without shards.
func New(opts Options) *Runtime {
	opts.ensureDefaults()
	return &Runtime{opts: opts, shards: map[int32]*shard{}, last: map[int32]<-chan struct{}{}}
}

// Lead says that this node leads the partition in epoch, and that everything committed before is applied. It returns at once; the shard loads meanwhile. A second
// call with the same epoch does nothing; with another epoch the shard loads again.
func (r *Runtime) Lead(number int32, p *partition.Partition, epoch int32) {
	r.LeadLog(number, partitionLog{p}, epoch)
}

// LeadLog is Lead for any Log.
func (r *Runtime) LeadLog(number int32, l Log, epoch int32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	if old := r.shards[number]; old != nil {
		if old.epoch == epoch {
			return
		}
		old.cancel()
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &shard{
		opts: r.opts, number: number, epoch: epoch, log: l,
		logger:  r.opts.Logger.With(zap.Int32("partition", number), zap.Int32("epoch", epoch)),
		cancel:  cancel,
		after:   r.last[number],
		stopped: make(chan struct{}),
		nudge:   make(chan struct{}, 1),
	}
	s.current.Store(newLife())
	r.shards[number], r.last[number] = s, s.stopped
	go s.run(ctx)
}

// Resign says that this node no longer leads the partition. Everyone who waits gets ErrNotCoordinator. It returns at once.
func (r *Runtime) Resign(number int32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.shards[number]; s != nil {
		delete(r.shards, number)
		s.cancel()
	}
}

// Close resigns everywhere and waits until no shard runs any more.
func (r *Runtime) Close() {
	r.mu.Lock()
	r.closed = true
	for number, s := range r.shards {
		delete(r.shards, number)
		s.cancel()
	}
	last := make([]<-chan struct{}, 0, len(r.last))
	for _, stopped := range r.last {
		last = append(last, stopped)
	}
	r.mu.Unlock()
	for _, stopped := range last {
		<-stopped
	}
}

// Numbers are the partitions that have a shard here, loaded or not, in no order.
func (r *Runtime) Numbers() []int32 {
	r.mu.Lock()
	defer r.mu.Unlock()
	numbers := make([]int32, 0, len(r.shards))
	for number := range r.shards {
		numbers = append(numbers, number)
	}
	return numbers
}

// Call hands the message to the partition's machine and waits for the answer. When ctx ends, only the wait does: what the machine has begun goes on.
func (r *Runtime) Call(ctx context.Context, number int32, message any) (any, error) {
	pending, err := r.Send(ctx, number, message)
	if err != nil {
		return nil, err
	}
	return pending.Wait(ctx)
}

// Send is the first half of Call, so that a caller can ask many shards at once.
func (r *Runtime) Send(ctx context.Context, number int32, message any) (*Call, error) {
	r.mu.Lock()
	s := r.shards[number]
	r.mu.Unlock()
	if s == nil {
		return nil, ErrNotCoordinator
	}
	l := s.current.Load()
	if !l.ready.Load() {
		select {
		case <-l.gone:
			return nil, l.reason
		default:
			return nil, ErrLoading
		}
	}
	c := NewCaller()
	select {
	case l.mailbox <- envelope{caller: c, message: message}:
		return &Call{caller: c, life: l}, nil
	case <-l.gone:
		return nil, l.reason
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Call is a message that was handed to a machine.
type Call struct {
	caller *Caller
	life   *life
}

// Wait waits for the answer, once.
func (c *Call) Wait(ctx context.Context) (any, error) {
	select {
	case answer := <-c.caller.answer:
		return answer, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-c.life.gone:
	}
	select { // an answer that left before the end counts
	case answer := <-c.caller.answer:
		return answer, nil
	default:
		return nil, c.life.reason
	}
}

// Notify hands a notice to every shard here, also to those that still load (they take it when they are ready). It never blocks.
func (r *Runtime) Notify(notice any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.shards {
		s.notify(notice)
	}
}
