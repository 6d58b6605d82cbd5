package history

import (
	"bytes"
	"errors"
	"testing"
)

func TestWhatIsRecordedIsRead(t *testing.T) {
	a, b := Partition{"orders", 3}, Partition{"payments", 0}
	events := []Event{
		{Kind: Invoked, Partition: a, ID: ID{1, 0}},
		{Kind: Invoked, Partition: b, ID: ID{2, 1 << 40}},
		{Kind: Acknowledged, Partition: a, ID: ID{1, 0}, Offset: 1 << 50},
		{Kind: Acknowledged, Partition: b, ID: ID{2, 1 << 40}, Offset: -1},
		{Kind: Refused, Partition: a, ID: ID{1, 1}},
		{Kind: Unknown, Partition: a, ID: ID{1, 2}},
		{Kind: Assigned, Partition: a, Reader: 7, Group: "g"},
		{Kind: Assigned, Partition: a, Reader: 8},
		{Kind: Assigned, Partition: b, Reader: 9, Group: "g"},
		{Kind: Consumed, Partition: a, Reader: 7, ID: ID{1, 0}, Offset: 5},
		{Kind: Committed, Partition: b, Group: "g", Offset: 6},
		{Kind: Unsettled, Partition: b, Group: "g", Offset: 7},
		{Kind: Final, Partition: b, ID: ID{1, 0}, Offset: 6},
	}
	var file bytes.Buffer
	r := NewRecorder(&file)
	for _, e := range events {
		r.Record(e)
	}
	if err := r.Flush(); err != nil {
		t.Fatal(err)
	}
	n := 0
	err := Read(bytes.NewReader(file.Bytes()), func(e Event) error {
		at := e.At
		if e.At = 0; e != events[n] {
			t.Errorf("event %d: %+v, want %+v", n, e, events[n])
		}
		if at < 0 {
			t.Errorf("event %d at %v", n, at)
		}
		n++
		return nil
	})
	if err != nil || n != len(events) {
		t.Fatalf("%d of %d events: %v", n, len(events), err)
	}
	for cut := range file.Len() {
		count := 0
		err := Read(bytes.NewReader(file.Bytes()[:cut]), func(Event) error { count++; return nil })
		if cut >= len(fileMagic) && err != nil || count > len(events) {
			t.Errorf("cut to %d bytes: %d events, %v", cut, count, err)
		}
	}
}

func TestTheFirstWriteErrorIsReported(t *testing.T) {
	full := errors.New("disk full")
	r := NewRecorder(writerFunc(func([]byte) (int, error) { return 0, full }))
	r.Record(Event{Kind: Invoked})
	if err := r.Flush(); !errors.Is(err, full) {
		t.Error(err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

func FuzzRead(f *testing.F) {
	var file bytes.Buffer
	r := NewRecorder(&file)
	r.Record(Event{Kind: Assigned, Partition: Partition{"t", 1}, Reader: 1, Group: "g"})
	r.Record(Event{Kind: Consumed, Partition: Partition{"t", 1}, Reader: 1, Offset: 3})
	_ = r.Flush()
	f.Add(file.Bytes())
	f.Add([]byte("BHIS\x01\x05\x00\x00\xff\xff\xff\xff\x7f"))
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		_ = Read(bytes.NewReader(b), func(Event) error { n++; return nil })
		if n > len(b) {
			t.Errorf("%d events in %d bytes", n, len(b))
		}
	})
}

func TestPayloads(t *testing.T) {
	seen := map[string]bool{}
	for producer := range int32(3) {
		for number := range int64(50) {
			id := ID{producer, number}
			b := NewPayload(id, 100)
			if got, err := ParsePayload(b); err != nil || got != id || len(b) != 100 {
				t.Fatalf("%v: %v %v, %d bytes", id, got, err, len(b))
			}
			if filler := string(b[payloadHeader:]); seen[filler] {
				t.Errorf("%v has the filler of another", id)
			} else {
				seen[filler] = true
			}
		}
	}
	b := NewPayload(ID{1, 2}, 0)
	if len(b) != payloadHeader {
		t.Errorf("%d bytes", len(b))
	}
	b = NewPayload(ID{1, 2}, 64)
	for i := range b {
		b[i] ^= 0x10
		if _, err := ParsePayload(b); !errors.Is(err, ErrPayload) {
			t.Errorf("a changed byte at %d: %v", i, err)
		}
		b[i] ^= 0x10
	}
	if _, err := ParsePayload(b[:63]); !errors.Is(err, ErrPayload) {
		t.Error(err)
	}
}
