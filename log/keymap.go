package log

import (
	"hash/maphash"
	"math/bits"
)

// keyMap remembers for each key the largest offset that it was seen at, within a bound of memory. Keys are told apart by 128 bits of hash under two seeds that are
// drawn for each map: nobody can prepare keys that collide, and by chance two of a billion do with a probability of about 10^-21.
type keyMap struct {
	seeds  [2]maphash.Seed
	shards [keyShards]keyShard
	bytes  int64 // of all slots
	limit  int64 // for bytes
	count  int
}

// keyShards: a shard grows on its own, so that growing never needs much more than what is there.
const (
	keyShards   = 64
	keySlotSize = 24
	firstSlots  = 16
	// smallestKeyMap holds a few thousand keys, more than a batch has records in tests and enough to go on with in many passes.
	smallestKeyMap = 256 << 10
)

type keyShard struct {
	slots []keySlot
	count int
}

type keySlot struct {
	a, b uint64
	next int64 // offset + 1; 0 is an empty slot
}

func newKeyMap(limit int64) *keyMap {
	return &keyMap{seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, limit: max(limit, smallestKeyMap)}
}

// keyHash is a key at an offset, hashed.
type keyHash struct {
	a, b   uint64
	offset Offset
}

func (m *keyMap) hash(key []byte, o Offset) keyHash {
	return keyHash{maphash.Bytes(m.seeds[0], key), maphash.Bytes(m.seeds[1], key), o}
}

// fetch brings the slots of the keys of a batch into the cache, many at a time: one after another, most of the time would go into waiting for memory. What it gives
// means nothing.
func (m *keyMap) fetch(batch []keyHash) (sum uint64) {
	for k := range batch {
		a := batch[k].a
		if slots := m.shards[a%keyShards].slots; len(slots) > 0 {
			at, _ := bits.Mul64(a, uint64(len(slots)))
			sum ^= slots[at].a
		}
	}
	return sum
}

// place is the slot of the hash, or the empty one where it belongs. There is always one.
func (s *keyShard) place(a, b uint64) *keySlot {
	// The lowest bits of a chose the shard, its high ones choose the slot.
	at, _ := bits.Mul64(a, uint64(len(s.slots)))
	for {
		slot := &s.slots[at]
		if slot.next == 0 || slot.a == a && slot.b == b {
			return slot
		}
		if at++; at == uint64(len(s.slots)) {
			at = 0
		}
	}
}

// put notes that the key was seen at the offset. false: there is no room for it.
func (m *keyMap) put(k keyHash) bool {
	a, b, o := k.a, k.b, k.offset
	s := &m.shards[a%keyShards]
	if s.count*10 >= len(s.slots)*7 && !m.grow(s) && s.count*10 >= len(s.slots)*9 {
		if len(s.slots) > 0 {
			if slot := s.place(a, b); slot.next != 0 { // known: needs no room
				slot.next = max(slot.next, int64(o)+1)
				return true
			}
		}
		return false
	}
	slot := s.place(a, b)
	if slot.next == 0 {
		slot.a, slot.b = a, b
		s.count++
		m.count++
	}
	slot.next = max(slot.next, int64(o)+1)
	return true
}

func (m *keyMap) grow(s *keyShard) bool {
	size := max(firstSlots, len(s.slots)+len(s.slots)/2)
	more := int64(size-len(s.slots)) * keySlotSize
	if m.bytes+more > m.limit {
		return false
	}
	old := s.slots
	s.slots = make([]keySlot, size)
	m.bytes += more
	for k := range old {
		if old[k].next != 0 {
			*s.place(old[k].a, old[k].b) = old[k]
		}
	}
	return true
}

// last is the largest offset that the key was seen at.
func (m *keyMap) last(k keyHash) (Offset, bool) {
	a, b := k.a, k.b
	s := &m.shards[a%keyShards]
	if len(s.slots) == 0 {
		return 0, false
	}
	slot := s.place(a, b)
	return Offset(slot.next - 1), slot.next != 0
}
