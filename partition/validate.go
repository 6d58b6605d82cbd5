package partition

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/barnabas-log/barnabas/log"
)

// validator judges one batch. It holds no lock and keeps nothing.
type validator struct {
	config *Config
	now    int64 // milliseconds
	summed bool  // sum is the CRC-32C of what the batch's checksum covers
	sum    uint32
}

// client judges a batch as a client sent it, in the order and with the errors that Kafka has. It returns the batch to store, which is another one if the topic
// wants another compression, and the append time (-1 unless the topic stamps it).
func (v *validator) client(batch []byte) (out []byte, appendTime int64, err error) {
	if len(batch) > v.config.MaxMessageBytes {
		return nil, -1, fmt.Errorf("%w: %d bytes, %d are allowed", ErrTooLarge, len(batch), v.config.MaxMessageBytes)
	}
	if err := v.shape(batch); err != nil {
		return nil, -1, err
	}
	h := log.Header(batch)
	if err := checkHeader(h); err != nil {
		return nil, -1, err
	}
	if !v.config.LogAppendTime && h.LogAppendTime() {
		return nil, -1, fmt.Errorf("%w: the producer claims log append time", ErrInvalidTimestamp)
	}
	out, err = v.records(batch)
	if err != nil {
		return nil, -1, err
	}
	if v.config.LogAppendTime {
		log.SetLogAppendTime(out, v.now)
		return out, v.now, nil
	}
	return out, -1, nil
}

// internal judges a batch that this broker made: only what would break the log.
func (v *validator) internal(batch []byte) error {
	if err := v.shape(batch); err != nil {
		return err
	}
	h := log.Header(batch)
	if h.Count() == 0 || h.LastOffsetDelta() != h.Count()-1 {
		return fmt.Errorf("%w: %d records over %d offsets", ErrCorrupt, h.Count(), int64(h.LastOffsetDelta())+1)
	}
	return nil
}

