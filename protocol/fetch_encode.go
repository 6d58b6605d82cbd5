package protocol

import (
	"encoding/binary"

	"github.com/barnabas-log/barnabas/log"
	"github.com/barnabas-log/barnabas/partition"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// hint says who leads a partition; node is -1 when the reply says nothing of it.
type hint struct{ node, epoch int32 }

var noHint = hint{-1, -1}

// fetchReply is a fetch response before it is encoded.
type fetchReply struct {
	version     int16
	correlation int32
	throttle    int32
	code        int16
	session     int32
	parts       []fetchPart // those of one topic, when adjacent, share an entry
	brokers     []kmsg.FetchResponseBroker
	size        int // once it was sent
}

// encode appends the whole reply, size and header included, but for the records, and the places where those belong to splices.
func (r *fetchReply) encode(dst []byte, splices []log.Piece) ([]byte, []log.Piece) {
	e := fetchEncoder{b: dst, flexible: r.version >= 12, splices: splices}
	start := len(dst)
	e.int32(0)
	e.int32(r.correlation)
	e.tags(0)
	e.int32(r.throttle)
	if r.version >= 7 {
		e.int16(r.code)
		e.int32(r.session)
	}
	e.array(r.topics())
	for i := 0; i < len(r.parts); {
		i = r.topic(&e, i)
	}
	r.trailer(&e)
	binary.BigEndian.PutUint32(e.b[start:], uint32(len(e.b)-start-4+e.spliced))
	return e.b, e.splices
}

// topics counts the entries that the parts make.
func (r *fetchReply) topics() (n int) {
	for i := range r.parts {
		if i == 0 || !r.together(i-1, i) {
			n++
		}
	}
	return n
}

// together says whether two adjacent parts are of the same topic.
func (r *fetchReply) together(i, j int) bool {
	if r.version >= 13 {
		return r.parts[i].id == r.parts[j].id
	}
	return r.parts[i].topic == r.parts[j].topic
}

// topic encodes the entry that begins with part i, and returns the index behind it.
func (r *fetchReply) topic(e *fetchEncoder, i int) int {
	end := i + 1
	for end < len(r.parts) && r.together(i, end) {
		end++
	}
	if r.version >= 13 {
		e.b = append(e.b, r.parts[i].id[:]...)
	} else {
		e.string(r.parts[i].topic)
	}
	e.array(end - i)
	for ; i < end; i++ {
		r.part(e, &r.parts[i])
	}
	e.tags(0)
	return end
}

// part encodes one partition.
func (r *fetchReply) part(e *fetchEncoder, p *fetchPart) {
	e.int32(p.number)
	e.int16(p.code)
	e.int64(p.high)
	e.int64(p.stable)
	if r.version >= 5 {
		e.int64(p.start)
	}
	e.aborted(p.aborted)
	if r.version >= 11 {
		e.int32(p.nearby)
	}
	e.records(p.chunk)
	if !e.flexible {
		return
	}
	n := 0
	if p.diverging != nil {
		n++
	}
	if p.leader != noHint {
		n++
	}
	e.tags(n)
	if d := p.diverging; d != nil {
		e.b = append(e.b, 0, 4+8+1) // tag, size
		e.int32(d.Epoch)
		e.int64(int64(d.Offset))
		e.tags(0)
	}
	if p.leader != noHint {
		e.b = append(e.b, 1, 4+4+1)
		e.int32(p.leader.node)
		e.int32(p.leader.epoch)
		e.tags(0)
	}
}

// trailer encodes the tags of the response: the nodes that the leader hints name.
func (r *fetchReply) trailer(e *fetchEncoder) {
	if len(r.brokers) == 0 {
		e.tags(0)
		return
	}
	inner := fetchEncoder{flexible: true}
	inner.array(len(r.brokers))
	for _, b := range r.brokers {
		inner.int32(b.NodeID)
		inner.string(b.Host)
		inner.int32(b.Port)
		if b.Rack == nil {
			inner.b = append(inner.b, 0)
		} else {
			inner.string(*b.Rack)
		}
		inner.tags(0)
	}
	e.tags(1)
	e.b = append(e.b, 0)
	e.uvarint(len(inner.b))
	e.b = append(e.b, inner.b...)
}

// fetchEncoder appends what a fetch response is made of.
type fetchEncoder struct {
	b        []byte
	flexible bool
	splices  []log.Piece
	spliced  int // bytes of all splices
}

func (e *fetchEncoder) int16(v int16) { e.b = binary.BigEndian.AppendUint16(e.b, uint16(v)) }
func (e *fetchEncoder) int32(v int32) { e.b = binary.BigEndian.AppendUint32(e.b, uint32(v)) }
func (e *fetchEncoder) int64(v int64) { e.b = binary.BigEndian.AppendUint64(e.b, uint64(v)) }
func (e *fetchEncoder) uvarint(n int) { e.b = binary.AppendUvarint(e.b, uint64(n)) }

// tags begins a section of n tags; there is none before the flexible versions.
func (e *fetchEncoder) tags(n int) {
	if e.flexible {
		e.uvarint(n)
	}
}

func (e *fetchEncoder) array(n int) {
	if e.flexible {
		e.uvarint(n + 1)
	} else {
		e.int32(int32(n))
	}
}

func (e *fetchEncoder) string(s string) {
	if e.flexible {
		e.uvarint(len(s) + 1)
	} else {
		e.int16(int16(len(s)))
	}
	e.b = append(e.b, s...)
}

// aborted encodes the aborted transactions: null unless the fetch reads committed records.
func (e *fetchEncoder) aborted(list []partition.Aborted) {
	switch {
	case list != nil:
		e.array(len(list))
	case e.flexible:
		e.b = append(e.b, 0)
	default:
		e.int32(-1)
	}
	for _, a := range list {
		e.int64(a.ProducerID)
		e.int64(int64(a.FirstOffset))
		e.tags(0)
	}
}

// records encodes the length of a chunk, never null, and marks where its bytes belong.
func (e *fetchEncoder) records(chunk log.Range) {
	n := 0
	if chunk != nil {
		n = chunk.Size()
	}
	e.array(n) // a length is encoded as an array's
	if n > 0 {
		e.splices = append(e.splices, log.Piece{At: len(e.b), Range: chunk})
		e.spliced += n
	}
}
