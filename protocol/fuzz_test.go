package protocol

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math/rand/v2"
	"net"
	"os"
	"reflect"
	"runtime"
	"testing"
	"time"

	"github.com/barnabas-log/barnabas/log"
	"github.com/barnabas-log/barnabas/partition"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// Frames: no panic, memory bounded by what arrived, and a frame is exactly the bytes that were sent.
func FuzzReadFrame(f *testing.F) {
	f.Add([]byte{0, 0, 0, 4, 1, 2, 3, 4}, uint16(0))
	f.Add([]byte{0x7f, 0xff, 0xff, 0xff, 1}, uint16(0))
	f.Add([]byte{0, 1, 0x11, 0x70, 1}, uint16(0))
	f.Add([]byte{0, 5, 0, 0, 0, 0, 0, 9}, uint16(50_000)) // large enough to be taken apart, and wrong
	f.Fuzz(func(t *testing.T, in []byte, more uint16) {
		if len(in)*int(more) > 1<<20 {
			return
		}
		in = append(bytes.Clone(in), bytes.Repeat(in, int(more))...) // large frames of small inputs
		b := newBudget(1 << 30)
		r := bufio.NewReader(bytes.NewReader(in))
		size, err := readSize(r, 1<<20)
		if err != nil {
			return
		}
		frame, err := readFrame(context.Background(), r, size, b, func() {}, nowhere)
		if err == nil {
			if frame.cuts == nil && !bytes.Equal(frame.bytes, in[4:4+size]) {
				t.Fatalf("%x is not %x", frame.bytes, in[4:4+size])
			}
			for _, c := range frame.cuts {
				if !bytes.Contains(in[4:4+size], c.records) || c.sum != crc32.Checksum(c.records[log.ChecksumFrom:], castagnoli) {
					t.Fatalf("batch %d, %x, of %x has the sum %08x", c.number, c.records, in[4:4+size], c.sum)
				}
			}
			frame.release()
		} else if len(in)-4 >= size {
			t.Fatalf("a whole frame was refused: %v", err)
		}
		if !b.free.TryAcquire(b.capacity) {
			t.Fatal("the budget is not whole")
		}
	})
}

// Produces: one that is taken apart as it arrives is decoded to what it is in one piece, or refused as that is.
func FuzzTakeApart(f *testing.F) {
	var all shapes
	r := rand.New(rand.NewPCG(3, 4))
	for version := int16(minProduceServed); version <= maxProduce; version++ {
		for range 3 {
			f.Add(largeProduce(r, version, 700), uint16(r.IntN(3000)))
		}
	}
	f.Fuzz(func(t *testing.T, sent []byte, there uint16) {
		if len(sent) < 8 || len(sent) > 1<<20 {
			return
		}
		sent = bytes.Clone(sent)
		sent[0], sent[1] = 0, byte(keyProduce)
		version := int16(binary.BigEndian.Uint16(sent[2:]))
		if version < minProduceServed || version > maxProduce {
			return
		}
		head := newBuffer(len(sent))
		have := copy(head.b, sent[:min(len(sent), 8+int(there))])
		apart := frame{size: len(sent), buffer: head, budget: newBudget(1)}
		defer apart.release()
		if err := apart.readApart(bytes.NewReader(sent[have:]), have, nowhere); err != nil {
			t.Fatal(err)
		}
		want, wantErr := decoded(&all, sent)
		got, err := decoded(&all, apart.bytes)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("apart: %v; in one piece: %v", err, wantErr)
		}
		if err == nil {
			together(t, &apart, got)
			if !bytes.Equal(got.AppendTo(nil), want.AppendTo(nil)) {
				t.Fatalf("%+v is not %+v", got, want)
			}
		}
	})
}

// Bodies: what passes the scan costs no more to decode than the scan said, whatever the bytes; no panic, no loop without end.
func FuzzScan(f *testing.F) {
	var all shapes
	r := rand.New(rand.NewPCG(1, 2))
	for i, row := range apis {
		for version := row.min; version <= row.max; version++ {
			req := kmsg.RequestForKey(row.key)
			req.SetVersion(version)
			randomize(r, reflect.ValueOf(req).Elem())
			f.Add(byte(i), byte(version), req.AppendTo(nil))
		}
	}
	f.Fuzz(func(t *testing.T, row, version byte, body []byte) {
		a := apis[int(row)%len(apis)]
		v := a.min + int16(version)%(a.max-a.min+1)
		cost, err := all.of(a.key, v).scan(body)
		if err != nil {
			return
		}
		if cost > 2000*int64(len(body)+1) {
			t.Fatalf("%d bytes cost %d", len(body), cost)
		}
		req := kmsg.RequestForKey(a.key)
		req.SetVersion(v)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_ = req.ReadFrom(body)
		runtime.ReadMemStats(&after)
		if got := int64(after.TotalAlloc - before.TotalAlloc); got > 2*cost+int64(len(body))+64<<10 {
			t.Fatalf("decoding %d bytes took %d, the scan said %d", len(body), got, cost)
		}
	})
}

