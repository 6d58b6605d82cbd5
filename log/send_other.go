//go:build !linux

package log

import (
	"errors"
	"syscall"
)

const sendfileKnown = false

// Cached says whether all of the chunk is in the page cache. That is not known here.
func (c *Chunk) Cached() bool { return false }

func sendBytes(syscall.RawConn, []byte, bool) error   { return errors.ErrUnsupported }
func sendFile(syscall.RawConn, int, int64, int) error { return errors.ErrUnsupported }
