package vfs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
)

// TemporarySuffix ends the name of a file that is to replace another. What a crash has left of one may be removed.
const TemporarySuffix = ".tmp"

// ReadFile reads a file to its end.
func ReadFile(files FS, name string) ([]byte, error) {
	f, err := files.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	b := make([]byte, size)
	n, err := f.ReadAt(b, 0)
	if n < len(b) {
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return b, nil
}

// WriteSynced creates or replaces a file and makes its content durable, but not its name.
func WriteSynced(files FS, name string, content []byte) error {
	f, err := files.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(content, 0)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// ReplaceFile makes content that of a file, atomically and durably. After an error the file has its old content or the new one, and after a crash may have the other.
func ReplaceFile(files FS, name string, content []byte) error {
	err := WriteSynced(files, name+TemporarySuffix, content)
	if err == nil {
		err = files.Rename(name+TemporarySuffix, name)
	}
	if err == nil {
		err = files.SyncDir(path.Dir(name))
	}
	if err != nil {
		return fmt.Errorf("replace %s: %w", name, err)
	}
	return nil
}
