package main

import "runtime"

// spareHeap is how many bytes calmCollector holds.
const spareHeap = 16 << 20

// calmCollector has the garbage collector begin later: it begins when the heap has doubled, and of the few megabytes that a small broker uses that is many times a second. The bytes that it holds until
// release is called count as used, but nobody touches them, so that they take no memory. Where GOGC or GOMEMLIMIT are set they count as well.
func calmCollector() (release func()) {
	spare := make([]byte, spareHeap)
	return func() { runtime.KeepAlive(spare) }
}
