package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sync"

	"go.uber.org/zap"

	"github.com/barnabas-log/barnabas/internal/vfs"
)

// Open does again what the journal of a directory holds, and gives the journal, empty. Nobody has opened what lies in the directory. After an error it holds what it held.
func Open(root string, o Options) (*Journal, error) {
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.Room == nil {
		o.Room = func(int64) bool { return true }
	}
	j := &Journal{root: path.Clean(root), o: o, live: map[string]bool{}, wanted: o.Smallest}
	j.settled = sync.NewCond(&j.mu)
	err := j.redo("")
	if err == nil {
		err = j.empty()
	}
	if err != nil {
		return nil, fmt.Errorf("journal of %s: %w", root, err)
	}
	return j, nil
}

// Attach is called before the owner's files are looked at, each time after the first: what the journal still holds of it, because its files failed before they could be synced, is done again.
func (j *Journal) Attach(owner string) error {
	j.mu.Lock()
	live, broken := j.live[owner], j.broken != nil
	j.mu.Unlock()
	if !live && !broken {
		return nil
	}
	if broken {
		return j.mend()
	}
	j.turn.Lock()
	err := j.redo(owner)
	j.turn.Unlock()
	if err == nil {
		err = j.Forget(owner)
	}
	if errors.Is(err, errBusy) { // it is full, perhaps of what this very owner could not settle
		err = j.mend()
	}
	return err
}

// mend begins anew after a failure: everything is done again, and the files are made again with the next Write.
func (j *Journal) mend() error {
	j.turn.Lock()
	defer j.turn.Unlock()
	if err := j.redo(""); err != nil {
		return err
	}
	if err := j.empty(); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for j.state == ready && (j.files[0].settling || j.files[1].settling) {
		j.settled.Wait()
	}
	clear(j.live)
	j.closeFilesLocked()
	j.broken = nil
	if j.state != closed {
		j.state = absent
	}
	return nil
}

// Close ends the journal. If everything that it held is where it belongs, nothing is left of it for the next Open to do.
func (j *Journal) Close() error {
	j.mu.Lock()
	idle := j.state == absent || j.state == closed
	j.state = closed
	j.mu.Unlock()
	j.work.Wait()
	j.turn.Lock()
	defer j.turn.Unlock()
	j.mu.Lock()
	done := len(j.live) == 0 && j.broken == nil
	j.mu.Unlock()
	var err error
	if done && !idle {
		err = j.empty()
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return errors.Join(err, j.closeFilesLocked())
}

func (j *Journal) closeFilesLocked() error {
	var err error
	for k, f := range j.files {
		if f != nil {
			err = errors.Join(err, f.file.Close())
		}
		j.files[k] = nil
	}
	return err
}

// source is a file as it is read: what it holds, and of which generation.
type source struct {
	name string
	file vfs.File
	pass pass
	size int64
}

// sources opens the files that are there, the older one first.
func (j *Journal) sources() (all []*source, err error) {
	for k := range j.files {
		s := &source{name: path.Join(j.root, dirName, fileName(k))}
		s.file, err = j.o.FS.OpenFile(s.name, os.O_RDWR, 0)
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
			continue
		}
		if err != nil {
			break
		}
		all = append(all, s)
		if s.size, err = s.file.Size(); err != nil {
			break
		}
		s.file.Forget(0) // a write that could not be synced is not there
		header := make([]byte, headerSize)
		if err = readFull(s.file, header, 0); err != nil {
			break
		}
		if s.pass, err = parseHeader(header); err != nil {
			err = fmt.Errorf("%s: %w", s.name, err)
			break
		}
	}
	slices.SortFunc(all, func(a, b *source) int { return int(int64(a.pass.generation) - int64(b.pass.generation)) })
	if err != nil {
		err = errors.Join(err, closeAll(all))
	}
	return all, err
}

func closeAll(all []*source) error {
	var err error
	for _, s := range all {
		err = errors.Join(err, s.file.Close())
	}
	return err
}

// readFull reads what there is, and zeros behind the end.
func readFull(f vfs.File, b []byte, position int64) error {
	n, err := f.ReadAt(b, position)
	clear(b[n:])
	if err == io.EOF {
		return nil
	}
	return err
}

// each calls f with the records in order. A group that is not whole is the last: nobody was told that it is there. If another one follows all the same the journal is damaged, which is
// said to lost; what is left goes on to f.
func (s *source) each(f func(record) error, lost func(position int64)) error {
	if s.pass.key == 0 {
		return nil
	}
	b := make([]byte, block)
	next, torn := uint64(0), int64(0)
	for position := int64(block); position < s.size; {
		b = b[:block]
		if err := readFull(s.file, b, position); err != nil {
			return err
		}
		number, size, ok := groupAt(b, s.pass.key)
		if ok = ok && number >= next && position+size <= s.size; ok {
			b = slices.Grow(b, int(max(size-block, 0)))[:max(block, size)]
			if err := readFull(s.file, b[block:], position+block); err != nil {
				return err
			}
			ok = whole(b[:size])
		}
		if !ok {
			if torn == 0 {
				torn = position
			}
			position += block
			continue
		}
		if torn > 0 {
			lost(torn)
			torn = 0
		}
		if err := eachRecord(b[:size], f); err != nil {
			return fmt.Errorf("%s at %d: %w", s.name, position, err)
		}
		position, next = position+blocks(size), number+1
	}
	return nil
}

