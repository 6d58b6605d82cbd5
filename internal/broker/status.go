package broker

import (
	"errors"
	"fmt"
	"slices"

	"github.com/barnabas-log/barnabas/internal/metadata"
	"github.com/barnabas-log/barnabas/partition"
)

// phase is where a node is between Open and Close.
type phase int32

const (
	starting phase = iota
	serving
	stopping
)

// reasonLimit bounds how many reasons are told one by one.
const reasonLimit = 10

// reasons are told up to a limit and counted beyond.
type reasons struct {
	told []string
	more int
}

func (r *reasons) add(format string, args ...any) {
	if len(r.told) == reasonLimit {
		r.more++
		return
	}
	r.told = append(r.told, fmt.Sprintf(format, args...))
}

func (r *reasons) list() []string {
	if r.more > 0 {
		return append(r.told, fmt.Sprintf("and %d more", r.more))
	}
	return r.told
}

// Unhealthy implements admin.Status: the replicas that stopped for good because what they write or read failed. Only a restart, or another disk, brings them back.
func (b *Broker) Unhealthy() []string {
	var why reasons
	b.hosting.each(func(r *replica) {
		if err := r.part.Err(); err != nil && !errors.Is(err, partition.ErrClosed) {
			why.add("%s-%d stopped: %v", r.topic.Name, r.number, err)
		}
	})
	return why.list()
}

// Unready implements admin.Status. A node is ready when it is registered, its listeners accept, and every partition that it hosts is open and has a leader.
func (b *Broker) Unready() []string {
	switch phase(b.phase.Load()) {
	case starting:
		if b.Controller() < 0 {
			return []string{"the node is starting: the metadata group has no leader yet"}
		}
		return []string{"the node is starting"}
	case stopping:
		return []string{"the node is stopping"}
	}
	image := b.Image()
	var why reasons
	switch self := image.Brokers[b.nodeID]; {
	case self == nil && !b.config.Broker: // it only votes
	case self == nil:
		why.add("the node is not registered with its cluster")
	case self.Fenced:
		why.add("the node is fenced: the controller has not heard from it")
	}
	for _, t := range image.ByID {
		for number, p := range t.Partitions {
			if !slices.Contains(p.Replicas, b.nodeID) {
				continue
			}
			if problem := b.problemOf(t, int32(number)); problem != "" {
				why.add("%s-%d %s", t.Name, number, problem)
			}
		}
	}
	slices.Sort(why.told)
	return why.list()
}

// problemOf says what keeps a partition that this node hosts from being served, "" for nothing.
func (b *Broker) problemOf(t *metadata.Topic, number int32) string {
	r := b.hosting.find(t.ID, number)
	switch {
	case r == nil:
		return "is not open yet"
	case r.err != nil:
		return fmt.Sprintf("could not be opened: %v", r.err)
	case r.part.Err() != nil:
		return fmt.Sprintf("stopped: %v", r.part.Err())
	}
	if node, _, _ := r.part.Leader(); node < 0 {
		return "has no leader"
	}
	return ""
}

// offline is how many replicas could not be opened or have stopped.
func (h *hosting) offline() (n int) {
	for _, t := range *h.topics.Load() {
		for i := range t.replicas {
			r := t.replicas[i].Load()
			if r != nil && (r.err != nil || r.part.Err() != nil) {
				n++
			}
		}
	}
	return n
}

// replicas is where the partition's replicas should be.
func (r *replica) replicas(image *metadata.Image) []int32 {
	if t := image.ByID[r.topic.ID]; t != nil && int(r.number) < len(t.Partitions) {
		return t.Partitions[r.number].Replicas
	}
	return nil
}
