//go:build !linux

package hugepage

// Make gives so many zeros of the heap.
func Make(size int) []byte { return make([]byte, size) }
