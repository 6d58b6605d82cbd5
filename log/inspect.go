package log

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/barnabas-log/barnabas/internal/vfs"
)

// InspectOptions say what Inspect looks at. The zero value verifies everything on the file system of the machine.
type InspectOptions struct {
	FS vfs.FS
	// OnBatch is called with every batch in order, OnControl with every entry of ctl; an error ends the inspection.
	OnBatch   func(InspectedBatch) error
	OnControl func(InspectedControl) error
	// Records decodes the records of every batch as well.
	Records bool
}

// InspectedBatch is one batch as it is stored. Data is the whole batch and valid during the call only.
type InspectedBatch struct {
	File     string
	Position int64
	Index    Index
	Data     []byte
}

// Header is the view of the batch's header.
func (b InspectedBatch) Header() Header { return Header(b.Data) }

// InspectedControl is one entry of ctl. Data is valid during the call only.
type InspectedControl struct {
	Position   int64
	Index      Index
	Term       Term
	Kind       Kind
	NextOffset Offset
	Data       []byte
}

// Finding is something wrong with a file. Rebuildable findings (a torn index) are repaired silently when the log is opened, Torn ones
// are cut off then; any other is corruption.
type Finding struct {
	File        string
	Position    int64
	Reason      string
	Rebuildable bool
	Torn        bool
}

// Report is what Inspect found.
type Report struct {
	Floor      Floor
	Checkpoint Checkpoint
	Segments   []SegmentInfo
	Batches    int64
	Records    int64
	Controls   int64
	EndOffset  Offset
	LastIndex  Index
	Findings   []Finding
}

// Sound says that nothing is wrong that opening the log would not repair.
func (r *Report) Sound() bool {
	for _, f := range r.Findings {
		if !f.Rebuildable && !f.Torn {
			return false
		}
	}
	return true
}

// Inspect reads a log's directory and verifies all of it, without changing anything: also one that is open, and one that Open refuses. An error is
// returned only when the directory cannot be read, or by a callback; what is wrong inside is in the Findings. Batches and entries of ctl are
// reported in the order of their indexes. In a log that is being written the last batch may look torn.
func Inspect(dir string, o InspectOptions) (*Report, error) {
	if o.FS == nil {
		o.FS = vfs.OS{}
	}
	in := &inspection{dir: dir, o: o, report: &Report{}}
	if err := in.run(); err != nil {
		return in.report, fmt.Errorf("inspect %s: %w", dir, err)
	}
	return in.report, nil
}

// inspection is the state of Inspect. It goes over the same ground as recovery, but collects what it finds and changes nothing.
type inspection struct {
	dir      string
	o        InspectOptions
	report   *Report
	point    *point
	sequence sequence
	data     map[Index][]byte // of ctl
	swap     *exchange        // a swap of compacted segments that was not finished
	emitted  int              // entries of ctl reported so far
	ended    bool             // the tail is torn: what follows would be removed
}

func (in *inspection) found(f Finding) { in.report.Findings = append(in.report.Findings, f) }

func (in *inspection) run() error {
	infos, err := in.o.FS.ReadDir(in.dir)
	if err != nil {
		return err
	}
	if err := in.small(); err != nil {
		return err
	}
	if err := in.ctl(); err != nil {
		return err
	}
	var bases []Offset
	for _, info := range infos {
		base, ok := parseSegmentName(info.Name, path.Ext(info.Name))
		switch x := in.swap; {
		case ok && x != nil && base > x.base && base < x.end:
			in.found(Finding{File: info.Name, Reason: "left by a compaction", Rebuildable: true})
		case ok && base < in.report.Floor.Offset:
			in.found(Finding{File: info.Name, Reason: "left by a trim", Rebuildable: true})
		case ok && strings.HasSuffix(info.Name, logSuffix):
			bases = append(bases, base)
		case strings.HasSuffix(info.Name, vfs.TemporarySuffix):
			in.found(Finding{File: info.Name, Reason: "left by a replacement", Rebuildable: true})
		}
	}
	slices.SortFunc(bases, cmp.Compare[Offset])
	if len(bases) == 0 || bases[0] != in.report.Floor.Offset {
		in.found(Finding{File: segmentName(in.report.Floor.Offset) + logSuffix, Reason: "missing, and it is the first segment"})
	}
	for k, base := range bases {
		if err := in.segment(base, k == len(bases)-1); err != nil {
			return err
		}
	}
	return in.rest()
}

