package protocol

import (
	"bytes"
	"context"
	"errors"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"testing"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// crumbs gives what a connection gives: some of what was asked for.
type crumbs struct {
	r      io.Reader
	random *rand.Rand
}

func (c crumbs) Read(b []byte) (int, error) {
	return c.r.Read(b[:min(len(b), 1+c.random.IntN(200<<10))])
}

// TestLargeProducesAreSummedAsTheyArrive reads frames of all sizes that are read differently.
func TestLargeProducesAreSummedAsTheyArrive(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, size := range []int{100, smallFrame, summedFrom - 1, summedFrom, 3<<20 + 5, 16 << 20, 33<<20 + 1} {
		sent := make([]byte, size)
		for i := 2; i < size; i += 7 {
			sent[i] = byte(random.Uint32())
		}
		for range 2 { // the second time in a buffer that was used before
			f, err := readFrame(context.Background(), crumbs{bytes.NewReader(sent), random}, size, newBudget(1<<30), func() {})
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(f.bytes, sent) {
				t.Fatalf("a frame of %d bytes has others", size)
			}
			for range 50 {
				from := random.IntN(size)
				to := from + 1 + random.IntN(size-from)
				sum, ok := f.checksum(f.bytes[from:to])
				if ok != (size >= summedFrom) {
					t.Fatalf("a frame of %d bytes: summed %t", size, ok)
				}
				if ok && sum != crc32.Checksum(sent[from:to], castagnoli) {
					t.Fatalf("bytes %d to %d of %d: another sum", from, to, size)
				}
			}
			if _, ok := f.checksum(make([]byte, 10)); ok {
				t.Fatal("something else has a sum")
			}
			f.release()
		}
	}
}

// TestOnlyProducesAreSummed sends another request, and a produce that ends early.
func TestOnlyProducesAreSummed(t *testing.T) {
	sent := make([]byte, summedFrom)
	sent[1] = byte(keyFetch)
	b := newBudget(1 << 30)
	f, err := readFrame(context.Background(), bytes.NewReader(sent), len(sent), b, func() {})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := f.checksum(f.bytes); ok {
		t.Error("a fetch was summed")
	}
	f.release()
	sent[1] = byte(keyProduce)
	if _, err := readFrame(context.Background(), bytes.NewReader(sent[:len(sent)-1]), len(sent), b, func() {}); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a frame that was cut off: %v", err)
	}
	if !b.free.TryAcquire(b.capacity) {
		t.Error("the budget is not whole")
	}
}
