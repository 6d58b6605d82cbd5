package vfs

import "unsafe"

// block is what O_DIRECT wants positions, lengths and memory to be multiples of: no disk or file system in use wants more.
const block = 4096

// Aligned gives memory of so many bytes, zeros, that WriteColdAt need not copy.
func Aligned(size int) []byte {
	b := make([]byte, size+block-1)
	at := -misaligned(b) & (block - 1)
	return b[at : at+size : at+size]
}

// misaligned is how far b begins behind a multiple of block.
func misaligned(b []byte) int { return int(uintptr(unsafe.Pointer(unsafe.SliceData(b))) & (block - 1)) }
