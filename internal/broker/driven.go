package broker

import (
	"sync"

	"github.com/barnabas-log/barnabas/log"
	"github.com/barnabas-log/barnabas/partition"
)

// driven is a partition as its group drives it: the partition itself, plus the rest of the broker that wants to know who leads.
type driven struct {
	*partition.Partition
	hosting *hosting
	replica *replica
}

// Lead tells the partition first, so that a coordinator that starts on it can read and append at once.
func (d *driven) Lead(term log.Term) {
	d.Partition.Lead(term)
	d.hosting.b.partitionLed(d.replica, d.Partition, term)
	d.hosting.changed.wake()
}

// Resign tells the partition first: its pending appends fail before a coordinator unloads.
func (d *driven) Resign(term log.Term, leader int32) {
	d.Partition.Resign(term, leader)
	d.hosting.b.partitionResigned(d.replica)
	d.hosting.changed.wake()
}

// Failed tells the partition first. The refetcher looks after a replica whose files are corrupt, the nurse after any other.
func (d *driven) Failed(err error) {
	d.Partition.Failed(err)
	forgetBoot(d.hosting.b.dirs.meta.path)
	d.hosting.b.refetcher.suspect(d.replica.place(), err)
	d.hosting.ailing.wake()
	d.hosting.changed.wake()
}

// broadcast wakes everyone who waits, any number of times.
type broadcast struct {
	mu sync.Mutex
	c  chan struct{}
}

// wait returns a channel that the next wake closes. Get it before looking at what may change.
func (b *broadcast) wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.c == nil {
		b.c = make(chan struct{})
	}
	return b.c
}

func (b *broadcast) wake() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.c != nil {
		close(b.c)
		b.c = nil
	}
}
