package consumergroup

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/barnabas-log/barnabas/internal/coordinator"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestRecordsHaveTheVersionsThatKafkaWrites(t *testing.T) {
	p := TopicPartition{Topic: "t", Partition: 7}
	r := offsetRecord("g", p, commitment{Offset: Offset{Offset: 5, LeaderEpoch: 3, Metadata: "m"}, committed: 11, expires: -1})
	want := []byte{0, 1, 0, 1, 'g', 0, 1, 't', 0, 0, 0, 7}
	if !bytes.Equal(r.Key, want) {
		t.Errorf("offset key %x, want %x", r.Key, want)
	}
	want = []byte{0, 4, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 3, 2, 'm', 0, 0, 0, 0, 0, 0, 0, 11, 0}
	if !bytes.Equal(r.Value, want) {
		t.Errorf("offset value %x, want %x", r.Value, want)
	}
	r = offsetRecord("g", p, commitment{Offset: Offset{Offset: 5}, committed: 11, expires: 12})
	want = []byte{0, 1, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 11, 0, 0, 0, 0, 0, 0, 0, 12}
	if !bytes.Equal(r.Value, want) {
		t.Errorf("offset value with expiry %x, want %x", r.Value, want)
	}
	if key := groupKey("g"); !bytes.Equal(key, []byte{0, 2, 0, 1, 'g'}) {
		t.Errorf("group key %x", key)
	}
	if r := offsetTombstone("g", p); r.Value != nil {
		t.Errorf("tombstone with value %x", r.Value)
	}
}

func TestEmptyAssignmentIsWhatClientsDecode(t *testing.T) {
	var a kmsg.ConsumerMemberAssignment
	if err := a.ReadFrom(emptyAssignment); err != nil || len(a.Topics) != 0 {
		t.Errorf("decodes to %+v, %v", a, err)
	}
}

func TestSubscriptionsOfAllVersionsAreRead(t *testing.T) {
	for version := int16(0); version <= 3; version++ {
		s := kmsg.NewConsumerMemberMetadata()
		s.Version, s.Topics, s.UserData = version, []string{"orders", "ä"}, []byte("x")
		topics, err := subscribedTopics(s.AppendTo(nil))
		if err != nil || strings.Join(topics, " ") != "orders ä" {
			t.Errorf("version %d: %q, %v", version, topics, err)
		}
	}
}

func TestUnknownRecordsAreSkipped(t *testing.T) {
	s := newShard(&Options{}, nil)
	unknown := coordinator.Record{Key: []byte{0, 99, 1, 2, 3}, Value: []byte{1}}
	if err := s.Replay(unknown); !errors.Is(err, errUnknownKey) {
		t.Errorf("got %v, want errUnknownKey", err)
	}
	for _, r := range []coordinator.Record{
		{}, {Key: []byte{0}}, {Key: []byte{0, 1, 0, 9}}, {Key: groupKey("g"), Value: []byte{0, 3}}, {Key: groupKey("g"), Value: []byte{0, 77}},
		{Key: offsetKey("g", TopicPartition{}), Value: []byte{}},
	} {
		if err := s.Replay(r); err == nil {
			t.Errorf("%x: %x was taken", r.Key, r.Value)
		}
	}
	if len(s.groups) != 0 {
		t.Errorf("%d groups came of nonsense", len(s.groups))
	}
}

