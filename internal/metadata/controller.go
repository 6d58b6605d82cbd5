package metadata

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"maps"
	"strings"

	"go.uber.org/zap"
)

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

// ConfigType is Kafka's resource type number.
type ConfigType int8

// The resource types. Loggers and client metrics are known by name only: their configuration is not kept here.
const (
	TopicConfig         ConfigType = 2
	BrokerConfig        ConfigType = 4
	BrokerLoggerConfig  ConfigType = 8
	ClientMetricsConfig ConfigType = 16
	GroupConfig         ConfigType = 32
)

// ConfigOp is one incremental change (KIP-339): set, delete, append, subtract.
type ConfigOp struct {
	Name  string
	Op    int8 // 0 set, 1 delete, 2 append, 3 subtract
	Value *string
}

// Options of a Controller. Every field but the State and Proposer given to New may be left zero.
type Options struct {
	NodeID                   int32
	DefaultPartitions        int32 // num.partitions; 0 means 1
	DefaultReplicationFactor int16 // default.replication.factor; 0 means 1
	// MaxPartitionsPerRequest bounds how many partitions one request may create (Kafka: 10,000, which is what 0 means).
	MaxPartitionsPerRequest int

	// ValidateConfig checks all that would be set on a resource, and which names a request changes. An error is INVALID_CONFIG unless it has a method
	// KafkaCode() int16. nil accepts everything.
	ValidateConfig func(t ConfigType, values map[string]string, changed []string) error
	// ListConfig says whether a configuration is a list (append and subtract work on lists only) and what it is where nothing was set. nil: nothing is a list.
	ListConfig func(t ConfigType, name string) (fallback string, list bool)

	NewTopicID func() TopicID // nil: random
	Logger     *zap.Logger    // nil: silent
}

