package replication

import (
	"runtime"
	"testing"
)

// A proposal that comes alone is handed to raft by whoever makes it, and what raft allocates for each append stays small. The bounds are what was measured (25 allocations,
// 2,500 bytes) and a little air.
func TestALoneProposalAllocatesLittle(t *testing.T) {
	n, m, s := testNode(t), newLight(1), &memory{}
	g := solo(t, n, "a", s, m)
	<-m.led
	data, token := batch(100), uint64(0)
	once := func() {
		m.window <- struct{}{} // the one before is applied
		token++
		if err := g.Propose(data, token); err != nil {
			t.Fatal(err)
		}
	}
	for range 100 {
		once()
	}
	var before, after runtime.MemStats
	const rounds = 2000
	runtime.ReadMemStats(&before)
	for range rounds {
		once()
	}
	runtime.ReadMemStats(&after)
	if bytes, count := (after.TotalAlloc-before.TotalAlloc)/rounds, (after.Mallocs-before.Mallocs)/rounds; bytes > 3000 || count > 28 {
		t.Errorf("%d allocations of %d bytes for each proposal", count, bytes)
	} else {
		t.Logf("%d allocations of %d bytes for each proposal", count, bytes)
	}
	m.window <- struct{}{}
	closeGroup(t, g)
}
