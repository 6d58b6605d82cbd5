//go:build !linux

package vfs

// WritevAt writes the buffers one after another.
func (f *osFile) WritevAt(buffers [][]byte, position int64) (int64, error) {
	return writeEach(f, buffers, position)
}

// WriteColdAt is WritevAt.
func (f *osFile) WriteColdAt(buffers [][]byte, position int64) (int64, error) {
	return writeEach(f, buffers, position)
}

func (f *osFile) closeDirect() error { return nil }

// Sync is fsync where there is no fdatasync.
func (f *osFile) Sync() error { return f.File.Sync() }

// Forget does nothing where there is no fadvise.
func (f *osFile) Forget(int64) {}

func writeEach(f File, buffers [][]byte, position int64) (int64, error) {
	var written int64
	for _, b := range buffers {
		n, err := f.WriteAt(b, position+written)
		written += int64(n)
		if err != nil {
			return written, err
		}
	}
	return written, nil
}
