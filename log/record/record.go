package record

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Record is one record of a batch. Key, Value and the headers alias the buffer they were decoded from.
type Record struct {
	Offset    int64
	Timestamp int64 // milliseconds since 1970
	Key       []byte
	Value     []byte // nil is a tombstone, not the same as empty
	Headers   []Header
}

// Header is one record header.
type Header struct {
	Key   string
	Value []byte
}

// ErrMalformed marks batches whose content does not follow the format. ErrTooLarge marks batches that expand to more than the caller allows.
var (
	ErrMalformed = errors.New("malformed record batch")
	ErrTooLarge  = errors.New("record batch expands beyond the limit")
)

// ErrStop ends Each early without an error.
var ErrStop = errors.New("stop")

// Positions in the header of a v2 batch. The CRC covers everything from attributes on.
const (
	atBaseOffset      = 0
	atLength          = 8
	atLeaderEpoch     = 12
	atMagic           = 16
	atCRC             = 17
	atAttributes      = 21
	atLastOffsetDelta = 23
	atBaseTimestamp   = 27
	atMaxTimestamp    = 35
	atProducerID      = 43
	atProducerEpoch   = 51
	atBaseSequence    = 53
	atCount           = 57
	headerSize        = 61

	logAppendTime = 1 << 3
	codecMask     = 7
)

// Each calls f with every record of a v2 batch in order. A batch that would expand to more than maxBytes fails with ErrTooLarge before
// that much memory is used. When f returns an error, Each ends with it (or with nil for ErrStop). The CRC is not checked. The slices in a record are valid
// after Each returns, but those of an uncompressed batch alias it.
func Each(batch []byte, maxBytes int, f func(Record) error) error {
	if len(batch) < headerSize {
		return malformed("%d bytes are less than a header", len(batch))
	}
	if batch[atMagic] != 2 {
		return malformed("magic %d", int8(batch[atMagic]))
	}
	if length := int64(int32(binary.BigEndian.Uint32(batch[atLength:]))); length+12 != int64(len(batch)) {
		return malformed("length field %d does not fit %d bytes", length, len(batch))
	}
	attributes := binary.BigEndian.Uint16(batch[atAttributes:])
	payload := batch[headerSize:]
	if codec := Codec(attributes & codecMask); codec != None {
		var err error
		if payload, err = Decompress(codec, payload, maxBytes); err != nil {
			return err
		}
	}
	return eachRecord(batch, payload, attributes&logAppendTime != 0, f)
}

func eachRecord(batch, payload []byte, appendTime bool, f func(Record) error) error {
	d := decoder{rest: payload}
	baseOffset := int64(binary.BigEndian.Uint64(batch[atBaseOffset:]))
	baseTimestamp := int64(binary.BigEndian.Uint64(batch[atBaseTimestamp:]))
	maxTimestamp := int64(binary.BigEndian.Uint64(batch[atMaxTimestamp:]))
	lastDelta := int64(int32(binary.BigEndian.Uint32(batch[atLastOffsetDelta:])))
	count := int32(binary.BigEndian.Uint32(batch[atCount:]))
	for i := range count {
		r, err := d.record()
		if err != nil {
			return fmt.Errorf("record %d of %d: %w", i+1, count, err)
		}
		if r.Offset < 0 || r.Offset > lastDelta {
			return malformed("record %d of %d: offset delta %d is outside 0 to %d", i+1, count, r.Offset, lastDelta)
		}
		r.Offset += baseOffset
		r.Timestamp += baseTimestamp
		if appendTime {
			r.Timestamp = maxTimestamp
		}
		if err := f(r); err != nil {
			if errors.Is(err, ErrStop) {
				return nil
			}
			return err
		}
	}
	if len(d.rest) > 0 {
		return malformed("%d bytes after the last of %d records", len(d.rest), count)
	}
	return nil
}

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, args...)...)
}

type decoder struct{ rest []byte }

// record decodes the next one, with its deltas in Offset and Timestamp.
func (d *decoder) record() (Record, error) {
	length, err := d.varint()
	if err != nil {
		return Record{}, err
	}
	if length < 0 || length > int64(len(d.rest)) {
		return Record{}, malformed("length %d with %d bytes left", length, len(d.rest))
	}
	body := decoder{rest: d.rest[:length]}
	d.rest = d.rest[length:]
	r, err := body.fields()
	if err == nil && len(body.rest) > 0 {
		err = malformed("%d bytes left over", len(body.rest))
	}
	return r, err
}

func (d *decoder) fields() (r Record, err error) {
	if len(d.rest) == 0 {
		return r, malformed("empty")
	}
	d.rest = d.rest[1:] // attributes, unused
	if r.Timestamp, err = d.varint(); err != nil {
		return r, err
	}
	if r.Offset, err = d.varint(); err != nil {
		return r, err
	}
	if r.Key, err = d.bytes(); err != nil {
		return r, err
	}
	if r.Value, err = d.bytes(); err != nil {
		return r, err
	}
	r.Headers, err = d.headers()
	return r, err
}

func (d *decoder) headers() ([]Header, error) {
	count, err := d.varint()
	if err != nil {
		return nil, err
	}
	if count < 0 || count > int64(len(d.rest))/2 { // a header takes two bytes at least
		return nil, malformed("%d headers in %d bytes", count, len(d.rest))
	}
	if count == 0 {
		return nil, nil
	}
	headers := make([]Header, count)
	for i := range headers {
		key, err := d.bytes()
		if err != nil {
			return nil, err
		}
		if key == nil {
			return nil, malformed("header without a key")
		}
		headers[i].Key = string(key)
		if headers[i].Value, err = d.bytes(); err != nil {
			return nil, err
		}
	}
	return headers, nil
}

// bytes decodes a length and that many bytes; -1 is nil.
func (d *decoder) bytes() ([]byte, error) {
	length, err := d.varint()
	if err != nil {
		return nil, err
	}
	if length == -1 {
		return nil, nil
	}
	if length < 0 || length > int64(len(d.rest)) {
		return nil, malformed("field of %d bytes with %d left", length, len(d.rest))
	}
	b := d.rest[:length:length]
	d.rest = d.rest[length:]
	return b, nil
}

func (d *decoder) varint() (int64, error) {
	v, n := binary.Varint(d.rest)
	if n <= 0 {
		return 0, malformed("bad varint")
	}
	d.rest = d.rest[n:]
	return v, nil
}
