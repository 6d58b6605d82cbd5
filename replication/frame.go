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
