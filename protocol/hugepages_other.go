//go:build !linux

package protocol

// hugePages is for Linux.
func hugePages([]byte) {}
