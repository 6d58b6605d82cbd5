package vfs

import (
	"math/rand/v2"
	"slices"
)

// CrashClone is the file system as it may look after the power was cut now, chosen by r. What was synced is there; of every other change
// all, nothing or a part is. The original goes on undisturbed.
func (m *Memory) CrashClone(r *rand.Rand) *Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &Memory{root: m.root.crash(crasher{r, map[*node]*node{}})}
}

// Clone is the file system as it looks after the process was killed now: with everything that was written.
func (m *Memory) Clone() *Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &Memory{root: m.root.crash(crasher{nil, map[*node]*node{}})}
}

// crasher decides what survives; without a generator everything does.
type crasher struct {
	r    *rand.Rand
	done map[*node]*node // a file that has two names is still one file
}

func (n *node) crash(c crasher) *node {
	if clone := c.done[n]; clone != nil {
		return clone
	}
	clone := &node{dir: n.dir}
	c.done[n] = clone
	if !n.dir {
		clone.durable = c.content(n)
		clone.content = slices.Clone(clone.durable)
		return clone
	}
	clone.names, clone.durableNames = map[string]*node{}, map[string]*node{}
	for name, child := range c.names(n) {
		clone.names[name] = child.crash(c)
		clone.durableNames[name] = clone.names[name]
	}
	return clone
}

// names replays the unsynced changes of a directory, each of them whole or not at all.
func (c crasher) names(n *node) map[string]*node {
	names := map[string]*node{}
	for name, child := range n.durableNames {
		names[name] = child
	}
	odds := c.odds()
	for _, m := range n.moves {
		if !c.survives(odds) {
			continue
		}
		if m.drop != "" {
			delete(names, m.drop)
		}
		if m.set != "" {
			names[m.set] = m.node
		}
	}
	return names
}

// content replays the unsynced changes of a file, each of them whole, in part, or not at all.
func (c crasher) content(n *node) []byte {
	content := slices.Clone(n.durable)
	odds := c.odds()
	for _, w := range n.writes {
		if c.survives(odds) {
			content = w.apply(content)
			continue
		}
		if len(w.data) == 0 || c.r.IntN(2) == 0 {
			continue
		}
		cut := c.r.IntN(len(w.data) + 1)
		if c.r.IntN(4) > 0 { // torn: the front arrived
			content = apply(content, w.position, w.data[:cut])
		} else { // written out of order: the back arrived, the front reads as it was, or as zeros
			content = apply(content, w.position+int64(cut), w.data[cut:])
		}
	}
	return content
}

// odds is the chance of survival, in quarters, that all changes of one file share: so that "all" and "nothing" are likely too.
func (c crasher) odds() int {
	if c.r == nil {
		return 4
	}
	return c.r.IntN(5)
}

func (c crasher) survives(odds int) bool {
	return c.r == nil || c.r.IntN(4) < odds
}
