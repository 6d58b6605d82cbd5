//go:build !unix

package protocol

import "syscall"

// hungUp is not known here: waits take their full time.
func hungUp(syscall.RawConn) bool { return false }