func TestOldRecordVersionsAreRead(t *testing.T) {
	s := newShard(&Options{}, nil)
	v := kmsg.GroupMetadataValue{Version: 0, ProtocolType: "consumer", Generation: 4, Protocol: optional("range"), Leader: optional("m"),
		Members: []kmsg.GroupMetadataValueMember{{MemberID: "m", SessionTimeoutMillis: 7000, RebalanceTimeoutMillis: -1, Subscription: subscription("t")}}}
	o := kmsg.OffsetCommitValue{Version: 1, Offset: 9, CommitTimestamp: 1, ExpireTimestamp: 2}
	k := kmsg.OffsetCommitKey{Version: 0, Group: "g", Topic: "t", Partition: 1}
	k3 := kmsg.OffsetCommitKey{Version: 1, Group: "g", Topic: "t", Partition: 3}
	o3 := kmsg.OffsetCommitValue{Version: 3, Offset: 8, LeaderEpoch: 2, Metadata: "three", CommitTimestamp: 1}
	k4 := kmsg.OffsetCommitKey{Version: 1, Group: "g", Topic: "t", Partition: 4}
	o4 := kmsg.OffsetCommitValue{Version: 4, Offset: 9, LeaderEpoch: 3, Metadata: "four", CommitTimestamp: 1, TopicID: [16]byte{1}}
	for _, r := range []coordinator.Record{{Key: groupKey("g"), Value: v.AppendTo(nil)}, {Key: k.AppendTo(nil), Value: o.AppendTo(nil)},
		{Key: k3.AppendTo(nil), Value: o3.AppendTo(nil)}, {Key: k4.AppendTo(nil), Value: o4.AppendTo(nil)}} {
		if err := s.Replay(r); err != nil {
			t.Fatal(err)
		}
	}
	g := s.groups["g"]
	if m := g.members["m"]; g.state != stable || m == nil || m.rebalanceTimeout != m.sessionTimeout {
		t.Errorf("restored %+v", g)
	}
	if c := g.offsets["t"][1]; c.Offset.Offset != 9 || c.LeaderEpoch != -1 || c.expires != 2 {
		t.Errorf("restored %+v", c)
	}
	if c := g.offsets["t"][3]; c.Offset != (Offset{8, 2, "three"}) || c.expires != -1 {
		t.Errorf("restored %+v", c)
	}
	if c := g.offsets["t"][4]; c.Offset != (Offset{9, 3, "four"}) || c.expires != -1 || c.committed != 1 {
		t.Errorf("restored %+v", c)
	}
}

// FuzzReplay: whatever lies in the topic, loading it does not panic, does not take memory beyond the input, and what was taken is written back so that it
// reads the same.
func FuzzReplay(f *testing.F) {
	st := newStage()
	for _, line := range []string{"join a old", "wait 3s", "join b old instance=i", "join a", "sync a a=0 b=1", "commit a t:0=1 metadata=x", "commit - group=s t:0=1 retention=1h"} {
		if err := st.do(line); err != nil {
			f.Fatal(err)
		}
	}
	for _, r := range st.log {
		f.Add(r.Key, r.Value)
	}
	f.Add(groupKey("g"), []byte(nil))
	f.Fuzz(func(t *testing.T, key, value []byte) {
		s := newShard(&Options{}, nil)
		if err := s.Replay(coordinator.Record{Key: key, Value: value}); err != nil {
			return
		}
		for _, g := range s.groups {
			again := newShard(&Options{}, nil)
			if g.stored {
				if err := again.Replay(groupRecord(g)); err != nil {
					t.Fatalf("written back: %v", err)
				}
				if a, b := showAgreement(g), showAgreement(again.groups[g.name]); a != b {
					t.Fatalf("written back:\n%s\n%s", a, b)
				}
			}
			for _, p := range g.committed(every) {
				if err := again.Replay(offsetRecord(g.name, p, g.offsets[p.Topic][p.Partition])); err != nil {
					t.Fatalf("written back: %v", err)
				}
			}
			if a, b := showKept(g), showKept(again.groups[g.name]); a != b {
				t.Fatalf("written back:\n%s\n%s", a, b)
			}
		}
	})
}

// FuzzSubscription: no panic, and no more names than the bytes can hold.
func FuzzSubscription(f *testing.F) {
	f.Add(subscription("orders", "mails"))
	f.Add([]byte{0, 1, 0x7f, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		topics, err := subscribedTopics(b)
		if err == nil && len(topics)*2 > len(b) {
			t.Fatalf("%d topics from %d bytes", len(topics), len(b))
		}
	})
}
