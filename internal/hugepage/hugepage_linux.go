package hugepage

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Size is that of a large page, on amd64 and most of arm64.
const Size = 2 << 20

// Make gives so many zeros of the heap. From Size on they begin at a multiple of it, and the kernel is asked for large pages, which it gives to whoever asks (transparent_hugepage=madvise).
// Another Size bytes count as used with them, but nobody touches those.
func Make(size int) []byte {
	if size < Size {
		return make([]byte, size)
	}
	b := alignedIn(make([]byte, size+Size), size)
	advise(b)
	return b
}

// alignedIn is the part of so many bytes of b, which has Size more, that begins at a multiple of Size.
func alignedIn(b []byte, size int) []byte {
	at := int(-uintptr(unsafe.Pointer(unsafe.SliceData(b))) & (Size - 1))
	return b[at : at+size : at+size]
}

// advise asks for large pages. A kernel that has none refuses, and nothing is lost.
func advise(b []byte) { _ = unix.Madvise(b[:len(b)&^(Size-1)], unix.MADV_HUGEPAGE) }

// Page is Size bytes at a multiple of Size, not of the heap: one large page where the kernel gives it. The memory goes back when the Page is no longer reachable, so nobody may hold on to B without it.
type Page struct{ B []byte }

// NewPage gives a page of zeros.
func NewPage() (*Page, error) {
	all, err := unix.Mmap(-1, 0, 2*Size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON) // what is not touched takes no memory
	if err != nil {
		return nil, fmt.Errorf("map %d bytes: %w", 2*Size, err)
	}
	p := &Page{B: alignedIn(all, Size)}
	advise(p.B)
	runtime.AddCleanup(p, func(all []byte) { _ = unix.Munmap(all) }, all)
	return p, nil
}
