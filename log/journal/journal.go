package journal

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"path"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/barnabas-log/barnabas/internal/vfs"
)

// Target is a file that the journal holds writes of. It is compared with ==.
type Target interface {
	// Settle makes the file itself durable. nil also if nobody needs it any more; after an error the journal goes on to hold its writes.
	Settle() error
}

// Options of a journal.
type Options struct {
	// FS is the file system.
	FS vfs.FS
	// Logger is told what an operator would want to know.
	Logger *zap.Logger
	// Smallest and Largest bound the size of each of the two files, in bytes.
	Smallest, Largest int64
	// Room says whether the files may take so many bytes more of the disk. nil: they may.
	Room func(bytes int64) bool
	// Synced is told of every group: when its writing began, and how many bytes it had. nil: nobody.
	Synced func(began time.Time, bytes int)
	// Inline does at once, on the goroutine at hand, what is otherwise done in the background. For tests that must know who syncs when.
	Inline bool
}

const (
	// SmallestFile is how large a file of the journal usually is at first, LeastFile how large it must be, in bytes.
	SmallestFile = 16 << 20
	LeastFile    = 64 << 10
)

const (
	// hurry is how long a file should take to fill. One that takes less becomes larger.
	hurry = time.Second
	// largestGroup bounds a group, in bytes.
	largestGroup = 4 << 20
	// firstBuffer is how large the memory for a group is at first.
	firstBuffer = 64 << 10
	// again is how long to wait until it is tried again to settle what could not be.
	again = time.Second
)

var (
	errBusy   = errors.New("the journal is full and what it holds could not be settled")
	errNoRoom = errors.New("there is no room for a journal")
	errClosed = errors.New("the journal is closed")
)

// Journal is the journal of one directory. Lock order: turn, then mu.
type Journal struct {
	root string
	o    Options

	mu      sync.Mutex // guards following, and what files say of it
	filling *group
	live    map[string]bool // owners that have writes in the journal since they were forgotten
	state   state
	tried   time.Time  // when there was no room for files
	broken  error      // why a write failed
	settled *sync.Cond // a file was settled, or could not be
	wanted  int64      // how large the files should be
	spare   []byte     // memory for the next group
	work    sync.WaitGroup

	turn       sync.Mutex // held by who writes; guards following
	files      [2]*file
	active     int
	generation uint64
}

type state int

const (
	absent state = iota // there are no files; the first Write has them made
	making
	ready
	closed
)

// file is one of the two.
type file struct {
	name string
	file vfs.File
	size int64 // changed only while it is settling

	// guarded by turn
	pass     pass
	position int64 // of the next group; 0: the header is not written yet
	number   uint64
	began    time.Time

	// guarded by mu
	dirty    map[Target]string // what holds writes that are not yet where they belong, and its owner
	clean    bool              // may be written over
	settling bool
	failed   time.Time // when not everything could be settled; zero: all was
}

// group is what is written together.
type group struct {
	b     []byte // room for a file's header, then the group
	dirty map[Target]string
	done  chan struct{}
	ok    bool // after done
}

// Owner is the name under which a directory gives its writes to the journal; ok is false for one that does not lie under its root.
func (j *Journal) Owner(dir string) (owner string, ok bool) {
	owner, ok = strings.CutPrefix(path.Clean(dir), j.root+"/")
	return owner, ok && fits(owner, "")
}

// Write makes durable that buffers are in the owner's file name from position on, and returns true then. The file has been written, and can be synced with t. false: the caller must sync it.
func (j *Journal) Write(owner, name string, t Target, position int64, buffers [][]byte) bool {
	size := 0
	for _, b := range buffers {
		size += len(b)
	}
	if !fits(owner, name) {
		return false
	}
	return j.submit(recordSize(owner, name)+size, func(g *group) {
		g.b = appendRecord(g.b, kindWrite, owner, name, position, size)
		for _, b := range buffers {
			g.b = append(g.b, b...)
		}
		g.dirty[t] = owner
		j.live[owner] = true
	}) == nil
}

// Holds says whether the journal may hold writes of the owner.
func (j *Journal) Holds(owner string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.live[owner]
}

// Forget makes sure that none of the owner's writes up to now are done again after a crash. The caller has synced its files, and writes nothing meanwhile.
func (j *Journal) Forget(owner string) error {
	for {
		if !j.Holds(owner) {
			return nil
		}
		err := j.submit(recordSize(owner, ""), func(g *group) { g.b = appendRecord(g.b, kindForget, owner, "", 0, 0) })
		if err == nil {
			j.forgotten(owner)
			return nil
		}
		if j.Holds(owner) && !(errors.Is(err, errBusy) && j.awaitRoom()) {
			return err
		}
	}
}

func (j *Journal) forgotten(owner string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.live, owner)
	for _, f := range j.files {
		for t, of := range f.dirty {
			if of == owner {
				delete(f.dirty, t)
			}
		}
	}
}