// small reads the manifest, the checkpoint and the recovery point.
func (in *inspection) small() error {
	m, err := readManifest(in.o.FS, in.dir)
	if !in.note(manifestName, err) {
		return err
	}
	switch {
	case m == nil && err == nil:
		in.found(Finding{File: manifestName, Reason: "missing"})
	case m != nil && m.resetting:
		in.found(Finding{File: manifestName, Reason: "a reset was interrupted", Rebuildable: true})
	}
	if m == nil {
		m = &manifest{}
	}
	if err := in.exchange(); err != nil {
		return err
	}
	in.report.Floor = m.floor
	in.sequence = sequence{epochs: m.epochs, last: m.floor.Index, next: m.floor.Offset}
	in.report.Checkpoint, err = readCheckpoint(in.o.FS, in.dir)
	known := len(in.report.Findings)
	if !in.note(checkpointName, err) {
		return err
	}
	if errors.Is(err, ErrCorrupt) {
		in.report.Findings[known].Rebuildable = true
	}
	in.point = readPoint(in.o.FS, path.Join(in.dir, recoveryName))
	if in.point == nil {
		in.found(Finding{File: recoveryName, Reason: "no recovery point: everything is scanned on open", Rebuildable: true})
	}
	return nil
}

// exchange reads what is left of a swap.
func (in *inspection) exchange() error {
	body, err := readEnvelope(in.o.FS, in.dir, compactionName, compactionMagic, compactionVersion)
	if !in.note(compactionName, err) {
		return err
	}
	if body == nil {
		return nil
	}
	x, err := decodeExchange(body)
	if err != nil {
		in.found(Finding{File: compactionName, Position: envelopeSize, Reason: err.Error()})
		return nil
	}
	in.found(Finding{File: compactionName, Reason: "the swap of compacted segments was interrupted", Rebuildable: true})
	in.swap = &x
	return nil
}

// path is where a file of a segment is, which may still have its temporary name.
func (in *inspection) path(base Offset, suffix string) string {
	name := path.Join(in.dir, segmentName(base)+suffix)
	if in.swap != nil && base == in.swap.base {
		if _, err := in.o.FS.Stat(name + vfs.TemporarySuffix); err == nil {
			return name + vfs.TemporarySuffix
		}
	}
	return name
}

// note makes a finding of an error about content; it returns false for one of reading.
func (in *inspection) note(file string, err error) bool {
	var corrupt *CorruptError
	switch {
	case err == nil:
	case errors.As(err, &corrupt):
		in.found(Finding{File: file, Position: corrupt.Position, Reason: corrupt.Reason})
	case errors.Is(err, ErrUnsupported):
		in.found(Finding{File: file, Position: 4, Reason: err.Error()})
	default:
		return false
	}
	return true
}

func (in *inspection) ctl() error {
	in.data = map[Index][]byte{}
	b, err := vfs.ReadFile(in.o.FS, path.Join(in.dir, ctlName))
	if errors.Is(err, fs.ErrNotExist) {
		in.found(Finding{File: ctlName, Reason: "missing"})
		return nil
	}
	if err != nil {
		return err
	}
	end, tear := parseCtl(b, func(c control, data []byte) {
		if c.index > in.report.Floor.Index {
			in.sequence.controls = append(in.sequence.controls, c)
			in.sequence.epochs = in.sequence.epochs.with(epochBegin{c.term, c.index, c.next})
			in.data[c.index] = data
		}
	})
	durable := int64(ctlHeaderSize)
	if in.point != nil {
		durable = in.point.ctlBytes
	}
	if tear != nil {
		in.found(Finding{File: ctlName, Position: end, Reason: tear.Error(), Torn: end >= durable})
	} else if end < durable {
		in.found(Finding{File: ctlName, Position: end, Reason: fmt.Sprintf("the file ends, and %d bytes were durable", durable)})
	}
	return nil
}

// controlsUpTo reports the entries of ctl before index i.
func (in *inspection) controlsUpTo(i Index) error {
	for ; in.emitted < len(in.sequence.controls) && in.sequence.controls[in.emitted].index < i; in.emitted++ {
		c := in.sequence.controls[in.emitted]
		if c.kind == kindEpoch {
			continue
		}
		in.report.Controls++
		in.report.LastIndex = c.index
		if in.o.OnControl == nil {
			continue
		}
		err := in.o.OnControl(InspectedControl{Position: c.position, Index: c.index, Term: c.term, Kind: c.kind, NextOffset: c.next,
			Data: in.data[c.index]})
		if err != nil {
			return err
		}
	}
	return nil
}

// rest reports the entries of ctl that follow the last batch, and finds those that do not follow in order.
func (in *inspection) rest() error {
	q := &in.sequence
	in.report.EndOffset, in.report.LastIndex = q.next, q.last
	last := q.last
	for k := q.controls.from(q.last + 1); k < len(q.controls); k++ {
		c := q.controls[k]
		if c.kind == kindEpoch || c.index != last+1 || c.next != q.next {
			in.found(Finding{File: ctlName, Position: c.position, Reason: fmt.Sprintf("entry %d does not follow entry %d", c.index, last), Torn: true})
			break
		}
		last = c.index
	}
	return in.controlsUpTo(last + 1)
}
