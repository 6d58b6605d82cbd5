package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"reflect"
	"runtime"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func sample(n int) (*Builder, []Record) {
	b := New()
	var records []Record
	r := rand.New(rand.NewPCG(1, uint64(n)))
	for k := range n {
		x := Record{Offset: int64(k), Timestamp: 1_700_000_000_000 + r.Int64N(1000) - 500, Key: fmt.Appendf(nil, "key %d", k),
			Value: bytes.Repeat([]byte{byte(k)}, r.IntN(200))}
		switch k % 5 {
		case 1:
			x.Key = nil
		case 2:
			x.Value = nil
		case 3:
			x.Headers = []Header{{"a", []byte("1")}, {"", nil}, {"a", []byte{}}}
		}
		records = append(records, x)
		b.Add(x)
	}
	return b, records
}

// compressed replaces the payload of a batch.
func compressed(t testing.TB, batch []byte, codec Codec, xerialFrames bool) []byte {
	payload := batch[headerSize:]
	var out bytes.Buffer
	var err error
	switch codec {
	case Gzip:
		w := gzip.NewWriter(&out)
		_, err = w.Write(payload)
		w.Close()
	case Snappy:
		if !xerialFrames {
			out.Write(s2.EncodeSnappy(nil, payload))
			break
		}
		out.Write(append(bytes.Clone(xerialMagic), 0, 0, 0, 1, 0, 0, 0, 1))
		for len(payload) > 0 {
			n := min(len(payload), 100)
			block := s2.EncodeSnappy(nil, payload[:n])
			binary.Write(&out, binary.BigEndian, int32(len(block)))
			out.Write(block)
			payload = payload[n:]
		}
	case LZ4:
		w := lz4.NewWriter(&out)
		_, err = w.Write(payload)
		w.Close()
	case Zstd:
		w, _ := zstd.NewWriter(&out)
		_, err = w.Write(payload)
		w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	whole := append(bytes.Clone(batch[:headerSize]), out.Bytes()...)
	binary.BigEndian.PutUint32(whole[atLength:], uint32(len(whole)-12))
	binary.BigEndian.PutUint16(whole[atAttributes:], uint16(codec))
	binary.BigEndian.PutUint32(whole[atCRC:], crc32.Checksum(whole[atAttributes:], castagnoli))
	return whole
}

func TestEveryCodecGivesBackWhatWasBuilt(t *testing.T) {
	b, want := sample(50)
	plain := b.Batch()
	cases := map[string][]byte{
		"none": plain, "gzip": compressed(t, plain, Gzip, false), "snappy": compressed(t, plain, Snappy, false),
		"snappy of Java": compressed(t, plain, Snappy, true), "lz4": compressed(t, plain, LZ4, false), "zstd": compressed(t, plain, Zstd, false),
	}
	for name, batch := range cases {
		t.Run(name, func(t *testing.T) {
			binary.BigEndian.PutUint64(batch, 100)
			var got []Record
			if err := Each(batch, 1<<20, func(r Record) error {
				r.Offset -= 100
				got = append(got, r)
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("got %v, not %v", got, want)
			}
			if name != "none" {
				if err := Each(batch, 1000, func(Record) error { return nil }); !errors.Is(err, ErrTooLarge) {
					t.Fatal(err)
				}
			}
			count := 0
			if err := Each(batch, 1<<20, func(Record) error { count++; return ErrStop }); err != nil || count != 1 {
				t.Fatal(count, err)
			}
			mine := errors.New("mine")
			if err := Each(batch, 1<<20, func(Record) error { return mine }); err != mine {
				t.Fatal(err)
			}
		})
	}
}

func TestBuilderWritesTheHeader(t *testing.T) {
	b := New()
	if b.Batch() != nil || b.Count() != 0 {
		t.Fatal("a batch of nothing")
	}
	b.ProducerID, b.ProducerEpoch, b.BaseSequence, b.Transactional, b.Control = 7, 3, 11, true, true
	b.Add(Record{Timestamp: 50})
	b.Add(Record{Timestamp: 40})
	batch := b.Batch()
	if len(batch) != b.Size() || b.Count() != 2 || binary.BigEndian.Uint16(batch[atAttributes:]) != 0x30 ||
		binary.BigEndian.Uint64(batch[atBaseTimestamp:]) != 50 || binary.BigEndian.Uint64(batch[atMaxTimestamp:]) != 50 ||
		binary.BigEndian.Uint64(batch[atProducerID:]) != 7 || binary.BigEndian.Uint16(batch[atProducerEpoch:]) != 3 ||
		binary.BigEndian.Uint32(batch[atBaseSequence:]) != 11 || binary.BigEndian.Uint32(batch[atLastOffsetDelta:]) != 1 {
		t.Fatalf("%x", batch)
	}
	kept := bytes.Clone(batch)
	b.Reset()
	b.Add(Record{Timestamp: 1, Value: []byte("other")})
	b.Batch()
	if !bytes.Equal(batch, kept) {
		t.Fatal("Reset disturbed an earlier batch")
	}
}

func TestLogAppendTimeIsTheTimeOfEveryRecord(t *testing.T) {
	b, _ := sample(3)
	batch := b.Batch()
	binary.BigEndian.PutUint16(batch[atAttributes:], logAppendTime)
	binary.BigEndian.PutUint64(batch[atMaxTimestamp:], 99)
	Each(batch, 1<<20, func(r Record) error {
		if r.Timestamp != 99 {
			t.Error(r.Timestamp)
		}
		return nil
	})
}

func TestBombsAreNotExpanded(t *testing.T) {
	b := New()
	b.Add(Record{Value: make([]byte, 32<<20)})
	for _, codec := range []Codec{Gzip, Snappy, LZ4, Zstd} {
		batch := compressed(t, b.Batch(), codec, false)
		const runs = 5
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range runs {
			if err := Each(batch, 1<<10, func(Record) error { return nil }); !errors.Is(err, ErrTooLarge) {
				t.Fatal(codec, err)
			}
		}
		runtime.ReadMemStats(&after)
		allocated := (after.TotalAlloc - before.TotalAlloc) / runs
		if allocated > 10<<20 { // two blocks of an lz4 frame are 8 MiB, whatever they hold
			t.Errorf("%v: %d bytes allocated to refuse a batch", codec, allocated)
		}
	}
}

// Any bytes, with any codec: an error or records whose slices lie within bounds; what is decoded can be built and decoded again to the same.
// Memory is bounded by the cap.
func FuzzEach(f *testing.F) {
	b, _ := sample(6)
	for _, codec := range []Codec{Gzip, Snappy, LZ4, Zstd} {
		f.Add(compressed(f, b.Batch(), codec, codec == Snappy))
	}
	f.Add(b.Batch())
	f.Fuzz(func(t *testing.T, batch []byte) {
		again := New()
		var first []Record
		err := Each(batch, 1<<16, func(r Record) error {
			if len(r.Key)+len(r.Value) > 1<<16+len(batch) {
				t.Fatal("larger than the cap")
			}
			first = append(first, r)
			again.Add(r)
			return nil
		})
		if err != nil || len(first) == 0 {
			return
		}
		n := 0
		if err := Each(again.Batch(), 1<<24, func(r Record) error {
			want := first[n]
			if !bytes.Equal(r.Key, want.Key) || (r.Value == nil) != (want.Value == nil) || !bytes.Equal(r.Value, want.Value) ||
				r.Timestamp != want.Timestamp || len(r.Headers) != len(want.Headers) {
				t.Fatalf("%v, not %v", r, want)
			}
			n++
			return nil
		}); err != nil || n != len(first) {
			t.Fatal(n, err)
		}
	})
}
