package protocol

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// hugePage is the size of the pages that hugePages asks for, on amd64 and most of arm64.
const hugePage = 2 << 20

// hugePages asks the kernel for large pages under what lies in b of them, where it gives them to whoever asks (transparent_hugepage=madvise): the processor looks up fewer addresses then.
func hugePages(b []byte) {
	at := int(-uintptr(unsafe.Pointer(unsafe.SliceData(b))) & (hugePage - 1))
	if n := (len(b) - at) &^ (hugePage - 1); n > 0 {
		_ = unix.Madvise(b[at:at+n], unix.MADV_HUGEPAGE) // a kernel without them refuses, and nothing is lost
	}
}