// redo writes what the journal holds, of one owner or, with "", of all, to where it belongs, and syncs that. The journal stays as it is, so that it may be done again.
func (j *Journal) redo(only string) (err error) {
	all, err := j.sources()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeAll(all)) }()
	forgotten, n := map[string]int{}, 0 // how many records there were when an owner was forgotten last
	for _, s := range all {
		j.generation = max(j.generation, s.pass.generation)
		lost := func(position int64) {
			j.o.Logger.Error("the journal is damaged: what it held there is lost, unless it had reached its file before", zap.String("file", s.name), zap.Int64("position", position))
		}
		if err := s.each(func(r record) error {
			if n++; r.kind == kindForget {
				forgotten[r.owner] = n
			}
			return nil
		}, lost); err != nil {
			return err
		}
	}
	w := writer{fs: j.o.FS, root: j.root, logger: j.o.Logger, open: map[string]*written{}}
	defer func() { err = errors.Join(err, w.finish()) }()
	n = 0
	for _, s := range all {
		if err := s.each(func(r record) error {
			if n++; r.kind == kindWrite && n > forgotten[r.owner] && (only == "" || only == r.owner) {
				return w.write(r)
			}
			return nil
		}, func(int64) {}); err != nil {
			return err
		}
	}
	return nil
}

// empty makes the files hold nothing, the older one first: what it holds means something only together with what follows. One that seems to hold nothing is no exception: the disk may still have
// what it held before. The generation stays, for what is left if this fails.
func (j *Journal) empty() error {
	all, err := j.sources()
	if err != nil {
		return err
	}
	for _, s := range all {
		header := make([]byte, block)
		pass{generation: j.generation}.putHeader(header)
		if _, err = s.file.WriteAt(header, 0); err == nil {
			err = s.file.Sync()
		}
		if err != nil {
			break
		}
	}
	return errors.Join(err, closeAll(all))
}

// openLimit is how many files are open at a time while everything is done again.
const openLimit = 128

// writer does writes again.
type writer struct {
	fs     vfs.FS
	root   string
	logger *zap.Logger
	open   map[string]*written
	there  []byte // scratch
}

// written is a file that was opened for it. file is nil if it is not there.
type written struct {
	file vfs.File
	size int64
	told bool
	back int // bytes that were not there
}

// write does one again. What belongs into a file that is not there is left: the file was removed. What belongs behind the end of one is, too: that is damage, which is found by who knows what
// should be there.
func (w *writer) write(r record) error {
	name := path.Join(w.root, r.owner, r.file)
	if !filepath.IsLocal(r.owner) || !filepath.IsLocal(r.file) {
		return fmt.Errorf("a write to %q", name)
	}
	f := w.open[name]
	if f == nil {
		if len(w.open) == openLimit {
			if err := w.finish(); err != nil {
				return err
			}
		}
		var err error
		if f, err = w.openFile(name); err != nil {
			return err
		}
		w.open[name] = f
	}
	if f.file != nil && r.position > f.size && !f.told {
		f.told = true
		w.logger.Error("the journal holds a write that belongs behind the end of its file", zap.String("file", name), zap.Int64("position", r.position), zap.Int64("end", f.size))
	}
	if f.file == nil || r.position > f.size {
		return nil
	}
	w.there = slices.Grow(w.there[:0], len(r.data))[:len(r.data)]
	if err := readFull(f.file, w.there, r.position); err != nil {
		return err
	}
	if !bytes.Equal(w.there, r.data) {
		f.back += len(r.data)
	}
	if _, err := f.file.WriteAt(r.data, r.position); err != nil { // also what is there: the disk may not have it
		return err
	}
	f.size = max(f.size, r.position+int64(len(r.data)))
	return nil
}

func (w *writer) openFile(name string) (*written, error) {
	opened, err := w.fs.OpenFile(name, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return &written{}, nil
	}
	if err != nil {
		return nil, err
	}
	size, err := opened.Size()
	if err != nil {
		return nil, errors.Join(err, opened.Close())
	}
	return &written{file: opened, size: size}, nil
}

// finish makes what was written durable.
func (w *writer) finish() error {
	var err error
	for name, f := range w.open {
		if f.file != nil {
			err = errors.Join(err, f.file.Sync(), f.file.Close())
		}
		if f.back > 0 {
			w.logger.Info("put back from the journal, as after a power cut", zap.String("file", name), zap.Int("bytes", f.back))
		}
		delete(w.open, name)
	}
	return err
}
