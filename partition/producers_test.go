package partition

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/barnabas-log/barnabas/log"
)

// storedBatch takes a batch of a producer in at offset base.
func (ps *producers) storedBatch(id int64, epoch int16, first int32, n int, base log.Offset) {
	ps.stored(log.Header(batchOf(storyStart, id, epoch, first, n)), base, base+log.Offset(n), storyStart.UnixMilli())
}

// randomProducers gives a state with some history.
func randomProducers(r *rand.Rand) *producers {
	ps := newProducers()
	next := map[int64]int32{}
	for range r.IntN(200) {
		id, n := r.Int64N(20), 1+r.IntN(5)
		ps.storedBatch(id, 0, next[id], n, ps.offset)
		next[id] = sequenceAfter(next[id], int32(n))
	}
	return ps
}

func TestProducerStateSurvivesEncoding(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		ps := randomProducers(r)
		b := ps.encode()
		decoded, err := decodeProducers(b)
		if err != nil {
			t.Fatal(err)
		}
		if again := decoded.encode(); !bytes.Equal(b, again) {
			t.Fatalf("%x\nbecame\n%x", b, again)
		}
		if stateOffset(b) != ps.offset || decoded.offset != ps.offset {
			t.Fatalf("offset %d became %d, %d", ps.offset, stateOffset(b), decoded.offset)
		}
	}
}

// The format is on disks: it may get a new version, but this one stays readable.
func TestProducerStateFormatOne(t *testing.T) {
	ps := newProducers()
	ps.storedBatch(258, 3, 7, 2, 40)
	want := []byte{
		1,                       // version
		0, 0, 0, 0, 0, 0, 0, 42, // offset
		0, 0, 0, 1, // count
		0, 0, 0, 0, 0, 0, 1, 2, // id
		0, 3, // epoch
		0xff, 0xff, 0xff, 0xff, // coordinator epoch
		0, 0, 0x01, 0x8b, 0xcf, 0xe5, 0x68, 0, // last timestamp
		0, 0, 0x01, 0x8b, 0xcf, 0xe5, 0x68, 0, // last seen
		0, 0, 0, 0, 0, 0, 0, 2, // run
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, // transaction start
		1,          // batches
		0, 0, 0, 7, // first
		0, 0, 0, 8, // last
		0, 0, 0, 0, 0, 0, 0, 40, // base offset
	}
	want = binary.BigEndian.AppendUint32(want, crc32.Checksum(want, castagnoli))
	if got := ps.encode(); !bytes.Equal(got, want) {
		t.Errorf("got  %x\nwant %x", got, want)
	}
}

func TestDamagedProducerStateIsRefused(t *testing.T) {
	good := randomProducers(rand.New(rand.NewPCG(3, 4))).encode()
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0x10
		if _, err := decodeProducers(bad); err == nil {
			t.Fatalf("byte %d of %d changed, and nobody noticed", i, len(good))
		}
		if i > 0 {
			if _, err := decodeProducers(good[:i]); err == nil {
				t.Fatalf("cut to %d bytes, and nobody noticed", i)
			}
		}
	}
}

// Properties: no panic; allocation bounded by the input; what is accepted encodes to something that decodes to the same.
func FuzzDecodeProducers(f *testing.F) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 5 {
		b := randomProducers(r).encode()
		f.Add(b[:len(b)-stateTrailerSize])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		ps, err := decodeProducers(binary.BigEndian.AppendUint32(body, crc32.Checksum(body, castagnoli)))
		if err != nil {
			return
		}
		b := ps.encode()
		again, err := decodeProducers(b)
		if err != nil || !bytes.Equal(again.encode(), b) {
			t.Fatalf("%x: %v", b, err)
		}
	})
}

