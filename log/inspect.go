package log

import (
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
// returned only when the directory cannot be read; what is wrong inside is in the Findings.
func Inspect(dir string, o InspectOptions) (*Report, error) { panic("unwritten") }
