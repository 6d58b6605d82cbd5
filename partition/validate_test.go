package partition

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/barnabas-log/barnabas/log"
	"github.com/barnabas-log/barnabas/log/record"
)

// seal recomputes length and checksum after a test has changed a batch.
func seal(b []byte) []byte {
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)-12))
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], castagnoli))
	return b
}

// changed gives a copy of b with a change to it, sealed.
func changed(b []byte, change func(b []byte)) []byte {
	b = bytes.Clone(b)
	change(b)
	return seal(b)
}

// rawBatch is a plain batch that holds the given bytes as count records.
func rawBatch(count int, records ...byte) []byte {
	b := append(plainBatch(1)[:log.HeaderSize:log.HeaderSize], records...)
	binary.BigEndian.PutUint32(b[23:], uint32(count-1))
	binary.BigEndian.PutUint32(b[57:], uint32(count))
	return seal(b)
}

// compressedBatch compresses the records of a plain batch.
func compressedBatch(t testing.TB, b []byte, codec record.Codec) []byte {
	t.Helper()
	config := Config{CompressionType: codec.String(), MaxMessageBytes: math.MaxInt32}.ensureDefaults()
	v := validator{config: &config, now: storyStart.UnixMilli()}
	out, _, err := v.client(b)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestBatchesAreRefusedAsKafkaDoes(t *testing.T) {
	good := plainBatch(3)
	withKeyless := func() []byte {
		b := record.New()
		b.Add(record.Record{Timestamp: storyStart.UnixMilli(), Key: []byte("k"), Value: []byte("v")})
		b.Add(record.Record{Timestamp: storyStart.UnixMilli(), Value: []byte("v")})
		return b.Batch()
	}()
	at := func(d time.Duration) []byte { return batchOf(storyStart.Add(d), -1, -1, -1, 1) }
	broken := changed(compressedBatch(t, good, record.Gzip), func(b []byte) { b[72] ^= 0xff })
	cases := []struct {
		name   string
		config Config
		batch  []byte
		want   string
	}{
		{"good", Config{}, good, ""},
		{"too large", Config{MaxMessageBytes: len(good) - 1}, good, "TooLarge"},
		{"too large comes before corrupt", Config{MaxMessageBytes: 10}, []byte("not a batch at all"), "TooLarge"},
		{"empty", Config{}, nil, "Corrupt"},
		{"cut off", Config{}, good[:len(good)-1], "Corrupt"},
		{"less than a header", Config{}, good[:60], "Corrupt"},
		{"magic 1", Config{}, changed(good, func(b []byte) { b[16] = 1 }), "Corrupt"},
		{"checksum", Config{}, func() []byte { b := bytes.Clone(good); b[80] ^= 1; return b }(), "Corrupt"},
		{"two batches", Config{}, append(bytes.Clone(good), good...), "InvalidRecord -1: more than one batch for a partition"},
		{"control", Config{}, changed(good, func(b []byte) { b[22] |= 1 << 5 }), "InvalidRecord -1: a client may not write control batches"},
		{"codec 5", Config{}, changed(good, func(b []byte) { b[22] |= 5 }), "Corrupt"},
		{"offsets do not fit count", Config{}, changed(good, func(b []byte) { b[26] = 7 }), "Corrupt"},
		{"no records", Config{}, changed(good, func(b []byte) { b[60] = 0 }), "InvalidRecord -1: batch without records"},
		{"transaction", Config{}, changed(good, func(b []byte) { b[22] |= 1 << 4 }), "InvalidTxnState"},
		{"no sequence", Config{}, batchOf(storyStart, 5, 0, -1, 1), "InvalidRecord -1: sequence -1 with producer id 5"},
		{"no epoch", Config{}, batchOf(storyStart, 5, -1, 0, 1), "InvalidRecord -1: epoch -1 with producer id 5"},
		{"key missing, not compacted", Config{}, withKeyless, ""},
		{"key missing, compacted", Config{Compacted: true}, withKeyless, "InvalidRecord 1: compacted topic cannot accept a record without a key"},
		{"59 minutes ahead", Config{}, at(59 * time.Minute), ""},
		{"61 minutes ahead", Config{}, at(61 * time.Minute), "InvalidTimestamp"},
		{"61 minutes ahead, allowed", Config{TimestampAfter: 2 * time.Hour}, at(61 * time.Minute), ""},
		{"ten years ago", Config{}, at(-87600 * time.Hour), ""},
		{"too old", Config{TimestampBefore: time.Hour}, at(-61 * time.Minute), "InvalidTimestamp"},
		{"ahead, but the topic stamps", Config{LogAppendTime: true}, at(61 * time.Minute), ""},
		{"no timestamp", Config{TimestampBefore: time.Hour}, batchOf(time.UnixMilli(-1), -1, -1, -1, 1), ""},
		{"claims append time", Config{}, changed(good, func(b []byte) { b[22] |= 1 << 3 }), "InvalidTimestamp"},
		{"claims append time, and the topic stamps", Config{LogAppendTime: true}, changed(good, func(b []byte) { b[22] |= 1 << 3 }), ""},
		{"bytes after the records", Config{}, changed(append(bytes.Clone(good), 0), func([]byte) {}), "InvalidRecord -1: bytes after the last record"},
		{"fewer records than the header says", Config{}, changed(good, func(b []byte) { b[26]++; b[60]++ }), "InvalidRecord 3: length does not fit"},
		{"record of negative length", Config{}, rawBatch(1, 0x01), "InvalidRecord 0: length does not fit"},
		{"record longer than the batch", Config{}, rawBatch(1, 0x7e, 0), "InvalidRecord 0: length does not fit"},
		{"empty record", Config{}, rawBatch(1, 0), "InvalidRecord 0: malformed"},
		{"smallest record", Config{}, rawBatch(1, 12, 0, 0, 0, 1, 1, 0), ""},
		{"offset delta", Config{}, rawBatch(1, 12, 0, 0, 2, 1, 1, 0), "InvalidRecord 0: offset delta is not the record's place"},
		{"key longer than the record", Config{}, rawBatch(1, 12, 0, 0, 0, 20, 1, 0), "InvalidRecord 0: malformed"},
		{"key of length -2", Config{}, rawBatch(1, 12, 0, 0, 0, 3, 1, 0), "InvalidRecord 0: malformed"},
		{"bytes after the headers", Config{}, rawBatch(1, 14, 0, 0, 0, 1, 1, 0, 0), "InvalidRecord 0: malformed"},
		{"many headers in few bytes", Config{}, rawBatch(1, 14, 0, 0, 0, 1, 1, 0x7e, 0), "InvalidRecord 0: malformed"},
		{"header without a key", Config{}, rawBatch(1, 16, 0, 0, 0, 1, 1, 2, 1, 1), "InvalidRecord 0: malformed"},
		{"header", Config{}, rawBatch(1, 16, 0, 0, 0, 1, 1, 2, 0, 1), ""},
		{"compressed rubbish", Config{}, broken, "Corrupt"},
		{"compressed, key missing", Config{Compacted: true}, compressedBatch(t, withKeyless, record.LZ4), "InvalidRecord 1: compacted topic cannot accept a record without a key"},
		{"unknown compression.type", Config{CompressionType: "brotli"}, good, name(ErrUnsupportedCodec)},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			config := c.config.ensureDefaults()
			v := validator{config: &config, now: storyStart.UnixMilli()}
			_, _, err := v.client(bytes.Clone(c.batch))
			got := ""
			if err != nil {
				got = name(err)
			}
			if got != c.want && !(errors.Is(err, ErrUnsupportedCodec) && strings.HasPrefix(got, c.want)) {
				t.Errorf("got %q (%v), want %q", got, err, c.want)
			}
		})
	}
}

