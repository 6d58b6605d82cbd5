package protocol

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/barnabas-log/barnabas/log"
	"github.com/barnabas-log/barnabas/partition"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// memoryChunk is a chunk without a file.
type memoryChunk []byte

func (m memoryChunk) Size() int                                   { return len(m) }
func (m memoryChunk) Bytes(dst []byte) ([]byte, error)            { return append(dst, m...), nil }
func (m memoryChunk) File() (fd uintptr, position int64, ok bool) { return 0, 0, false }
func (m memoryChunk) Release()                                    {}

// randomReply makes a reply, and the same as kmsg has it.
func randomReply(r *rand.Rand, version int16) (fetchReply, *kmsg.FetchResponse) {
	ours := fetchReply{version: version, correlation: r.Int32(), throttle: r.Int32(), code: int16(r.IntN(100)), session: r.Int32()}
	theirs := kmsg.NewPtrFetchResponse()
	theirs.SetVersion(version)
	theirs.ThrottleMillis, theirs.ErrorCode, theirs.SessionID = ours.throttle, ours.code, ours.session
	for range r.IntN(4) {
		topic := kmsg.NewFetchResponseTopic()
		topic.Topic = "some topic of a random name"[:r.IntN(27)]
		for i := range topic.TopicID {
			topic.TopicID[i] = byte(r.Uint32())
		}
		for range 1 + r.IntN(3) {
			part, p := randomPart(r, version)
			part.topic, part.id = topic.Topic, topic.TopicID
			ours.parts = append(ours.parts, part)
			topic.Partitions = append(topic.Partitions, p)
		}
		n := len(theirs.Topics)
		if n > 0 && ours.together(len(ours.parts)-len(topic.Partitions)-1, len(ours.parts)-1) {
			theirs.Topics[n-1].Partitions = append(theirs.Topics[n-1].Partitions, topic.Partitions...)
		} else {
			theirs.Topics = append(theirs.Topics, topic)
		}
	}
	if version >= 16 {
		for range r.IntN(3) {
			b := kmsg.NewFetchResponseBroker()
			b.NodeID, b.Host, b.Port = r.Int32(), "host", r.Int32()
			if rack := "rack"; r.IntN(2) == 0 {
				b.Rack = &rack
			}
			ours.brokers = append(ours.brokers, b)
		}
		theirs.Brokers = ours.brokers
	}
	return ours, theirs
}

func randomPart(r *rand.Rand, version int16) (fetchPart, kmsg.FetchResponseTopicPartition) {
	p := kmsg.NewFetchResponseTopicPartition()
	p.Partition, p.ErrorCode, p.HighWatermark = r.Int32(), int16(r.IntN(100)), r.Int64()
	p.LastStableOffset, p.LogStartOffset, p.RecordBatches = r.Int64(), r.Int64(), []byte{}
	part := fetchPart{number: p.Partition, code: p.ErrorCode, high: p.HighWatermark, stable: p.LastStableOffset, start: p.LogStartOffset, leader: noHint}
	if r.IntN(2) == 0 {
		p.AbortedTransactions, part.aborted = []kmsg.FetchResponseTopicPartitionAbortedTransaction{}, []partition.Aborted{}
		for range r.IntN(3) {
			a := kmsg.NewFetchResponseTopicPartitionAbortedTransaction()
			a.ProducerID, a.FirstOffset = r.Int64(), r.Int64()
			p.AbortedTransactions = append(p.AbortedTransactions, a)
			part.aborted = append(part.aborted, partition.Aborted{ProducerID: a.ProducerID, FirstOffset: log.Offset(a.FirstOffset)})
		}
	}
	part.nearby = int32(r.IntN(4)) - 1
	if version >= 11 {
		p.PreferredReadReplica = part.nearby
	}
	if r.IntN(3) > 0 {
		p.RecordBatches = make([]byte, 1+r.IntN(300))
		for i := range p.RecordBatches {
			p.RecordBatches[i] = byte(r.Uint32())
		}
		part.chunk = memoryChunk(p.RecordBatches)
	}
	if version >= 12 && r.IntN(2) == 0 {
		p.DivergingEpoch.Epoch, p.DivergingEpoch.EndOffset = r.Int32(), r.Int64()
		part.diverging = &log.EpochStart{Epoch: p.DivergingEpoch.Epoch, Offset: log.Offset(p.DivergingEpoch.EndOffset)}
	}
	if version >= 12 && r.IntN(2) == 0 {
		p.CurrentLeader.LeaderID, p.CurrentLeader.LeaderEpoch = r.Int32(), r.Int32()
		part.leader = hint{p.CurrentLeader.LeaderID, p.CurrentLeader.LeaderEpoch}
	}
	return part, p
}

// splicedTogether is what the client receives.
func splicedTogether(b []byte, splices []log.Piece) (whole []byte) {
	from := 0
	for _, s := range splices {
		whole = append(whole, b[from:s.At]...)
		whole, _ = s.Range.Bytes(whole)
		from = s.At
	}
	return append(whole, b[from:]...)
}

func TestFetchRepliesAreEncodedAsKmsgDoes(t *testing.T) {
	for version := int16(4); version <= 18; version++ {
		r := rand.New(rand.NewPCG(7, uint64(version)))
		for range 500 {
			ours, theirs := randomReply(r, version)
			got := splicedTogether(ours.encode(nil, nil))
			want := appendResponse(nil, ours.correlation, theirs)
			if !bytes.Equal(got, want) {
				t.Fatalf("version %d:\n got %x\nwant %x", version, got, want)
			}
		}
	}
}

func BenchmarkEncodeFetch(b *testing.B) {
	var parts []fetchPart
	for i := range int32(12) {
		parts = append(parts, fetchPart{topic: "orders", number: i, leader: noHint, chunk: memoryChunk("records")})
	}
	reply := fetchReply{version: 18, parts: parts}
	var buffer []byte
	var splices []log.Piece
	b.ReportAllocs()
	for b.Loop() {
		buffer, splices = reply.encode(buffer[:0], splices[:0])
	}
}
