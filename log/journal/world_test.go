package journal

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"testing"

	"github.com/barnabas-log/barnabas/internal/vfs"
)

const (
	root = "/data"
	// smallFile has room for a few groups.
	smallFile = 24 << 10
)

// world is a few files that use a journal as logs do, and what must be found of them after a crash.
type world struct {
	t     *testing.T
	r     *rand.Rand
	fs    vfs.FS
	o     Options
	j     *Journal
	parts []*part
}

// part is a file, its content, and how much of that was acknowledged.
type part struct {
	w       *world
	owner   string
	content []byte
	acked   int
	failed  error
	// The state that an operation in flight leads to, if not by adding to the content.
	next    []byte
	changes bool
}

const partName = "0.log"

// newMemory has the directories of so many owners, durably.
func newMemory(owners int) *vfs.Memory {
	memory := vfs.NewMemory()
	memory.MkdirAll(root)
	memory.SyncDir("/")
	for k := range owners {
		memory.MkdirAll(path.Join(root, fmt.Sprint("p", k)))
		vfs.WriteSynced(memory, path.Join(root, fmt.Sprint("p", k), partName), nil)
		memory.SyncDir(path.Join(root, fmt.Sprint("p", k)))
	}
	memory.SyncDir(root)
	return memory
}

func newWorld(t *testing.T, fs vfs.FS, seed uint64, owners int) *world {
	w := &world{t: t, r: rand.New(rand.NewPCG(seed, 3)), fs: fs}
	w.o = Options{FS: fs, Smallest: smallFile, Largest: 4 * smallFile, Inline: true}
	for k := range owners {
		w.parts = append(w.parts, &part{w: w, owner: fmt.Sprint("p", k)})
	}
	return w
}

func (w *world) open() error {
	j, err := Open(root, w.o)
	w.j = j
	return err
}

func (p *part) path() string { return path.Join(root, p.owner, partName) }

// do calls f with the open file. An error stops the part for good.
func (p *part) do(f func(vfs.File) error) error {
	if p.failed != nil {
		return p.failed
	}
	file, err := p.w.fs.OpenFile(p.path(), os.O_RDWR, 0)
	if err == nil {
		err = f(file)
		file.Close()
	}
	if p.failed == nil { // it may have failed meanwhile, being settled
		p.failed = err
	}
	return err
}

// Settle implements Target.
func (p *part) Settle() error { return p.do(vfs.File.Sync) }

func (p *part) add(size int) error {
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(p.w.r.Uint32())
	}
	return p.do(func(f vfs.File) error {
		at := int64(len(p.content))
		if _, err := f.WriteAt(data, at); err != nil {
			return err
		}
		p.content = append(p.content, data...)
		half := size / 2
		if !p.w.j.Write(p.owner, partName, p, at, [][]byte{data[:half], data[half:]}) {
			if err := f.Sync(); err != nil {
				return err
			}
		}
		p.acked = len(p.content)
		return nil
	})
}

// change does what must not be undone: f makes the file's content next.
func (p *part) change(next []byte, f func(vfs.File) error) error {
	p.next, p.changes = next, true
	err := p.do(func(file vfs.File) error {
		if err := file.Sync(); err != nil {
			return err
		}
		if err := p.w.j.Forget(p.owner); err != nil {
			return err
		}
		return f(file)
	})
	if err == nil {
		p.content, p.acked, p.changes = next, len(next), false
	}
	return err
}

func (p *part) truncate() error {
	next := bytes.Clone(p.content[:p.w.r.IntN(len(p.content)+1)])
	return p.change(next, func(f vfs.File) error {
		if err := f.Truncate(int64(len(next))); err != nil {
			return err
		}
		return f.Sync()
	})
}

func (p *part) replace() error {
	next := bytes.Repeat([]byte{byte(p.w.r.Uint32())}, p.w.r.IntN(3000))
	return p.change(next, func(vfs.File) error { return vfs.ReplaceFile(p.w.fs, p.path(), next) })
}

// step does something to one of the parts that still work.
func (w *world) step() {
	p := w.parts[w.r.IntN(len(w.parts))]
	switch n := w.r.IntN(40); {
	case p.failed != nil:
	case n < 34:
		_ = p.add(w.r.IntN(3000))
	case n < 36:
		_ = p.truncate()
	case n < 38:
		_ = p.replace()
	case n < 39:
		_ = p.do(vfs.File.Sync)
	default: // a clean restart
		for _, p := range w.parts {
			if p.failed == nil && p.Settle() == nil {
				p.failed = w.j.Forget(p.owner)
			}
		}
		if err := w.j.Close(); err == nil {
			if w.open() != nil { // nobody can go on
				w.j = &Journal{state: closed}
			}
		}
	}
}

// verify opens the journal of what is left of the disk, and looks whether everything is there that was acknowledged.
func (w *world) verify(left vfs.FS) {
	w.t.Helper()
	o := w.o
	o.FS = left
	j, err := Open(root, o)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		w.t.Fatal(err)
	}
	for _, p := range w.parts {
		got, err := vfs.ReadFile(left, p.path())
		if err != nil {
			w.t.Fatal(err)
		}
		holds := func(want []byte, least int) bool { return len(got) >= least && bytes.Equal(got[:least], want[:least]) }
		least := p.acked
		if p.changes && bytes.HasPrefix(p.content, p.next) {
			least = min(least, len(p.next))
		}
		if !holds(p.content, least) && !(p.changes && holds(p.next, len(p.next))) {
			w.t.Fatalf("%s has %d bytes, which are not the %d that were acknowledged", p.owner, len(got), p.acked)
		}
	}
}
