package log

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/barnabas-log/barnabas/log/record"
)

// TestTenMillionRecordsOverOneMillionKeys compacts to exactly the last record of each key, and says how fast that was. Only with BARNABAS_LONG; otherwise with a fiftieth
// of it.
func TestTenMillionRecordsOverOneMillionKeys(t *testing.T) {
	records, keys := 200_000, 20_000
	if long() {
		records, keys = 10_000_000, 1_000_000
	}
	l, err := Open(t.TempDir()+"/log", Options{Config: Config{SegmentBytes: 128 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	newest := fillKeys(t, l, records, keys, 100, record.None)
	size := l.Size()
	var memory runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&memory)
	heap, peak := memory.HeapInuse, uint64(0)
	began, before, calls := time.Now(), processTime(t), 0
	done, err := l.Compact(CompactOptions{To: l.EndOffset(), Now: time.UnixMilli(1), Throttle: func(int) error {
		if calls++; calls%2000 == 0 {
			runtime.ReadMemStats(&memory)
			peak = max(peak, memory.HeapInuse)
		}
		return nil
	}})
	took := time.Since(began)
	cpu := processTime(t) - before
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d MB in %v, %v of CPU: %.0f MB/s, %.0f MB per second of CPU; heap %d MB, %d at most; %+v", size>>20, took, cpu,
		float64(size)/1e6/took.Seconds(), float64(size)/1e6/cpu.Seconds(), heap>>20, peak>>20, done)
	next, found := Offset(0), 0
	for from := l.StartOffset(); from < l.EndOffset(); {
		c, err := l.Read(from, l.EndOffset(), 4<<20, true)
		if err != nil {
			t.Fatal(err)
		}
		b, err := c.Bytes(nil)
		if err != nil {
			t.Fatal(err)
		}
		from = c.NextOffset()
		c.Release()
		for len(b) > 0 {
			h := Header(b[:Header(b).Size()])
			b = b[len(h):]
			if h.BaseOffset() != next {
				t.Fatalf("batch at %d where %d must follow", h.BaseOffset(), next)
			}
			next = h.next()
			err := record.Each(h, 1<<24, func(r record.Record) error {
				found++
				if k := binary.BigEndian.Uint32(r.Key); newest[k] != r.Offset || r.Offset != int64(binary.BigEndian.Uint64(r.Value)) {
					return fmt.Errorf("key %d at %d, last at %d", k, r.Offset, newest[k])
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	if next != Offset(records) || found != keys {
		t.Fatalf("%d records of %d keys, offsets to %d", found, keys, next)
	}
}

const recordBytes = 100 // key and value

// fillKeys appends records with random keys and values in which a number and a digit differ, and says where each key is last.
func fillKeys(t testing.TB, l *Log, records, keys, perBatch int, codec record.Codec) []int64 {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	newest := make([]int64, keys)
	b := record.New()
	key, value := make([]byte, 16), make([]byte, recordBytes-16)
	for k := range value { // digits, so that it does not compress to nothing
		value[k] = '0' + byte(r.IntN(10))
	}
	for o := 0; o < records; {
		b.Reset()
		for range min(perBatch, records-o) {
			k := o // every key once, then any
			if o >= keys {
				k = r.IntN(keys)
			}
			newest[k] = int64(o)
			binary.BigEndian.PutUint32(key, uint32(k))
			binary.BigEndian.PutUint64(value, uint64(o))
			value[8+o%(len(value)-8)] = '0' + byte(r.IntN(10))
			b.Add(record.Record{Timestamp: int64(o / 1000), Key: key, Value: value})
			o++
		}
		data := b.Batch()
		if codec != record.None {
			data = recompressed(data, codec)
		}
		if _, err := l.Append([]Entry{{Index: l.LastIndex() + 1, Term: 1, Kind: KindBatch, Data: data}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Roll(); err != nil {
		t.Fatal(err)
	}
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	return newest
}

// BenchmarkCompact says how many MB of segments, and of records as they are when expanded, are compacted in a second of CPU, with ten records for each key.
func BenchmarkCompact(b *testing.B) {
	for _, c := range []struct {
		name              string
		records, perBatch int
		codec             record.Codec
	}{{"single", 300_000, 1, record.None}, {"hundreds", 1_000_000, 100, record.None}, {"gzip", 500_000, 100, record.Gzip}, {"snappy", 500_000, 100, record.Snappy},
		{"lz4", 500_000, 100, record.LZ4}, {"zstd", 500_000, 100, record.Zstd}} {
		b.Run(c.name, func(b *testing.B) {
			var bytes int64
			var spent time.Duration
			for range b.N {
				b.StopTimer()
				l, err := Open(b.TempDir()+"/log", Options{Config: Config{SegmentBytes: 32 << 20}})
				if err != nil {
					b.Fatal(err)
				}
				fillKeys(b, l, c.records, c.records/10, c.perBatch, c.codec)
				bytes += l.Size()
				runtime.GC()
				b.StartTimer()
				before := processTime(b)
				if _, err := l.Compact(CompactOptions{To: l.EndOffset(), Now: time.UnixMilli(1)}); err != nil {
					b.Fatal(err)
				}
				spent += processTime(b) - before
				b.StopTimer()
				l.Close()
				b.StartTimer()
			}
			b.ReportMetric(0, "ns/op") // depends on what else the machine does
			b.ReportMetric(float64(bytes)/1e6/spent.Seconds(), "MB/cpu-s")
			b.ReportMetric(float64(c.records*b.N)*recordBytes/1e6/spent.Seconds(), "expanded-MB/cpu-s")
		})
	}
}

// processTime is the CPU time that this process has used.
func processTime(t testing.TB) time.Duration {
	t.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
