package log

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"os"

	"github.com/barnabas-log/barnabas/internal/vfs"
)

// A batch that compaction removed leaves an empty batch over the same offsets, so that offsets stay dense and every index keeps its entry. A run of such batches with
// indexes that follow each other and the same term is merged into one empty batch over all their offsets, which says how many it stands for:
//
//	count           0
//	producer id     -1
//	base sequence   how many batches it stands for, if more than one; -1 otherwise
//	max timestamp   -1
//	base timestamp  -1 if all of them had the same number of offsets; otherwise the position in <base offset>.merged of a list of their sizes:
//
//	                ┌ length of the list u32 ┬ CRC-32C of it u32 ┬ pairs of uvarints: how many batches in a row, how many offsets each ┐   big endian
//
// To clients it is an ordinary empty batch. To a follower its members are sent one by one, each as an empty batch of its own.
const mergedSuffix = ".merged"

const mergedHeaderSize = 8

// members is how many batches, with as many indexes, the batch stands for: 1 unless it was merged.
func (h Header) members() int {
	if n := h.BaseSequence(); n > 1 && h.Count() == 0 && h.ProducerID() < 0 {
		return int(n)
	}
	return 1
}

// sizes is a row of batches by their number of offsets, in runs of equal ones.
type sizes []sizeRun

type sizeRun struct{ batches, offsets int64 }

func (s sizes) add(batches, offsets int64) sizes {
	if n := len(s); n > 0 && s[n-1].offsets == offsets {
		s[n-1].batches += batches
		return s
	}
	return append(s, sizeRun{batches, offsets})
}

// at gives where the kth batch begins and ends, relative to the first.
func (s sizes) at(k int64) (begin, end int64, ok bool) {
	for _, run := range s {
		if k < run.batches {
			begin += k * run.offsets
			return begin, begin + run.offsets, true
		}
		k -= run.batches
		begin += run.batches * run.offsets
	}
	return 0, 0, false
}

func (s sizes) encode() []byte {
	b := make([]byte, mergedHeaderSize)
	for _, run := range s {
		b = binary.AppendUvarint(b, uint64(run.batches))
		b = binary.AppendUvarint(b, uint64(run.offsets))
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-mergedHeaderSize))
	binary.BigEndian.PutUint32(b[4:], crc32.Checksum(b[mergedHeaderSize:], castagnoli))
	return b
}

// decodeSizes decodes the pairs, which must come to as many batches and offsets as the merged batch has.
func decodeSizes(b []byte, batches, offsets int64) (sizes, error) {
	var s sizes
	for len(b) > 0 {
		count, n := binary.Uvarint(b)
		if n <= 0 {
			return nil, errors.New("bad number of batches")
		}
		b = b[n:]
		each, n := binary.Uvarint(b)
		if n <= 0 {
			return nil, errors.New("bad number of offsets")
		}
		b = b[n:]
		if count == 0 || each == 0 || count > uint64(batches) || each > uint64(offsets) || count*each > uint64(offsets) {
			return nil, fmt.Errorf("%d batches of %d offsets in %d of %d", count, each, batches, offsets)
		}
		s = append(s, sizeRun{int64(count), int64(each)})
		batches -= int64(count)
		offsets -= int64(count * each)
	}
	if batches != 0 || offsets != 0 {
		return nil, fmt.Errorf("%d batches and %d offsets are missing", batches, offsets)
	}
	return s, nil
}

// sizesOf gives the sizes of a merged batch's members.
func (s *segment) sizesOf(h Header) (sizes, error) {
	batches, offsets := int64(h.members()), int64(h.LastOffsetDelta())+1
	position := h.BaseTimestamp()
	if position < 0 {
		if offsets%batches != 0 {
			return nil, &CorruptError{s.path, 0, fmt.Sprintf("merged batch at offset %d: %d offsets in %d equal batches", h.BaseOffset(), offsets, batches)}
		}
		return sizes{{batches, offsets / batches}}, nil
	}
	b, err := readMerged(s.fs, s.mergedPath, position)
	if gone := s.gone(); gone != nil {
		return nil, gone
	}
	if err != nil {
		return nil, err
	}
	list, err := decodeSizes(b, batches, offsets)
	if err != nil {
		return nil, &CorruptError{s.mergedPath, position, err.Error()}
	}
	return list, nil
}

// readMerged reads the list at a position.
func readMerged(files vfs.FS, name string, position int64) ([]byte, error) {
	f, err := files.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var head [mergedHeaderSize]byte
	if err := readFull(f, head[:], position); err != nil {
		return nil, fmt.Errorf("read %s at %d: %w", name, position, err)
	}
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	n := int64(binary.BigEndian.Uint32(head[:]))
	if n > size-position-mergedHeaderSize {
		return nil, &CorruptError{name, position, fmt.Sprintf("list of %d bytes in a file of %d", n, size)}
	}
	b := make([]byte, n)
	if err := readFull(f, b, position+mergedHeaderSize); err != nil {
		return nil, fmt.Errorf("read %s at %d: %w", name, position, err)
	}
	if crc32.Checksum(b, castagnoli) != binary.BigEndian.Uint32(head[4:]) {
		return nil, &CorruptError{name, position, "checksum mismatch"}
	}
	return b, nil
}

// emptyBatch is a batch without records over [base, next).
func emptyBatch(base, next Offset, term Term) []byte {
	b := make([]byte, HeaderSize)
	stamp(b, base, term)
	binary.BigEndian.PutUint32(b[8:], HeaderSize-prefixSize)
	b[16] = 2
	binary.BigEndian.PutUint32(b[23:], uint32(next-base-1))
	for at := 27; at < 57; at++ {
		b[at] = 0xFF // timestamps, producer id, epoch and sequence: none
	}
	sumBatch(b)
	return b
}

// sumBatch puts the checksum in.
func sumBatch(b []byte) {
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], castagnoli))
}

// removedRun is a run of removed batches that is being gathered.
type removedRun struct {
	base, next Offset
	first      Index
	batches    int64
	term       Term
	sizes      sizes
}

// largestSizes bounds the list of a merged batch, which is read for each member that a follower is sent.
const largestSizes = 4096

// takes says whether a batch, or several, can be added.
func (r *removedRun) takes(i Index, next Offset, term Term, batches int64, list sizes) bool {
	return r.batches > 0 && r.term == term && r.first+Index(r.batches) == i && int64(next-r.base) <= math.MaxInt32 &&
		r.batches+batches <= math.MaxInt32 && len(r.sizes)+len(list) <= largestSizes
}

func (r *removedRun) add(i Index, base, next Offset, term Term, list sizes) {
	if r.batches == 0 {
		*r = removedRun{base: base, first: i, term: term, sizes: r.sizes[:0]}
	}
	for _, run := range list {
		r.sizes = r.sizes.add(run.batches, run.offsets)
		r.batches += run.batches
	}
	r.next = next
}

// batch is the run as one batch; table is what goes to .merged at position, nil if nothing has to.
func (r *removedRun) batch(position int64) (b, table []byte) {
	b = emptyBatch(r.base, r.next, r.term)
	if r.batches == 1 {
		return b, nil
	}
	binary.BigEndian.PutUint32(b[53:], uint32(r.batches))
	if len(r.sizes) > 1 {
		table = r.sizes.encode()
		binary.BigEndian.PutUint64(b[27:], uint64(position))
	}
	sumBatch(b)
	return b, table
}
