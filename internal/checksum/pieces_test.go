package checksum

import (
	"hash/crc32"
	"math/rand/v2"
	"testing"
)

// TestPartsHaveTheSumOfTheirBytes grows a buffer by random steps, and asks for parts of what is there.
func TestPartsHaveTheSumOfTheirBytes(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	buffer := make([]byte, 20*piece+77)
	for i := range buffer {
		buffer[i] = byte(random.Uint32())
	}
	var p Pieces
	for range 20 {
		p.Reset()
		for at := 0; at < len(buffer); {
			n := min(1+random.IntN(3*piece), len(buffer)-at)
			p.Grow(buffer[at : at+n])
			at += n
			for range 20 {
				from := random.IntN(at)
				to := from + random.IntN(at-from+1)
				if got, want := p.Of(buffer, from, to), crc32.Checksum(buffer[from:to], castagnoli); got != want {
					t.Fatalf("bytes %d to %d of %d: %08x, not %08x", from, to, at, got, want)
				}
			}
		}
	}
}

// TestEdgesOfPieces asks for parts that begin and end at, before and behind the edges of pieces, of a buffer of which the end was not summed.
func TestEdgesOfPieces(t *testing.T) {
	buffer := make([]byte, 5*piece)
	for i := range buffer {
		buffer[i] = byte(i * i >> 3)
	}
	var p Pieces
	p.Grow(buffer[:3*piece+1])
	edges := []int{0, 1, piece - 1, piece, piece + 1, 2*piece - 1, 2 * piece, 3*piece - 1, 3 * piece, 3*piece + 1, 4 * piece, 5 * piece}
	for _, from := range edges {
		for _, to := range edges {
			if from > to {
				continue
			}
			if got, want := p.Of(buffer, from, to), crc32.Checksum(buffer[from:to], castagnoli); got != want {
				t.Errorf("bytes %d to %d: %08x, not %08x", from, to, got, want)
			}
		}
	}
}

// TestASumIsOfWhatArrived changes the buffer after it was summed: the sum is that of what was there, so that the test above does not pass by summing everything again.
func TestASumIsOfWhatArrived(t *testing.T) {
	buffer := make([]byte, 4*piece)
	before := crc32.Checksum(buffer, castagnoli)
	var p Pieces
	p.Grow(buffer)
	buffer[2*piece] = 1
	if got := p.Of(buffer, 0, len(buffer)); got != before {
		t.Errorf("%08x, not %08x", got, before)
	}
}

func BenchmarkOf(b *testing.B) {
	buffer := make([]byte, 1<<20)
	var p Pieces
	p.Grow(buffer)
	for b.Loop() {
		p.Of(buffer, 100, len(buffer)-100)
	}
}
