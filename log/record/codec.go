package record

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// Codec is a compression of a batch, by its number in the attributes.
type Codec int

// The codecs of Kafka.
const (
	None Codec = iota
	Gzip
	Snappy
	LZ4
	Zstd
)

// String is the name that Kafka's configuration uses.
func (c Codec) String() string {
	switch c {
	case None:
		return "none"
	case Gzip:
		return "gzip"
	case Snappy:
		return "snappy"
	case LZ4:
		return "lz4"
	case Zstd:
		return "zstd"
	}
	return fmt.Sprintf("codec %d", int(c))
}

// Decompress expands b to at most maxBytes, else ErrTooLarge. Snappy is accepted raw and in the frames of the Java client.
func Decompress(codec Codec, b []byte, maxBytes int) ([]byte, error) {
	switch codec {
	case None:
		if len(b) > maxBytes {
			return nil, ErrTooLarge
		}
		return b, nil
	case Gzip:
		r, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			return nil, malformed("gzip: %v", err)
		}
		return readCapped("gzip", r, maxBytes)
	case Snappy:
		if bytes.HasPrefix(b, xerialMagic) {
			return xerial(b, maxBytes)
		}
		return snappy(nil, b, maxBytes)
	case LZ4:
		return readCapped("lz4", lz4.NewReader(bytes.NewReader(b)), maxBytes)
	case Zstd:
		r, err := zstdReader(b)
		if err != nil {
			return nil, malformed("zstd: %v", err)
		}
		defer zstdReaders.Put(r)
		return readCapped("zstd", r, maxBytes)
	}
	return nil, malformed("unknown %v", codec)
}

// zstdReaders keeps decoders, which are expensive to make. They run no goroutines (concurrency 1) and refuse windows beyond 64 MiB.
var zstdReaders = sync.Pool{New: func() any {
	r, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(64<<20), zstd.WithDecoderLowmem(true))
	if err != nil {
		panic(err) // the options above are wrong: our own bug
	}
	return r
}}

func zstdReader(b []byte) (*zstd.Decoder, error) {
	r := zstdReaders.Get().(*zstd.Decoder)
	return r, r.Reset(bytes.NewReader(b))
}

func readCapped(name string, r io.Reader, maxBytes int) ([]byte, error) {
	var out bytes.Buffer
	n, err := io.Copy(&out, io.LimitReader(r, int64(maxBytes)+1))
	if n > int64(maxBytes) {
		return nil, ErrTooLarge
	}
	if err != nil {
		return nil, malformed("%s: %v", name, err)
	}
	return out.Bytes(), nil
}

// snappy appends the expansion of one raw block to dst.
func snappy(dst, b []byte, maxBytes int) ([]byte, error) {
	n, err := s2.DecodedLen(b)
	if err != nil {
		return nil, malformed("snappy: %v", err)
	}
	if n > maxBytes-len(dst) {
		return nil, ErrTooLarge
	}
	if n/64 > len(b) { // no snappy block expands that much: do not believe its length
		return nil, malformed("snappy: %d bytes claim to expand to %d", len(b), n)
	}
	block, err := s2.Decode(nil, b)
	if err != nil {
		return nil, malformed("snappy: %v", err)
	}
	if dst == nil {
		return block, nil
	}
	return append(dst, block...), nil
}

// xerialMagic starts the stream that the Java snappy library writes; two versions of 4 bytes follow, then blocks with their lengths.
var xerialMagic = []byte{0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0}

func xerial(b []byte, maxBytes int) ([]byte, error) {
	if len(b) < 16 {
		return nil, malformed("snappy: frame header of %d bytes", len(b))
	}
	out := []byte{}
	for b = b[16:]; len(b) > 0; {
		if len(b) < 4 {
			return nil, malformed("snappy: %d bytes after the last frame", len(b))
		}
		size := int64(int32(binary.BigEndian.Uint32(b)))
		b = b[4:]
		if size < 0 || size > int64(len(b)) {
			return nil, malformed("snappy: frame of %d bytes with %d left", size, len(b))
		}
		var err error
		if out, err = snappy(out, b[:size], maxBytes); err != nil {
			return nil, err
		}
		b = b[size:]
	}
	return out, nil
}
