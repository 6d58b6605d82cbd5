package journal

import (
	"errors"
	"os"
	"path"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/barnabas-log/barnabas/internal/vfs"
)

const (
	// dirName is where the files lie.
	dirName = "journal"
	// settleLimit is how many files are settled at a time.
	settleLimit = 8
	// zeroStep is how much is written at a time into files that are made larger.
	zeroStep = 1 << 20
)

// settle has what a file holds synced to where it belongs, and makes the file clean if all of it could be.
func (j *Journal) settle(f *file) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if f.settling || j.state == closed || time.Since(f.failed) < again && !j.o.Inline {
		return
	}
	f.settling = true
	targets := make([]Target, 0, len(f.dirty))
	for t := range f.dirty {
		targets = append(targets, t)
	}
	j.background(func() {
		j.settleAll(f, targets)
		j.mu.Lock()
		done := len(f.dirty) == 0
		wanted := j.wanted
		j.mu.Unlock()
		if done && f.size < wanted && j.o.Room(wanted-f.size) {
			if err := f.grow(wanted); err != nil {
				j.o.Logger.Warn("the journal cannot be made larger", zap.String("directory", j.root), zap.Error(err))
			}
		}
		j.mu.Lock()
		defer j.mu.Unlock()
		if f.settling, f.clean = false, done; done {
			f.failed = time.Time{}
		} else {
			f.failed = time.Now()
		}
		j.settled.Broadcast()
	})
}

func (j *Journal) settleAll(f *file, targets []Target) {
	var work errgroup.Group
	work.SetLimit(settleLimit)
	for _, t := range targets {
		settle := func() error {
			if err := t.Settle(); err != nil {
				j.o.Logger.Error("what the journal holds of a file cannot be made durable there: it is kept", zap.String("directory", j.root), zap.Error(err))
				return nil
			}
			j.mu.Lock()
			delete(f.dirty, t)
			j.mu.Unlock()
			return nil
		}
		if j.o.Inline {
			_ = settle()
			continue
		}
		work.Go(settle)
	}
	_ = work.Wait() // the functions report their own errors
}

// grow writes zeros up to a size, so that what is written there later need not change the file's metadata. After an error the file is as large as it was for whoever writes to it.
func (f *file) grow(size int64) error {
	zeros := vfs.Aligned(zeroStep)
	for at := f.size; at < size; at += zeroStep {
		if _, err := f.file.WriteColdAt([][]byte{zeros[:min(zeroStep, size-at)]}, at); err != nil {
			return errors.Join(err, f.file.Truncate(f.size))
		}
	}
	if err := f.file.Sync(); err != nil {
		return err
	}
	f.size = size
	return nil
}

// awaitRoom waits while files are being made or settled, and says whether there may be room then.
func (j *Journal) awaitRoom() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	waited := false
	for j.state == making || j.state == ready && (j.files[0].settling || j.files[1].settling) {
		j.settled.Wait()
		waited = true
	}
	return waited || j.state == ready && (j.files[0].clean || j.files[1].clean)
}

// makeFiles makes the two files, or opens those that are there and hold nothing, and has the journal used.
func (j *Journal) makeFiles() {
	files, err := j.openFiles()
	if errors.Is(err, errNoRoom) {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.tried = time.Now()
		if j.state == making {
			j.state = absent
		}
		j.settled.Broadcast()
		return
	}
	j.turn.Lock()
	defer j.turn.Unlock()
	j.mu.Lock()
	defer j.mu.Unlock()
	defer j.settled.Broadcast()
	if err != nil {
		if j.broken = err; j.state == making {
			j.state = absent
		}
		j.o.Logger.Error("no journal could be made: every partition syncs its own files", zap.String("directory", j.root), zap.Error(err))
		return
	}
	j.begin(files[0])
	files[1].clean = true
	j.files, j.active = files, 0
	if j.state == making {
		j.state = ready
	}
}

func (j *Journal) openFiles() (files [2]*file, err error) {
	dir := path.Join(j.root, dirName)
	if err := j.o.FS.MkdirAll(dir); err != nil {
		return files, err
	}
	if err := j.o.FS.SyncDir(j.root); err != nil {
		return files, err
	}
	for k := range files {
		if files[k], err = j.openFile(path.Join(dir, fileName(k))); err != nil {
			break
		}
	}
	if err == nil {
		err = j.o.FS.SyncDir(dir)
	}
	if err != nil {
		for _, f := range files {
			if f != nil {
				err = errors.Join(err, f.file.Close())
			}
		}
	}
	return files, err
}

// openFile opens a file, and makes it if need be. It has at least its smallest size.
func (j *Journal) openFile(name string) (*file, error) {
	opened, err := j.o.FS.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	f := &file{name: name, file: opened, dirty: map[Target]string{}}
	size, err := opened.Size()
	if err == nil {
		f.size = size &^ (block - 1)
		switch least := j.o.Smallest; {
		case f.size >= least:
		case !j.o.Room(least - f.size):
			err = errNoRoom
		default:
			err = f.grow(least)
		}
	}
	if err != nil {
		return nil, errors.Join(err, opened.Close())
	}
	return f, nil
}

func fileName(k int) string { return string(rune('0' + k)) }
