package replication

import (
	"errors"
	"fmt"

	"github.com/hashicorp/raft"
)

// checkRoom refuses a leader's batches for which the disk has no room. Nothing is wrong with this replica then: it lags until there is room. Entries that are not batches are
// few and small, and may be the trim that makes room.
func (g *Group) checkRoom(a *raft.AppendEntriesRequest) error {
	if g.room == nil {
		return nil
	}
	bytes := 0
	for _, l := range a.Entries {
		if isBatch(l) {
			bytes += len(l.Data)
		}
	}
	if bytes == 0 {
		return nil
	}
	return g.room(bytes)
}

// Fail stops this replica for good, as a failed write does: whoever called it knows that the files can no longer be relied on. Reads of what is there go on until Close.
func (g *Group) Fail(cause error) { g.fail(cause) }

// errHalted refuses what would promise something while the directory cannot be relied on.
var errHalted = errors.New("the data directory of votes and metadata is out of service")

// writable says whether the directory of votes and metadata still is what it was, see NodeOptions.Writable.
func (o *NodeOptions) writable() error {
	if o.Writable == nil {
		return nil
	}
	if err := o.Writable(); err != nil {
		return fmt.Errorf("%w: %w", errHalted, err)
	}
	return nil
}
