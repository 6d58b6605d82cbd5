package broker

import (
	"syscall"
	"testing"
)

// Of three replicas, one whose disk fails or is full costs nobody anything: another leads, and it comes back by itself.
func TestTheOthersLeadWhileADiskFailsOrIsFull(t *testing.T) {
	c := startThree(t)
	topic := c.topic("t", []int32{1, 2, 3})
	one, two := c.nodes[1], c.nodes[2]
	leads := func(id int32) bool { node, _ := two.broker.Leader(topic.ID, 0); return node == id }
	two.until("the preferred replica to lead", func() bool { return leads(1) })
	l := two.work("t")
	two.until("values to be acknowledged", func() bool { return l.acks.Load() > 20 })

	one.broker.hosting.find(topic.ID, 0).group.Fail(syscall.EIO)
	before := l.acks.Load()
	two.until("produces to go on without it", func() bool { return l.acks.Load() > before+20 })
	two.until("the replica to be back, in sync and leading", func() bool { return leads(1) && len(two.broker.InSync(topic.ID, 0)) == 3 })

	full := func(is bool) {
		for _, d := range one.broker.dirs.data {
			d.room.mu.Lock()
			d.room.measure = func(string) (volume, error) {
				if is {
					return volume{total: 1 << 40, usable: 1 << 20}, nil
				}
				return volume{total: 1 << 40, usable: 1 << 39}, nil
			}
			d.room.mu.Unlock()
		}
	}
	full(true)
	two.until("leadership to go to where there is room", func() bool { return !leads(1) })
	before = l.acks.Load()
	two.until("produces to go on", func() bool { return l.acks.Load() > before+20 })
	full(false)
	two.until("the replica to have caught up and to lead again", func() bool { return leads(1) && len(two.broker.InSync(topic.ID, 0)) == 3 })
	two.holds("t", l.stop())
}
