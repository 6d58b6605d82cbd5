package log

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	segments "github.com/barnabas-log/barnabas/log"
	"github.com/barnabas-log/barnabas/log/record"
)

// expansion caps what one batch may decompress to.
const expansion = 1 << 30

// scanned is what a segment file on its own told.
type scanned struct {
	batches, records, bytes int64
	first, next             segments.Offset
	findings                []segments.Finding
}

// scan reads a segment file without anything beside it. visit gets every sound batch; what is not sound ends the scan with a finding, because
// nothing says where the next batch would begin.
func scan(path string, withRecords bool, visit func(segments.InspectedBatch) error) (*scanned, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	s := &scanned{first: baseOf(path)}
	s.next = s.first
	r := bufio.NewReaderSize(f, 1<<20)
	size, position := info.Size(), int64(0)
	var b []byte
	for position < size {
		var reason string
		if b, reason, err = readBatch(r, b[:0], size-position); err != nil {
			return s, fmt.Errorf("read %s at %d: %w", path, position, err)
		}
		if reason == "" {
			reason = s.accept(b, withRecords)
		}
		if reason != "" {
			s.findings = append(s.findings, segments.Finding{File: filepath.Base(path), Position: position, Reason: reason})
			return s, nil
		}
		if err := visit(segments.InspectedBatch{File: filepath.Base(path), Position: position, Data: b}); err != nil {
			return s, err
		}
		position += int64(len(b))
		s.bytes = position
	}
	return s, nil
}

// readBatch reads the next batch into b, of which left bytes are there at most; reason says why it is none.
func readBatch(r io.Reader, b []byte, left int64) (batch []byte, reason string, err error) {
	if left < segments.HeaderSize {
		return b, fmt.Sprintf("the file ends %d bytes into a batch header", left), nil
	}
	b = append(b, make([]byte, segments.HeaderSize)...)
	if _, err := io.ReadFull(r, b); err != nil {
		return b, "", err
	}
	h := segments.Header(b)
	switch size := int64(h.Size()); {
	case h.Magic() != 2:
		return b, fmt.Sprintf("not a v2 batch: magic %d", h.Magic()), nil
	case size < segments.HeaderSize:
		return b, fmt.Sprintf("batch of %d bytes is shorter than its header", size), nil
	case size > left:
		return b, fmt.Sprintf("batch of %d bytes where %d are left", size, left), nil
	case size > segments.HeaderSize:
		b = append(b, make([]byte, size-segments.HeaderSize)...)
		_, err = io.ReadFull(r, b[segments.HeaderSize:])
	}
	return b, "", err
}

// accept checks a batch and its place; the answer is why it is not sound.
func (s *scanned) accept(b []byte, withRecords bool) (reason string) {
	if err := segments.CheckBatch(b); err != nil {
		return strings.TrimPrefix(err.Error(), segments.ErrInvalid.Error()+": ")
	}
	h := segments.Header(b)
	if h.BaseOffset() < s.next {
		return fmt.Sprintf("base offset %d where at least %d must follow", h.BaseOffset(), s.next)
	}
	if withRecords && !h.Control() {
		count := int32(0)
		err := record.Each(b, expansion, func(record.Record) error { count++; return nil })
		if err != nil {
			return err.Error()
		}
		if count != h.Count() {
			return fmt.Sprintf("%d records, the header says %d", count, h.Count())
		}
	}
	s.batches++
	s.records += int64(h.Count())
	s.next = h.LastOffset() + 1
	return ""
}

// baseOf is the offset in a segment's name; 0 for another name.
func baseOf(path string) segments.Offset {
	n, err := strconv.ParseInt(strings.TrimSuffix(filepath.Base(path), ".log"), 10, 64)
	if errors.Is(err, strconv.ErrSyntax) || n < 0 {
		return 0
	}
	return segments.Offset(n)
}
