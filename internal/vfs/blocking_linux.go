package vfs

import (
	"syscall"
	_ "unsafe" // for go:linkname
)

// fdatasync is fdatasync(2). The goroutine gives its processor (GOMAXPROCS) to others before the call, not, as with any other system call, when the scheduler's monitor finds that it blocks: the monitor looks
// each 10 ms once it found nothing for a while, and an fdatasync that takes 0.3 ms is over by then, so that as many of them as there are processors stop everything else (docs/decisions/0022).
//
//go:nosplit
//go:norace
func fdatasync(fd uintptr) syscall.Errno {
	entersyscallblock()
	_, _, err := syscall.RawSyscall6(syscall.SYS_FDATASYNC, fd, 0, 0, 0, 0, 0) // nothing else may happen here: there is no processor to run Go on
	exitsyscall()
	return err
}

// The runtime keeps these two as they are for those who use them (go.dev/issue/67401). The first is what its own calls that surely block begin with.
//
//go:linkname entersyscallblock runtime.entersyscallblock
func entersyscallblock()

//go:linkname exitsyscall runtime.exitsyscall
func exitsyscall()
