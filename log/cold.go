package log

import (
	"sort"
	"sync"
)

// coldAhead is how many entries are located together for a reader that goes from one old entry to the next; coldReaders is how many such readers are told apart.
const (
	coldAhead   = 512
	coldReaders = 4
)

// cold remembers where old entries are. A follower that was away asks for one after the other, and each would cost a search through index files: the second one that follows
// on another has the next ones located with it, from header to header.
type cold struct {
	mu    sync.Mutex // guards following
	asked [coldReaders]Index
	next  int // which of asked is replaced by a reader that is new
	runs  [coldReaders]*coldRun
	old   int // which of runs is replaced next
}

// coldRun is some entries of one segment in order. It counts as long as nothing was replaced or truncated.
type coldRun struct {
	view    *view
	resets  uint64
	entries []located
}

func (r *coldRun) holds(i Index) bool {
	return r.entries[0].Index <= i && i <= r.entries[len(r.entries)-1].Index
}

// find is an entry that is remembered.
func (c *cold) find(l *Log, i Index) (e located, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for n, r := range c.runs {
		if r == nil || !r.holds(i) {
			continue
		}
		if r.view != l.view.Load() || r.resets != l.recent.resets.Load() {
			c.runs[n] = nil
			continue
		}
		k := sort.Search(len(r.entries), func(k int) bool { return r.entries[k].Index >= i })
		if r.entries[k].Index == i {
			c.followsLocked(i)
			return r.entries[k], true
		}
	}
	return located{}, false
}

// follows takes note of an entry that is asked for, and says whether it is the one behind another that was.
func (c *cold) follows(i Index) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.followsLocked(i)
}

func (c *cold) followsLocked(i Index) bool {
	for n, last := range c.asked {
		if i == last || i == last+1 && last > 0 {
			c.asked[n] = i
			return i == last+1
		}
	}
	c.asked[c.next] = i
	c.next = (c.next + 1) % coldReaders
	return false
}

func (c *cold) keep(r *coldRun) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.runs[c.old] = r
	c.old = (c.old + 1) % coldReaders
}

// done lets go of a run whose last entry was read.
func (c *cold) done(i Index) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for n, r := range c.runs {
		if r != nil && r.entries[len(r.entries)-1].Index == i {
			c.runs[n] = nil
		}
	}
}

// readAhead remembers the entries from found on. What cannot be read is found, or complained of, by who asks for it.
func (l *Log) readAhead(found located) {
	r := &coldRun{resets: l.recent.resets.Load(), view: l.view.Load()}
	last := l.LastIndex() // after resets: what was truncated since is beyond it
	list := *l.controls.Load()
	s := found.segment
	h, err := s.pin()
	if err != nil {
		return
	}
	defer func() { _ = h.release() }()
	bytes, _ := s.extent.get()
	at := found.Index
	err = walkHeaders(h.file, s.path, found.position, bytes, func(position int64, h Header) bool {
		if at > last || h.members() > 1 {
			return false
		}
		r.entries = append(r.entries, located{segment: s, position: position, Meta: Meta{Index: at, Term: Term(uint32(h.LeaderEpoch())), Kind: KindBatch,
			BaseOffset: h.BaseOffset(), NextOffset: h.next(), Size: h.Size()}})
		at = list.batchFrom(at + 1)
		return len(r.entries) < coldAhead
	})
	if err == nil && len(r.entries) > 1 {
		l.cold.keep(r)
	}
}
