package consumergroup

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/barnabas-log/barnabas/internal/coordinator"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// The records of __consumer_offsets, in the schemas and versions that Kafka (4.1 and later) writes for classic groups; older values are read too:
//
//	key version 1 (0 is read too): group, topic, partition   value version 4: offset, leader epoch, metadata, commit time
//	                                                         value version 1 when the client gave a retention: it alone has an expiry time
//	key version 2: group                                     value version 3: protocol, generation, leader, members with their assignments
//
// A null value deletes. Keys of other versions belong to other kinds of groups.
const (
	offsetKeyVersion   = 1
	groupKeyVersion    = 2
	offsetValueVersion = 4
	offsetValueExpires = 1
	groupValueVersion  = 3
)

// errUnknownKey says that a record is of a kind that this coordinator does not have.
var errUnknownKey = errors.New("unknown key version")

// emptyAssignment is a ConsumerProtocolAssignment (version 0) of no partition: some clients cannot read an assignment of no bytes.
var emptyAssignment = []byte{0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}

// commitment is a committed offset.
type commitment struct {
	Offset
	committed int64 // milliseconds since 1970
	expires   int64 // -1: the broker's retention decides
}

func offsetKey(group string, p TopicPartition) []byte {
	k := kmsg.OffsetCommitKey{Version: offsetKeyVersion, Group: group, Topic: p.Topic, Partition: p.Partition}
	return k.AppendTo(nil)
}

func groupKey(group string) []byte {
	k := kmsg.GroupMetadataKey{Version: groupKeyVersion, Group: group}
	return k.AppendTo(nil)
}

func offsetRecord(group string, p TopicPartition, c commitment) coordinator.Record {
	v := kmsg.OffsetCommitValue{
		Version: offsetValueVersion, Offset: c.Offset.Offset, LeaderEpoch: c.LeaderEpoch, Metadata: c.Metadata,
		CommitTimestamp: c.committed, ExpireTimestamp: c.expires,
	}
	if c.expires >= 0 {
		v.Version = offsetValueExpires
	}
	return coordinator.Record{Key: offsetKey(group, p), Value: v.AppendTo(nil)}
}

func offsetTombstone(group string, p TopicPartition) coordinator.Record {
	return coordinator.Record{Key: offsetKey(group, p)}
}

func groupTombstone(group string) coordinator.Record {
	return coordinator.Record{Key: groupKey(group)}
}

