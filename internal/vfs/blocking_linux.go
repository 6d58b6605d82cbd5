package vfs

import (
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// fdatasync is fdatasync(2), pwritev pwritev(2), without a processor: see blocking.
func fdatasync(fd uintptr) syscall.Errno {
	_, err := blocking(syscall.SYS_FDATASYNC, fd, nil, 0, 0, 0)
	return err
}

// pwritev writes vectors, none of which is empty, to a descriptor that waits for the disk.
func pwritev(fd uintptr, vectors [][]byte, position int64) (int, syscall.Errno) {
	list := make([]unix.Iovec, len(vectors))
	for k, v := range vectors {
		list[k].Base = unsafe.SliceData(v)
		list[k].SetLen(len(v))
	}
	n, err := blocking(syscall.SYS_PWRITEV, fd, unsafe.Pointer(unsafe.SliceData(list)), uintptr(len(list)), uintptr(position), uintptr(uint64(position)>>32))
	runtime.KeepAlive(list)
	runtime.KeepAlive(vectors)
	return int(n), err
}

// blocking is a system call that surely waits for the disk. The goroutine gives its processor (GOMAXPROCS) to others before the call, not, as with any other system call, when the scheduler's monitor finds that
// it blocks: the monitor looks each 10 ms once it found nothing for a while, and an fdatasync that takes 0.3 ms is over by then, so that as many of them as there are processors stop everything else
// (docs/decisions/0022).
//
//go:nosplit
//go:norace
func blocking(trap, fd uintptr, pointer unsafe.Pointer, a, b, c uintptr) (uintptr, syscall.Errno) {
	entersyscallblock()
	n, _, err := syscall.RawSyscall6(trap, fd, uintptr(pointer), a, b, c, 0) // nothing else may happen here: there is no processor to run Go on
	exitsyscall()
	return n, err
}

// The runtime keeps these two as they are for those who use them (go.dev/issue/67401). The first is what its own calls that surely block begin with.
//
//go:linkname entersyscallblock runtime.entersyscallblock
func entersyscallblock()

//go:linkname exitsyscall runtime.exitsyscall
func exitsyscall()
