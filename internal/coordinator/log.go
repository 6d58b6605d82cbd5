package coordinator

import (
	"context"
	"fmt"

	"github.com/barnabas-log/barnabas/log"
	"github.com/barnabas-log/barnabas/partition"
)

// Log is what a shard needs of its partition.
type Log interface {
	// Start is the log start, Committed the high watermark, End the offset after everything that was appended, committed or not.
	Start() int64
	Committed() int64
	End() int64
	// Read appends whole batches to dst, from the one that holds offset on, about maxBytes of them but at least one. next is the offset that follows them.
	Read(dst []byte, offset int64, maxBytes int) (batches []byte, next int64, err error)
	// Append queues one batch, to be acknowledged by all replicas. An error means that nothing was appended.
	Append(batch []byte) (Pending, error)
	// Leads says whether this node still leads the partition in epoch.
	Leads(epoch int32) bool
}

// Pending is a write under way. Err may be called once Done is closed.
type Pending interface {
	Done() <-chan struct{}
	Err() error
}

// partitionLog is the Log of a real partition.
type partitionLog struct{ p *partition.Partition }

func (l partitionLog) Start() int64     { return int64(l.p.LogStart()) }
func (l partitionLog) Committed() int64 { return int64(l.p.HighWatermark()) }
func (l partitionLog) End() int64       { return int64(l.p.LogEnd()) }

func (l partitionLog) Leads(epoch int32) bool {
	_, now, here := l.p.Leader()
	return here && now == epoch
}

func (l partitionLog) Read(dst []byte, offset int64, maxBytes int) ([]byte, int64, error) {
	records, err := l.p.Read(partition.Read{
		Offset: log.Offset(offset), MaxBytes: maxBytes, AtLeastOne: true,
		Isolation: partition.ReadUncommitted, LeaderEpoch: -1, LastFetchedEpoch: -1,
	})
	if records.Chunk != nil {
		defer records.Chunk.Release()
	}
	if err != nil {
		return dst, offset, fmt.Errorf("read from offset %d: %w", offset, err)
	}
	if records.Chunk == nil {
		return dst, offset, nil
	}
	dst, err = records.Chunk.Bytes(dst)
	if err != nil {
		return dst, offset, fmt.Errorf("read from offset %d: %w", offset, err)
	}
	return dst, int64(records.Chunk.NextOffset()), nil
}

func (l partitionLog) Append(batch []byte) (Pending, error) {
	pending, err := l.p.AppendInternal(batch, partition.AcksAll)
	if err != nil {
		return nil, err
	}
	return partitionPending{pending}, nil
}

type partitionPending struct{ *partition.Pending }

func (p partitionPending) Err() error {
	_, err := p.Wait(context.Background()) // returns at once: Done is closed
	return err
}
