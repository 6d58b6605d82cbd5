package journal

import (
	"encoding/binary"
	"hash/crc32"
	"os"
	"testing"

	"github.com/barnabas-log/barnabas/internal/vfs"
)

func resum(header []byte) {
	binary.LittleEndian.PutUint32(header[24:], crc32.Checksum(header[:24], castagnoli))
}

// FuzzRecords: whatever a group holds, its records lie within it, and end.
func FuzzRecords(f *testing.F) {
	b := make([]byte, groupHeader)
	b = appendRecord(b, kindWrite, "topics/a/0.id", "00000000000000000000.log", 77, 3)
	b = append(b, "abc"...)
	f.Add(appendRecord(b, kindForget, "topics/a/0.id", "", 0, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < groupHeader {
			return
		}
		total := groupHeader
		err := eachRecord(b, func(r record) error {
			total += recordSize(r.owner, r.file) + len(r.data)
			return nil
		})
		if total > len(b) || err == nil && total != len(b) {
			t.Fatal(total, len(b), err)
		}
	})
}

// FuzzFile: whatever a file holds, reading it ends, and what is written again lies within the journal's directory.
func FuzzFile(f *testing.F) {
	group := make([]byte, groupHeader)
	group = appendRecord(group, kindWrite, "p0", partName, 0, 3)
	group = append(group, "abc"...)
	f.Add(group, uint64(0))
	f.Add(appendRecord(make([]byte, groupHeader), kindWrite, "../p0", partName, 0, 0), uint64(1))
	f.Fuzz(func(t *testing.T, group []byte, number uint64) {
		if len(group) < groupHeader {
			return
		}
		memory := newMemory(1)
		memory.MkdirAll(root + "/" + dirName)
		b := make([]byte, block)
		pass{1, 2}.putHeader(b)
		sealGroup(group, 2, number)
		b = append(b, group...)
		if err := vfs.WriteSynced(memory, root+"/"+dirName+"/0", b); err != nil {
			t.Fatal(err)
		}
		j, err := Open(root, Options{FS: memory, Smallest: LeastFile, Largest: LeastFile})
		if err != nil {
			return
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := memory.OpenFile("/p0/"+partName, os.O_RDONLY, 0); err == nil {
			t.Fatal("written outside")
		}
	})
}
