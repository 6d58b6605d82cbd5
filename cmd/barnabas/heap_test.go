package main

import (
	"runtime"
	"runtime/debug"
	"testing"
)

// TestTheCollectorBeginsLater looks at what the runtime says it will do, and at the memory that the spare heap takes.
func TestTheCollectorBeginsLater(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(100)) // whatever GOGC says
	next := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.NextGC
	}
	before := next()
	release := calmCollector()
	if held := next(); held < before+2*spareHeap*9/10 {
		t.Errorf("the next collection is at %d bytes, without the spare heap at %d", held, before)
	}
	release()
	if after := next(); after > before+spareHeap {
		t.Errorf("the next collection is at %d bytes once it was released, %d before", after, before)
	}
}
