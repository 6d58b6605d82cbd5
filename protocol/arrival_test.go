package protocol

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/barnabas-log/barnabas/log"
	"github.com/barnabas-log/barnabas/partition"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// largeProduce is a produce of a version whose batches have up to most bytes, with its header.
func largeProduce(r *rand.Rand, version int16, most int) []byte {
	req := kmsg.NewPtrProduceRequest()
	req.Version = version
	if r.IntN(2) == 0 {
		id := "transaction"
		req.TransactionID = &id
	}
	req.Acks, req.TimeoutMillis = -1, 1000
	for topics := 1 + r.IntN(3); topics > 0; topics-- {
		topic := kmsg.NewProduceRequestTopic()
		topic.Topic, topic.TopicID = "topic"[:1+r.IntN(5)], [16]byte{byte(topics), 2}
		for number := range 1 + r.IntN(4) {
			p := kmsg.NewProduceRequestTopicPartition()
			p.Partition = int32(number)
			if r.IntN(8) > 0 { // or none at all
				p.Records = make([]byte, r.IntN(1+most>>r.IntN(4)))
				for i := range p.Records {
					p.Records[i] = byte(r.Uint32())
				}
			}
			if req.IsFlexible() && r.IntN(3) == 0 {
				p.UnknownTags.Set(9, []byte("tag"))
			}
			topic.Partitions = append(topic.Partitions, p)
		}
		req.Topics = append(req.Topics, topic)
	}
	sent := kmsg.NewRequestFormatter(kmsg.FormatterClientID("client")).AppendRequest(nil, req, 7)
	return append(sent[4:], "more"[:r.IntN(5)]...) // what is behind a request is nobody's
}

// decoded is a produce in one piece.
func decoded(all *shapes, sent []byte) (*kmsg.ProduceRequest, error) {
	h, rest, err := parseHeader(sent)
	if err != nil {
		return nil, err
	}
	req := kmsg.NewPtrProduceRequest()
	req.Version = h.version
	_, body, err := parseClient(rest, req.IsFlexible())
	if err != nil {
		return nil, err
	}
	if _, err := all.of(keyProduce, h.version).scan(body); err != nil {
		return nil, err
	}
	return req, req.ReadFrom(body)
}

// together puts what was cut out back, and checks the sums.
func together(t *testing.T, f *frame, req *kmsg.ProduceRequest) (cuts int) {
	t.Helper()
	number := 0
	for i := range req.Topics {
		for j := range req.Topics[i].Partitions {
			p := &req.Topics[i].Partitions[j]
			records, sum, summed := f.records(number, p.Records)
			if summed {
				cuts++
				if sum != crc32.Checksum(records[log.ChecksumFrom:], crc32.MakeTable(crc32.Castagnoli)) {
					t.Fatalf("partition %d: another sum", number)
				}
			}
			p.Records = records
			number++
		}
	}
	return cuts
}

// TestAProduceTakenApartIsWhatWasSent reads requests of all versions, as a connection gives them, twice, so that buffers are used again.
func TestAProduceTakenApartIsWhatWasSent(t *testing.T) {
	var all shapes
	r := rand.New(rand.NewPCG(1, 2))
	b := newBudget(1 << 30)
	cuts, aligned := 0, 0
	for round := range 12 * (maxProduce - minProduceServed + 1) {
		sent := largeProduce(r, int16(minProduceServed+round%(maxProduce-minProduceServed+1)), 600<<10)
		where := func(name []byte, id [16]byte, partition int32) int64 {
			return int64(len(name))*1000 + int64(id[0])*100_000 + int64(partition)*10_000_000
		}
		f, err := readFrame(context.Background(), crumbs{bytes.NewReader(sent), r}, len(sent), b, func() {}, where)
		if err != nil {
			t.Fatal(err)
		}
		if f.size != len(sent) {
			t.Fatalf("%d bytes, not %d", f.size, len(sent))
		}
		want, err := decoded(&all, sent)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decoded(&all, f.bytes)
		if err != nil {
			t.Fatal(err)
		}
		n := together(t, f, got)
		if !bytes.Equal(got.AppendTo(nil), want.AppendTo(nil)) {
			t.Fatalf("a produce of %d bytes is another", len(sent))
		}
		cuts += n
		for i := range got.Topics {
			topic := &got.Topics[i]
			name, id := []byte(topic.Topic), topic.TopicID
			if want.Version >= produceByID {
				name = nil
			}
			for j := range topic.Partitions {
				p := &topic.Partitions[j]
				if n > 0 && len(p.Records) >= alignFrom {
					aligned++
					if at := uintptr(unsafe.Pointer(&p.Records[0])); (int64(at)-where(name, id, p.Partition))%memoryPage != 0 {
						t.Errorf("version %d, topic %q, partition %d: %d bytes at %x", want.Version, name, p.Partition, len(p.Records), at)
					}
				}
			}
		}
		f.release()
	}
	if cuts < 100 || aligned < 100 {
		t.Errorf("%d batches were cut out, %d of them large", cuts, aligned)
	}
	if !b.free.TryAcquire(b.capacity) {
		t.Error("the budget is not whole")
	}
}

// countedReads counts the reads.
type countedReads struct {
	io.Reader
	reads int
}

func (c *countedReads) Read(b []byte) (int, error) {
	c.reads++
	return c.Reader.Read(b)
}

