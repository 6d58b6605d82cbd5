package log

import (
	"bytes"
	"errors"
	"os"
	"testing"

	"github.com/barnabas-log/barnabas/internal/vfs"
)

// What CheckBatch accepts is exactly one batch: its size is that of the input, any flipped byte behind the magic is noticed, and stamping keeps it valid.
// Never a panic.
func FuzzCheckBatch(f *testing.F) {
	f.Add(batchOf(3, 10, 5), uint(30))
	f.Add([]byte{}, uint(0))
	f.Fuzz(func(t *testing.T, b []byte, at uint) {
		if CheckBatch(b) != nil {
			return
		}
		h := Header(b)
		if h.Size() != len(b) || h.LastOffset() < h.BaseOffset() && h.BaseOffset() >= 0 && h.LastOffset() >= 0 {
			t.Fatal(h.Size(), len(b))
		}
		stamp(b, 77, 5)
		SetLogAppendTime(b, 12345)
		if err := CheckBatch(b); err != nil || h.BaseOffset() != 77 || h.LeaderEpoch() != 5 || h.MaxTimestamp() != 12345 {
			t.Fatal(err)
		}
		k := 21 + int(at%uint(len(b)-21))
		b[k] ^= 1
		if CheckBatch(b) == nil {
			t.Fatal("a flipped bit was not noticed")
		}
	})
}

// Parsing ctl gives a prefix of records, encoded again to the same bytes, with rising indexes; what follows the prefix does not change it.
func FuzzCtl(f *testing.F) {
	whole := appendControl(ctlHeader(), control{index: 1, term: 1, kind: KindNoop}, nil)
	whole = appendControl(whole, control{index: 5, term: 2, kind: KindConfiguration, next: 9}, []byte("members"))
	f.Add(whole)
	f.Add(whole[:len(whole)-3])
	f.Fuzz(func(t *testing.T, b []byte) {
		again := ctlHeader()
		last := Index(0)
		end, err := parseCtl(b, func(c control, data []byte) {
			if c.index <= last || c.size != len(data) || c.position != int64(len(again)) {
				t.Fatal(c)
			}
			last = c.index
			again = appendControl(again, c, data)
		})
		if err == nil && end != int64(len(b)) || end > int64(len(b)) {
			t.Fatal(end, err)
		}
		if end > 0 && !bytes.Equal(again, b[:end]) {
			t.Fatal("round trip differs")
		}
	})
}

// A manifest that decodes encodes to something that decodes to the same; allocation is bounded by the input.
func FuzzManifest(f *testing.F) {
	m := manifest{floor: Floor{Index: 4, Term: 2, Offset: 10, Start: 11, Configuration: []byte("c"), State: []byte("s")}, epochs: []epochBegin{{1, 1, 0}}}
	f.Add(m.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeManifest(b)
		if err != nil {
			return
		}
		again := m.encode()
		if b[0] <= 1 && !bytes.Equal(again, b) {
			t.Fatal("round trip differs")
		}
	})
}

// A checkpoint that decodes encodes to the same bytes.
func FuzzCheckpoint(f *testing.F) {
	f.Add((&Checkpoint{Index: 3, Term: 2, HighWatermark: 9, State: []byte("s")}).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := decodeCheckpoint(b)
		if err == nil && !bytes.Equal(c.encode(), b) {
			t.Fatal("round trip differs")
		}
	})
}

// Any bytes as an envelope: an error of a known kind, or the body.
func FuzzEnvelope(f *testing.F) {
	files := memoryFS()
	replaceFile(files, "/d", "x", "BMAN", 1, []byte("body"))
	b, _ := vfs.ReadFile(files, "/d/x")
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		body, err := openEnvelope("x", b, "BMAN", 1)
		if err == nil && len(body) != len(b)-envelopeSize || err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrUnsupported) {
			t.Fatal(err)
		}
	})
}

// A recovery point and a seal that decode encode to something that decodes to the same.
func FuzzPointAndSeal(f *testing.F) {
	p := point{sequence: 3, base: 5, position: 99, entries: [3]int{1, 2, 3}}
	s := seal{base: 7, next: 9, entries: [3]int{4, 5, 6}}
	f.Add(p.encode(), s.encode())
	f.Fuzz(func(t *testing.T, a, b []byte) {
		if p, err := decodePoint(a); err == nil {
			if q, err := decodePoint(p.encode()); err != nil || *q != *p {
				t.Fatal(err)
			}
		}
		if s, err := decodeSeal(b); err == nil {
			if q, err := decodeSeal(s.encode()); err != nil || *q != *s {
				t.Fatal(err)
			}
		}
	})
}

// Whatever stands in the index files of a log when it is opened: every record is found, or the log says what is wrong; never a panic, never a wrong batch.
func FuzzIndexFiles(f *testing.F) {
	f.Add(uint8(0), []byte{0, 0, 0, 1, 0, 0, 0, 9})
	f.Add(uint8(1), make([]byte, 36))
	f.Add(uint8(2), make([]byte, 130))
	f.Fuzz(func(t *testing.T, which uint8, content []byte) {
		files := memoryFS()
		o := Options{FS: files, Config: Config{SegmentBytes: 1500, IndexIntervalBytes: 300}}
		l := open(t, "/d/p", o)
		appendBatches(t, l, 12)
		l.Close()
		segments := l.Segments()
		base := segments[int(which/3)%len(segments)].BaseOffset
		suffix := []string{".index", ".timeindex", ".raftindex"}[which%3]
		if err := vfs.WriteSynced(files, "/d/p/"+segmentName(base)+suffix, content); err != nil {
			t.Fatal(err)
		}
		l, err := Open("/d/p", o)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		for from := range l.EndOffset() {
			c, err := l.Read(from, l.EndOffset(), 1, true)
			if err != nil {
				continue // an index that lies in a file of the right length: the batch that it points at is none
			}
			b, _ := c.Bytes(nil)
			if h := Header(b); len(b) < HeaderSize || h.BaseOffset() > from || h.LastOffset() < from {
				t.Fatal("a wrong batch for", from)
			}
			c.Release()
		}
		l.OffsetForTime(3, l.EndOffset())
		l.MaxTimestamp(l.EndOffset())
		for i := range l.LastIndex() + 1 {
			if m, err := l.Meta(i); err == nil && m.Index != i {
				t.Fatal(m)
			}
		}
	})
}

// Whatever follows the durable part of a segment is cut or is a valid batch: the durable part stays, and opening again changes nothing.
func FuzzTornTail(f *testing.F) {
	f.Add([]byte{1, 2, 3})
	f.Add(batchOf(1, 10, 5)[:50])
	f.Fuzz(func(t *testing.T, tail []byte) {
		files := memoryFS()
		o := Options{FS: files, Config: Config{SyncOnAppend: true}}
		l := open(t, "/d/p", o)
		appendBatches(t, l, 3)
		l.Close()
		name := "/d/p/" + segmentName(0) + logSuffix
		size := l.Size()
		file, _ := files.OpenFile(name, os.O_RDWR, 0)
		file.WriteAt(tail, size)
		file.Close()
		var end Offset
		for range 2 {
			l, err := Open("/d/p", o)
			if err != nil {
				t.Fatal(err)
			}
			if l.EndOffset() < 6 || end > 0 && l.EndOffset() != end {
				t.Fatal(l.EndOffset(), end)
			}
			end = l.EndOffset()
			l.Close()
		}
		if report, err := Inspect("/d/p", InspectOptions{FS: files}); err != nil || len(report.Findings) > 0 || report.EndOffset != end {
			t.Fatal(report, err)
		}
	})
}
