package hugepage

import (
	"bytes"
	"runtime"
	"testing"
	"unsafe"
)

func TestLargePiecesOfTheHeapAreAligned(t *testing.T) {
	for _, size := range []int{0, 1, Size - 1, Size, Size + 1, 3*Size + 5} {
		b := Make(size)
		if len(b) != size || cap(b) != size {
			t.Errorf("%d bytes, room for %d, not %d", len(b), cap(b), size)
		}
		if at := uintptr(unsafe.Pointer(unsafe.SliceData(b))); size >= Size && at%Size != 0 {
			t.Errorf("%d bytes begin at %x", size, at)
		}
		if !bytes.Equal(b, make([]byte, size)) {
			t.Errorf("%d bytes are not zeros", size)
		}
	}
}

func TestPagesAreAlignedAndTheirOwn(t *testing.T) {
	var pages []*Page
	for k := range 20 {
		p, err := NewPage()
		if err != nil {
			t.Fatal(err)
		}
		if at := uintptr(unsafe.Pointer(&p.B[0])); len(p.B) != Size || cap(p.B) != Size || at%Size != 0 {
			t.Fatalf("%d bytes, room for %d, at %x", len(p.B), cap(p.B), at)
		}
		if p.B[0] != 0 || p.B[Size-1] != 0 {
			t.Fatal("not zeros")
		}
		for i := range p.B {
			p.B[i] = byte(k)
		}
		if k%2 == 0 {
			pages = append(pages, p)
		}
		runtime.GC() // the memory of those that nobody holds goes back, and that of no other
	}
	for k, p := range pages {
		if !bytes.Equal(p.B, bytes.Repeat([]byte{byte(2 * k)}, Size)) {
			t.Errorf("page %d was changed", 2*k)
		}
	}
}