var codecs = []record.Codec{record.None, record.Gzip, record.Snappy, record.LZ4, record.Zstd}

func TestEveryCodecBecomesEveryOther(t *testing.T) {
	plain := plainBatch(2000)
	for _, from := range codecs {
		for _, to := range codecs {
			batch := compressedBatch(t, compressedBatch(t, plain, from), to)
			if err := log.CheckBatch(batch); err != nil {
				t.Fatalf("%v to %v: %v", from, to, err)
			}
			h := log.Header(batch)
			if h.Codec() != int(to) || h.Count() != 2000 || h.MaxTimestamp() != storyStart.UnixMilli() {
				t.Fatalf("%v to %v: codec %d, %d records, timestamp %d", from, to, h.Codec(), h.Count(), h.MaxTimestamp())
			}
			n := 0
			err := record.Each(batch, 1<<20, func(r record.Record) error {
				n++
				if string(r.Key) != "key" || string(r.Value) != "some value" {
					t.Fatalf("record %d is %q: %q", n, r.Key, r.Value)
				}
				return nil
			})
			if err != nil || n != 2000 {
				t.Fatalf("%v to %v: %d records, %v", from, to, n, err)
			}
			if (to == record.None) != (len(batch) == len(plain)) {
				t.Fatalf("%v to %v: %d bytes, plain are %d", from, to, len(batch), len(plain))
			}
		}
	}
}

