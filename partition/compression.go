package partition

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/barnabas-log/barnabas/log"
	"github.com/barnabas-log/barnabas/log/record"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// targetCodec is the codec that a batch is stored with.
func (v *validator) targetCodec(codec int) (int, error) {
	switch v.config.CompressionType {
	case "", "producer":
		return codec, nil
	case "uncompressed", "none":
		return int(record.None), nil
	}
	for c := record.Gzip; c <= record.Zstd; c++ {
		if c.String() == v.config.CompressionType {
			return int(c), nil
		}
	}
	return 0, fmt.Errorf("%w: compression.type %q", ErrUnsupportedCodec, v.config.CompressionType)
}

// expand expands all of b.
func expand(codec int, b []byte) ([]byte, error) {
	expanded, err := record.Decompress(record.Codec(codec), b, maxExpandedBytes)
	switch {
	case errors.Is(err, record.ErrTooLarge):
		return nil, fmt.Errorf("%w: it expands to more than %d bytes", ErrTooLarge, maxExpandedBytes)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return expanded, nil
}

// recompress checks the records and builds the batch anew with another codec. The header stays but for codec, length and checksum.
func (v *validator) recompress(batch []byte, codec int, w recordWalker) ([]byte, error) {
	h := log.Header(batch)
	plain := batch[log.HeaderSize:]
	if h.Codec() != 0 { // otherwise it has been checked
		var err error
		if plain, err = expand(h.Codec(), plain); err != nil {
			return nil, err
		}
		if err := w.all(plain); err != nil {
			return nil, err
		}
	}
	out := bytes.NewBuffer(make([]byte, 0, log.HeaderSize+len(plain)))
	out.Write(batch[:log.HeaderSize])
	if err := compress(out, record.Codec(codec), v.config.CompressionLevel, plain); err != nil {
		return nil, fmt.Errorf("compress with %v: %w", record.Codec(codec), err)
	}
	b := out.Bytes()
	if len(b) > v.config.MaxMessageBytes {
		return nil, fmt.Errorf("%w: %d bytes with %v, %d are allowed", ErrTooLarge, len(b), record.Codec(codec), v.config.MaxMessageBytes)
	}
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)-12))
	binary.BigEndian.PutUint16(b[21:], uint16(h.Attributes())&^7|uint16(codec))
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], castagnoli))
	return b, nil
}

// compress appends b to out. level 0 means the codec's default.
func compress(out *bytes.Buffer, codec record.Codec, level int, b []byte) error {
	switch codec {
	case record.None:
		out.Write(b)
		return nil
	case record.Gzip:
		if level == 0 {
			level = gzip.DefaultCompression
		}
		w, err := gzip.NewWriterLevel(out, level)
		return compressStream(w, err, b)
	case record.Snappy:
		compressSnappy(out, b)
		return nil
	case record.LZ4:
		w := lz4.NewWriter(out)
		return compressStream(w, w.Apply(lz4.CompressionLevelOption(lz4Level(level)), lz4.BlockSizeOption(lz4.Block64Kb)), b)
	case record.Zstd:
		if level == 0 {
			level = 3
		}
		w, err := zstd.NewWriter(out, zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(level)), zstd.WithEncoderConcurrency(1))
		return compressStream(w, err, b)
	}
	return fmt.Errorf("%w: %v", ErrUnsupportedCodec, codec)
}

func compressStream(w io.WriteCloser, err error, b []byte) error {
	if err != nil {
		return err
	}
	if _, err := w.Write(b); err != nil {
		return err
	}
	return w.Close()
}

// lz4Level maps Kafka's 1 to 17 to what the library has.
func lz4Level(level int) lz4.CompressionLevel {
	levels := []lz4.CompressionLevel{
		lz4.Level9, lz4.Level1, lz4.Level2, lz4.Level3, lz4.Level4, lz4.Level5, lz4.Level6, lz4.Level7, lz4.Level8, lz4.Level9,
	}
	return levels[min(max(level, 0), len(levels)-1)]
}

// compressSnappy writes the stream of the Java snappy library, which every client reads: magic, two versions, blocks with their lengths.
func compressSnappy(out *bytes.Buffer, b []byte) {
	const blockBytes = 32 << 10
	out.Write([]byte{0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1})
	var length [4]byte
	for len(b) > 0 {
		n := min(len(b), blockBytes)
		block := s2.EncodeSnappy(nil, b[:n])
		binary.BigEndian.PutUint32(length[:], uint32(len(block)))
		out.Write(length[:])
		out.Write(block)
		b = b[n:]
	}
}
