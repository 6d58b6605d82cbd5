package history

import (
	"fmt"
	"time"
)

// ID names a record: the producer that made it and its number there. A producer numbers its records from 0, in the order in which it hands them over.
type ID struct {
	Producer int32
	Number   int64
}

func (i ID) String() string { return fmt.Sprintf("%d/%d", i.Producer, i.Number) }

// Partition of a topic.
type Partition struct {
	Topic  string
	Number int32
}

func (p Partition) String() string { return fmt.Sprintf("%s-%d", p.Topic, p.Number) }

// Kind of an event.
type Kind uint8

const (
	// Invoked: the record is about to be handed to the producer, for Partition.
	Invoked Kind = iota + 1
	// Acknowledged: the cluster stored the record at Offset.
	Acknowledged
	// Refused: the record was certainly not stored.
	Refused
	// Unknown: the producer gave up; the record may or may not be stored.
	Unknown
	// Assigned: Reader begins to read Partition, for Group if that is not empty. A reader reads one partition once, without skipping; whoever starts elsewhere is
	// a new reader.
	Assigned
	// Consumed: Reader got the record at Offset.
	Consumed
	// Committed: the cluster acknowledged that Group is done with everything below Offset.
	Committed
	// Final: the final reading got the record at Offset.
	Final
	// Unsettled: nobody knows what became of a request in which Group said that it is done with everything below Offset. It may take effect as long as the network keeps it, also after
	// later ones: a coordinator cannot tell it from a member that goes back.
	Unsettled
)

var kindNames = [...]string{Invoked: "invoked", Acknowledged: "acknowledged", Refused: "refused", Unknown: "unknown", Assigned: "assigned",
	Consumed: "consumed", Committed: "committed", Final: "final", Unsettled: "unsettled"}

func (k Kind) String() string {
	if int(k) < len(kindNames) && k > 0 {
		return kindNames[k]
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

func (k Kind) ofRecord() bool { return k != Assigned && k != Committed && k != Unsettled }
func (k Kind) hasOffset() bool {
	return k == Acknowledged || k == Consumed || k == Committed || k == Final || k == Unsettled
}
func (k Kind) hasReader() bool { return k == Assigned || k == Consumed }
func (k Kind) hasGroup() bool  { return k == Assigned || k == Committed || k == Unsettled }

// Event is one thing that a client did or saw. Fields that a Kind does not speak of are zero.
type Event struct {
	Kind      Kind
	At        time.Duration // since the history began
	Partition Partition
	ID        ID
	Offset    int64
	Reader    int32
	Group     string
}