func TestProducerCompressionKeepsTheBytes(t *testing.T) {
	for _, codec := range codecs {
		batch := compressedBatch(t, plainBatch(10), codec)
		config := Config{}.ensureDefaults()
		v := validator{config: &config, now: storyStart.UnixMilli()}
		out, appendTime, err := v.client(batch)
		if err != nil || &out[0] != &batch[0] || appendTime != -1 {
			t.Errorf("%v: another batch, time %d, %v", codec, appendTime, err)
		}
	}
}

// Whoever has summed a batch says so, and is believed: the batch itself is not summed again.
func TestASumThatIsGivenIsTheOneThatCounts(t *testing.T) {
	batch := plainBatch(10)
	r := newReplica(t, Config{})
	r.elect(1)
	for name, tc := range map[string]struct {
		sum  uint32
		want error
	}{"right": {crc32.Checksum(batch[log.ChecksumFrom:], castagnoli), nil}, "wrong": {1, ErrCorrupt}} {
		if _, err := r.p.AppendSummed(bytes.Clone(batch), tc.sum, AcksLeader); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	broken := bytes.Clone(batch)
	broken[len(broken)-30] ^= 1
	if _, err := r.p.Append(broken, AcksLeader); !errors.Is(err, ErrCorrupt) {
		t.Errorf("no sum: %v", err)
	}
}

func TestAppendTimeIsStamped(t *testing.T) {
	config := Config{LogAppendTime: true, CompressionType: "zstd"}.ensureDefaults()
	now := storyStart.Add(time.Minute).UnixMilli()
	v := validator{config: &config, now: now}
	out, appendTime, err := v.client(plainBatch(10))
	if err != nil || appendTime != now {
		t.Fatalf("time %d, %v", appendTime, err)
	}
	if h := log.Header(out); !h.LogAppendTime() || h.MaxTimestamp() != now || h.Codec() != int(record.Zstd) {
		t.Errorf("append time %t, timestamp %d, codec %d", h.LogAppendTime(), h.MaxTimestamp(), h.Codec())
	}
	if err := log.CheckBatch(out); err != nil {
		t.Error(err)
	}
}

// A batch that expands to far more than it should is refused, and nothing like that much memory is used on the way.
func TestBombIsRefused(t *testing.T) {
	const expanded = 32 << 20
	many := bytes.Repeat([]byte{12, 0, 0, 0, 1, 1, 0}, expanded/7) // no record but the first has its place
	one := append(binary.AppendVarint(nil, expanded), make([]byte, expanded)...)
	for _, codec := range codecs[1:] {
		for name, payload := range map[string][]byte{"many records": many, "one record": one} {
			var out bytes.Buffer
			if err := compress(&out, codec, 1, payload); err != nil {
				t.Fatal(err)
			}
			w := recordWalker{count: math.MaxInt32, limit: expanded / 8, oldest: math.MinInt64, newest: math.MaxInt64}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := w.compressed(int(codec), out.Bytes())
			runtime.ReadMemStats(&after)
			if err == nil {
				t.Errorf("%v, %s: accepted", codec, name)
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > expanded/2 {
				t.Errorf("%v, %s: %d bytes of memory used", codec, name, used)
			}
		}
	}
}

// Records that are larger than the window, and that lie across its ends.
func TestLargeRecordsInCompressedBatches(t *testing.T) {
	b := record.New()
	for _, size := range []int{1, windowBytes - 1, 10, windowBytes, 3*windowBytes + 17, 1, largeWindow + 5, 2} {
		b.Add(record.Record{Timestamp: storyStart.UnixMilli(), Key: []byte("k"), Value: bytes.Repeat([]byte("abcdefg"), size/7+1)[:size]})
	}
	config := Config{Compacted: true, MaxMessageBytes: math.MaxInt32}.ensureDefaults()
	v := validator{config: &config, now: storyStart.UnixMilli()}
	for _, codec := range codecs {
		batch := compressedBatch(t, bytes.Clone(b.Batch()), codec)
		if _, _, err := v.client(batch); err != nil {
			t.Errorf("%v: %v", codec, err)
		}
		if codec != record.None {
			if _, _, err := v.client(changed(batch, func(b []byte) { b[26]++; b[60]++ })); name(err) != "InvalidRecord 8: length does not fit" {
				t.Errorf("%v, one record more in the header: %v", codec, err)
			}
			if _, _, err := v.client(changed(batch, func(b []byte) { b[26]--; b[60]-- })); name(err) != "InvalidRecord -1: bytes after the last record" {
				t.Errorf("%v, one record less in the header: %v", codec, err)
			}
		}
	}
}

// Properties: no panic; what is accepted is a whole batch whose records are in order; memory bounded by what a batch may expand to.
func FuzzClientBatch(f *testing.F) {
	for _, codec := range codecs {
		f.Add(compressedBatch(f, plainBatch(3), codec)[21:], false)
	}
	f.Add(rawBatch(1, 16, 0, 0, 0, 1, 1, 2, 0, 1)[21:], true)
	f.Fuzz(func(t *testing.T, body []byte, compacted bool) {
		b := append(make([]byte, 21), body...)
		b[16] = 2
		if len(b) >= log.HeaderSize {
			seal(b)
		}
		config := Config{Compacted: compacted}.ensureDefaults()
		v := validator{config: &config, now: storyStart.UnixMilli()}
		out, _, err := v.client(b)
		if err != nil {
			return
		}
		next := int64(0)
		err = record.Each(out, maxExpandedBytes, func(r record.Record) error {
			if r.Offset-int64(log.Header(out).BaseOffset()) != next || compacted && r.Key == nil {
				t.Fatalf("record %d has offset %d, key %v", next, r.Offset, r.Key)
			}
			next++
			return nil
		})
		if err != nil || next != int64(log.Header(out).Count()) {
			t.Fatalf("accepted, but %d of %d records: %v", next, log.Header(out).Count(), err)
		}
	})
}

func TestPlainBatchIsCheckedWithoutAllocation(t *testing.T) {
	batch := plainBatch(1000)
	config := Config{Compacted: true}.ensureDefaults()
	v := validator{config: &config, now: storyStart.UnixMilli()}
	if n := testing.AllocsPerRun(100, func() {
		if _, _, err := v.client(batch); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkValidate(b *testing.B) {
	for _, size := range []int{100, 1024} {
		builder := record.New()
		value := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
		for builder.Size() < 900_000 {
			builder.Add(record.Record{Timestamp: storyStart.UnixMilli(), Value: value})
		}
		for _, codec := range codecs {
			batch := compressedBatch(b, bytes.Clone(builder.Batch()), codec)
			b.Run(fmt.Sprintf("%v/%dB", codec, size), func(b *testing.B) {
				config := Config{}.ensureDefaults()
				v := validator{config: &config, now: storyStart.UnixMilli()}
				b.SetBytes(900_000)
				b.ReportAllocs()
				for b.Loop() {
					if _, _, err := v.client(batch); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