// TestSmallBatchesAreReadTogether: a read is a system call.
func TestSmallBatchesAreReadTogether(t *testing.T) {
	for _, size := range []int{600, 4 << 10, 15 << 10, 100 << 10} {
		req := produceTo("t", 0, 9, -1, nil)
		topic := &req.Topics[0]
		for total := 0; total < 4<<20; total += size {
			p := kmsg.NewProduceRequestTopicPartition()
			p.Records = make([]byte, size)
			topic.Partitions = append(topic.Partitions, p)
		}
		sent := request(t, req)
		r := countedReads{Reader: bytes.NewReader(sent)}
		f, err := readFrame(t.Context(), &r, len(sent), newBudget(1<<30), func() {}, nowhere)
		if err != nil {
			t.Fatal(err)
		}
		if len(f.cuts) != len(topic.Partitions)-1 {
			t.Errorf("batches of %d bytes: %d of %d were cut out", size, len(f.cuts), len(topic.Partitions)-1)
		}
		if most := len(sent)/sip + 2; r.reads > most {
			t.Errorf("batches of %d bytes: %d bytes in %d reads, at most %d are allowed", size, len(sent), r.reads, most)
		}
		f.release()
	}
}

// TestABatchIsSummedAsItArrived changes what arrived afterwards: the sum is that of what came.
func TestABatchIsSummedAsItArrived(t *testing.T) {
	sent := request(t, produceTo("t", 0, 9, -1, filled(500<<10)))
	f, err := readFrame(context.Background(), bytes.NewReader(sent), len(sent), newBudget(1<<30), func() {}, nowhere)
	if err != nil {
		t.Fatal(err)
	}
	defer f.release()
	records, before, ok := f.records(0, nil)
	if !ok || before != binary.BigEndian.Uint32(records[17:]) {
		t.Fatalf("sum %08x", before)
	}
	records[len(records)-1] ^= 1
	if _, sum, _ := f.records(0, nil); sum != before {
		t.Error("summed again")
	}
}

// request is a request's frame without the size.
func request(t *testing.T, req kmsg.Request) []byte {
	t.Helper()
	return kmsg.NewRequestFormatter().AppendRequest(nil, req, 1)[4:]
}

// TestAProduceThatEndsEarly is cut off everywhere: in the header, between and within batches.
func TestAProduceThatEndsEarly(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	b := newBudget(1 << 30)
	for range 50 {
		sent := largeProduce(r, 9, 600<<10)
		there := r.IntN(len(sent))
		_, err := readFrame(context.Background(), bytes.NewReader(sent[:there]), len(sent), b, func() {}, nowhere)
		if there > 0 && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d of %d bytes: %v", there, len(sent), err)
		}
		if !b.free.TryAcquire(b.capacity) {
			t.Fatal("the budget is not whole")
		}
		b.free.Release(b.capacity)
	}
}

// TestAPanicWhileAProduceArrives ends the connection, and what the frame was charged comes back.
func TestAPanicWhileAProduceArrives(t *testing.T) {
	sent := request(t, produceTo("t", 0, 9, -1, filled(500<<10)))
	b := newBudget(1 << 30)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		_, _ = readFrame(t.Context(), bytes.NewReader(sent), len(sent), b, func() {}, func([]byte, [16]byte, int32) int64 { panic("lost") })
	}()
	if !b.free.TryAcquire(b.capacity) {
		t.Error("the budget is not whole")
	}
}

// TestLargeBatchesLieAsOnTheDisk reads several produces before the first is stored: each batch lies in a page of memory where its partition writes it.
func TestLargeBatchesLieAsOnTheDisk(t *testing.T) {
	s := serve(t, Options{})
	s.create("t", 1, partition.Config{})
	p := s.Partition(s.Image().Topics["t"].ID, 0)
	add := func(records []byte) *partition.Pending {
		t.Helper()
		pending, err := p.Append(records, partition.AcksAll)
		if err != nil {
			t.Fatal(err)
		}
		return pending
	}
	if _, err := add(filled(5000)).Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	at := p.Segments()[0].Bytes
	var waiting []*partition.Pending
	for round := range 8 {
		sent := request(t, produceTo("t", 0, 9, -1, filled(300<<10+round*1234)))
		f, err := readFrame(t.Context(), bytes.NewReader(sent), len(sent), newBudget(1<<30), func() {}, s.server.nextPosition)
		if err != nil {
			t.Fatal(err)
		}
		records, _, _ := f.records(0, nil)
		if memory := int64(uintptr(unsafe.Pointer(&records[0]))); (memory-at)%memoryPage != 0 {
			t.Errorf("batch %d begins at %d of the file and at %x of memory", round, at, memory)
		}
		at += int64(len(records))
		waiting = append(waiting, add(records))
		if round%4 < 3 {
			continue
		}
		for _, pending := range waiting {
			if _, err := pending.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		waiting = nil
	}
	if end := p.Segments()[0].Bytes; end != at {
		t.Errorf("the log ends at %d, not at %d", end, at)
	}
	for topic, number := range map[string]int32{"t": 1, "nobody's": 0, "": 0} {
		if at := s.server.nextPosition([]byte(topic), [16]byte{}, number); at != -1 {
			t.Errorf("partition %d of %q: %d", number, topic, at)
		}
	}
}
