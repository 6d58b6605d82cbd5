package history

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// A history file is "BHIS", a version byte, and events:
//
//	kind 1 byte · microseconds since the event before, uvarint · partition, uvarint · fields of the kind, varints
//
// Partitions and groups are numbered as they appear: a number that was not used before is followed by the name. The order of events is the order in which they were
// recorded. A file may end in the middle of an event: its writer was stopped.
const fileVersion = 1

var fileMagic = [5]byte{'B', 'H', 'I', 'S', fileVersion}

// Recorder writes a history. All methods may be called by any number of goroutines; what one of them recorded before another was called comes first.
type Recorder struct {
	mu         sync.Mutex // guards following
	w          *bufio.Writer
	begun      time.Time
	last       time.Duration
	partitions map[Partition]uint64
	groups     map[string]uint64
	scratch    []byte
	err        error
}

// NewRecorder begins a history that is written to w.
func NewRecorder(w io.Writer) *Recorder {
	r := &Recorder{w: bufio.NewWriterSize(w, 1<<20), begun: time.Now(), partitions: map[Partition]uint64{}, groups: map[string]uint64{}}
	_, r.err = r.w.Write(fileMagic[:])
	return r
}

// Record adds an event. At is set to the time since the history began.
func (r *Recorder) Record(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e.At = time.Since(r.begun)
	r.writeLocked(e)
}

func (r *Recorder) writeLocked(e Event) {
	b := append(r.scratch[:0], byte(e.Kind))
	b = binary.AppendUvarint(b, uint64(max(0, e.At-r.last)/time.Microsecond))
	r.last += max(0, e.At-r.last) / time.Microsecond * time.Microsecond
	b = appendName(b, r.partitions, e.Partition, func(b []byte) []byte {
		return binary.AppendUvarint(appendString(b, e.Partition.Topic), uint64(e.Partition.Number))
	})
	if e.Kind.ofRecord() {
		b = binary.AppendUvarint(b, uint64(e.ID.Producer))
		b = binary.AppendUvarint(b, uint64(e.ID.Number))
	}
	if e.Kind.hasOffset() {
		b = binary.AppendVarint(b, e.Offset)
	}
	if e.Kind.hasReader() {
		b = binary.AppendUvarint(b, uint64(e.Reader))
	}
	if e.Kind.hasGroup() {
		b = appendName(b, r.groups, e.Group, func(b []byte) []byte { return appendString(b, e.Group) })
	}
	r.scratch = b
	if _, err := r.w.Write(b); err != nil && r.err == nil {
		r.err = err
	}
}

// Flush hands everything to the writer, and returns the first error that any write met.
func (r *Recorder) Flush() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.w.Flush(); err != nil && r.err == nil {
		r.err = err
	}
	if r.err != nil {
		return fmt.Errorf("write history: %w", r.err)
	}
	return nil
}

func appendName[K comparable](b []byte, known map[K]uint64, key K, define func([]byte) []byte) []byte {
	n, ok := known[key]
	if ok {
		return binary.AppendUvarint(b, n)
	}
	n = uint64(len(known))
	known[key] = n
	return define(binary.AppendUvarint(b, n))
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// Read calls f with every event of a history, in order, until f fails. An event that is cut short ends the history without an error.
func Read(r io.Reader, f func(Event) error) error {
	d := &decoder{r: bufio.NewReaderSize(r, 1<<20)}
	var magic [5]byte
	if _, err := io.ReadFull(d.r, magic[:]); err != nil || magic != fileMagic {
		return errors.Join(errors.New("read history: not a history of version 1"), err)
	}
	for {
		e, err := d.event()
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read history: %w", err)
		}
		if err := f(e); err != nil {
			return err
		}
	}
}

// maxName bounds the names in a file.
const maxName = 1 << 10

type decoder struct {
	r          *bufio.Reader
	at         time.Duration
	partitions []Partition
	groups     []string
	err        error // the first
}

func (d *decoder) event() (Event, error) {
	kind, err := d.r.ReadByte()
	if err != nil {
		return Event{}, err
	}
	e := Event{Kind: Kind(kind)}
	if e.Kind < Invoked || e.Kind > Unsettled {
		return e, fmt.Errorf("event of unknown kind %d", kind)
	}
	d.at += time.Duration(d.uvarint()) * time.Microsecond
	e.At = d.at
	e.Partition = name(d, &d.partitions, func() Partition { return Partition{d.string(), int32(d.uvarint())} })
	if e.Kind.ofRecord() {
		e.ID = ID{int32(d.uvarint()), int64(d.uvarint())}
	}
	if e.Kind.hasOffset() {
		e.Offset = d.varint()
	}
	if e.Kind.hasReader() {
		e.Reader = int32(d.uvarint())
	}
	if e.Kind.hasGroup() {
		e.Group = name(d, &d.groups, d.string)
	}
	return e, d.err
}

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
}

func (d *decoder) uvarint() uint64 {
	v, err := binary.ReadUvarint(d.r)
	if err != nil {
		d.fail(err)
	}
	return v
}

func (d *decoder) varint() int64 {
	v, err := binary.ReadVarint(d.r)
	if err != nil {
		d.fail(err)
	}
	return v
}

func (d *decoder) string() string {
	n := d.uvarint()
	if d.err == nil && n > maxName {
		d.fail(fmt.Errorf("name of %d bytes", n))
	}
	if d.err != nil {
		return ""
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(d.r, b); err != nil {
		d.fail(err)
	}
	return string(b)
}

// name is the inverse of appendName.
func name[K any](d *decoder, known *[]K, define func() K) (k K) {
	n := d.uvarint()
	switch {
	case d.err != nil:
	case n < uint64(len(*known)):
		k = (*known)[n]
	case n == uint64(len(*known)):
		k = define()
		*known = append(*known, k)
	default:
		d.fail(fmt.Errorf("name %d before name %d", n, len(*known)))
	}
	return k
}
