package partition

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/barnabas-log/barnabas/log"
)

// The encoded state of the producers, big endian. It goes into checkpoints and snapshots; docs/format/producer-state.md describes it.
//
//	version    1 byte    1
//	offset     8         all batches below it are contained
//	count      4
//	  id 8, epoch 2, coordinator epoch 4, last timestamp 8, last seen 8, run 8, transaction start 8, batches 1
//	    first sequence 4, last sequence 4, base offset 8
//	crc32c     4         of everything before
const (
	stateVersion       = 1
	stateHeaderSize    = 1 + 8 + 4
	stateProducerSize  = 8 + 2 + 4 + 8 + 8 + 8 + 8 + 1
	stateSequencedSize = 4 + 4 + 8
	stateTrailerSize   = 4
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)

	errStateCorrupt = errors.New("producer state is corrupt")
	errStateVersion = errors.New("producer state has an unsupported version")
)

// encode writes what is stored; queued batches are no part of it.
func (ps *producers) encode() []byte {
	all := ps.sorted()
	b := make([]byte, 0, stateHeaderSize+len(all)*(stateProducerSize+rememberedBatches*stateSequencedSize)+stateTrailerSize)
	b = append(b, stateVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(ps.offset))
	b = binary.BigEndian.AppendUint32(b, uint32(len(all)))
	for _, pr := range all {
		b = pr.encode(b)
	}
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func (pr *producer) encode(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(pr.id))
	b = binary.BigEndian.AppendUint16(b, uint16(pr.epoch))
	b = binary.BigEndian.AppendUint32(b, uint32(pr.coordinatorEpoch))
	b = binary.BigEndian.AppendUint64(b, uint64(pr.lastTimestamp))
	b = binary.BigEndian.AppendUint64(b, uint64(pr.lastSeen))
	b = binary.BigEndian.AppendUint64(b, uint64(pr.run))
	b = binary.BigEndian.AppendUint64(b, uint64(pr.txnStart))
	b = append(b, byte(pr.count))
	for _, s := range pr.batches[:pr.count] {
		b = binary.BigEndian.AppendUint32(b, uint32(s.first))
		b = binary.BigEndian.AppendUint32(b, uint32(s.last))
		b = binary.BigEndian.AppendUint64(b, uint64(s.base))
	}
	return b
}

// decodeProducers reads what encode wrote. An empty b is the state of an empty log.
func decodeProducers(b []byte) (*producers, error) {
	ps := newProducers()
	if len(b) == 0 {
		return ps, nil
	}
	if b[0] != stateVersion {
		return nil, fmt.Errorf("%w: %d", errStateVersion, b[0])
	}
	if len(b) < stateHeaderSize+stateTrailerSize {
		return nil, fmt.Errorf("%w: %d bytes", errStateCorrupt, len(b))
	}
	body, trailer := b[:len(b)-stateTrailerSize], b[len(b)-stateTrailerSize:]
	if sum := crc32.Checksum(body, castagnoli); sum != binary.BigEndian.Uint32(trailer) {
		return nil, fmt.Errorf("%w: checksum mismatch", errStateCorrupt)
	}
	ps.offset = log.Offset(binary.BigEndian.Uint64(body[1:]))
	count := int64(binary.BigEndian.Uint32(body[9:]))
	body = body[stateHeaderSize:]
	if ps.offset < 0 || count*stateProducerSize > int64(len(body)) {
		return nil, fmt.Errorf("%w: %d producers at offset %d in %d bytes", errStateCorrupt, count, ps.offset, len(body))
	}
	for range count {
		pr, rest, err := decodeProducer(body)
		if err != nil {
			return nil, err
		}
		ps.byID[pr.id], body = pr, rest
	}
	if len(body) > 0 || int64(len(ps.byID)) != count {
		return nil, fmt.Errorf("%w: %d bytes left over, %d of %d producers", errStateCorrupt, len(body), len(ps.byID), count)
	}
	return ps, nil
}

func decodeProducer(b []byte) (pr *producer, rest []byte, err error) {
	if len(b) < stateProducerSize {
		return nil, nil, fmt.Errorf("%w: producer cut off", errStateCorrupt)
	}
	pr = &producer{
		id:               int64(binary.BigEndian.Uint64(b)),
		epoch:            int16(binary.BigEndian.Uint16(b[8:])),
		coordinatorEpoch: int32(binary.BigEndian.Uint32(b[10:])),
		lastTimestamp:    int64(binary.BigEndian.Uint64(b[14:])),
		lastSeen:         int64(binary.BigEndian.Uint64(b[22:])),
		run:              int64(binary.BigEndian.Uint64(b[30:])),
		txnStart:         log.Offset(binary.BigEndian.Uint64(b[38:])),
		count:            int8(b[46]),
	}
	b = b[stateProducerSize:]
	if pr.id < 0 || pr.epoch < 0 || pr.run < 0 || pr.count < 0 || pr.count > rememberedBatches || len(b) < int(pr.count)*stateSequencedSize {
		return nil, nil, fmt.Errorf("%w: producer %d", errStateCorrupt, pr.id)
	}
	for i := range pr.batches[:pr.count] {
		pr.batches[i] = sequenced{
			first: int32(binary.BigEndian.Uint32(b)),
			last:  int32(binary.BigEndian.Uint32(b[4:])),
			base:  log.Offset(binary.BigEndian.Uint64(b[8:])),
		}
		b = b[stateSequencedSize:]
	}
	return pr, b, nil
}

// stateOffset is the offset of an encoded state without decoding the rest; 0 when there is none.
func stateOffset(b []byte) log.Offset {
	if len(b) < stateHeaderSize || b[0] != stateVersion {
		return 0
	}
	return log.Offset(binary.BigEndian.Uint64(b[1:]))
}
