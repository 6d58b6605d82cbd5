package protocol

import (
	"encoding/binary"
	"io"
	"testing"
	"time"

	"github.com/barnabas-log/barnabas/log/record"
	"github.com/barnabas-log/barnabas/partition"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// filled builds a batch of about size bytes, of records of 1 KiB.
func filled(size int) []byte {
	b := record.New()
	value := make([]byte, 1<<10)
	for b.Size() < size {
		b.Add(record.Record{Timestamp: time.Now().UnixMilli(), Value: value})
	}
	return append([]byte(nil), b.Batch()...)
}

// discard reads n replies and throws them away.
func discard(tb testing.TB, r io.Reader, n int, buffer []byte) {
	for range n {
		if _, err := io.ReadFull(r, buffer[:4]); err != nil {
			tb.Fatal(err)
		}
		for left := int(binary.BigEndian.Uint32(buffer)); left > 0; {
			n, err := r.Read(buffer[:min(left, len(buffer))])
			if err != nil {
				tb.Fatal(err)
			}
			left -= n
		}
	}
}

// Five requests of one batch in flight, to a log that does not sync: what the front end costs.
func BenchmarkProduceOverLoopback(b *testing.B) {
	for name, size := range map[string]int{"16KiB": 16 << 10, "1MiB": 1000 << 10} {
		b.Run(name, func(b *testing.B) {
			s := serve(b, Options{})
			s.create("t", 1, partition.Config{})
			c := dial(b, s)
			c.SetDeadline(time.Time{})
			frame := c.frame(produceTo("t", 0, 9, -1, filled(size)))
			buffer := make([]byte, 64<<10)
			b.SetBytes(int64(len(frame)))
			b.ReportAllocs()
			inFlight := 0
			for b.Loop() {
				if inFlight == 5 {
					discard(b, c.r, 1, buffer)
					inFlight--
				}
				if _, err := c.Write(frame); err != nil {
					b.Fatal(err)
				}
				inFlight++
			}
			discard(b, c.r, inFlight, buffer)
		})
	}
}

// One record, one at a time: the latency of an acknowledgement without fsync.
func BenchmarkProduceLatency(b *testing.B) {
	s := serve(b, Options{})
	s.create("t", 1, partition.Config{})
	c := dial(b, s)
	c.SetDeadline(time.Time{})
	frame := c.frame(produceTo("t", 0, 9, -1, filled(1<<10)))
	buffer := make([]byte, 64<<10)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Write(frame); err != nil {
			b.Fatal(err)
		}
		discard(b, c.r, 1, buffer)
	}
}

func BenchmarkFetchOverLoopback(b *testing.B) {
	for name, size := range map[string]int32{"1KiB": 1 << 10, "16KiB": 17 << 10, "64KiB": 66 << 10, "256KiB": 257 << 10, "1MiB": 1 << 20, "10MiB": 10 << 20} {
		b.Run(name, func(b *testing.B) {
			s := serve(b, Options{})
			s.create("t", 1, partition.Config{})
			c := dial(b, s)
			c.SetDeadline(time.Time{})
			for range 11 << 20 / (16 << 10) {
				c.ask(produceTo("t", 0, 9, -1, filled(15<<10)))
			}
			req := fetchFrom("t", 0, 11, 0)
			req.MaxBytes, req.Topics[0].Partitions[0].PartitionMaxBytes = size, size
			frame := c.frame(req)
			n := len(c.ask(req).(*kmsg.FetchResponse).Topics[0].Partitions[0].RecordBatches)
			buffer := make([]byte, 1<<20)
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Write(frame); err != nil {
					b.Fatal(err)
				}
				discard(b, c.r, 1, buffer)
			}
		})
	}
}
