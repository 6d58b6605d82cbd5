package broker

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// How memory is given back. The runtime keeps what was needed once until the next collection, and as much again as garbage may grow to; a node that opened a thousand partitions
// would hold twice of what they take for as long as nothing happens.
const (
	memoryPause = 5 * time.Second
	quietBytes  = 8 << 20  // a node that allocates less than that in memoryPause is quiet
	worthwhile  = 16 << 20 // less is not worth a collection
)

// memoryUse is what the runtime says of its heap, in bytes.
type memoryUse struct {
	allocated uint64 // since the process began
	spare     uint64 // garbage, and free memory that the operating system could have
}

// giveBack returns memory to the operating system when the node has become quiet, until ctx ends.
func (b *Broker) giveBack(ctx context.Context) {
	var last memoryUse
	for ctx.Err() == nil {
		pause(ctx, memoryPause)
		now := readMemory()
		if worthGivingBack(last, now) {
			debug.FreeOSMemory()
		}
		last = now
	}
}

// worthGivingBack compares two looks at memory that lie memoryPause apart.
func worthGivingBack(before, now memoryUse) bool {
	return before.allocated > 0 && now.allocated-before.allocated < quietBytes && now.spare >= worthwhile
}

func readMemory() memoryUse {
	samples := []metrics.Sample{
		{Name: "/gc/heap/allocs:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/gc/heap/live:bytes"},
	}
	metrics.Read(samples)
	free, objects, live := samples[1].Value.Uint64(), samples[2].Value.Uint64(), samples[3].Value.Uint64()
	return memoryUse{allocated: samples[0].Value.Uint64(), spare: free + objects - min(objects, live)}
}
