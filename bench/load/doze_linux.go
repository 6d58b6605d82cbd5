package load

import (
	"syscall"
	"time"
)

// doze blocks the thread for d. time.Sleep would be late by up to a millisecond: Go's scheduler, with nothing else to do, waits in epoll, which takes whole milliseconds, rounded up.
func doze(d time.Duration) {
	t := syscall.NsecToTimespec(int64(d))
	_ = syscall.Nanosleep(&t, nil) // woken early: the caller looks at the clock
}
