package vfs

import (
	"io"
	"os"
)

// FS is a file system. Names are slash-separated paths. Errors for missing and existing files satisfy errors.Is with
// fs.ErrNotExist and fs.ErrExist. Safe for use by several goroutines.
type FS interface {
	// OpenFile opens a file with the flags of package os (O_RDONLY, O_RDWR, O_CREATE, O_EXCL, O_TRUNC). O_APPEND is not supported.
	OpenFile(name string, flag int, perm os.FileMode) (File, error)
	// MkdirAll creates a directory and its missing parents. The new names are durable after SyncDir of each parent.
	MkdirAll(name string) error
	// Remove removes a file or an empty directory. Files that are open stay readable.
	Remove(name string) error
	// RemoveAll removes a directory with everything in it; a missing one is no error.
	RemoveAll(name string) error
	// Rename replaces the name atomically.
	Rename(from, to string) error
	// ReadDir lists a directory, sorted by name.
	ReadDir(name string) ([]Info, error)
	// Stat describes one file or directory.
	Stat(name string) (Info, error)
	// SyncDir makes the names in a directory durable.
	SyncDir(name string) error
}

// Info describes a file.
type Info struct {
	Name  string // last element of the path
	Bytes int64  // 0 for a directory
	Dir   bool
}

// File is an open file. ReadAt, WriteAt and Sync may be called at the same time; what a concurrent read sees of a write is undefined.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// WritevAt writes the buffers one after another from position on, without joining them where the system can.
	WritevAt(buffers [][]byte, position int64) (int64, error)
	// WriteColdAt is WritevAt for bytes that nobody is expected to read soon: where the system can, whole blocks go straight to the disk, and no copy of them stays in memory. They are
	// durable after Sync, as with any write.
	WriteColdAt(buffers [][]byte, position int64) (int64, error)
	// Truncate sets the length in bytes.
	Truncate(bytes int64) error
	// Sync makes content and length durable (fdatasync).
	Sync() error
	// Size is the length in bytes.
	Size() (int64, error)
	// Fd is the descriptor for sendfile; ok is false on file systems that have none.
	Fd() (fd uintptr, ok bool)
	// Forget drops what the system keeps of the file in memory from position on, other than writes that are still to reach the disk, so that the next read tells what the disk
	// has. After a Sync that failed the two may differ. It does what it can; where it can do nothing, reads stay as they are.
	Forget(position int64)
}