func (o *Options) ensureDefaults() {
	if o.DefaultPartitions == 0 {
		o.DefaultPartitions = 1
	}
	if o.DefaultReplicationFactor == 0 {
		o.DefaultReplicationFactor = 1
	}
	if o.MaxPartitionsPerRequest == 0 {
		o.MaxPartitionsPerRequest = defaultMaxPartitionsPerRequest
	}
	if o.ValidateConfig == nil {
		o.ValidateConfig = func(ConfigType, map[string]string, []string) error { return nil }
	}
	if o.ListConfig == nil {
		o.ListConfig = func(ConfigType, string) (string, bool) { return "", false }
	}
	if o.NewTopicID == nil {
		o.NewTopicID = randomTopicID
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
}

// Controller makes changes to the cluster's state: it validates, places and proposes. It holds no lock while it waits and may be called by anyone, on any node
// whose Proposer can reach the leader of the metadata group. Errors are *Error with Kafka's code.
//
// When ctx ends while a command is under way the answer is REQUEST_TIMED_OUT; the change may still happen.
type Controller struct {
	state    *State
	proposer Proposer
	opts     Options
	logger   *zap.Logger
	ids      producerIDs
}

// New makes a Controller over this node's State.
func New(state *State, proposer Proposer, opts Options) *Controller {
	opts.ensureDefaults()
	return &Controller{state: state, proposer: proposer, opts: opts, logger: opts.Logger, ids: newProducerIDs()}
}

// Image is the current state. Never nil.
func (c *Controller) Image() *Image { return c.state.Image() }

// propose commits a command and returns its result; a refusal by Apply is an error.
func (c *Controller) propose(ctx context.Context, command Command) (any, error) {
	data, err := EncodeCommand(command)
	if err != nil {
		return nil, coded(err, CodeUnknownServerError)
	}
	result, err := c.proposer.Propose(ctx, data)
	if err != nil {
		return nil, proposalError("propose "+command.kind(), err)
	}
	if err := errorOf(result); err != nil {
		return nil, coded(err, CodeUnknownServerError)
	}
	return result, nil
}

// DeleteTopic removes the topic of this name, or of this id when the name is empty, and returns what it was.
func (c *Controller) DeleteTopic(ctx context.Context, name string, id TopicID) (*Topic, error) {
	t, err := findTopic(c.Image(), name, id)
	if err != nil {
		return nil, err
	}
	if _, err := c.propose(ctx, DeleteTopic{Name: t.Name, ID: t.ID}); err != nil {
		return nil, err
	}
	c.logger.Info("topic deleted", zap.String("topic", t.Name), zap.Stringer("id", t.ID))
	return t, nil
}

func findTopic(image *Image, name string, id TopicID) (*Topic, error) {
	switch {
	case name != "" && id != (TopicID{}):
		return nil, refuse(CodeInvalidRequest, "You may not specify both topic name and topic id.")
	case name == "" && id == (TopicID{}):
		return nil, refuse(CodeInvalidRequest, "Neither topic name nor id were specified.")
	case name != "":
		if t := image.Topics[name]; t != nil {
			return t, nil
		}
		return nil, unknownTopic(name)
	}
	if t := image.ByID[id]; t != nil {
		return t, nil
	}
	return nil, refuse(CodeUnknownTopicID, "This server does not host a topic with the id %s.", id)
}

// AlterConfig applies ops incrementally.
func (c *Controller) AlterConfig(ctx context.Context, r ConfigResource, ops []ConfigOp, validateOnly bool) error {
	if err := checkOps(ops); err != nil {
		return err
	}
	return c.alter(ctx, r, validateOnly, func(current map[string]string) (AlterConfig, error) {
		return c.resolveOps(r, current, ops)
	})
}

// ReplaceConfig replaces everything that was set on a resource (AlterConfigs).
func (c *Controller) ReplaceConfig(ctx context.Context, r ConfigResource, values map[string]*string, validateOnly bool) error {
	for _, name := range sortedKeys(values) {
		if values[name] == nil {
			return refuse(CodeInvalidRequest, "Null value not supported for : %s", name)
		}
	}
	return c.alter(ctx, r, validateOnly, func(map[string]string) (AlterConfig, error) {
		return AlterConfig{Changes: values, Replace: true}, nil
	})
}

// alter computes a change from the current configuration, validates the outcome and proposes it; when the configuration changed meanwhile, all over again.
func (c *Controller) alter(ctx context.Context, r ConfigResource, validateOnly bool, compute func(current map[string]string) (AlterConfig, error)) error {
	var err error
	for range maxConflicts {
		image := c.Image()
		if err := checkResource(image, r); err != nil {
			return err
		}
		current := image.Config(r)
		var command AlterConfig
		if command, err = compute(current); err != nil {
			return err
		}
		command.Type, command.Name = r.Type, r.Name
		next := changed(current, command.Changes, command.Replace)
		if err := c.opts.ValidateConfig(r.Type, next, sortedKeys(command.Changes)); err != nil {
			return coded(err, CodeInvalidConfig)
		}
		if validateOnly {
			return nil
		}
		if _, err = c.propose(ctx, command); !isConflict(err) {
			break
		}
		if _, waitErr := c.state.Wait(ctx, func(newer *Image) bool { return newer.Index > image.Index }); waitErr != nil {
			return proposalError("wait for the newer configuration", waitErr)
		}
	}
	if isConflict(err) {
		return refuse(CodeRequestTimedOut, "%s", conflictText)
	}
	if err == nil {
		c.logger.Info("configuration changed", zap.Stringer("resource", r))
	}
	return err
}

// The operations of KIP-339.
const (
	opSet int8 = iota
	opDelete
	opAppend
	opSubtract
)

func checkOps(ops []ConfigOp) error {
	seen := map[string]bool{}
	for _, op := range ops {
		switch {
		case op.Op < opSet || op.Op > opSubtract:
			return refuse(CodeInvalidRequest, "Unknown operation type %d for %s", op.Op, op.Name)
		case op.Op != opDelete && op.Value == nil:
			return refuse(CodeInvalidRequest, "Null value not supported for : %s", op.Name)
		case seen[op.Name]:
			return refuse(CodeInvalidRequest, "Error due to duplicate config keys")
		}
		seen[op.Name] = true
	}
	return nil
}

// resolveOps turns ops into plain values. What append and subtract started from is expected to be there still when the command is applied.
func (c *Controller) resolveOps(r ConfigResource, current map[string]string, ops []ConfigOp) (AlterConfig, error) {
	command := AlterConfig{Changes: map[string]*string{}}
	for _, op := range ops {
		switch op.Op {
		case opSet:
			command.Changes[op.Name] = op.Value
		case opDelete:
			command.Changes[op.Name] = nil
		default:
			fallback, list := c.opts.ListConfig(r.Type, op.Name)
			if !list {
				verb := map[int8]string{opAppend: "APPEND", opSubtract: "SUBTRACT"}[op.Op]
				return command, refuse(CodeInvalidConfig, "Can't %s to key %s because its type is not LIST.", verb, op.Name)
			}
			if command.Expect == nil {
				command.Expect = map[string]*string{}
			}
			command.Expect[op.Name] = nil
			if value, isSet := current[op.Name]; isSet {
				command.Expect[op.Name] = &value
				fallback = value
			}
			value := editList(fallback, *op.Value, op.Op == opAppend)
			command.Changes[op.Name] = &value
		}
	}
	return command, nil
}

// editList adds the elements of change that list does not have, or removes those that it has.
func editList(list, change string, add bool) string {
	var elements []string
	for element := range strings.SplitSeq(list, ",") {
		if element = strings.TrimSpace(element); element != "" && (add || !contains(change, element)) {
			elements = append(elements, element)
		}
	}
	if add {
		for element := range strings.SplitSeq(change, ",") {
			if element = strings.TrimSpace(element); element != "" && !contains(strings.Join(elements, ","), element) {
				elements = append(elements, element)
			}
		}
	}
	return strings.Join(elements, ",")
}

func contains(list, element string) bool {
	for e := range strings.SplitSeq(list, ",") {
		if strings.TrimSpace(e) == element {
			return true
		}
	}
	return false
}

// RegisterBroker makes a broker known, or replaces what was known of it. Each call is a new registration with a new epoch.
func (c *Controller) RegisterBroker(ctx context.Context, b Broker) error {
	if len(b.Listeners) == 0 {
		return refuse(CodeInvalidRequest, "Broker %d advertises no listener.", b.ID)
	}
	_, err := c.propose(ctx, RegisterBroker{Broker: b})
	return err
}

// UnregisterBroker forgets a broker. Partitions that have replicas there keep naming it until they are reassigned.
func (c *Controller) UnregisterBroker(ctx context.Context, id int32) error {
	_, err := c.propose(ctx, UnregisterBroker{ID: id})
	return err
}

// FenceBroker takes a broker out of service or back. epoch is that of the registration which is meant, 0 for any.
func (c *Controller) FenceBroker(ctx context.Context, id int32, epoch int64, fenced bool) error {
	_, err := c.propose(ctx, FenceBroker{ID: id, Epoch: epoch, Fenced: fenced})
	return err
}

// SetClusterID names the cluster. Proposing the name that it already has is no error; another one is INCONSISTENT_CLUSTER_ID.
func (c *Controller) SetClusterID(ctx context.Context, id string) error {
	if c.Image().ClusterID == id && id != "" {
		return nil
	}
	_, err := c.propose(ctx, SetClusterID{ID: id})
	return err
}

// NewClusterID is a random cluster id as Kafka's tools make them: 22 characters of base64.
func NewClusterID() string { return randomTopicID().String() }

// randomTopicID is random, never zero (none), never Kafka's reserved id 1 (the metadata topic), and does not begin with a dash, which tools would take for a flag.
func randomTopicID() TopicID {
	for {
		var id TopicID
		_, _ = rand.Read(id[:]) // never fails since Go 1.24
		id[6] = id[6]&0x0f | 0x40
		id[8] = id[8]&0x3f | 0x80
		if id.String()[0] != '-' {
			return id
		}
	}
}

func seedOf(id TopicID) uint64 {
	return binary.LittleEndian.Uint64(id[:8]) ^ binary.LittleEndian.Uint64(id[8:])
}

func cloneConfig(config map[string]string) map[string]string {
	if len(config) == 0 {
		return nil
	}
	return maps.Clone(config)
}
