package record

import (
	"bytes"
	"testing"
)

// Raw records are the records of Each, and taken together they are the payload. With another timestamp they are the same but for that.
func TestRawRecordsAreThoseOfTheBatch(t *testing.T) {
	b, want := sample(40)
	batch := b.Batch()
	base := want[0].Timestamp
	var whole, moved []byte
	n := 0
	err := EachRaw(batch[headerSize:], 40, func(r *Raw) error {
		w := want[n]
		if r.OffsetDelta != int64(n) || base+r.TimestampDelta != w.Timestamp || !bytes.Equal(r.Key, w.Key) || (r.Key == nil) != (w.Key == nil) ||
			r.Tombstone != (w.Value == nil) {
			t.Fatalf("%+v, not %+v", r, w)
		}
		whole = append(whole, r.Bytes...)
		moved = r.AppendAt(moved, r.TimestampDelta-1_000_000_000_000)
		n++
		return nil
	})
	if err != nil || n != 40 || !bytes.Equal(whole, batch[headerSize:]) {
		t.Fatal(n, err)
	}
	n = 0
	err = EachRaw(moved, 40, func(r *Raw) error {
		if base+r.TimestampDelta+1_000_000_000_000 != want[n].Timestamp || r.OffsetDelta != int64(n) || !bytes.Equal(r.Key, want[n].Key) {
			t.Fatalf("%+v, not %+v", r, want[n])
		}
		n++
		return nil
	})
	if err != nil || n != 40 {
		t.Fatal(n, err)
	}
}

func TestCompressIsTheInverseOfDecompress(t *testing.T) {
	b, _ := sample(500)
	payload := b.Batch()[headerSize:]
	for codec := None; codec <= Zstd; codec++ {
		packed, err := Compress([]byte("head"), codec, payload)
		if err != nil || string(packed[:4]) != "head" {
			t.Fatal(codec, err)
		}
		got, err := Decompress(codec, packed[4:], len(payload))
		if err != nil || !bytes.Equal(got, payload) {
			t.Fatal(codec, err)
		}
	}
	if _, err := Compress(nil, 7, payload); err == nil {
		t.Fatal("codec 7")
	}
}

// Whatever the bytes are: an error, or records that lie one after another and fill them.
func FuzzEachRaw(f *testing.F) {
	b, _ := sample(6)
	f.Add(bytes.Clone(b.Batch()[headerSize:]), int32(6))
	f.Fuzz(func(t *testing.T, payload []byte, count int32) {
		var whole []byte
		err := EachRaw(payload, count, func(r *Raw) error {
			whole = append(whole, r.Bytes...)
			return nil
		})
		if err == nil && !bytes.Equal(whole, payload) {
			t.Fatal("not all of it")
		}
	})
}
