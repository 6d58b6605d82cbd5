package vfs

import (
	"os"
	"path"
	"testing"

	"golang.org/x/sys/unix"
)

func TestColdWritesLeaveNothingInMemory(t *testing.T) {
	f := write(t, OS{}, path.Join(t.TempDir(), "a"), "x").(*osFile)
	defer f.Close()
	needDirect(t, f)
	if n, err := f.WriteColdAt([][]byte{make([]byte, 4<<20)}, 1); n != 4<<20 || err != nil {
		t.Fatal(n, err)
	}
	if f.direct <= 0 {
		t.Fatal("nothing was written around the page cache, on a file system that does it")
	}
	var pages unix.Cachestat_t
	err := unix.Cachestat(uint(f.File.Fd()), &unix.CachestatRange{Len: 4<<20 + 1}, &pages, 0)
	if err != nil || inMemory(t, f.File) {
		t.Skipf("this kernel does not tell what is in memory, or everything is: %v", err)
	}
	if pages.Cache > 2 { // the first block and the last
		t.Errorf("%d pages are in memory", pages.Cache)
	}
}

// needDirect asks the file system itself, by the file's name, whether it writes around the page cache.
func needDirect(t *testing.T, f *osFile) {
	fd, err := unix.Open(f.Name(), unix.O_WRONLY|unix.O_DIRECT|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skip("this file system does not write around the page cache:", err)
	}
	unix.Close(fd)
}

// inMemory says whether the file system has no disk.
func inMemory(t *testing.T, f *os.File) bool {
	var stat unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &stat); err != nil {
		t.Fatal(err)
	}
	return stat.Type == unix.TMPFS_MAGIC || stat.Type == unix.RAMFS_MAGIC
}

// Where the file system takes the descriptor and refuses the write, all is written as usual.
func TestRefusedColdWritesAreWrittenAsUsual(t *testing.T) {
	f := write(t, OS{}, path.Join(t.TempDir(), "a"), "").(*osFile)
	defer f.Close()
	needDirect(t, f)
	if !f.openDirect() {
		t.Fatal("the file cannot be opened for writing around the page cache, on a file system that does it")
	}
	odd := make([]byte, 2*block)[1 : 1+block] // memory that is not aligned is refused, as lengths are elsewhere
	for k := range odd {
		odd[k] = byte(k)
	}
	if n, err := f.writeBlock(odd, 0, true); n != block || err != nil {
		t.Fatal(n, err)
	}
	if got := read(t, OS{}, f.Name()); got != string(odd) {
		t.Fatal("content differs")
	}
	if n, err := f.WriteColdAt([][]byte{make([]byte, 3*block)}, block); n != 3*block || err != nil {
		t.Fatal(n, err)
	}
	if size, err := f.Size(); size != 4*block || err != nil {
		t.Fatal(size, err)
	}
}
