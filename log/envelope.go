package log

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path"

	"github.com/barnabas-log/barnabas/internal/vfs"
)

// The manifest and the checkpoint are small files that are replaced as a whole. Both have the same envelope, little endian:
//
//	0 magic    4 bytes
//	4 version  u32
//	8 length   u32   of the body
//	12 CRC32C  u32   of the body
//	16 body
const envelopeSize = 16

// replaceFile makes the body the content of the file, atomically and durably.
func replaceFile(files vfs.FS, dir, name, magic string, version uint32, body []byte) error {
	b := make([]byte, envelopeSize, envelopeSize+len(body))
	copy(b, magic)
	binary.LittleEndian.PutUint32(b[4:], version)
	binary.LittleEndian.PutUint32(b[8:], uint32(len(body)))
	binary.LittleEndian.PutUint32(b[12:], crc32.Checksum(body, castagnoli))
	return vfs.ReplaceFile(files, path.Join(dir, name), append(b, body...))
}

// readEnvelope gives the body, or nil when there is no such file.
func readEnvelope(files vfs.FS, dir, name, magic string, version uint32) ([]byte, error) {
	file := path.Join(dir, name)
	b, err := vfs.ReadFile(files, file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return openEnvelope(file, b, magic, version)
}

func openEnvelope(file string, b []byte, magic string, version uint32) ([]byte, error) {
	if len(b) < envelopeSize || string(b[:4]) != magic {
		return nil, &CorruptError{file, 0, "not a " + path.Base(file)}
	}
	switch v := binary.LittleEndian.Uint32(b[4:]); {
	case !plausible(v):
		return nil, &CorruptError{file, 4, fmt.Sprintf("version %d", v)}
	case v > version:
		return nil, fmt.Errorf("%s has version %d, this program knows %d: %w", file, v, version, ErrUnsupported)
	}
	body := b[envelopeSize:]
	if n := binary.LittleEndian.Uint32(b[8:]); int64(n) != int64(len(body)) {
		return nil, &CorruptError{file, 8, fmt.Sprintf("length %d, but %d bytes follow", n, len(body))}
	}
	if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(b[12:]) {
		return nil, &CorruptError{file, 12, "checksum mismatch"}
	}
	return body, nil
}

// plausible says whether a file can have that version. What is beyond is damage, and not the work of a newer program.
func plausible(version uint32) bool { return version > 0 && version < 1<<8 }

// fileSize is 0 for a file that is not there.
func fileSize(files vfs.FS, name string) (int64, error) {
	info, err := files.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	return info.Bytes, err
}

// encoder and decoder build the bodies: little endian, byte strings with a u32 length.
type encoder struct{ b []byte }

func (e *encoder) u8(v uint8)   { e.b = append(e.b, v) }
func (e *encoder) u32(v uint32) { e.b = binary.LittleEndian.AppendUint32(e.b, v) }
func (e *encoder) u64(v uint64) { e.b = binary.LittleEndian.AppendUint64(e.b, v) }
func (e *encoder) bytes(v []byte) {
	e.u32(uint32(len(v)))
	e.b = append(e.b, v...)
}

// decoder gives zeros once the input has run out, and remembers it.
type decoder struct {
	b     []byte
	short bool
}

func (d *decoder) take(n int) []byte {
	if n < 0 || n > len(d.b) {
		d.b, d.short = nil, true
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) u8() uint8 {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) u32() uint32 {
	if b := d.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (d *decoder) u64() uint64 {
	if b := d.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (d *decoder) bytes() []byte {
	n := d.u32()
	if n == 0 {
		return nil
	}
	return append([]byte(nil), d.take(int(n))...)
}

// done reports input that was too short or too long.
func (d *decoder) done() error {
	switch {
	case d.short:
		return errors.New("shorter than its fields")
	case len(d.b) > 0:
		return fmt.Errorf("%d bytes after the last field", len(d.b))
	}
	return nil
}
