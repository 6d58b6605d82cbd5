//go:build !linux

package log

import (
	"errors"
	"syscall"
)

const sendfileKnown = false

func sendBytes(syscall.RawConn, []byte, bool) error   { return errors.ErrUnsupported }
func sendFile(syscall.RawConn, int, int64, int) error { return errors.ErrUnsupported }
