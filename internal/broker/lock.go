package broker

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// directoryLock keeps a second process, and a node with another id, away from a data directory.
type directoryLock struct{ file *os.File }

// lockDirectory makes the data directory if it is not there, and locks it. The file holds the node's id: a directory belongs to one node for good, since its votes are in it.
func lockDirectory(dir string, node int32) (*directoryLock, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	path := filepath.Join(dir, "node.lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("data directory %s is in use by another process", dir)
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	l := &directoryLock{file: f}
	if err := l.claim(dir, node); err != nil {
		return nil, errors.Join(err, l.release())
	}
	return l, nil
}

// claim writes the node's id into a new lock file, or compares it with the one that is there.
func (l *directoryLock) claim(dir string, node int32) error {
	content := make([]byte, 32)
	n, _ := l.file.ReadAt(content, 0)
	text := strings.TrimSpace(string(content[:n]))
	want := strconv.Itoa(int(node))
	switch text {
	case want:
		return nil
	case "":
		if _, err := l.file.WriteAt([]byte(want+"\n"), 0); err != nil {
			return fmt.Errorf("write node id: %w", err)
		}
		return l.file.Sync()
	}
	return fmt.Errorf("data directory %s belongs to node %s, and this is node %d (node.id)", dir, text, node)
}

// check says whether dir still is the directory that was locked: it may have been removed, unmounted, or another may have taken its place.
func (l *directoryLock) check(dir string) error {
	held, err := l.file.Stat()
	if err != nil {
		return fmt.Errorf("data directory %s: %w", dir, err)
	}
	there, err := os.Stat(l.file.Name())
	if err != nil {
		return fmt.Errorf("data directory %s is gone: %w", dir, err)
	}
	if !os.SameFile(held, there) {
		return fmt.Errorf("data directory %s is gone, and another has taken its place", dir)
	}
	return nil
}

func (l *directoryLock) release() error { return l.file.Close() }