// Whole requests against a live connection: whatever the bytes, the server answers or closes.
func FuzzConnection(f *testing.F) {
	core, logged := observer.New(zap.ErrorLevel)
	s := serve(f, Options{MaxRequestBytes: 1 << 20, Logger: zap.New(core)})
	s.create("t", 1, partition.Config{})
	s.frozen.Store(true)
	r := rand.New(rand.NewPCG(3, 4))
	for _, b := range plausible(r, 3) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		throw(t, s, in)
		if all := logged.TakeAll(); len(all) > 0 {
			t.Fatalf("%x: %s %v", in, all[0].Message, all[0].ContextMap())
		}
	})
}

// throw sends bytes on a connection of their own and waits for the server to hang up.
func throw(t testing.TB, s *served, in []byte) {
	c, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(30 * time.Second))
	go func() {
		c.Write(in)
		c.(*net.TCPConn).CloseWrite()
	}()
	buffer := make([]byte, 4096)
	for {
		if _, err := c.Read(buffer); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("the server neither answered nor hung up: %x", in)
		} else if err != nil {
			return
		}
	}
}

// plausible makes n random requests of every version of every API, as frames. Timeouts are short, so that nothing waits.
func plausible(r *rand.Rand, n int) (frames [][]byte) {
	formatter := kmsg.NewRequestFormatter(kmsg.FormatterClientID("plausible"))
	for _, row := range apis {
		for version := row.min; version <= row.max; version++ {
			for range n {
				req := kmsg.RequestForKey(row.key)
				req.SetVersion(version)
				randomize(r, reflect.ValueOf(req).Elem())
				switch req := req.(type) {
				case *kmsg.FetchRequest:
					req.MaxWaitMillis = 1
				case *kmsg.ProduceRequest:
					req.TimeoutMillis = 1
				case *kmsg.DeleteRecordsRequest:
					req.TimeoutMillis = 1
				}
				frames = append(frames, formatter.AppendRequest(nil, req, r.Int32()))
			}
		}
	}
	return frames
}

// Mutated requests, thousands of them, beside a client that behaves: it is not disturbed, nothing panics and memory stays where it was.
func TestHostileFramesDisturbNobody(t *testing.T) {
	rounds := 20
	if os.Getenv("BARNABAS_LONG") != "" {
		rounds = 10_000
	}
	core, logged := observer.New(zap.ErrorLevel)
	s := serve(t, Options{MaxRequestBytes: 1 << 20, InFlightBytes: 8 << 20, Logger: zap.New(core)})
	s.create("t", 1, partition.Config{})
	s.frozen.Store(true)
	good := dial(t, s)
	good.SetDeadline(time.Now().Add(time.Hour))
	r := rand.New(rand.NewPCG(5, 6))
	next := int64(0)
	for range rounds {
		frames := plausible(r, 1)
		r.Shuffle(len(frames), func(i, j int) { frames[i], frames[j] = frames[j], frames[i] })
		for _, b := range frames[:20] {
			mutate(r, b)
			throw(t, s, b)
		}
		if p := good.produced(produceTo("t", 0, 9, -1, batch(1))); p.ErrorCode != 0 || p.BaseOffset != next {
			t.Fatalf("the good client: %+v, want offset %d", p, next)
		}
		next++
		if all := logged.TakeAll(); len(all) > 0 {
			t.Fatalf("%s %v", all[0].Message, all[0].ContextMap())
		}
	}
	good.Close()
	until(t, "all have gone", func() bool { return s.server.Connections() == 0 })
	if !s.server.budget.free.TryAcquire(s.server.opts.InFlightBytes) {
		t.Error("bytes of requests are still charged")
	}
}

// mutate changes some bytes of a frame, mostly behind the header.
func mutate(r *rand.Rand, b []byte) {
	for range r.IntN(6) {
		i := r.IntN(len(b))
		switch r.IntN(4) {
		case 0:
			b[i] = byte(r.Uint32())
		case 1:
			b[i] ^= 1 << r.IntN(8)
		case 2:
			b[i] = 0xff
		case 3:
			if i+4 <= len(b) {
				binary.BigEndian.PutUint32(b[i:], 1<<31-1)
			}
		}
	}
}
