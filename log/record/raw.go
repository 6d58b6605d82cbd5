package record

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// Raw is a record as it lies in an expanded batch, for whoever takes some records out of a batch and leaves the others as they are. Everything aliases the batch.
type Raw struct {
	Bytes          []byte // all of it, its length in front
	TimestampDelta int64
	OffsetDelta    int64
	Key            []byte // nil: none
	Tombstone      bool   // no value

	attributes byte
	rest       []byte // from the offset delta on
}

// EachRaw calls f with every record of an expanded payload, of which there must be count. What f is given is valid during the call. An error of f ends it.
func EachRaw(payload []byte, count int32, f func(*Raw) error) error {
	var r Raw
	for i := range count {
		n, err := r.decode(payload)
		if err != nil {
			return fmt.Errorf("record %d of %d: %w", i+1, count, err)
		}
		payload = payload[n:]
		if err := f(&r); err != nil {
			return err
		}
	}
	if len(payload) > 0 {
		return malformed("%d bytes after the last of %d records", len(payload), count)
	}
	return nil
}

// decode takes the first record of b and says how long it is.
func (r *Raw) decode(b []byte) (int, error) {
	length, n := binary.Varint(b)
	if n <= 0 || length < 1 || length > int64(len(b)-n) {
		return 0, malformed("length %d with %d bytes left", length, len(b))
	}
	r.Bytes = b[:n+int(length)]
	r.attributes = b[n]
	body := r.Bytes[n+1:]
	if r.TimestampDelta, n = binary.Varint(body); n <= 0 {
		return 0, malformed("bad timestamp delta")
	}
	body = body[n:]
	r.rest = body
	if r.OffsetDelta, n = binary.Varint(body); n <= 0 || r.OffsetDelta < 0 || r.OffsetDelta > math.MaxInt32 {
		return 0, malformed("bad offset delta")
	}
	body = body[n:]
	size, n := binary.Varint(body)
	if n <= 0 || size < -1 || size > int64(len(body)-n) {
		return 0, malformed("bad key length")
	}
	body = body[n:]
	r.Key = nil
	if size >= 0 {
		r.Key, body = body[:size:size], body[size:]
	}
	if size, n = binary.Varint(body); n <= 0 || size < -1 || size > int64(len(body)-n) {
		return 0, malformed("bad value length")
	}
	r.Tombstone = size < 0
	return len(r.Bytes), nil
}

// AppendAt appends the record with another timestamp delta.
func (r *Raw) AppendAt(dst []byte, delta int64) []byte {
	var number [binary.MaxVarintLen64]byte
	n := binary.PutVarint(number[:], delta)
	dst = binary.AppendVarint(dst, int64(1+n+len(r.rest)))
	dst = append(dst, r.attributes)
	dst = append(dst, number[:n]...)
	return append(dst, r.rest...)
}

// Compress appends b, compressed at the codec's fastest level, to dst. Snappy is written in the frames of the Java client, which every client reads.
func Compress(dst []byte, codec Codec, b []byte) ([]byte, error) {
	switch codec {
	case None:
		return append(dst, b...), nil
	case Snappy:
		return appendXerial(dst, b), nil
	case Zstd:
		w := zstdWriters.Get().(*zstd.Encoder)
		defer zstdWriters.Put(w)
		return w.EncodeAll(b, dst), nil
	case Gzip:
		w := gzipWriters.Get().(*gzip.Writer)
		defer gzipWriters.Put(w)
		return compressStream(w, dst, b)
	case LZ4:
		w := lz4Writers.Get().(*lz4.Writer)
		defer lz4Writers.Put(w)
		return compressStream(w, dst, b)
	}
	return dst, malformed("unknown %v", codec)
}

// Compressors are expensive to make, and kept.
var (
	gzipWriters = sync.Pool{New: func() any {
		w, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
		if err != nil {
			panic(err) // there is such a level: our own bug
		}
		return w
	}}
	lz4Writers = sync.Pool{New: func() any {
		w := lz4.NewWriter(nil)
		if err := w.Apply(lz4.BlockSizeOption(lz4.Block64Kb)); err != nil {
			panic(err) // the option above is wrong: our own bug
		}
		return w
	}}
	zstdWriters = sync.Pool{New: func() any {
		w, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true))
		if err != nil {
			panic(err) // the options above are wrong: our own bug
		}
		return w
	}}
)

type resettable interface {
	io.WriteCloser
	Reset(io.Writer)
}

func compressStream(w resettable, dst, b []byte) ([]byte, error) {
	out := bytes.NewBuffer(dst)
	w.Reset(out)
	if _, err := w.Write(b); err != nil {
		return dst, err
	}
	if err := w.Close(); err != nil {
		return dst, err
	}
	return out.Bytes(), nil
}

func appendXerial(dst, b []byte) []byte {
	const blockBytes = 32 << 10
	dst = append(append(dst, xerialMagic...), 0, 0, 0, 1, 0, 0, 0, 1)
	for len(b) > 0 {
		n := min(len(b), blockBytes)
		dst = slices.Grow(dst, 4+s2.MaxEncodedLen(n))
		at := len(dst) + 4
		block := s2.EncodeSnappy(dst[at:cap(dst)], b[:n])
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(block)))[:at+len(block)]
		b = b[n:]
	}
	return dst
}
