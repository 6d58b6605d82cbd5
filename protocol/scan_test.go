package protocol

import (
	"encoding/binary"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// The shapes that were found by probing must walk over exactly what kmsg encodes, for every version of every API in the table.
func TestShapesFollowEveryRequestToItsEnd(t *testing.T) {
	var all shapes
	for _, row := range apis {
		for version := row.min; version <= row.max; version++ {
			r := rand.New(rand.NewPCG(uint64(row.key), uint64(version)))
			for range 200 {
				req := kmsg.RequestForKey(row.key)
				req.SetVersion(version)
				setDefault(reflect.ValueOf(req))
				randomize(r, reflect.ValueOf(req).Elem())
				body := req.AppendTo(nil)
				s := scanner{b: body}
				s.walk(all.of(row.key, version))
				if s.bad || len(s.b) != 0 {
					t.Fatalf("%s version %d: bad %v, %d of %d bytes left\n%x\n%+v", kmsg.NameForKey(row.key), version, s.bad, len(s.b), len(body), body, req)
				}
				if len(body) > 0 && req.IsFlexible() {
					cut := scanner{b: body[:r.IntN(len(body))]}
					if cut.walk(all.of(row.key, version)); !cut.bad {
						t.Fatalf("%s version %d: a body that was cut short passed", kmsg.NameForKey(row.key), version)
					}
				}
			}
		}
	}
}

// The attack that the scan is for: few bytes that make a decoder allocate or loop without end.
func TestScanRefusesWhatAFrameDoesNotContain(t *testing.T) {
	var all shapes
	metadata := all.of(3, 9)
	body := binary.AppendUvarint(nil, 1) // no topics
	body = append(body, 1, 0, 0)
	for name, tags := range map[string][]byte{
		"four billion tags": {0xff, 0xff, 0xff, 0xff, 0x0f},
		"a cut varint":      {0xff},
		"a long varint":     {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01},
		"a large tag":       {1, 3, 0xff, 0xff, 0xff, 0xff, 0x0f},
	} {
		if _, err := metadata.scan(append(append([]byte(nil), body...), tags...)); err == nil {
			t.Errorf("%s: passed", name)
		}
	}
	if _, err := metadata.scan(append(append([]byte(nil), body...), 0)); err != nil {
		t.Errorf("the same without an attack: %v", err)
	}
	array := binary.BigEndian.AppendUint32(nil, 1<<30)
	if _, err := all.of(3, 1).scan(append(array, make([]byte, 100)...)); err == nil {
		t.Error("an array longer than the body passed")
	}
}

// Two bytes a topic on the wire are dozens in memory: the scan must say so before anything is decoded.
func TestScanTellsWhatDecodingCosts(t *testing.T) {
	const n = 10_000
	body := binary.AppendUvarint(nil, n+1)
	for range n {
		body = append(body, 1, 0) // an empty name, no tags
	}
	body = append(body, 1, 0, 0, 0)
	cost, err := new(shapes).of(3, 9).scan(body)
	if err != nil {
		t.Fatal(err)
	}
	if min := int64(n) * int64(reflect.TypeFor[kmsg.MetadataRequestTopic]().Size()); cost < min {
		t.Errorf("cost %d, want at least %d", cost, min)
	}
}

func BenchmarkScanProduce(b *testing.B) {
	req := kmsg.NewPtrProduceRequest()
	req.SetVersion(9)
	topic := kmsg.NewProduceRequestTopic()
	topic.Topic = "orders"
	for i := range int32(10) {
		p := kmsg.NewProduceRequestTopicPartition()
		p.Partition, p.Records = i, make([]byte, 1000)
		topic.Partitions = append(topic.Partitions, p)
	}
	req.Topics = append(req.Topics, topic)
	body := req.AppendTo(nil)
	s := new(shapes).of(0, 9)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.scan(body); err != nil {
			b.Fatal(err)
		}
	}
}
