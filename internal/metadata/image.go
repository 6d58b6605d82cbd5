package metadata

import (
	"encoding/base64"
	"fmt"
	"maps"
)

// TopicID is Kafka's topic id (KIP-516). The zero value means none.
type TopicID [16]byte

// String is the id as Kafka prints it: 22 characters of URL-safe base64.
func (id TopicID) String() string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// MarshalText is String as bytes.
func (id TopicID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (id *TopicID) UnmarshalText(text []byte) error {
	parsed, err := ParseTopicID(string(text))
	if err != nil {
		return err
	}
	*id = parsed
	return nil
}

// ParseTopicID reads what String prints.
func ParseTopicID(text string) (TopicID, error) {
	var id TopicID
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return id, fmt.Errorf("parse topic id %q: %w", text, err)
	}
	if len(raw) != len(id) {
		return id, fmt.Errorf("parse topic id %q: %d bytes instead of %d", text, len(raw), len(id))
	}
	copy(id[:], raw)
	return id, nil
}

// Partition is one partition's assignment. Who leads is soft state and not part of it.
type Partition struct {
	// Replicas are the nodes that have a replica; the first is preferred to lead. While the partition moves they are all that may have one: the target, then the others.
	Replicas []int32 `json:"replicas"`
	// Target is where the partition is on its way to, and Before where it was when that began; nil when it stays where it is.
	Target []int32 `json:"target,omitempty"`
	Before []int32 `json:"before,omitempty"`
	// Founded says that the partition's group has run with other members than its first ones: nobody founds it again.
	Founded bool `json:"founded,omitempty"`
}

// Topic is one topic. Immutable once published.
type Topic struct {
	Name       string            `json:"name"`
	ID         TopicID           `json:"id"`
	Partitions []Partition       `json:"partitions"`
	Config     map[string]string `json:"config,omitempty"` // only what was set on the topic
	Internal   bool              `json:"internal,omitempty"`
}

// ReplicationFactor is the number of replicas of the first partition, as Kafka reports it.
func (t *Topic) ReplicationFactor() int16 {
	if len(t.Partitions) == 0 {
		return 0
	}
	return int16(len(t.Partitions[0].Replicas))
}

// Broker is one registered broker.
type Broker struct {
	ID        int32      `json:"id"`
	Rack      string     `json:"rack,omitempty"`
	Listeners []Listener `json:"listeners"` // advertised
	Fenced    bool       `json:"fenced,omitempty"`
	// Directory is the id of the directory that the broker's votes are in; empty: not known.
	Directory string `json:"directory,omitempty"`
	// Epoch is the index of the metadata log at which this registration was made: a later process of the same broker has a higher one.
	// Set by Apply, ignored in a command.
	Epoch int64 `json:"epoch"`
}

// Listener is an advertised address of a broker.
type Listener struct {
	Name string `json:"name"` // PLAINTEXT, ...
	Host string `json:"host"`
	Port int32  `json:"port"`
}

// Image is the whole cluster state at one index of the metadata log. It never changes: readers hold it as long as they like.
type Image struct {
	Index     uint64
	ClusterID string
	Topics    map[string]*Topic
	ByID      map[TopicID]*Topic
	Brokers   map[int32]*Broker
	// BrokerConfig holds dynamic broker configurations by node id; DefaultBroker (-1) is the cluster-wide default. GroupConfig by group id.
	BrokerConfig   map[int32]map[string]string
	GroupConfig    map[string]map[string]string
	NextProducerID int64

	// merged counts the topics under each name with '.' folded to '_', so that collisions are found without a scan.
	merged map[string]string
}

// DefaultBroker is the key in BrokerConfig of the cluster-wide dynamic default.
const DefaultBroker int32 = -1

// NewImage is the empty cluster: what Apply starts from.
func NewImage() *Image {
	return &Image{
		Topics:       map[string]*Topic{},
		ByID:         map[TopicID]*Topic{},
		Brokers:      map[int32]*Broker{},
		BrokerConfig: map[int32]map[string]string{},
		GroupConfig:  map[string]map[string]string{},
		merged:       map[string]string{},
	}
}

// draft is a copy of the image that a command may change. The maps are shared with the original until a change clones them.
func (i *Image) draft(index uint64) *Image {
	next := *i
	next.Index = index
	return &next
}

func (i *Image) cloneTopics() {
	i.Topics, i.ByID, i.merged = maps.Clone(i.Topics), maps.Clone(i.ByID), maps.Clone(i.merged)
}

// putTopic adds or replaces a topic. The maps are the draft's own.
func (i *Image) putTopic(t *Topic) {
	i.Topics[t.Name], i.ByID[t.ID] = t, t
	i.merged[mergedName(t.Name)] = t.Name
}

func (i *Image) removeTopic(t *Topic) {
	delete(i.Topics, t.Name)
	delete(i.ByID, t.ID)
	delete(i.merged, mergedName(t.Name))
}

// Config is what was set on a resource; nil when nothing was. The map must not be changed.
func (i *Image) Config(r ConfigResource) map[string]string {
	switch r.Type {
	case TopicConfig:
		if t := i.Topics[r.Name]; t != nil {
			return t.Config
		}
	case BrokerConfig:
		if id, err := parseBrokerName(r.Name); err == nil {
			return i.BrokerConfig[id]
		}
	case GroupConfig:
		return i.GroupConfig[r.Name]
	}
	return nil
}

// Live are the brokers that are registered and not fenced, by ascending id.
func (i *Image) Live() []*Broker {
	live := make([]*Broker, 0, len(i.Brokers))
	for _, id := range sortedKeys(i.Brokers) {
		if b := i.Brokers[id]; !b.Fenced {
			live = append(live, b)
		}
	}
	return live
}
