package log

import (
	"sort"
	"sync/atomic"
)

// located is an entry and where its bytes are. For an entry of ctl, that is where the next batch would have gone.
type located struct {
	Meta
	segment  *segment
	position int64
	removed  bool // a member of a merged batch: its bytes are made up
}

// end is the position after the batch.
func (e *located) end() int64 {
	if e.Kind == KindBatch {
		return e.position + int64(e.Size)
	}
	return e.position
}

const (
	recentBlock  = 32 // entries in a block
	recentBlocks = 8  // blocks that are kept
)

// recent remembers the last entries for readers that take no lock. One goroutine adds; blocks are filled once and never changed after.
type recent struct {
	blocks atomic.Pointer[[]*recentPart]
	resets atomic.Uint64
}

type recentPart struct {
	entries [recentBlock]located
	filled  atomic.Int32
}

func (p *recentPart) known() []located { return p.entries[:p.filled.Load()] }

func (r *recent) add(e located) {
	blocks := r.load()
	if n := len(blocks); n > 0 && int(blocks[n-1].filled.Load()) < recentBlock {
		last := blocks[n-1]
		at := last.filled.Load()
		last.entries[at] = e
		last.filled.Store(at + 1)
		return
	}
	kept := blocks[max(0, len(blocks)-recentBlocks+1):]
	next := make([]*recentPart, len(kept), len(kept)+1)
	copy(next, kept)
	part := &recentPart{}
	part.entries[0] = e
	part.filled.Store(1)
	next = append(next, part)
	r.blocks.Store(&next)
}

// reset forgets everything: entries are found the slow way until new ones come.
func (r *recent) reset() {
	r.resets.Add(1)
	r.blocks.Store(nil)
}

func (r *recent) load() []*recentPart {
	if blocks := r.blocks.Load(); blocks != nil {
		return *blocks
	}
	return nil
}

// search finds the first entry for which after is true, which must be monotonic in the entries; nil when there is none.
func (r *recent) search(after func(*located) bool) *located {
	blocks := r.load()
	k := sort.Search(len(blocks), func(k int) bool {
		known := blocks[k].known()
		return after(&known[len(known)-1])
	})
	if k == len(blocks) {
		return nil
	}
	known := blocks[k].known()
	j := sort.Search(len(known), func(j int) bool { return after(&known[j]) })
	if j == len(known) {
		return nil
	}
	return &known[j]
}

// before finds the last entry for which after is not true; nil when there is none. Both it and the next one, if any, are known to adjoin.
func (r *recent) before(after func(*located) bool) *located {
	blocks := r.load()
	k := sort.Search(len(blocks), func(k int) bool { return after(&blocks[k].entries[0]) })
	if k == 0 {
		return nil
	}
	known := blocks[k-1].known()
	j := sort.Search(len(known), func(j int) bool { return after(&known[j]) })
	return &known[j-1]
}

// index finds the entry with that index.
func (r *recent) index(i Index) *located {
	if e := r.search(func(e *located) bool { return e.Index >= i }); e != nil && e.Index == i {
		return e
	}
	return nil
}

// offset finds the batch that holds the offset, if it is in the segment.
func (r *recent) offset(o Offset, s *segment) *located {
	e := r.search(func(e *located) bool { return e.NextOffset > o })
	if e != nil && e.segment == s && e.BaseOffset <= o {
		return e
	}
	return nil
}

// newest is the entry that was added last; nil when there is none.
func (r *recent) newest() *located { return r.before(func(*located) bool { return false }) }