// submit puts a record of so many bytes into the group that is being filled and returns when that is written. The first to put something into a group writes it, when its turn comes: until
// then others join.
func (j *Journal) submit(size int, put func(*group)) error {
	j.mu.Lock()
	if err := j.usableLocked(size); err != nil {
		j.mu.Unlock()
		return err
	}
	g := j.filling
	first := g == nil
	if first {
		g = &group{b: j.bufferLocked(), dirty: map[Target]string{}, done: make(chan struct{})}
		j.filling = g
	}
	g.reserve(size)
	put(g)
	j.mu.Unlock()
	if first {
		j.commit(g)
	} else {
		<-g.done
	}
	if !g.ok {
		j.mu.Lock()
		defer j.mu.Unlock()
		if j.broken != nil {
			return j.broken
		}
		return errBusy
	}
	return nil
}

// usableLocked says why there can be no record of so many bytes now.
func (j *Journal) usableLocked(size int) error {
	switch {
	case j.state == closed:
		return errClosed
	case j.broken != nil:
		return j.broken
	case j.state != ready:
		if j.state == absent && time.Since(j.tried) > again {
			j.state = making
			j.background(j.makeFiles)
		}
		if j.state != ready {
			return errBusy
		}
	}
	held := groupHeader
	if g := j.filling; g != nil {
		held = len(g.b) - block
	}
	if int64(held+size) > min(largestGroup, j.o.Smallest-2*block) {
		return errBusy
	}
	return nil
}

// bufferLocked is the memory for a new group: aligned, with its headers.
func (j *Journal) bufferLocked() []byte {
	b := j.spare
	j.spare = nil
	if b == nil {
		b = vfs.Aligned(firstBuffer)
	}
	return b[:block+groupHeader]
}

// reserve makes room for so many bytes more, and for what fills the last block. The memory stays aligned.
func (g *group) reserve(size int) {
	if need := len(g.b) + size + block; need > cap(g.b) {
		g.b = append(vfs.Aligned(max(need, 2*cap(g.b)))[:0], g.b...)
	}
}

// commit writes a group, with all that has joined it until its turn has come.
func (j *Journal) commit(g *group) {
	j.turn.Lock()
	defer j.turn.Unlock()
	j.mu.Lock()
	j.filling = nil
	j.mu.Unlock()
	began := time.Now()
	err := j.write(g)
	g.ok = err == nil
	if g.ok && j.o.Synced != nil {
		j.o.Synced(began, len(g.b)-block)
	}
	j.mu.Lock()
	j.spare = g.b
	if err != nil && !errors.Is(err, errBusy) && j.broken == nil {
		j.broken = err
		j.o.Logger.Error("journal failed: every partition syncs its own files from now on", zap.String("directory", j.root), zap.Error(err))
	}
	j.mu.Unlock()
	close(g.done)
}

// write puts a group into the file whose turn it is, and syncs that. turn is held.
func (j *Journal) write(g *group) error {
	j.mu.Lock()
	err := j.broken // another group may have failed while this one waited
	if err == nil && j.state != ready {
		err = errBusy
	}
	j.mu.Unlock()
	if err != nil {
		return err
	}
	size := blocks(int64(len(g.b)) - block)
	f := j.files[j.active]
	if max(f.position, block)+size > f.size {
		if f = j.turnOver(f); f == nil {
			return errBusy
		}
	}
	content := g.seal(f, size)
	if _, err := f.file.WriteColdAt([][]byte{content}, f.position); err != nil {
		return err
	}
	if err := f.file.Sync(); err != nil {
		return err
	}
	f.position += int64(len(content))
	f.number++
	j.mu.Lock()
	for t, owner := range g.dirty {
		f.dirty[t] = owner
	}
	j.mu.Unlock()
	return nil
}

// seal gives what is to be written for a group that takes size bytes, in whole blocks: the first of a file with the file's header.
func (g *group) seal(f *file, size int64) []byte {
	sealGroup(g.b[block:], f.pass.key, f.number)
	end := len(g.b)
	g.b = g.b[:block+size]
	clear(g.b[end:])
	if f.position > 0 {
		return g.b[block:]
	}
	f.pass.putHeader(g.b)
	return g.b
}

// turnOver lets the other file follow the one that is full, if it is clean.
func (j *Journal) turnOver(full *file) *file {
	next := j.files[1-j.active]
	j.mu.Lock()
	clean := next.clean
	if clean {
		next.clean = false
		if time.Since(full.began) < hurry {
			j.wanted = min(2*j.wanted, j.o.Largest)
		}
	}
	j.mu.Unlock()
	if !clean {
		j.settle(next)
		return nil
	}
	j.begin(next)
	j.active = 1 - j.active
	j.settle(full)
	return next
}

// begin starts a new pass. turn is held.
func (j *Journal) begin(f *file) {
	var key [8]byte
	_, _ = rand.Read(key[:]) // never fails
	j.generation++
	f.pass = pass{j.generation, binary.LittleEndian.Uint64(key[:]) | 1}
	f.position, f.number, f.began = 0, 0, time.Now()
}

// background runs f, which takes mu, soon. mu is held.
func (j *Journal) background(f func()) {
	if j.o.Inline {
		j.mu.Unlock()
		defer j.mu.Lock()
		f()
		return
	}
	j.work.Go(f)
}