// A producer that behaves gets every batch accepted once, whatever comes again in between; against a slow, obvious model.
func TestSequencesAgainstAModel(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 50 {
		ps := newProducers()
		type sent struct {
			first int32
			n     int
			base  log.Offset
		}
		var history []sent
		next := int32(0)
		if r.IntN(2) == 0 {
			ps.offset, next = 10, math.MaxInt32-5
		}
		for range 100 {
			if len(history) > 0 && r.IntN(2) == 0 { // one of the earlier ones again
				i := r.IntN(len(history))
				h := history[i]
				stored, queued, err := ps.check(sequence{5, 0, h.first, sequenceAfter(h.first, int32(h.n-1))}, 0, math.MaxInt64)
				remembered := i >= len(history)-rememberedBatches
				if remembered && (err != nil || stored == nil || stored.base != h.base || queued != nil) {
					t.Fatalf("batch %d of %d: %v, %v", i, len(history), stored, err)
				}
				if !remembered && name(err) != "DuplicateSequence" {
					t.Fatalf("batch %d of %d: %v", i, len(history), err)
				}
				continue
			}
			n := 1 + r.IntN(4)
			if skip := int32(1 + r.IntN(100)); r.IntN(3) == 0 {
				first := sequenceAfter(next, skip)
				if _, _, err := ps.check(sequence{5, 0, first, sequenceAfter(first, int32(n-1))}, 0, math.MaxInt64); len(history) > 0 && name(err) != "OutOfOrderSequence" {
					t.Fatalf("a gap of %d: %v", skip, err)
				}
			}
			stored, queued, err := ps.check(sequence{5, 0, next, sequenceAfter(next, int32(n-1))}, 0, math.MaxInt64)
			if stored != nil || queued != nil || err != nil {
				t.Fatalf("the next one: %v, %v, %v", stored, queued, err)
			}
			history = append(history, sent{next, n, ps.offset})
			ps.storedBatch(5, 0, next, n, ps.offset)
			next = sequenceAfter(next, int32(n))
		}
	}
}

// Markers of transactions carry an epoch and no sequence.
func TestControlBatchKeepsSequences(t *testing.T) {
	ps := newProducers()
	ps.storedBatch(5, 0, 0, 3, 0)
	marker := changed(batchOf(storyStart, 5, 0, -1, 1), func(b []byte) { b[22] |= 1<<4 | 1<<5 })
	ps.stored(log.Header(marker), 3, 4, 0)
	if _, last := ps.byID[5].tail(); last != 2 {
		t.Errorf("last sequence %d after a marker, want 2", last)
	}
	binary.BigEndian.PutUint16(marker[51:], 1)
	ps.stored(log.Header(marker), 4, 5, 0)
	if epoch, last := ps.byID[5].tail(); epoch != 1 || last != noSequence {
		t.Errorf("epoch %d, last sequence %d after a marker with a new epoch", epoch, last)
	}
	if _, _, err := ps.check(sequence{5, 1, 0, 0}, 0, math.MaxInt64); err != nil {
		t.Errorf("first batch of the new epoch: %v", err)
	}
}

func TestStoredTwiceIsStoredOnce(t *testing.T) {
	ps := newProducers()
	ps.storedBatch(5, 0, 0, 3, 0)
	ps.storedBatch(5, 0, 3, 3, 3)
	before := ps.encode()
	ps.storedBatch(5, 0, 0, 3, 0)
	if !bytes.Equal(before, ps.encode()) {
		t.Error("a batch that the state contains changed it")
	}
}

func TestQueueFindsByToken(t *testing.T) {
	q := newQueue()
	r := rand.New(rand.NewPCG(9, 10))
	waiting := map[uint64]*Pending{}
	for range 5000 {
		if r.IntN(5) < 3 {
			d := &Pending{}
			q.add(d)
			waiting[d.token] = d
		} else {
			for token := range waiting {
				q.drop(token)
				delete(waiting, token)
				break
			}
		}
		if len(waiting) > 0 && q.get(q.first) == nil {
			t.Fatal("the oldest slot is empty")
		}
	}
	for token := range q.next + 10 {
		if q.get(token) != waiting[token] {
			t.Fatalf("token %d: %v, want %v", token, q.get(token), waiting[token])
		}
	}
	q.clear()
	if q.first != q.next || q.get(q.next-1) != nil {
		t.Error("something is left")
	}
}
