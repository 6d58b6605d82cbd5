package history

import (
	"maps"
	"slices"
)

// judge looks at one partition after the last event.
func (c *checker) judge(p *partition) {
	final := c.judgeSeats(p)
	c.judgeOrder(p)
	c.judgeWritten(p, final)
	c.judgeGroups(p)
}

// judgeSeats goes over the offsets, and returns where each record is in the final reading.
func (c *checker) judgeSeats(p *partition) map[ID]int64 {
	first := map[ID]int64{}
	final := map[ID]int64{}
	end := int64(-1)
	for offset := range p.seats {
		if p.seats[offset].final {
			end = int64(offset)
		}
	}
	for offset := range p.seats {
		s, at := &p.seats[offset], int64(offset)
		if !s.seen && !s.final {
			if at <= end {
				c.broken(Skipped, p.name, s.id, at, "not in the final reading, which goes on to %d", end)
			}
			continue
		}
		if before, ok := first[s.id]; ok {
			c.broken(Duplicated, p.name, s.id, at, "also at offset %d", before)
		} else {
			first[s.id] = at
		}
		if s.final {
			if _, ok := final[s.id]; !ok {
				final[s.id] = at
			}
		} else {
			c.broken(Vanished, p.name, s.id, at, "a reader had it, the final reading has nothing there")
		}
		if w := c.records[s.id]; w != nil && w.outcome == Refused {
			c.broken(Denied, p.name, s.id, at, "the producer was told that it is not stored")
		}
	}
	return final
}

// judgeOrder looks at the order of records in the log.
func (c *checker) judgeOrder(p *partition) {
	newest := map[int32]ID{}
	for offset := range p.seats {
		s := &p.seats[offset]
		if !s.final {
			continue
		}
		if last, ok := newest[s.id.Producer]; ok && s.id.Number < last.Number {
			c.broken(Reordered, p.name, s.id, int64(offset), "behind record %v of the same producer", last)
		} else {
			newest[s.id.Producer] = s.id
		}
		if w := c.records[s.id]; w != nil && w.after >= int64(offset) {
			c.broken(Backdated, p.name, s.id, int64(offset), "offset %d was acknowledged before this record was invoked", w.after)
		}
	}
}

// judgeWritten compares what producers were told with the final reading.
func (c *checker) judgeWritten(p *partition, final map[ID]int64) {
	for _, id := range p.acked {
		w := c.records[id]
		at, ok := final[id]
		switch {
		case !ok:
			c.broken(Lost, p.name, id, w.offset, "acknowledged, and not in the final reading")
		case at != w.offset && !(w.offset >= 0 && w.offset < int64(len(p.seats)) && p.seats[w.offset].final && p.seats[w.offset].id == id):
			c.broken(Moved, p.name, id, w.offset, "acknowledged with this offset, and found at %d", at)
		}
	}
}

// judgeGroups looks for offsets that a group passed over.
func (c *checker) judgeGroups(p *partition) {
	for _, group := range slices.Sorted(maps.Keys(p.groups)) {
		for offset, got := range p.groups[group] {
			if !got {
				c.broken(Skipped, p.name, p.seats[offset].id, int64(offset), "no member of group %s ever got it, and the group went on to %d", group,
					len(p.groups[group])-1)
			}
		}
	}
}
