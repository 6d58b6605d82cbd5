package metadata

import "context"

// Proposer commits a command to the metadata group and returns what State.Apply returned for it. internal/broker hands in the Raft group.
type Proposer interface {
	Propose(ctx context.Context, command []byte) (any, error)
}

// NewTopic asks for a topic. Partitions and ReplicationFactor -1 mean the broker's default; Assignment, when given, decides both.
type NewTopic struct {
	Name              string
	Partitions        int32
	ReplicationFactor int16
	Assignment        map[int32][]int32
	Config            map[string]string
	Internal          bool
}

// NewPartitions asks for more partitions. Count is the new total.
type NewPartitions struct {
	Topic      string
	Count      int32
	Assignment [][]int32
}

// ConfigResource names what a configuration belongs to.
type ConfigResource struct {
	Type ConfigType
	Name string
}

// ConfigType is Kafka's resource type number: topic 2, broker 4, broker logger 8, client metrics 16, group 32.
type ConfigType int8

// ConfigOp is one incremental change (KIP-339): set, delete, append, subtract.
type ConfigOp struct {
	Name  string
	Op    int8 // 0 set, 1 delete, 2 append, 3 subtract
	Value *string
}

// Controller makes changes to the cluster's state. Every method may be called on any node that leads the metadata group; errors are *Error with Kafka's code.
type Controller struct{}

// Image is the current state. Never nil.
func (c *Controller) Image() *Image { panic("unwritten") }

// Error is a refusal with the Kafka error code that belongs to it.
type Error struct {
	Code    int16
	Message string
}

func (e *Error) Error() string { return e.Message }

func (c *Controller) CreateTopics(ctx context.Context, topics []NewTopic, validateOnly bool) ([]*Topic, []error) {
	panic("unwritten")
}
func (c *Controller) DeleteTopic(ctx context.Context, name string, id TopicID) (*Topic, error) {
	panic("unwritten")
}
func (c *Controller) CreatePartitions(ctx context.Context, p NewPartitions, validateOnly bool) error {
	panic("unwritten")
}

// AlterConfig applies ops incrementally; ReplaceConfig replaces all that was set (AlterConfigs).
func (c *Controller) AlterConfig(ctx context.Context, r ConfigResource, ops []ConfigOp, validateOnly bool) error {
	panic("unwritten")
}
func (c *Controller) ReplaceConfig(ctx context.Context, r ConfigResource, values map[string]*string, validateOnly bool) error {
	panic("unwritten")
}
func (c *Controller) RegisterBroker(ctx context.Context, b Broker) error { panic("unwritten") }

// NextProducerID hands out an id that no producer has had; ids come from durable blocks of 1000.
func (c *Controller) NextProducerID(ctx context.Context) (int64, error) { panic("unwritten") }
