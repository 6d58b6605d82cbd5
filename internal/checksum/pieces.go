// Package checksum computes CRC-32C, the checksum of Kafka's v2 batches, of parts of a buffer while that fills.
//
// A batch of a megabyte has left the processor's cache by the time it is known where in a request it begins; reading it again from memory is most of what its
// checksum costs. So a request's pieces are summed as they arrive, wherever batches may begin, and the sum of a batch is put together from those of its pieces.
package checksum

import "hash/crc32"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// pieceBits says how large a piece is: 16 KiB. What a part has of its first and last piece is summed again.
const (
	pieceBits = 14
	piece     = 1 << pieceBits
)

// Pieces are the sums of a buffer's pieces. The zero value has none. Not for concurrent use while it grows.
type Pieces struct {
	sums []uint32 // of whole pieces, from the buffer's beginning
	last uint32   // of what is there of the piece behind them
	size int      // bytes summed
}

// Reset forgets everything but its memory.
func (p *Pieces) Reset() { p.sums, p.last, p.size = p.sums[:0], 0, 0 }

// Grow sums what follows in the buffer.
func (p *Pieces) Grow(b []byte) {
	for len(b) > 0 {
		n := min(len(b), piece-p.size&(piece-1))
		p.last = crc32.Update(p.last, castagnoli, b[:n])
		p.size += n
		if b = b[n:]; p.size&(piece-1) == 0 {
			p.sums = append(p.sums, p.last)
			p.last = 0
		}
	}
}

// Of is the CRC-32C of buffer[from:to], where buffer begins with what Grow was given.
func (p *Pieces) Of(buffer []byte, from, to int) uint32 {
	first, behind := (from+piece-1)>>pieceBits, min(to>>pieceBits, len(p.sums))
	if first >= behind {
		return crc32.Checksum(buffer[from:to], castagnoli)
	}
	sum := crc32.Checksum(buffer[from:first<<pieceBits], castagnoli)
	for _, next := range p.sums[first:behind] {
		sum = shift(sum) ^ next
	}
	return crc32.Update(sum, castagnoli, buffer[behind<<pieceBits:to])
}

// shift is the share that a sum has in the sum of the same bytes and a piece behind them: a linear map over GF(2), so that it is looked up byte by byte.
func shift(sum uint32) uint32 {
	return shifts[0][sum&0xFF] ^ shifts[1][sum>>8&0xFF] ^ shifts[2][sum>>16&0xFF] ^ shifts[3][sum>>24]
}

var shifts = func() (tables [4][256]uint32) {
	// What one bit of zero behind does to each bit of a sum (the polynomial is written from right to left), squared until it is a piece of zeros.
	var by [32]uint32
	by[0] = crc32.Castagnoli
	for i := 1; i < 32; i++ {
		by[i] = 1 << (i - 1)
	}
	for range pieceBits + 3 {
		square := by
		for i := range square {
			square[i] = apply(&by, by[i])
		}
		by = square
	}
	for at := range tables {
		for b := range tables[at] {
			tables[at][b] = apply(&by, uint32(b)<<(8*at))
		}
	}
	return tables
}()

// apply is the map, given by what it makes of each bit, of v.
func apply(by *[32]uint32, v uint32) (out uint32) {
	for i := 0; v != 0; i, v = i+1, v>>1 {
		if v&1 != 0 {
			out ^= by[i]
		}
	}
	return out
}
