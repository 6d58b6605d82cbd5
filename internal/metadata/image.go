package metadata

// TopicID is Kafka's topic id (KIP-516). The zero value means none.
type TopicID [16]byte

// Partition is one partition's assignment. Who leads is soft state and not part of it.
type Partition struct {
	Replicas []int32 // the first is preferred to lead
}

// Topic is one topic. Immutable once published.
type Topic struct {
	Name       string
	ID         TopicID
	Partitions []Partition
	Config     map[string]string // only what was set on the topic
	Internal   bool
}

// Broker is one registered broker.
type Broker struct {
	ID        int32
	Rack      string
	Listeners []Listener // advertised
	Fenced    bool
}

// Listener is an advertised address of a broker.
type Listener struct {
	Name string // PLAINTEXT, ...
	Host string
	Port int32
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
}

// DefaultBroker is the key in BrokerConfig of the cluster-wide dynamic default.
const DefaultBroker int32 = -1
