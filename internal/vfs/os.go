package vfs

import (
	"errors"
	"os"
)

// OS is the file system of the machine.
type OS struct{}

// OpenFile implements FS.
func (OS) OpenFile(name string, flag int, perm os.FileMode) (File, error) {
	f, err := os.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &osFile{File: f}, nil
}

// MkdirAll implements FS.
func (OS) MkdirAll(name string) error { return os.MkdirAll(name, 0o755) }

// Remove implements FS.
func (OS) Remove(name string) error { return os.Remove(name) }

// RemoveAll implements FS.
func (OS) RemoveAll(name string) error { return os.RemoveAll(name) }

// Rename implements FS.
func (OS) Rename(from, to string) error { return os.Rename(from, to) }

// ReadDir implements FS.
func (OS) ReadDir(name string) ([]Info, error) {
	entries, err := os.ReadDir(name)
	if err != nil {
		return nil, err
	}
	infos := make([]Info, 0, len(entries))
	for _, entry := range entries {
		stat, err := entry.Info()
		if err != nil {
			if os.IsNotExist(err) {
				continue // removed meanwhile
			}
			return nil, err
		}
		infos = append(infos, osInfo(stat))
	}
	return infos, nil
}

// Stat implements FS.
func (OS) Stat(name string) (Info, error) {
	stat, err := os.Stat(name)
	if err != nil {
		return Info{}, err
	}
	return osInfo(stat), nil
}

// SyncDir implements FS.
func (OS) SyncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	if err := d.Sync(); err != nil {
		d.Close()
		return err
	}
	return d.Close()
}

func osInfo(stat os.FileInfo) Info {
	info := Info{Name: stat.Name(), Dir: stat.IsDir()}
	if !info.Dir {
		info.Bytes = stat.Size()
	}
	return info
}

type osFile struct {
	*os.File
	direct int // descriptor that writes around the page cache, or a state; WriteColdAt's
}

func (f *osFile) Size() (int64, error) {
	stat, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return stat.Size(), nil
}

// Close closes every descriptor of the file.
func (f *osFile) Close() error { return errors.Join(f.closeDirect(), f.File.Close()) }

func (f *osFile) Fd() (uintptr, bool) { return f.File.Fd(), true }
