package record

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
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
	if codec == None && len(b) <= maxBytes {
		return b, nil
	}
	return AppendDecompressed(nil, codec, b, maxBytes)
}

// AppendDecompressed is Decompress for those who have room already: it appends to dst, which is undefined after an error.
func AppendDecompressed(dst []byte, codec Codec, b []byte, maxBytes int) ([]byte, error) {
	switch codec {
	case None:
		if len(b) > maxBytes {
			return nil, ErrTooLarge
		}
		return append(dst, b...), nil
	case Gzip:
		r := gzipReaders.Get().(*gzip.Reader)
		defer gzipReaders.Put(r)
		if err := r.Reset(bytes.NewReader(b)); err != nil {
			return nil, malformed("gzip: %v", err)
		}
		return readCapped(dst, "gzip", r, maxBytes)
	case Snappy:
		if bytes.HasPrefix(b, xerialMagic) {
			return xerial(dst, b, maxBytes)
		}
		return snappy(dst, b, maxBytes)
	case LZ4:
		r := lz4Readers.Get().(*lz4.Reader)
		defer lz4Readers.Put(r)
		r.Reset(bytes.NewReader(b))
		return readCapped(dst, "lz4", r, maxBytes)
	case Zstd:
		r := zstdReaders.Get().(*zstd.Decoder)
		defer zstdReaders.Put(r)
		if err := r.Reset(bytes.NewReader(b)); err != nil {
			return nil, malformed("zstd: %v", err)
		}
		return readCapped(dst, "zstd", r, maxBytes)
	}
	return nil, malformed("unknown %v", codec)
}

// Decompressors are expensive to make, and kept. Those of zstd run no goroutines (concurrency 1) and refuse windows beyond 64 MiB.
var (
	gzipReaders = sync.Pool{New: func() any { return new(gzip.Reader) }}
	lz4Readers  = sync.Pool{New: func() any { return lz4.NewReader(nil) }}
	zstdReaders = sync.Pool{New: func() any {
		r, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(64<<20), zstd.WithDecoderLowmem(true))
		if err != nil {
			panic(err) // the options above are wrong: our own bug
		}
		return r
	}}
)

// readCapped appends what r gives, at most maxBytes of it.
func readCapped(dst []byte, name string, r io.Reader, maxBytes int) ([]byte, error) {
	const least = 4 << 10
	for begin := len(dst); ; {
		if cap(dst)-len(dst) < least {
			dst = slices.Grow(dst, max(least, len(dst)-begin))
		}
		n, err := r.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		switch {
		case len(dst)-begin > maxBytes:
			return nil, ErrTooLarge
		case err == io.EOF:
			return dst, nil
		case err != nil:
			return nil, malformed("%s: %v", name, err)
		}
	}
}

// snappy appends the expansion of one raw block to dst, of which maxBytes may be used.
func snappy(dst, b []byte, maxBytes int) ([]byte, error) {
	n, err := s2.DecodedLen(b)
	if err != nil {
		return nil, malformed("snappy: %v", err)
	}
	if n > maxBytes {
		return nil, ErrTooLarge
	}
	if n/64 > len(b) { // no snappy block expands that much: do not believe its length
		return nil, malformed("snappy: %d bytes claim to expand to %d", len(b), n)
	}
	dst = slices.Grow(dst, n)
	if _, err := s2.Decode(dst[len(dst):len(dst)+n], b); err != nil {
		return nil, malformed("snappy: %v", err)
	}
	return dst[:len(dst)+n], nil
}

// xerialMagic starts the stream that the Java snappy library writes; two versions of 4 bytes follow, then blocks with their lengths.
var xerialMagic = []byte{0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0}

func xerial(dst, b []byte, maxBytes int) ([]byte, error) {
	if len(b) < 16 {
		return nil, malformed("snappy: frame header of %d bytes", len(b))
	}
	begin := len(dst)
	if dst == nil {
		dst = []byte{}
	}
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
		if dst, err = snappy(dst, b[:size], maxBytes-(len(dst)-begin)); err != nil {
			return nil, err
		}
		b = b[size:]
	}
	return dst, nil
}
