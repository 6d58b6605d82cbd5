package log

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"

	"github.com/barnabas-log/barnabas/internal/vfs"
)

// Outline is what the small files of a log's directory and the names of its segments tell. Inspect verifies; this is for a look at thousands of logs.
type Outline struct {
	Segments int
	// Bytes are those of all segments. A file that was made longer ahead of its records counts whole.
	Bytes int64
	// Start is the log start offset, End the offset after the last whole batch.
	Start, End Offset
	// HighWatermark is that of the last checkpoint, 0 for none.
	HighWatermark Offset
	// CompactedTo is where the segments end that compaction has been over, DirtyBytes what lies behind it.
	CompactedTo Offset
	DirtyBytes  int64
}

// ReadOutline reads the outline of a log's directory without changing anything; the log had better not be open. Damage that it meets is a *CorruptError beside what it could tell. A nil file
// system is that of the machine.
func ReadOutline(files vfs.FS, dir string) (o Outline, err error) {
	if files == nil {
		files = vfs.OS{}
	}
	bases, err := segmentBases(files, dir)
	if err != nil {
		return o, fmt.Errorf("outline of %s: %w", dir, err)
	}
	m, damage := readManifest(files, dir)
	if damage == nil && m == nil && len(bases) > 0 {
		damage = &CorruptError{path.Join(dir, manifestName), 0, "missing"}
	}
	if m != nil {
		o.Start = m.floor.Start
		bases = slices.DeleteFunc(bases, func(base Offset) bool { return base < m.floor.Offset })
	} else if len(bases) > 0 {
		o.Start = bases[0]
	}
	checkpoint, err := readCheckpoint(files, dir)
	if err != nil && !errors.Is(err, ErrCorrupt) { // a damaged one is made anew
		return o, fmt.Errorf("outline of %s: %w", dir, err)
	}
	o.HighWatermark, o.CompactedTo, o.End = checkpoint.HighWatermark, o.Start, o.Start
	clean := true
	for k, base := range bases {
		name := path.Join(dir, segmentName(base))
		info, err := files.Stat(name + logSuffix)
		if errors.Is(err, fs.ErrNotExist) {
			continue // trimmed or compacted away at this moment
		}
		if err != nil {
			return o, fmt.Errorf("outline of %s: %w", dir, err)
		}
		o.Segments++
		o.Bytes += info.Bytes
		clean = clean && compactedBySeal(files, name+".raftindex")
		if !clean {
			o.DirtyBytes += info.Bytes
		} else if k+1 < len(bases) {
			o.CompactedTo = bases[k+1]
		}
		if k+1 == len(bases) {
			if o.End, err = endOf(files, name+logSuffix, info.Bytes, base); err != nil {
				return o, fmt.Errorf("outline of %s: %w", dir, err)
			}
		}
	}
	o.End = max(o.End, o.Start)
	return o, damage
}

// compactedBySeal says whether the seal of a segment says that compaction has been over it. An active segment has none.
func compactedBySeal(files vfs.FS, name string) bool {
	f, err := files.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	b := make([]byte, sealSize)
	if readFull(f, b, 0) != nil {
		return false
	}
	s, err := decodeSeal(b)
	return err == nil && s.compacted
}

// endOf hops from header to header to the end of a segment.
func endOf(files vfs.FS, name string, size int64, next Offset) (Offset, error) {
	f, err := files.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return next, err
	}
	defer f.Close()
	h := make(Header, HeaderSize)
	for position := int64(0); position+HeaderSize <= size; {
		if err := readFull(f, h, position); err != nil {
			return next, fmt.Errorf("read %s at %d: %w", name, position, err)
		}
		length := int64(h.Size())
		if h.Magic() != 2 || length < HeaderSize || position+length > size || h.BaseOffset() < next {
			break
		}
		next = h.next()
		position += length
	}
	return next, nil
}
