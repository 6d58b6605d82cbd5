package replication

import (
	"testing"
	"time"
)

// What all have confirmed stays behind while one of them is away, and only the leader knows it.
func TestEverywhereWaitsForTheLast(t *testing.T) {
	c := newCluster(t, quick)
	replicas := c.startAll("p")
	_, leader := c.leader(replicas)
	c.propose(replicas, 1, []byte("one"))
	await := func() {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); ; time.Sleep(2 * time.Millisecond) {
			_, leader = c.leader(replicas)
			if leader.Everywhere() == leader.log.EndOffset() {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%d of %d", leader.Everywhere(), leader.log.EndOffset())
			}
		}
	}
	await()
	var away int32
	for id, r := range replicas {
		if r != leader {
			if got := r.Everywhere(); got != 0 {
				t.Errorf("a follower says %d", got)
			}
			away = id
		}
	}
	before := leader.log.EndOffset()
	c.isolate(away)
	for token := uint64(2); token < 6; token++ {
		c.propose(replicas, token, []byte("more"))
	}
	if got := leader.Everywhere(); got > before || leader.log.EndOffset() == before {
		t.Errorf("%d, when one replica has nothing after %d", got, before)
	}
	c.heal()
	await()
	for _, r := range replicas {
		r.close(t)
	}
}
