package replication

import (
	"encoding/binary"

	"github.com/barnabas-log/barnabas/log"
)

// frame is a message under construction: bytes, and ranges of segments that belong between them and are sent from their files.
type frame struct {
	b        []byte
	pieces   []log.Piece
	attached int // bytes of the pieces
}

// alignFrom is from how many bytes on a batch is padded: what is padded, half a page, shall be little beside it.
const alignFrom = 64 << 10

// align pads the entry whose header begins at at, so that the chunk comes to lie in the follower's memory as it will on its disk, at the same place in a page: it need not be copied then
// (vfs.File.WriteColdAt). Replicas store the same bytes at the same positions; where they do not, nothing but time is lost.
func (f *frame) align(at int, c *log.Chunk) {
	_, position, ok := c.File()
	if !ok || c.Size() < alignFrom {
		return
	}
	lies := int64(len(f.b) + f.attached - 4) // the length is not read into that memory
	f.b = padEntry(f.b, at, int((position-lies)&(page-1)))
}

// attach puts a chunk behind what is there. The frame releases it.
func (f *frame) attach(c *log.Chunk) {
	f.pieces = append(f.pieces, log.Piece{At: len(f.b), Range: c})
	f.attached += c.Size()
}

// end fills in the length.
func (f *frame) end() { binary.BigEndian.PutUint32(f.b, uint32(len(f.b)+f.attached-4)) }

// release lets go of the chunks.
func (f *frame) release() {
	for _, p := range f.pieces {
		p.Range.Release()
	}
}
