package protocol

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
)

// crumbs gives what a connection gives: some of what was asked for.
type crumbs struct {
	r      io.Reader
	random *rand.Rand
}

func (c crumbs) Read(b []byte) (int, error) {
	return c.r.Read(b[:min(len(b), 1+c.random.IntN(200<<10))])
}

// nowhere is for partitions of which nobody knows where they end.
func nowhere([]byte, [16]byte, int32) int64 { return -1 }

// TestFramesAreWhatWasSent reads frames of all sizes that are read differently.
func TestFramesAreWhatWasSent(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for k, size := range []int{100, smallFrame, smallFrame + 1, 3<<20 + 5, 16 << 20, 33<<20 + 1, apartTo + 1} {
		sent := make([]byte, size)
		for i := range sent {
			sent[i] = byte(i*7 + i>>8)
		}
		sent[0], sent[1], sent[2], sent[3] = 0, byte(keyFetch), 0, produceFlexible
		if k%2 == 0 { // a produce that is not taken apart: of a version that is not served, or too large
			sent[1], sent[3] = byte(keyProduce), 0
		}
		if size > apartTo {
			sent[1], sent[3] = byte(keyProduce), produceFlexible
		}
		for range 2 { // the second time in a buffer that was used before
			b := newBudget(1 << 30)
			f, err := readFrame(context.Background(), crumbs{bytes.NewReader(sent), random}, size, b, func() {}, nowhere)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(f.bytes, sent) {
				t.Fatalf("a frame of %d bytes has others", size)
			}
			f.release()
			if !b.free.TryAcquire(b.capacity) {
				t.Error("the budget is not whole")
			}
		}
		b := newBudget(1 << 30)
		if _, err := readFrame(context.Background(), bytes.NewReader(sent[:size-1]), size, b, func() {}, nowhere); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("a frame that was cut off: %v", err)
		}
		if !b.free.TryAcquire(b.capacity) {
			t.Error("the budget is not whole")
		}
	}
}
