package log

import (
	"path/filepath"
	"testing"
)

// A chunk that was just written is in the page cache; one of which the system was made to forget is not, and one whose last batch only is there is not either.
func TestCachedSaysWhetherAChunkIsInMemory(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "p"), Options{Config: Config{SyncOnAppend: true}})
	big := batchOf(1, 300_000, 1)
	m, err := l.Append([]Entry{{Index: 1, Term: 1, Data: big}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := l.ChunkOf(m[0])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Release()
	if c.Size() != len(big) {
		t.Fatalf("a chunk of %d bytes for %d", c.Size(), len(big))
	}
	if !c.Cached() {
		t.Log("the system does not tell (Linux 6.5 and later do)")
		return
	}
	c.handle.file.Forget(0)
	if c.Cached() {
		t.Log("the file system forgets nothing")
		return
	}
	if _, err := c.ReadAt(make([]byte, 10), 0); err != nil {
		t.Fatal(err)
	}
	if c.Cached() {
		t.Log("the system has read all of it ahead")
		return
	}
	if _, err := c.Bytes(nil); err != nil || !c.Cached() {
		t.Error("not in memory after it was read", err)
	}
}

// What lies nowhere by itself has no chunk, and what was truncated is not found.
func TestChunkOf(t *testing.T) {
	l := testLog(t, emptyDisk(), Config{})
	metas, err := l.Append([]Entry{{Index: 1, Term: 1, Kind: KindNoop}, {Index: 2, Term: 1, Data: batchOf(3, 10, 1)}, {Index: 3, Term: 1, Data: batchOf(3, 10, 1)}})
	if err != nil {
		t.Fatal(err)
	}
	if c, err := l.ChunkOf(metas[0]); c != nil || err != nil {
		t.Error(c, err)
	}
	c, err := l.ChunkOf(metas[2])
	if err != nil {
		t.Fatal(err)
	}
	want, _ := l.Data(nil, metas[2])
	if got, err := c.Bytes(nil); err != nil || string(got) != string(want) || c.NextOffset() != 6 {
		t.Error(len(got), len(want), err)
	}
	c.Release()
	if err := l.TruncateSuffix(3); err != nil {
		t.Fatal(err)
	}
	if _, err := l.ChunkOf(metas[2]); err != ErrNotFound {
		t.Error(err)
	}
	if _, err := l.Append([]Entry{{Index: 3, Term: 2, Data: batchOf(3, 10, 1)}}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.ChunkOf(metas[2]); err != ErrNotFound {
		t.Error("the entry of another term is taken for it", err)
	}
}
