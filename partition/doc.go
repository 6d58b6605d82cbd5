// Package partition says what a partition means: offsets, visibility, producers, waiting readers.
package partition
