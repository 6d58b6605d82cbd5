package log

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"sort"

	"github.com/barnabas-log/barnabas/internal/vfs"
)

const (
	ctlName       = "ctl"
	ctlMagic      = "BCTL"
	ctlVersion    = 1
	ctlHeaderSize = 8
	// ctlRecordSize is a record without its data:
	//
	//	0 length  u32   of everything after the CRC
	//	4 CRC32C  u32   of everything after it
	//	8 index   u64
	//	16 term   u64
	//	24 next offset i64
	//	32 kind   u8
	//	33 data
	ctlRecordSize = 33

	// kindEpoch marks the first batch of a term that began without an entry in ctl. It is no entry: the batch has the index.
	kindEpoch Kind = 255
)

// control is what is kept in memory of a record in ctl.
type control struct {
	index    Index
	term     Term
	kind     Kind
	next     Offset
	position int64 // of the record in the file
	size     int   // of the data
}

func (c control) meta() Meta {
	return Meta{Index: c.index, Term: c.term, Kind: c.kind, BaseOffset: c.next, NextOffset: c.next, Size: c.size}
}

func (c control) end() int64 { return c.position + ctlRecordSize + int64(c.size) }

// controls are the records of ctl above the floor, in order of their index. A published value is never changed.
type controls []control

// from is the place of the first record with an index of at least i.
func (cs controls) from(i Index) int {
	return sort.Search(len(cs), func(k int) bool { return cs[k].index >= i })
}

// find gives the entry with that index, if it is one of ctl.
func (cs controls) find(i Index) (control, bool) {
	k := cs.from(i)
	if k < len(cs) && cs[k].index == i && cs[k].kind != kindEpoch {
		return cs[k], true
	}
	return control{}, false
}

// batchFrom is the first index at or after i that is not one of ctl.
func (cs controls) batchFrom(i Index) Index {
	for k := cs.from(i); k < len(cs) && cs[k].index == i; k++ {
		if cs[k].kind != kindEpoch {
			i++
		}
	}
	return i
}

var errChecksum = errors.New("record checksum mismatch")

func appendControl(b []byte, c control, data []byte) []byte {
	at := len(b)
	b = append(b, make([]byte, ctlRecordSize)...)
	b = append(b, data...)
	r := b[at:]
	binary.LittleEndian.PutUint32(r, uint32(len(r)-8))
	binary.LittleEndian.PutUint64(r[8:], uint64(c.index))
	binary.LittleEndian.PutUint64(r[16:], uint64(c.term))
	binary.LittleEndian.PutUint64(r[24:], uint64(c.next))
	r[32] = byte(c.kind)
	binary.LittleEndian.PutUint32(r[4:], crc32.Checksum(r[8:], castagnoli))
	return b
}

// decodeControl decodes the record at the start of b and gives its data, which aliases b.
func decodeControl(b []byte) (c control, data []byte, err error) {
	if len(b) < ctlRecordSize {
		return c, nil, fmt.Errorf("%d bytes are less than a record", len(b))
	}
	length := int64(binary.LittleEndian.Uint32(b))
	if length < ctlRecordSize-8 || length > int64(len(b))-8 {
		return c, nil, fmt.Errorf("record length %d with %d bytes left", length, len(b)-8)
	}
	b = b[:8+length]
	if crc32.Checksum(b[8:], castagnoli) != binary.LittleEndian.Uint32(b[4:]) {
		return c, nil, errChecksum
	}
	c = control{
		index: Index(binary.LittleEndian.Uint64(b[8:])),
		term:  Term(binary.LittleEndian.Uint64(b[16:])),
		next:  Offset(binary.LittleEndian.Uint64(b[24:])),
		kind:  Kind(b[32]),
		size:  len(b) - ctlRecordSize,
	}
	return c, b[ctlRecordSize:], nil
}

// parseCtl decodes a whole file. It gives the records up to the first that is broken, where that one is, and what is wrong with it (nil if
// everything is right).
func parseCtl(b []byte, each func(control, []byte)) (end int64, err error) {
	if len(b) < ctlHeaderSize || string(b[:4]) != ctlMagic {
		return 0, errors.New("not a ctl file")
	}
	switch v := binary.LittleEndian.Uint32(b[4:]); {
	case !plausible(v):
		return 0, fmt.Errorf("version %d", v)
	case v != ctlVersion:
		return 0, fmt.Errorf("version %d: %w", v, ErrUnsupported)
	}
	end = ctlHeaderSize
	var last Index
	for end < int64(len(b)) {
		c, data, err := decodeControl(b[end:])
		if err != nil {
			return end, err
		}
		if c.index <= last {
			return end, fmt.Errorf("index %d after %d", c.index, last)
		}
		c.position, last = end, c.index
		each(c, data)
		end = c.end()
	}
	return end, nil
}

func ctlHeader() []byte {
	return binary.LittleEndian.AppendUint32([]byte(ctlMagic), ctlVersion)
}

// ctlFile is the file, opened for each use: it is rarely needed and a node holds thousands of logs.
type ctlFile struct {
	fs   vfs.FS
	path string
	size int64 // durable length; writer only
}

// with opens the file for one action.
func (f *ctlFile) with(flag int, do func(vfs.File) error) error {
	file, err := f.fs.OpenFile(f.path, flag, 0o644)
	if err != nil {
		return err
	}
	return errors.Join(do(file), file.Close())
}

func (f *ctlFile) append(b []byte) error {
	err := f.with(os.O_RDWR, func(file vfs.File) error {
		if _, err := file.WriteAt(b, f.size); err != nil {
			return err
		}
		return file.Sync()
	})
	if err != nil {
		return fmt.Errorf("append to %s: %w", ctlName, err)
	}
	f.size += int64(len(b))
	return nil
}

func (f *ctlFile) truncate(size int64) error {
	err := f.with(os.O_RDWR, func(file vfs.File) error {
		if err := file.Truncate(size); err != nil {
			return err
		}
		return file.Sync()
	})
	if err != nil {
		return fmt.Errorf("truncate %s: %w", ctlName, err)
	}
	f.size = size
	return nil
}

// read appends the data of the record to dst. ErrNotFound if another record is there by now.
func (f *ctlFile) read(dst []byte, want control) ([]byte, error) {
	b := make([]byte, want.end()-want.position)
	err := f.with(os.O_RDONLY, func(file vfs.File) error {
		n, err := file.ReadAt(b, want.position)
		if n < len(b) && (err == nil || err == io.EOF) {
			return ErrNotFound
		}
		if n < len(b) {
			return err
		}
		return nil
	})
	if err != nil {
		return dst, fmt.Errorf("read %s at %d: %w", ctlName, want.position, err)
	}
	c, data, err := decodeControl(b)
	if err != nil || c.index != want.index || c.term != want.term || c.kind != want.kind {
		return dst, ErrNotFound
	}
	return append(dst, data...), nil
}

// compact drops the records that come before keep, whose positions change.
func (f *ctlFile) compact(keep controls) (controls, error) {
	b := ctlHeader()
	moved := make(controls, 0, len(keep))
	for _, c := range keep {
		data, err := f.read(nil, c)
		if err != nil {
			return nil, err
		}
		c.position = int64(len(b))
		b = appendControl(b, c, data)
		moved = append(moved, c)
	}
	if err := vfs.ReplaceFile(f.fs, f.path, b); err != nil {
		return nil, err
	}
	f.size = int64(len(b))
	return moved, nil
}
