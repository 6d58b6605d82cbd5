package log

import (
	"sort"
)

// epochBegin is the first entry of a term: its index, and the offset of the first record that the term can have.
type epochBegin struct {
	term   Term
	index  Index
	offset Offset
}

// epochTable lists the terms that the log has seen, oldest first, also those without a record. A published value is never changed.
type epochTable []epochBegin

// with gives a table that knows an entry of the term, or the same table when it already does.
func (t epochTable) with(b epochBegin) epochTable {
	if len(t) > 0 && t[len(t)-1].term >= b.term {
		return t
	}
	return append(t[:len(t):len(t)], b)
}

// before drops the terms that begin at or after index i.
func (t epochTable) before(i Index) epochTable {
	return t[:sort.Search(len(t), func(k int) bool { return t[k].index >= i })]
}

// termAt is the term of the entry with index i.
func (t epochTable) termAt(i Index) Term {
	k := sort.Search(len(t), func(k int) bool { return t[k].index > i })
	if k == 0 {
		return 0
	}
	return t[k-1].term
}

// above drops the terms of which every entry has an index below i. What readers no longer see may still be followed after a truncation: the log
// start does not matter here.
func (t epochTable) above(i Index) epochTable {
	for len(t) > 1 && t[1].index <= i {
		t = t[1:]
	}
	return t
}

// upTo gives the terms that begin at or before index i.
func (t epochTable) upTo(i Index) epochTable { return t.before(i + 1) }

// since drops the terms that ended at or before the offset, but never the last one.
func (t epochTable) since(o Offset) epochTable {
	for len(t) > 1 && t[1].offset <= o {
		t = t[1:]
	}
	return t
}

// EpochOf is the leader epoch of the record at o, also for the log start and for EndOffset, where it is that of the next record
// as far as it is known. ok is false when the log knows of no term there.
func (l *Log) EpochOf(o Offset) (int32, bool) {
	t := *l.epochs.Load()
	k := sort.Search(len(t), func(k int) bool { return t[k].offset > o })
	if k == 0 {
		return 0, false
	}
	return int32(t[k-1].term), true
}

// EpochEnd is the largest known epoch that is not larger than the one asked for, and the offset at which it ended: EndOffset for the last one.
// ok is false when the log knows of none.
func (l *Log) EpochEnd(epoch int32) (e int32, end Offset, ok bool) {
	end = l.EndOffset()
	table := l.Epochs()
	for k := len(table) - 1; k >= 0; k-- {
		if table[k].Epoch <= epoch {
			return table[k].Epoch, end, true
		}
		end = table[k].Offset
	}
	return 0, 0, false
}

// Epochs is the epoch table, oldest first: strictly rising in both columns. Terms without a record are left out, but the last is kept; the first
// begins at StartOffset at the earliest.
func (l *Log) Epochs() []EpochStart {
	start := l.StartOffset()
	var table []EpochStart
	for _, b := range l.epochs.Load().since(start) {
		e := EpochStart{Epoch: int32(b.term), Offset: max(b.offset, start)}
		if n := len(table); n > 0 && table[n-1].Offset >= e.Offset {
			table = table[:n-1]
		}
		table = append(table, e)
	}
	return table
}
