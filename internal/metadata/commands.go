package metadata

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// A command in the metadata log is one JSON object:
//
//	{"kind":"create-topics","version":0,"body":{...}}
//
// The envelope never changes. A kind gets a new version when its body gets a field; a reader refuses kinds, versions and fields that it does not know
// (ErrUnsupported) and never guesses.
type envelope struct {
	Kind    string          `json:"kind"`
	Version int             `json:"version"`
	Body    json.RawMessage `json:"body"`
}

// ErrUnsupported marks a command or snapshot that a newer version wrote.
var ErrUnsupported = errors.New("written by a newer version of barnabas")

// ErrMalformed marks bytes that are no command or snapshot at all.
var ErrMalformed = errors.New("malformed")

// Command is one change of the cluster's state; see the types below.
type Command interface {
	kind() string
}

// CreateTopics creates topics whose ids and replicas are already chosen. Result: []error, one for each topic, nil where it was created.
type CreateTopics struct {
	Topics []*Topic `json:"topics"`
}

// DeleteTopic removes a topic. The id says which one, so that a topic of the same name that was created since is left alone. Result: error or nil.
type DeleteTopic struct {
	Name string  `json:"name"`
	ID   TopicID `json:"id"`
}

// CreatePartitions adds partitions behind the From that exist. Result: error or nil.
type CreatePartitions struct {
	Topic string      `json:"topic"`
	ID    TopicID     `json:"id"`
	From  int         `json:"from"`
	Added []Partition `json:"added"`
}

// AlterConfig changes the configuration of one resource. Result: error or nil.
type AlterConfig struct {
	Type ConfigType `json:"type"`
	Name string     `json:"name"`
	// Changes maps a name to its new value; null removes it.
	Changes map[string]*string `json:"changes"`
	// Replace drops every name that Changes does not have.
	Replace bool `json:"replace,omitempty"`
	// Expect are the values (null: not set) that the changes were computed from; if one of them is different by now, the command is refused.
	Expect map[string]*string `json:"expect,omitempty"`
}

// RegisterBroker adds a broker or replaces its registration. Result: *Broker as registered, or error.
type RegisterBroker struct {
	Broker Broker `json:"broker"`
}

// UnregisterBroker removes a broker's registration. Result: error or nil.
type UnregisterBroker struct {
	ID int32 `json:"id"`
}

// FenceBroker says whether a broker is out of service. Result: error or nil.
type FenceBroker struct {
	ID     int32 `json:"id"`
	Epoch  int64 `json:"epoch"` // of the registration that is meant; 0: any
	Fenced bool  `json:"fenced"`
}

// AllocateProducerIDs reserves a block of producer ids. Result: ProducerIDs or error.
type AllocateProducerIDs struct {
	Count int64 `json:"count"`
}

// ProducerIDs is a block of producer ids that belongs to whoever proposed the allocation.
type ProducerIDs struct {
	First int64
	Count int64
}

// SetClusterID names the cluster, once. Result: error or nil; INCONSISTENT_CLUSTER_ID when it already has another name.
type SetClusterID struct {
	ID string `json:"id"`
}

func (CreateTopics) kind() string        { return "create-topics" }
func (DeleteTopic) kind() string         { return "delete-topic" }
func (CreatePartitions) kind() string    { return "create-partitions" }
func (AlterConfig) kind() string         { return "alter-config" }
func (RegisterBroker) kind() string      { return "register-broker" }
func (UnregisterBroker) kind() string    { return "unregister-broker" }
func (FenceBroker) kind() string         { return "fence-broker" }
func (AllocateProducerIDs) kind() string { return "allocate-producer-ids" }
func (SetClusterID) kind() string        { return "set-cluster-id" }

// EncodeCommand is the command as it goes into the metadata log.
func EncodeCommand(c Command) ([]byte, error) {
	body, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", c.kind(), err)
	}
	return json.Marshal(envelope{Kind: c.kind(), Body: body})
}

// DecodeCommand reads a command of the metadata log. The error is ErrUnsupported or ErrMalformed.
func DecodeCommand(data []byte) (Command, error) {
	var e envelope
	if err := json.Unmarshal(data, &e); err != nil {
		return nil, fmt.Errorf("decode command: %w: %w", ErrMalformed, err)
	}
	if e.Kind == "" {
		return nil, fmt.Errorf("decode command: %w: no kind", ErrMalformed)
	}
	if e.Version != 0 {
		return nil, fmt.Errorf("decode command %q version %d: %w", e.Kind, e.Version, ErrUnsupported)
	}
	switch e.Kind {
	case CreateTopics{}.kind():
		return decodeBody[CreateTopics](e)
	case DeleteTopic{}.kind():
		return decodeBody[DeleteTopic](e)
	case CreatePartitions{}.kind():
		return decodeBody[CreatePartitions](e)
	case AlterConfig{}.kind():
		return decodeBody[AlterConfig](e)
	case RegisterBroker{}.kind():
		return decodeBody[RegisterBroker](e)
	case UnregisterBroker{}.kind():
		return decodeBody[UnregisterBroker](e)
	case FenceBroker{}.kind():
		return decodeBody[FenceBroker](e)
	case AllocateProducerIDs{}.kind():
		return decodeBody[AllocateProducerIDs](e)
	case AlterReassignments{}.kind():
		return decodeBody[AlterReassignments](e)
	case FinishReassignment{}.kind():
		return decodeBody[FinishReassignment](e)
	case SetClusterID{}.kind():
		return decodeBody[SetClusterID](e)
	}
	return nil, fmt.Errorf("decode command %q: %w", e.Kind, ErrUnsupported)
}

func decodeBody[C Command](e envelope) (Command, error) {
	var c C
	if err := decodeStrict(e.Body, &c); err != nil {
		return nil, fmt.Errorf("decode command %q: %w", e.Kind, err)
	}
	return c, nil
}

// decodeStrict reads exactly one JSON value. A field that the type does not have is ErrUnsupported, whatever else is wrong is ErrMalformed.
func decodeStrict(data []byte, into any) error {
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	// The value is well formed and fits: an error can only be an unknown field.
	if err := d.Decode(into); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	return nil
}
