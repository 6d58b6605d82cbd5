package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// keptFree is how much memory is left free when the page cache is filled, in bytes.
const keptFree = 256 << 20

// fillPageCache puts free memory to use as page cache, as on a server that has run for a while: it reads a file without blocks. The kernel then reuses pages for what is
// written. Pages that were free cost more, and most on a virtual machine whose host takes free memory back: there a write into them took ten times the processor time, in the
// kernel, on every system alike. What a run has deleted is free again, so it is called before each run; it takes long only the first time.
func fillPageCache(dir string) (err error) {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return fmt.Errorf("ask for memory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "pagecache"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }() // the file stays, or its pages would be free again
	// A request to read ahead is cut, silently, to what the kernel reads ahead at most, which is 128 KiB unless somebody has changed it.
	const step, look = 128 << 10, 16 << 20
	size := int64(info.Totalram) * int64(info.Unit)
	if err := f.Truncate(size); err != nil {
		return err
	}
	for at := int64(0); at < size; at += step {
		if at%look == 0 {
			if err := unix.Sysinfo(&info); err != nil {
				return fmt.Errorf("ask for free memory: %w", err)
			}
			if int64(info.Freeram)*int64(info.Unit) < keptFree {
				return nil
			}
		}
		if err := unix.Fadvise(int(f.Fd()), at, step, unix.FADV_WILLNEED); err != nil {
			return fmt.Errorf("fill the page cache: %w", err)
		}
	}
	return nil
}
