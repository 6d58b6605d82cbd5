package log

import (
	"fmt"
	"path"

	"github.com/barnabas-log/barnabas/internal/vfs"
)

const (
	manifestName    = "manifest"
	manifestMagic   = "BMAN"
	manifestVersion = 2

	// Bits of the first byte.
	manifestResetting = 1
	manifestMerged    = 2
)

// manifest is the truth about where the log begins. Replacing it is the commit point of Trim and Reset.
type manifest struct {
	// resetting: everything but the manifest is to be discarded before the log is used.
	resetting bool
	floor     Floor
	// merged: compaction has been here, and there may be merged batches. Only then the version is 2: what does not know them must not count batches.
	merged bool
	// epochs are the beginnings of terms at or below the floor that still matter.
	epochs []epochBegin
}

func (m *manifest) encode() []byte {
	var e encoder
	var flags uint8
	if m.resetting {
		flags |= manifestResetting
	}
	if m.merged {
		flags |= manifestMerged
	}
	e.u8(flags)
	f := &m.floor
	e.u64(uint64(f.Index))
	e.u64(uint64(f.Term))
	e.u64(uint64(f.Offset))
	e.u64(uint64(f.Start))
	e.u64(uint64(f.ConfigurationIndex))
	e.bytes(f.Configuration)
	e.bytes(f.State)
	e.u32(uint32(len(m.epochs)))
	for _, b := range m.epochs {
		e.u64(uint64(b.term))
		e.u64(uint64(b.index))
		e.u64(uint64(b.offset))
	}
	return e.b
}

func decodeManifest(body []byte) (*manifest, error) {
	d := decoder{b: body}
	flags := d.u8()
	m := &manifest{resetting: flags&manifestResetting != 0, merged: flags&manifestMerged != 0}
	f := &m.floor
	f.Index = Index(d.u64())
	f.Term = Term(d.u64())
	f.Offset = Offset(d.u64())
	f.Start = Offset(d.u64())
	f.ConfigurationIndex = Index(d.u64())
	f.Configuration = d.bytes()
	f.State = d.bytes()
	for range d.u32() {
		if d.short {
			break
		}
		m.epochs = append(m.epochs, epochBegin{Term(d.u64()), Index(d.u64()), Offset(d.u64())})
	}
	if err := d.done(); err != nil {
		return nil, err
	}
	if f.Offset < 0 || f.Start < 0 {
		return nil, fmt.Errorf("negative offset %d or start %d", f.Offset, f.Start)
	}
	return m, nil
}

func (m *manifest) write(files vfs.FS, dir string) error {
	version := uint32(1)
	if m.merged {
		version = manifestVersion
	}
	return replaceFile(files, dir, manifestName, manifestMagic, version, m.encode())
}

// readManifest gives nil when there is none.
func readManifest(files vfs.FS, dir string) (*manifest, error) {
	body, err := readEnvelope(files, dir, manifestName, manifestMagic, manifestVersion)
	if body == nil || err != nil {
		return nil, err
	}
	m, err := decodeManifest(body)
	if err != nil {
		return nil, &CorruptError{path.Join(dir, manifestName), envelopeSize, err.Error()}
	}
	return m, nil
}