// shape says whether b is exactly one v2 batch with a right checksum.
func (v *validator) shape(b []byte) (err error) {
	if h := log.Header(b); len(b) >= log.HeaderSize && h.Magic() == 2 && h.Size() >= log.HeaderSize && h.Size() < len(b) {
		return &InvalidRecordError{BatchIndex: -1, Reason: "more than one batch for a partition"}
	}
	if v.summed {
		err = log.CheckSummedBatch(b, v.sum)
	} else {
		err = log.CheckBatch(b)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return nil
}

// checkHeader judges what the header of a client's batch claims.
func checkHeader(h log.Header) error {
	switch {
	case h.Control():
		return &InvalidRecordError{BatchIndex: -1, Reason: "a client may not write control batches"}
	case h.LastOffsetDelta() != h.Count()-1 && h.Count() != 0:
		return fmt.Errorf("%w: %d records over %d offsets", ErrCorrupt, h.Count(), int64(h.LastOffsetDelta())+1)
	case h.Count() == 0:
		return &InvalidRecordError{BatchIndex: -1, Reason: "batch without records"}
	case h.Transactional():
		return fmt.Errorf("%w: no transaction is open for producer %d", ErrInvalidTxnState, h.ProducerID())
	case h.ProducerID() >= 0 && h.BaseSequence() < 0:
		return &InvalidRecordError{BatchIndex: -1, Reason: fmt.Sprintf("sequence %d with producer id %d", h.BaseSequence(), h.ProducerID())}
	case h.ProducerID() >= 0 && h.ProducerEpoch() < 0:
		return &InvalidRecordError{BatchIndex: -1, Reason: fmt.Sprintf("epoch %d with producer id %d", h.ProducerEpoch(), h.ProducerID())}
	}
	return nil
}

// records judges every record, and recompresses the batch when the topic wants that.
func (v *validator) records(batch []byte) ([]byte, error) {
	h := log.Header(batch)
	w := v.walker(h)
	target, err := v.targetCodec(h.Codec())
	if err != nil {
		return nil, err
	}
	if h.Codec() == 0 {
		err = w.all(batch[log.HeaderSize:])
	} else if target == h.Codec() {
		err = w.compressed(h.Codec(), batch[log.HeaderSize:])
	}
	if err != nil {
		return nil, err
	}
	if target == h.Codec() {
		return batch, nil
	}
	return v.recompress(batch, target, w)
}

func (v *validator) walker(h log.Header) recordWalker {
	w := recordWalker{count: h.Count(), baseTimestamp: h.BaseTimestamp(), needKeys: v.config.Compacted, oldest: math.MinInt64, newest: math.MaxInt64, limit: maxExpandedBytes}
	if v.config.LogAppendTime {
		return w
	}
	if v.config.TimestampBefore != unlimited {
		w.oldest = v.now - v.config.TimestampBefore.Milliseconds()
	}
	if v.config.TimestampAfter != unlimited {
		w.newest = v.now + v.config.TimestampAfter.Milliseconds()
	}
	return w
}

// recordWalker checks the records of one batch, without allocating for each.
type recordWalker struct {
	count          int32
	baseTimestamp  int64
	oldest, newest int64 // accepted timestamps, milliseconds
	needKeys       bool
	limit          int64 // bytes that a compressed batch may expand to
	touched        byte  // so that touch is not optimised away; of no meaning
}

// all checks the records that b consists of.
func (w *recordWalker) all(b []byte) error {
	at := 0
	for i := range w.count {
		length, start := varintAt(b, at)
		if start < 0 || length < 0 || length > int64(len(b)-start) {
			return invalid(i, "length does not fit")
		}
		if i%atOnce == 0 && length >= farApart {
			w.touched ^= touch(b, start, int(length)+start-at)
		}
		at = start + int(length)
		if err := w.one(i, b[start:at]); err != nil {
			return err
		}
	}
	if at < len(b) {
		return invalid(-1, "bytes after the last record")
	}
	return nil
}

const (
	// atOnce is for how many records touch asks.
	atOnce = 16
	// farApart is the length from where on the processor does not find the beginning of the next record by itself.
	farApart = 256
)

// touch asks the memory for where the next records begin if each is as long as this one, with its length, is. One after the other each is waited for: where it begins is known only when the one before
// it was read. Together they take as long as one.
func touch(b []byte, at, size int) (sum byte) {
	for range atOnce {
		at += size
		if at >= len(b) {
			break
		}
		sum ^= b[at]
	}
	return sum
}

// one checks record i, whose fields fill b. Positions are -1 from the first malformed field on.
func (w *recordWalker) one(i int32, b []byte) error {
	delta, at := varintAt(b, 1) // behind the attributes, unused
	offset, at := varintAt(b, at)
	keyLength, at := varintAt(b, at)
	at = skip(b, at, keyLength)
	valueLength, at := varintAt(b, at)
	at = skip(b, at, valueLength)
	headers, at := varintAt(b, at)
	if headers != 0 {
		at = skipHeaders(b, at, headers)
	}
	timestamp := w.baseTimestamp + delta
	switch {
	case at != len(b):
		return invalid(i, "malformed")
	case offset != int64(i):
		return invalid(i, "offset delta is not the record's place")
	case w.needKeys && keyLength < 0:
		return invalid(i, "compacted topic cannot accept a record without a key")
	case (timestamp < w.oldest || timestamp > w.newest) && timestamp != -1:
		return fmt.Errorf("record %d: %w: %s", i, ErrInvalidTimestamp, time.UnixMilli(timestamp).UTC().Format(time.RFC3339))
	}
	return nil
}

func invalid(i int32, reason string) error { return &InvalidRecordError{BatchIndex: i, Reason: reason} }

// varintAt decodes the varint at b[at:] and gives the position behind it, -1 if there is none. Nearly all take one or two bytes.
func varintAt(b []byte, at int) (v int64, next int) {
	if uint(at) >= uint(len(b)) {
		return 0, -1
	}
	rest := b[at:]
	u := uint64(rest[0])
	next = at + 1
	if u >= 0x80 {
		if len(rest) > 1 && rest[1] < 0x80 {
			u = u&0x7f | uint64(rest[1])<<7
			next++
		} else {
			var n int
			if u, n = binary.Uvarint(rest); n <= 0 {
				return 0, -1
			}
			next = at + n
		}
	}
	return int64(u>>1) ^ -int64(u&1), next
}

// skip is the position behind a field of the given length at b[at:]; length -1 stands for null.
func skip(b []byte, at int, length int64) int {
	if at < 0 || length < -1 || length > int64(len(b)-at) {
		return -1
	}
	return at + max(int(length), 0)
}

func skipHeaders(b []byte, at int, count int64) int {
	if at < 0 || count < 0 || count > int64(len(b)-at)/2 { // a header takes two bytes at least
		return -1
	}
	for ; count > 0 && at >= 0; count-- {
		length, next := varintAt(b, at)
		if length < 0 { // a header has a key
			return -1
		}
		at = skip(b, next, length)
		length, next = varintAt(b, at)
		at = skip(b, next, length)
	}
	return at
}
