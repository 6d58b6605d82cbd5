package replication

import (
	"errors"
	"fmt"
	"sort"

	"github.com/barnabas-log/barnabas/log"
	"github.com/hashicorp/raft"
	"go.uber.org/zap"
)

// hydrate appends an entry's bytes to b, from the segment file, or gives the place in it that belongs there. The entry must still be the one that raft means.
func (g *Group) hydrate(b []byte, l *raft.Log, attach bool) (log.Kind, []byte, *log.Chunk, error) {
	if err := g.Err(); err != nil {
		return 0, nil, nil, err
	}
	var chunk *log.Chunk
	m, err := g.store.meta(log.Index(l.Index))
	if err == nil && uint64(m.Term) != l.Term {
		err = log.ErrNotFound
	}
	if err == nil && attach {
		chunk, err = g.store.chunk(m)
	}
	if err == nil && chunk == nil {
		b, err = g.store.data(b, m)
	}
	if err != nil && !errors.Is(err, log.ErrNotFound) && !errors.Is(err, log.ErrClosed) && !errors.Is(err, ErrClosed) {
		g.fail(fmt.Errorf("read entry %d for a follower: %w", l.Index, err))
	}
	return m.Kind, b, chunk, err
}

// termOf is the term of an entry.
func (g *Group) termOf(i log.Index) (log.Term, error) {
	if f := g.store.log.Floor(); i == f.Index {
		return f.Term, nil
	}
	m, err := g.store.meta(i)
	return m.Term, err
}

// check looks at entries from a leader before raft sees them: each batch must be whole, carry its entry's term as epoch, and begin where the one before it ends. What is
// wrong is refused and said; nothing is stored, and this replica goes on.
func (g *Group) check(a *raft.AppendEntriesRequest) error {
	if err := g.checkRoom(a); err != nil {
		return err
	}
	next := log.Offset(-1)
	if m, err := g.store.meta(log.Index(a.PrevLogEntry)); err == nil && uint64(m.Term) == a.PrevLogTerm {
		next = m.NextOffset
	}
	for _, l := range a.Entries {
		if !isBatch(l) {
			continue
		}
		err := log.CheckBatch(l.Data)
		if err == nil {
			next, err = checkPlace(l, next)
		}
		if err != nil {
			g.logger.Error("entry from the leader refused", zap.Uint64("index", l.Index), zap.Uint64("term", l.Term), zap.Error(err))
			return fmt.Errorf("entry %d: %w", l.Index, err)
		}
	}
	return nil
}

func isBatch(l *raft.Log) bool {
	return l.Type == raft.LogCommand && (len(l.Data) == 0 || l.Data[0] != commandMark)
}

// verify looks at entries that a follower did not take: what is damaged on this disk is refused over there, and would be for ever. A leader that finds it so stops, and another replica
// takes its place.
func (g *Group) verify(entries []*raft.Log) {
	l, ok := g.store.log.(interface{ Verify(log.Index) error })
	for _, e := range entries {
		if !ok || !isBatch(e) || g.Err() != nil {
			continue
		}
		if err := l.Verify(log.Index(e.Index)); errors.Is(err, log.ErrCorrupt) {
			g.fail(fmt.Errorf("entry %d was refused by a follower: %w", e.Index, err))
		}
	}
}

// errPlace says that a replica's log and its leader's disagree about where an entry belongs.
var errPlace = errors.New("entry does not belong here")

// checkPlace says whether a batch carries the right epoch and begins at next (-1: unknown), and where the one after it begins.
func checkPlace(l *raft.Log, next log.Offset) (log.Offset, error) {
	if len(l.Data) < log.HeaderSize {
		return 0, fmt.Errorf("%w: batch of %d bytes", errPlace, len(l.Data))
	}
	h := log.Header(l.Data)
	switch {
	case uint64(uint32(h.LeaderEpoch())) != l.Term:
		return 0, fmt.Errorf("%w: epoch %d in term %d", errPlace, h.LeaderEpoch(), l.Term)
	case next >= 0 && h.BaseOffset() != next:
		return 0, fmt.Errorf("%w: base offset %d, not %d", errPlace, h.BaseOffset(), next)
	}
	return h.LastOffset() + 1, nil
}

// hint lowers what a refusal says of this log's end to the last entry before the term that conflicts, so that the leader steps back a term at a time and
// not an entry (trap 2).
func (g *Group) hint(a *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) {
	prev, last := log.Index(a.PrevLogEntry), g.store.log.LastIndex()
	if prev == 0 || prev > last {
		return
	}
	m, err := g.store.meta(prev)
	if err != nil || uint64(m.Term) == a.PrevLogTerm {
		return
	}
	floor := g.store.log.Floor().Index
	n := sort.Search(int(prev-floor), func(k int) bool {
		at, err := g.store.meta(floor + 1 + log.Index(k))
		return err != nil || at.Term >= m.Term
	})
	resp.LastLog = min(resp.LastLog, uint64(floor)+uint64(n))
}
