package vfs

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"
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
	if errors.Is(err, unix.ENOSYS) || inMemory(t, f.File) {
		t.Skip("this kernel does not tell what is in memory (Linux before 6.5), or the file system has no disk")
	}
	if err != nil {
		t.Fatal(err)
	}
	if pages.Cache > 2 { // the first block and the last
		t.Errorf("%d pages are in memory", pages.Cache)
	}
}

// needDirect asks the file system itself, by the file's name, whether it writes around the page cache.
func needDirect(t *testing.T, f *osFile) {
	fd, err := unix.Open(f.Name(), unix.O_WRONLY|unix.O_DIRECT|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.EINVAL) { // open(2): the file system does not support O_DIRECT
		t.Skip("this file system does not write around the page cache")
	}
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(fd)
}

// inMemory says whether the file system has no disk.
func inMemory(t *testing.T, f *os.File) bool {
	magic := magicOf(t, f)
	return magic == unix.TMPFS_MAGIC || magic == unix.RAMFS_MAGIC
}

// magicOf tells what kind of file system the file is on.
func magicOf(t *testing.T, f *os.File) int64 {
	var stat unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &stat); err != nil {
		t.Fatal(err)
	}
	return int64(stat.Type)
}

// Where the file system takes the descriptor and refuses the write, all is written as usual.
func TestRefusedColdWritesAreWrittenAsUsual(t *testing.T) {
	f := write(t, OS{}, path.Join(t.TempDir(), "a"), "").(*osFile)
	defer f.Close()
	needDirect(t, f)
	if !f.openDirect() {
		t.Fatal("the file cannot be opened for writing around the page cache, on a file system that does it")
	}
	content := make([]byte, 5*block)
	for k := range content {
		content[k] = byte(k % 251)
	}
	odd := make([]byte, 4*block)[1:] // memory that is not aligned is refused, by disks at least
	position := int64(0)
	for _, size := range []int64{100, 4*block + 7, 2 * block} { // an end, what is refused after it, what comes later
		b := content[position:min(position+size, 5*block)]
		if n, err := f.writeCold([][]byte{b[:len(b)/3], b[len(b)/3:]}, position, int64(len(b)), odd); n != int64(len(b)) || err != nil {
			t.Fatal(n, err)
		}
		position += int64(len(b))
	}
	if position != 5*block || read(t, OS{}, f.Name()) != string(content) {
		t.Error("content differs")
	}
	if magicOf(t, f.File) == unix.EXT4_SUPER_MAGIC && f.direct != directRefused { // others may take any memory
		t.Error("nothing was refused")
	}
}

// Who reads what was written, while more is written behind it around the page cache, sees what was written: also in the block that both share, and in what the system has read ahead.
func TestReadersBesideColdWrites(t *testing.T) {
	f := write(t, OS{}, path.Join(t.TempDir(), "a"), "").(*osFile)
	defer f.Close()
	needDirect(t, f)
	const size = 64 << 20
	at := func(position int64) byte { return byte(position>>12) + byte(position%241) }
	var written atomic.Int64
	var readers errgroup.Group
	for seed := range uint64(3) {
		readers.Go(func() error {
			random := rand.New(rand.NewPCG(seed, 1))
			b := make([]byte, 200<<10)
			for written.Load() < size {
				end := written.Load()
				position := max(0, end-1-random.Int64N(1<<20))
				n, err := f.ReadAt(b[:min(int64(len(b)), end-position)], position)
				if err != nil {
					return err
				}
				for k, c := range b[:n] {
					if c != at(position+int64(k)) {
						return fmt.Errorf("byte %d of what was written up to %d is wrong", position+int64(k), end)
					}
				}
			}
			return nil
		})
	}
	random := rand.New(rand.NewPCG(9, 9))
	for position := int64(0); position < size; {
		b := make([]byte, 1+random.IntN(1<<(20+random.IntN(4)))) // of up to 8 MiB: several portions
		for k := range b {
			b[k] = at(position + int64(k))
		}
		put := f.WriteColdAt
		if len(b) < 100<<10 {
			put = f.WritevAt
		}
		n, err := put([][]byte{b}, position)
		if err != nil {
			t.Fatal(err)
		}
		position += n
		written.Store(position)
	}
	if err := readers.Wait(); err != nil {
		t.Error(err)
	}
}

// What lies in memory as it will on the disk is not copied; what lies between is, and nothing is left out.
func TestColdWritesTakeAlignedMemoryWhereItLies(t *testing.T) {
	memory := make([]byte, 64*block)
	memory = memory[-misaligned(memory)&(block-1):]
	for k := range memory {
		memory[k] = byte(k % 251)
	}
	var buffers [][]byte
	var want []byte
	add := func(size, shift int) {
		at := len(want) + len(buffers)*block + shift
		buffers = append(buffers, memory[at:at+size])
		want = append(want, memory[at:at+size]...)
	}
	add(5*block+100, 0) // in place: 5 blocks
	add(3*block, 0)     // in place: 2 blocks, behind one that is copied with the end of the one before
	add(2*block, 7)     // copied: it lies elsewhere
	add(300, 0)         // copied
	add(4*block, 0)     // in place: 3 blocks
	size := int64(len(want)) &^ (block - 1)
	vectors := gather(buffers, size, Aligned(1<<20))
	var got []byte
	inPlace := 0
	for _, v := range vectors {
		if misaligned(v) != 0 || len(v)%block != 0 {
			t.Errorf("%d bytes at %d", len(v), misaligned(v))
		}
		if &v[:cap(v)][cap(v)-1] == &memory[:cap(memory)][cap(memory)-1] {
			inPlace += len(v) / block
		}
		got = append(got, v...)
	}
	if string(got) != string(want[:size]) {
		t.Error("content differs")
	}
	if inPlace != 10 || len(vectors) != 5 {
		t.Errorf("%d blocks in place, in %d vectors", inPlace, len(vectors))
	}
	f := write(t, OS{}, path.Join(t.TempDir(), "a"), "").(*osFile)
	defer f.Close()
	if n, err := f.WriteColdAt(buffers, 0); n != int64(len(want)) || err != nil {
		t.Fatal(n, err)
	}
	if read(t, OS{}, f.Name()) != string(want) {
		t.Error("content differs in the file")
	}
}
