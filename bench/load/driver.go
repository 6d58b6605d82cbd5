package load

import (
	"context"
	"errors"
)

// ErrUnsupported says that a system has nothing that corresponds to a workload.
var ErrUnsupported = errors.New("this system has no such thing")

// Driver is the client side of a system. A partition is whatever keeps records in order there: a partition, a stream, a queue, a key.
type Driver interface {
	// Prepare makes the topic, with as many partitions and replicas as the order says, and returns when all of them can be written.
	Prepare(ctx context.Context) error
	// Remove deletes the topic.
	Remove(ctx context.Context) error
	// Producer connects a producer.
	Producer(ctx context.Context) (Producer, error)
	// Consume reads every partition from its start and calls each for every value, maybe from several goroutines, until ctx ends. That is no error.
	Consume(ctx context.Context, each func(value []byte)) error
	// Repeatable says whether what was read can be read again.
	Repeatable() bool
	// Close ends all connections.
	Close()
}

// RawDriver is a Driver that also has a producer without a client library: prepared requests on plain connections, for RawLatency.
type RawDriver interface {
	RawProducer(ctx context.Context) (Producer, error)
}

// Producer sends records. It is used by one goroutine.
type Producer interface {
	// Send sends value, which stays unchanged, to some partition and calls done once, from any goroutine, when the server has answered. It waits while too much is under way.
	Send(ctx context.Context, value []byte, done func(error))
	// Close waits for what is under way, or gives it up when ctx ends.
	Close(ctx context.Context)
}
