//go:build !linux

package protocol

import (
	"errors"
	"syscall"
)

const sendFileKnown = false

// sendFiles is never called here: replies are sent through memory.
func sendFiles(syscall.RawConn, []byte, []splice) error { return errors.ErrUnsupported }
