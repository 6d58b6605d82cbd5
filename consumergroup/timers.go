package consumergroup

import (
	"container/heap"
	"time"
)

// timerKind says what a timer is for.
type timerKind int8

const (
	sessionTimer   timerKind = iota // a member must show itself
	pendingTimer                    // a pending member must join
	rebalanceTimer                  // the joining phase ends
	syncTimer                       // every member must have synced
	sweepTimer                      // offsets are looked through for expired ones
)

// timer is one deadline, moved freely: a heartbeat only changes due. The queue holds at most one live alarm for a timer, at armed, which is never after due;
// when it rings early it is set again. A zero time means off.
type timer struct {
	kind   timerKind
	due    time.Time
	armed  time.Time
	group  *group
	member *member
	id     string // of the pending member
}

// alarm is a place in the queue. It is stale when its timer is no longer armed at when.
type alarm struct {
	when  time.Time
	timer *timer
}

// timerQueue is a heap of alarms.
type timerQueue []alarm

func (q timerQueue) Len() int           { return len(q) }
func (q timerQueue) Less(i, j int) bool { return q[i].when.Before(q[j].when) }
func (q timerQueue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *timerQueue) Push(x any)        { *q = append(*q, x.(alarm)) }
func (q *timerQueue) Pop() any {
	old := *q
	last := old[len(old)-1]
	old[len(old)-1] = alarm{}
	*q = old[:len(old)-1]
	return last
}

// set moves the timer to due.
func (q *timerQueue) set(t *timer, due time.Time) {
	t.due = due
	if t.armed.IsZero() || due.Before(t.armed) {
		t.armed = due
		heap.Push(q, alarm{when: due, timer: t})
	}
}

// stop switches the timer off. Its alarm stays until it rings.
func (t *timer) stop() { t.due = time.Time{} }

// pop takes the next timer that is due, or nil.
func (q *timerQueue) pop(now time.Time) *timer {
	for len(*q) > 0 && !(*q)[0].when.After(now) {
		a := heap.Pop(q).(alarm)
		t := a.timer
		if !a.when.Equal(t.armed) {
			continue
		}
		t.armed = time.Time{}
		switch {
		case t.due.IsZero():
		case t.due.After(now):
			q.set(t, t.due)
		default:
			t.stop()
			return t
		}
	}
	return nil
}

// next is when pop has something to do, perhaps in vain.
func (q timerQueue) next() (time.Time, bool) {
	if len(q) == 0 {
		return time.Time{}, false
	}
	return q[0].when, true
}
