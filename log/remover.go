package log

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/barnabas-log/barnabas/internal/vfs"
)

// deletedSuffix is what the name of a file or directory ends with that is to be removed. It means nothing to Open.
const deletedSuffix = ".deleted"

// Remover removes files and directories behind the back of those who work: giving back the blocks of a large file takes the file system a while, in which it may hold up
// every fsync. There is one for a node, with at most one goroutine, which rests after each file as long as that took. What is left when it is closed has a name that ends
// in .deleted, and goes when the log is opened again, or with Sweep. A nil Remover removes at once.
type Remover struct {
	fs     vfs.FS
	logger *zap.Logger
	quit   chan struct{}
	kick   chan struct{} // capacity 1: something was added that may be due before the others
	done   sync.WaitGroup

	mu      sync.Mutex // guards following
	doomed  []doomed   // by due
	running bool
	closed  bool
}

type doomed struct {
	name string
	due  time.Time
	then func() // after it is gone; may be nil
}

// NewRemover makes a remover that is to be closed. A nil file system is the one of the machine, a nil logger is silent.
func NewRemover(files vfs.FS, logger *zap.Logger) *Remover {
	if files == nil {
		files = vfs.OS{}
	}
	if logger == nil {
		logger = zap.NewNop()
	}
	return &Remover{fs: files, logger: logger, quit: make(chan struct{}), kick: make(chan struct{}, 1)}
}

// Close ends the goroutine after the file at hand. Safe to call twice, and on nil.
func (r *Remover) Close() {
	if r == nil {
		return
	}
	r.mu.Lock()
	if !r.closed {
		r.closed = true
		close(r.quit)
	}
	r.mu.Unlock()
	r.done.Wait()
}

// Waiting is how many files and directories are still to be removed.
func (r *Remover) Waiting() int {
	if r == nil {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.doomed)
}

// add takes a name that ends in .deleted and says when it is to go. then is called after that, by the remover's goroutine.
func (r *Remover) add(name string, delay time.Duration, then func()) {
	d := doomed{name, time.Now().Add(delay), then}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	at, _ := slices.BinarySearchFunc(r.doomed, d, func(a, b doomed) int { // behind those that are due at the same time
		if a.due.After(b.due) {
			return 1
		}
		return -1
	})
	r.doomed = slices.Insert(r.doomed, at, d)
	if !r.running {
		r.running = true
		r.done.Go(r.run)
		return
	}
	select {
	case r.kick <- struct{}{}:
	default:
	}
}

// run works until nothing is left.
func (r *Remover) run() {
	for {
		r.mu.Lock()
		if len(r.doomed) == 0 {
			r.doomed, r.running = nil, false
			r.mu.Unlock()
			return
		}
		d := r.doomed[0]
		wait := time.Until(d.due)
		if wait <= 0 {
			r.doomed = slices.Delete(r.doomed, 0, 1)
		}
		r.mu.Unlock()
		if wait > 0 {
			if !r.rest(wait, r.kick) {
				return
			}
		} else if !r.remove(d) {
			return
		}
	}
}

// rest waits, or until kick. false: it is closed.
func (r *Remover) rest(d time.Duration, kick <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-kick:
	case <-r.quit:
		return false
	}
	return true
}

// remove removes one, a directory file by file, and rests. An error is the operator's to read: what is left goes at the next start. false: it is closed.
func (r *Remover) remove(d doomed) bool {
	for _, name := range append(r.files(d.name), d.name) {
		began := time.Now()
		if err := r.fs.RemoveAll(name); err != nil {
			r.logger.Warn("a deleted file could not be removed: it is tried again when the node starts", zap.String("file", name), zap.Error(err))
			return true
		}
		if !r.rest(time.Since(began), nil) {
			return false
		}
	}
	if d.then != nil {
		d.then()
	}
	return true
}

// files are those in a directory; nothing for a file.
func (r *Remover) files(name string) (all []string) {
	infos, err := r.fs.ReadDir(name)
	if err != nil {
		return nil
	}
	for _, info := range infos {
		all = append(all, path.Join(name, info.Name))
	}
	return all
}

// discard renames a file and has it removed after a while, or removes it at once where there is no remover. A file that is not there is no error.
func (r *Remover) discard(files vfs.FS, name string, delay time.Duration) error {
	if r == nil {
		return removeIfThere(files, name)
	}
	aside := name
	if !Removed(name) { // else a crash or the last close left it
		aside += deletedSuffix
		if err := files.Rename(name, aside); errors.Is(err, fs.ErrNotExist) {
			return nil
		} else if err != nil {
			return err
		}
	}
	r.add(aside, delay, nil)
	return nil
}

// Remove removes the directory of a log that is not open. Once the directory is renamed it is gone for Open; Sweep removes what a crash leaves. A directory that
// is not there is no error. A nil file system is the one of the machine. With a remover the files go in the background, and then is called after that; without one they
// are gone on return.
func Remove(files vfs.FS, dir string, r *Remover, then func()) error {
	if files == nil {
		files = vfs.OS{}
	}
	aside, err := putAside(files, path.Clean(dir))
	if err != nil {
		return fmt.Errorf("delete log %s: %w", dir, err)
	}
	switch {
	case aside != "" && r != nil:
		r.add(aside, 0, then)
		return nil
	case aside != "":
		if err := files.RemoveAll(aside); err != nil {
			return fmt.Errorf("delete log %s: %w", dir, err)
		}
	}
	if then != nil {
		then()
	}
	return nil
}

// putAside renames a directory, durably, and says what it is called then: "" if it was not there.
func putAside(files vfs.FS, dir string) (string, error) {
	aside := dir + deletedSuffix
	for n := 1; ; n++ { // an earlier log of that name may still be waiting for its removal
		if _, err := files.Stat(aside); errors.Is(err, fs.ErrNotExist) {
			break
		} else if err != nil {
			return "", err
		}
		aside = fmt.Sprintf("%s.%d%s", dir, n, deletedSuffix)
	}
	err := files.Rename(dir, aside)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err == nil {
		err = files.SyncDir(path.Dir(dir))
	}
	return aside, err
}

// Removed says whether a name is one of a directory that is to be removed.
func Removed(name string) bool { return strings.HasSuffix(name, deletedSuffix) }

// Sweep removes, in a directory that holds the directories of logs, those whose deletion was interrupted: in the background if there is a remover. A nil file system is the
// one of the machine.
func Sweep(files vfs.FS, dir string, r *Remover, then func()) error {
	if files == nil {
		files = vfs.OS{}
	}
	infos, err := files.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("sweep %s: %w", dir, err)
	}
	for _, info := range infos {
		if !info.Dir || !Removed(info.Name) {
			continue
		}
		name := path.Join(dir, info.Name)
		if r != nil {
			r.add(name, 0, then)
		} else if err := files.RemoveAll(name); err != nil {
			return fmt.Errorf("sweep %s: %w", dir, err)
		}
	}
	return nil
}