func groupRecord(g *group) coordinator.Record {
	v := kmsg.GroupMetadataValue{
		Version: groupValueVersion, ProtocolType: g.protocolType, Generation: g.generation,
		Protocol: optional(g.protocol), Leader: optional(g.leader), CurrentStateTimestamp: g.since.UnixMilli(),
	}
	for _, m := range g.inOrder() {
		v.Members = append(v.Members, kmsg.GroupMetadataValueMember{
			MemberID: m.id, InstanceID: m.instance, ClientID: m.client.ID, ClientHost: m.client.Host,
			RebalanceTimeoutMillis: int32(m.rebalanceTimeout.Milliseconds()), SessionTimeoutMillis: int32(m.sessionTimeout.Milliseconds()),
			Subscription: m.metadata(g.protocol), Assignment: m.assignment,
		})
	}
	return coordinator.Record{Key: groupKey(g.name), Value: v.AppendTo(nil)}
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func required(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// decoded is one record: of an offset when topic is not nil, of a group otherwise.
type decoded struct {
	group    string
	deleted  bool
	topic    *TopicPartition
	offset   commitment
	metadata kmsg.GroupMetadataValue
}

// decode reads one record. errUnknownKey: not ours to understand.
func decode(r coordinator.Record) (d decoded, err error) {
	if len(r.Key) < 2 {
		return d, fmt.Errorf("key of %d bytes", len(r.Key))
	}
	d.deleted = r.Value == nil
	switch version := int16(binary.BigEndian.Uint16(r.Key)); version {
	case 0, offsetKeyVersion:
		err = d.decodeOffset(r)
	case groupKeyVersion:
		err = d.decodeGroup(r)
	default:
		err = fmt.Errorf("%w %d", errUnknownKey, version)
	}
	return d, err
}

func (d *decoded) decodeOffset(r coordinator.Record) error {
	var k kmsg.OffsetCommitKey
	if err := k.ReadFrom(r.Key); err != nil {
		return fmt.Errorf("decode offset key: %w", err)
	}
	d.group, d.topic = k.Group, &TopicPartition{Topic: k.Topic, Partition: k.Partition}
	if d.deleted {
		return nil
	}
	if err := checkVersion(r.Value, offsetValueVersion); err != nil {
		return fmt.Errorf("decode offset value: %w", err)
	}
	c, err := decodeOffsetValue(r.Value)
	if err != nil {
		return fmt.Errorf("decode offset value: %w", err)
	}
	d.offset = c
	return nil
}

func decodeOffsetValue(b []byte) (commitment, error) {
	if int16(binary.BigEndian.Uint16(b)) == offsetValueVersion {
		return decodeOffsetValue4(b[2:])
	}
	v := kmsg.NewOffsetCommitValue()
	if err := v.ReadFrom(b); err != nil {
		return commitment{}, err
	}
	c := commitment{Offset: Offset{Offset: v.Offset, LeaderEpoch: -1, Metadata: v.Metadata}, committed: v.CommitTimestamp, expires: -1}
	if v.Version >= 3 {
		c.LeaderEpoch = v.LeaderEpoch
	}
	if v.Version == offsetValueExpires {
		c.expires = max(-1, v.ExpireTimestamp)
	}
	return c, nil
}

// decodeOffsetValue4 reads what follows the version: offset (8 bytes), leader epoch (4), metadata (its length plus one as a varint, then the bytes), commit time
// (8), tags. The tags are not looked at (see checkVersion).
func decodeOffsetValue4(b []byte) (c commitment, err error) {
	if len(b) < 12 {
		return c, fmt.Errorf("%d bytes", len(b))
	}
	c = commitment{Offset: Offset{Offset: int64(binary.BigEndian.Uint64(b)), LeaderEpoch: int32(binary.BigEndian.Uint32(b[8:]))}, expires: -1}
	b = b[12:]
	length, n := binary.Uvarint(b)
	if n <= 0 || length == 0 || length-1 > uint64(len(b)-n) {
		return c, fmt.Errorf("metadata of length %d in %d bytes", length, len(b))
	}
	c.Metadata, b = string(b[n:n+int(length-1)]), b[n+int(length-1):]
	if len(b) < 8 {
		return c, fmt.Errorf("commit time of %d bytes", len(b))
	}
	c.committed = int64(binary.BigEndian.Uint64(b))
	return c, nil
}

func (d *decoded) decodeGroup(r coordinator.Record) error {
	var k kmsg.GroupMetadataKey
	if err := k.ReadFrom(r.Key); err != nil {
		return fmt.Errorf("decode group key: %w", err)
	}
	d.group = k.Group
	if d.deleted {
		return nil
	}
	if err := checkVersion(r.Value, groupValueVersion); err != nil {
		return fmt.Errorf("decode group value: %w", err)
	}
	d.metadata = kmsg.NewGroupMetadataValue()
	if err := d.metadata.ReadFrom(r.Value); err != nil {
		return fmt.Errorf("decode group value: %w", err)
	}
	return nil
}

// checkVersion refuses values of versions that we do not know before anything believes their lengths: from version 4 on, kmsg follows a count of tags that only
// the bytes themselves bound.
func checkVersion(value []byte, highest int16) error {
	if len(value) < 2 {
		return fmt.Errorf("%d bytes", len(value))
	}
	if v := int16(binary.BigEndian.Uint16(value)); v < 0 || v > highest {
		return fmt.Errorf("unknown version %d", v)
	}
	return nil
}

// restoreGroup makes g what the record says. Offsets stay.
func restoreGroup(g *group, v *kmsg.GroupMetadataValue) {
	fresh := newGroup(g.name, g.since)
	fresh.offsets = g.offsets
	*g = *fresh
	g.rebalance.group, g.syncing.group = g, g
	g.stored = true
	g.generation, g.protocolType = v.Generation, v.ProtocolType
	if v.CurrentStateTimestamp >= 0 {
		g.since = time.UnixMilli(v.CurrentStateTimestamp)
	}
	if len(v.Members) == 0 {
		return
	}
	g.state = stable
	g.protocol = required(v.Protocol)
	for i := range v.Members {
		g.add(restoreMember(&v.Members[i], g.protocol), v.ProtocolType)
	}
	if leader := required(v.Leader); g.members[leader] != nil {
		g.leader = leader
	}
}

func restoreMember(v *kmsg.GroupMetadataValueMember, protocol string) *member {
	m := &member{
		id: v.MemberID, instance: v.InstanceID, client: Client{ID: v.ClientID, Host: v.ClientHost},
		sessionTimeout:   time.Duration(v.SessionTimeoutMillis) * time.Millisecond,
		rebalanceTimeout: time.Duration(v.RebalanceTimeoutMillis) * time.Millisecond,
		protocols:        []Protocol{{Name: protocol, Metadata: clone(v.Subscription)}},
		assignment:       clone(v.Assignment),
	}
	if m.rebalanceTimeout < 0 { // before version 1
		m.rebalanceTimeout = m.sessionTimeout
	}
	return m
}

// subscribedTopics reads the topics of a ConsumerProtocolSubscription: a version, then an array of names; what follows differs between versions and clients and
// is not looked at.
func subscribedTopics(b []byte) ([]string, error) {
	if len(b) < 6 {
		return nil, fmt.Errorf("subscription of %d bytes", len(b))
	}
	count := int32(binary.BigEndian.Uint32(b[2:]))
	b = b[6:]
	if count < 0 || int64(count)*2 > int64(len(b)) {
		return nil, fmt.Errorf("subscription to %d topics in %d bytes", count, len(b))
	}
	topics := make([]string, 0, count)
	for range count {
		if len(b) < 2 {
			return nil, errors.New("subscription ends early")
		}
		n := int(int16(binary.BigEndian.Uint16(b)))
		if n < 0 || n > len(b)-2 {
			return nil, fmt.Errorf("subscription to a topic with a name of %d bytes", n)
		}
		topics = append(topics, string(b[2:2+n]))
		b = b[2+n:]
	}
	return topics, nil
}
