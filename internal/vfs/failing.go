package vfs

import (
	"errors"
	"os"
	"sync"
)

// ErrInjected is what Failing returns unless told otherwise.
var ErrInjected = errors.New("injected failure")

// Kind is a set of kinds of calls.
type Kind uint32

// The kinds of calls that Failing counts.
const (
	Open Kind = 1 << iota
	Mkdir
	Remove
	Rename
	List
	SyncDir
	Read
	Write
	Truncate
	Sync
	Close

	// Changes are the calls that change something or make it durable.
	Changes = Mkdir | Remove | Rename | SyncDir | Write | Truncate | Sync
	// All is every call.
	All = 1<<iota - 1
)

// Failing wraps a file system and fails chosen calls. A failed write may have written its first half, a failed Sync may
// have synced nothing: the bytes are there for a reader all the same, as they are in a page cache.
type Failing struct {
	FS FS
	// LoseWrites makes a Sync that fails on Memory drop what it should have written, as kernels do: a later Sync does not bring it back, and Forget shows it.
	LoseWrites bool

	mu      sync.Mutex // guards following
	decide  func(kind Kind, name string) error
	calls   int
	tripped bool
}

// NewFailing wraps fs; nothing fails until FailNth or FailWhen is called.
func NewFailing(fs FS) *Failing { return &Failing{FS: fs} }

// FailNth makes the nth call from now (counted from 1) of the given kinds fail, and lets those after it pass.
func (f *Failing) FailNth(kinds Kind, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls, f.tripped = 0, false
	f.decide = func(kind Kind, _ string) error {
		if kind&kinds == 0 {
			return nil
		}
		f.calls++
		if f.calls == n {
			return ErrInjected
		}
		return nil
	}
}

// FailWhen asks decide before every call; what it returns is the error of the call. nil lets everything pass.
func (f *Failing) FailWhen(decide func(kind Kind, name string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.decide, f.tripped = decide, false
}

// Tripped says whether a call has been failed since FailNth or FailWhen.
func (f *Failing) Tripped() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.tripped
}

func (f *Failing) check(kind Kind, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.decide == nil {
		return nil
	}
	err := f.decide(kind, name)
	if err != nil {
		f.tripped = true
	}
	return err
}

// OpenFile implements FS.
func (f *Failing) OpenFile(name string, flag int, perm os.FileMode) (File, error) {
	if err := f.check(Open, name); err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	file, err := f.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &failingFile{File: file, fs: f, name: name}, nil
}

// MkdirAll implements FS.
func (f *Failing) MkdirAll(name string) error {
	if err := f.check(Mkdir, name); err != nil {
		return &os.PathError{Op: "mkdir", Path: name, Err: err}
	}
	return f.FS.MkdirAll(name)
}

// Remove implements FS.
func (f *Failing) Remove(name string) error {
	if err := f.check(Remove, name); err != nil {
		return &os.PathError{Op: "remove", Path: name, Err: err}
	}
	return f.FS.Remove(name)
}

// RemoveAll implements FS.
func (f *Failing) RemoveAll(name string) error {
	if err := f.check(Remove, name); err != nil {
		return &os.PathError{Op: "remove", Path: name, Err: err}
	}
	return f.FS.RemoveAll(name)
}

// Rename implements FS.
func (f *Failing) Rename(from, to string) error {
	if err := f.check(Rename, to); err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return f.FS.Rename(from, to)
}

// ReadDir implements FS.
func (f *Failing) ReadDir(name string) ([]Info, error) {
	if err := f.check(List, name); err != nil {
		return nil, &os.PathError{Op: "list", Path: name, Err: err}
	}
	return f.FS.ReadDir(name)
}

// Stat implements FS.
func (f *Failing) Stat(name string) (Info, error) {
	if err := f.check(List, name); err != nil {
		return Info{}, &os.PathError{Op: "stat", Path: name, Err: err}
	}
	return f.FS.Stat(name)
}

// SyncDir implements FS.
func (f *Failing) SyncDir(name string) error {
	if err := f.check(SyncDir, name); err != nil {
		return &os.PathError{Op: "sync directory", Path: name, Err: err}
	}
	return f.FS.SyncDir(name)
}

type failingFile struct {
	File
	fs   *Failing
	name string
}

func (f *failingFile) fail(op string, err error) error {
	return &os.PathError{Op: op, Path: f.name, Err: err}
}

func (f *failingFile) ReadAt(b []byte, position int64) (int, error) {
	if err := f.fs.check(Read, f.name); err != nil {
		return 0, f.fail("read", err)
	}
	return f.File.ReadAt(b, position)
}

func (f *failingFile) WriteAt(b []byte, position int64) (int, error) {
	if err := f.fs.check(Write, f.name); err != nil {
		n, _ := f.File.WriteAt(b[:len(b)/2], position)
		return n, f.fail("write", err)
	}
	return f.File.WriteAt(b, position)
}

func (f *failingFile) WritevAt(buffers [][]byte, position int64) (int64, error) {
	if err := f.fs.check(Write, f.name); err != nil {
		n, _ := f.File.WritevAt(buffers[:len(buffers)/2], position)
		return n, f.fail("write", err)
	}
	return f.File.WritevAt(buffers, position)
}

func (f *failingFile) WriteColdAt(buffers [][]byte, position int64) (int64, error) {
	if err := f.fs.check(Write, f.name); err != nil {
		n, _ := f.File.WriteColdAt(buffers[:len(buffers)/2], position)
		return n, f.fail("write", err)
	}
	return f.File.WriteColdAt(buffers, position)
}

func (f *failingFile) Truncate(bytes int64) error {
	if err := f.fs.check(Truncate, f.name); err != nil {
		return f.fail("truncate", err)
	}
	return f.File.Truncate(bytes)
}

func (f *failingFile) Sync() error {
	if err := f.fs.check(Sync, f.name); err != nil {
		if m, ok := f.File.(*memoryFile); ok && f.fs.LoseWrites {
			m.loseWrites()
		}
		return f.fail("sync", err)
	}
	return f.File.Sync()
}

func (f *failingFile) Close() error {
	if err := f.fs.check(Close, f.name); err != nil {
		f.File.Close()
		return f.fail("close", err)
	}
	return f.File.Close()
}
