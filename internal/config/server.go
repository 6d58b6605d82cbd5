package config

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Fsync says when records go to stable storage.
type Fsync string

// The modes; see barnabas.fsync.
const (
	FsyncAcknowledge Fsync = "acknowledge"
	FsyncFlush       Fsync = "flush"
)

// Server is the configuration of one node, checked and typed. What is not a field here is described by BrokerRows all the same.
type Server struct {
	NodeID             int32
	ClusterID          string // "" where none was given
	Rack               string
	RackAware          bool     // replica.selector.class: consumers are sent to replicas in their rack
	Broker, Controller bool     // process.roles
	LogDir             string   // the first of LogDirs
	LogDirs            []string // where data is; none twice
	MetadataDir        string   // where metadata and votes are; "" when nobody said
	DiskReserveBytes   int64    // what of a file system is kept free of records

	// Listeners are for clients. AdvertisedListeners has one for each, in the same order. ControllerListeners are for nodes among themselves.
	Listeners           []Listener
	AdvertisedListeners []Listener
	ControllerListeners []Listener
	InterBrokerListener string // the name of one of Listeners
	// NodeListener is where this node listens for other nodes, and AdvertisedNode where they find it (port 0: the one that was bound): the first of ControllerListeners,
	// or, on a broker that has none, any free port beside the inter-broker listener.
	NodeListener, AdvertisedNode Listener
	Voters                       []Voter
	BootstrapServers             []string // host:port

	NumPartitions            int32
	DefaultReplicationFactor int16
	AutoCreateTopics         bool
	DeleteTopics             bool

	RequestMaxBytes       int
	QueuedMaxRequestBytes int64
	MaxConnections        int
	MaxConnectionsPerIP   int
	ConnectionsMaxIdle    time.Duration
	FetchMaxBytes         int
	MaxFetchSessions      int // < 0: none

	HTTP      string // host:port of the HTTP listener, "" for none
	HTTPAsked bool   // somebody asked for HTTP there: a port that is taken is an error

	Fsync                  Fsync
	JournalBytes           int64 // of one data directory
	RetentionCheckInterval time.Duration
	Compact                bool // log.cleaner.enable
	CompactBackoff         time.Duration
	CompactBufferBytes     int64
	CompactBytesPerSecond  float64
	ScrubBytesPerSecond    float64 // 0: no scrubbing
	ScrubInterval          time.Duration

	BrokerHeartbeatInterval time.Duration
	BrokerSessionTimeout    time.Duration

	OffsetsTopicPartitions        int32
	OffsetsTopicReplicationFactor int16
	OffsetsTopicSegmentBytes      int64
	OffsetsRetention              time.Duration
	OffsetsRetentionCheckInterval time.Duration
	OffsetMetadataMaxBytes        int
	GroupMinSessionTimeout        time.Duration
	GroupMaxSessionTimeout        time.Duration
	GroupInitialRebalanceDelay    time.Duration
	GroupMaxSize                  int

	TransactionPartitions        int32
	TransactionReplicationFactor int16
	TransactionMinISR            int
	TransactionMaxTimeout        time.Duration
	TransactionalIDExpiration    time.Duration

	static   map[string]string
	defaults map[string]string
}

// Warning is something that the operator should know and that is no error.
type Warning struct {
	Name   string // the configuration or variable
	Origin string // where it was found: "environment", "server.properties:12", "--set"
	Reason string
}

func (w Warning) String() string {
	return fmt.Sprintf("%s (%s) is ignored: %s", w.Name, w.Origin, w.Reason)
}

// Input is where a configuration comes from. Later sources win: the defaults that an image sets in the environment, the file, the environment, Set.
type Input struct {
	File        string   // a server.properties file; "" for none
	Environment []string // KEY=value, as from os.Environ
	Set         []string // name=value, as from --set
}

// Load reads, checks and types a configuration. The error names every problem, one a line. Without any input the node is 1, alone, on 127.0.0.1:9092, with its
// data in ./data.
func Load(in Input) (*Server, []Warning, error) {
	v := &values{set: map[string]string{}, origin: map[string]string{}}
	v.readImageDefaults(in.Environment)
	if in.File != "" {
		if err := v.readFile(in.File); err != nil {
			return nil, nil, err
		}
	}
	v.readEnvironment(in.Environment)
	v.readSet(in.Set)
	v.dropAdvertisedDefault()
	s := &Server{}
	s.fill(v)
	if len(v.problems) > 0 {
		return nil, v.warnings, errors.Join(v.problems...)
	}
	return s, v.warnings, nil
}

// values are the assignments that were found, and the problems with them.
type values struct {
	set      map[string]string
	origin   map[string]string
	defaults map[string]string
	warnings []Warning
	problems []error
}

func (v *values) readFile(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	properties, err := parseProperties(string(text))
	if err != nil {
		return fmt.Errorf("read configuration %s: %w", path, err)
	}
	for _, p := range properties {
		v.assign(p.name, p.value, fmt.Sprintf("%s:%d", path, p.line), p.name)
	}
	return nil
}

func (v *values) readEnvironment(environment []string) {
	for _, entry := range slices.Sorted(slices.Values(environment)) {
		variable, value, found := strings.Cut(entry, "=")
		switch {
		case !found:
		case clusterVariables[variable]:
			v.assign("cluster.id", value, "environment", variable)
		case !strings.HasPrefix(variable, "KAFKA_"):
		case serverIndex[environmentName(variable)] != nil:
			v.assign(environmentName(variable), value, "environment", variable)
		case ignoredVariable(variable) != "":
			v.warnings = append(v.warnings, Warning{variable, "environment", ignoredVariable(variable)})
		default:
			v.assign(environmentName(variable), value, "environment", variable)
		}
	}
}

func (v *values) readSet(assignments []string) {
	for _, assignment := range assignments {
		name, value, found := strings.Cut(assignment, "=")
		if !found {
			v.problems = append(v.problems, fmt.Errorf("--set %q: not name=value", assignment))
			continue
		}
		v.assign(strings.TrimSpace(name), value, "--set", strings.TrimSpace(name))
	}
}

// assign takes one value. written is the name as it stands at the origin.
func (v *values) assign(name, value, origin, written string) {
	d := serverIndex[name]
	if d == nil {
		v.unknown(name, origin, written)
		return
	}
	value = strings.TrimSpace(value)
	if value == "" && d.NoValue { // as in a compose file: VARIABLE=${UNSET}
		delete(v.set, name)
		return
	}
	v.set[name], v.origin[name] = value, origin
	if err := d.Validate(value); err != nil {
		v.problems = append(v.problems, fmt.Errorf("%s (%s): %w", written, origin, err))
		delete(v.set, name)
	}
}

func (v *values) unknown(name, origin, written string) {
	if reason := refusedNames[name]; reason != "" {
		v.problems = append(v.problems, fmt.Errorf("%s (%s): %s", written, origin, reason))
		return
	}
	if reason := ignoredReason(name); reason != "" {
		v.warnings = append(v.warnings, Warning{written, origin, reason})
		return
	}
	message := fmt.Sprintf("%s (%s): unknown configuration", written, origin)
	if written != name {
		message = fmt.Sprintf("%s (%s): unknown configuration %s", written, origin, name)
	}
	if near := nearest(name, sortedNames(serverIndex)); near != "" {
		message += "; did you mean " + near + "?"
	} else if d := topicIndex[name]; d != nil && len(d.Synonyms) > 0 {
		message += "; for all topics it is " + d.Synonyms[0].Name
	}
	v.problems = append(v.problems, errors.New(message))
}

func (v *values) problem(name, format string, args ...any) {
	if origin := v.origin[name]; origin != "" {
		name += " (" + origin + ")"
	}
	v.problems = append(v.problems, fmt.Errorf("%s: %w", name, fmt.Errorf(format, args...)))
}

// get is the value that was set, or the default, or "".
func (v *values) get(name string) string {
	if value, isSet := v.set[name]; isSet {
		return value
	}
	if value, isSet := v.defaults[name]; isSet {
		return value
	}
	return serverIndex[name].Default
}

func (v *values) list(name string) []string { return splitList(v.get(name)) }
func (v *values) long(name string) int64    { return parseLong(v.get(name)) }
func (v *values) int(name string) int       { return int(v.long(name)) }
func (v *values) bool(name string) bool     { b, _ := parseBool(v.get(name)); return b }

func (v *values) milliseconds(name string) time.Duration { return milliseconds(v.long(name)) }

func (s *Server) fill(v *values) {
	s.node(v)
	s.listening(v)
	if s.Alone() {
		s.defaults = map[string]string{
			"offsets.topic.replication.factor": "1", "transaction.state.log.replication.factor": "1", "transaction.state.log.min.isr": "1",
			"share.coordinator.state.topic.replication.factor": "1", "share.coordinator.state.topic.min.isr": "1",
		}
		v.defaults = s.defaults
	}
	s.static = v.set

	s.NumPartitions = int32(v.int("num.partitions"))
	s.DefaultReplicationFactor = int16(min(v.int("default.replication.factor"), math.MaxInt16))
	s.AutoCreateTopics = v.bool("auto.create.topics.enable")
	s.DeleteTopics = v.bool("delete.topic.enable")

	s.RequestMaxBytes = v.int("socket.request.max.bytes")
	s.QueuedMaxRequestBytes = v.long("queued.max.request.bytes")
	if s.QueuedMaxRequestBytes >= 0 && s.QueuedMaxRequestBytes < int64(s.RequestMaxBytes) {
		v.problem("queued.max.request.bytes", "is %d, less than one request may have (socket.request.max.bytes is %d)", s.QueuedMaxRequestBytes, s.RequestMaxBytes)
	}
	s.MaxConnections = v.int("max.connections")
	s.MaxConnectionsPerIP = v.int("max.connections.per.ip")
	s.ConnectionsMaxIdle = v.milliseconds("connections.max.idle.ms")
	s.FetchMaxBytes = v.int("fetch.max.bytes")
	if s.QueuedMaxRequestBytes < 0 {
		s.QueuedMaxRequestBytes = parseLong(serverIndex["queued.max.request.bytes"].Default)
	}
	s.MaxFetchSessions = v.int("max.incremental.fetch.session.cache.slots")
	if s.MaxFetchSessions == 0 {
		s.MaxFetchSessions = -1
	}

	s.http(v)
	s.Fsync = Fsync(v.get("barnabas.fsync"))
	s.JournalBytes = v.long("barnabas.journal.bytes")
	s.RetentionCheckInterval = v.milliseconds("log.retention.check.interval.ms")
	s.Compact = v.bool("log.cleaner.enable")
	s.CompactBackoff = v.milliseconds("log.cleaner.backoff.ms")
	s.CompactBufferBytes = v.long("log.cleaner.dedupe.buffer.size")
	s.CompactBytesPerSecond = parseDouble(v.get("log.cleaner.io.max.bytes.per.second"))
	s.BrokerHeartbeatInterval = v.milliseconds("broker.heartbeat.interval.ms")
	s.BrokerSessionTimeout = v.milliseconds("broker.session.timeout.ms")
	s.groups(v)
}

func (s *Server) groups(v *values) {
	s.OffsetsTopicPartitions = int32(v.int("offsets.topic.num.partitions"))
	s.OffsetsTopicReplicationFactor = int16(v.int("offsets.topic.replication.factor"))
	s.OffsetsTopicSegmentBytes = v.long("offsets.topic.segment.bytes")
	s.OffsetsRetention = milliseconds(v.long("offsets.retention.minutes") * minute)
	s.OffsetsRetentionCheckInterval = v.milliseconds("offsets.retention.check.interval.ms")
	s.OffsetMetadataMaxBytes = v.int("offset.metadata.max.bytes")
	s.GroupMinSessionTimeout = v.milliseconds("group.min.session.timeout.ms")
	s.GroupMaxSessionTimeout = v.milliseconds("group.max.session.timeout.ms")
	if s.GroupMinSessionTimeout > s.GroupMaxSessionTimeout {
		v.problem("group.min.session.timeout.ms", "is larger than group.max.session.timeout.ms")
	}
	s.GroupInitialRebalanceDelay = v.milliseconds("group.initial.rebalance.delay.ms")
	s.GroupMaxSize = v.int("group.max.size")
	s.TransactionPartitions = int32(v.int("transaction.state.log.num.partitions"))
	s.TransactionReplicationFactor = int16(v.int("transaction.state.log.replication.factor"))
	s.TransactionMinISR = v.int("transaction.state.log.min.isr")
	s.TransactionMaxTimeout = v.milliseconds("transaction.max.timeout.ms")
	s.TransactionalIDExpiration = v.milliseconds("transactional.id.expiration.ms")
}

// node reads who this node is and where its data is.
func (s *Server) node(v *values) {
	s.NodeID = int32(v.int("node.id"))
	if older, isSet := v.set["broker.id"]; isSet && older != "-1" {
		id := int32(parseLong(older))
		if _, both := v.set["node.id"]; both && id != s.NodeID {
			v.problem("broker.id", "is %d, but node.id is %d; one of them is enough", id, s.NodeID)
		}
		s.NodeID = id
		v.set["node.id"], v.set["broker.id"] = strconv.Itoa(int(id)), strconv.Itoa(int(id))
	}
	s.ClusterID = v.get("cluster.id")
	s.Rack = v.get("broker.rack")
	s.RackAware = v.get("replica.selector.class") == rackAwareSelector
	roles := v.list("process.roles")
	s.Broker, s.Controller = slices.Contains(roles, "broker"), slices.Contains(roles, "controller")
	if len(roles) == 0 {
		v.problem("process.roles", "is empty; it is broker, controller or both")
	}
	name := "log.dir"
	if _, isSet := v.set["log.dirs"]; isSet {
		name = "log.dirs"
	}
	s.directories(v, name)
}

// directories reads where data is.
func (s *Server) directories(v *values, name string) {
	for _, dir := range v.list(name) {
		if dir = filepath.Clean(dir); slices.Contains(s.LogDirs, dir) {
			v.problem(name, "names %s twice", dir)
			continue
		}
		s.LogDirs = append(s.LogDirs, dir)
	}
	if len(s.LogDirs) == 0 {
		v.problem(name, "is empty")
		return
	}
	s.LogDir = s.LogDirs[0]
	if s.MetadataDir = v.get("metadata.log.dir"); s.MetadataDir != "" {
		s.MetadataDir = filepath.Clean(s.MetadataDir)
	}
	s.DiskReserveBytes = v.long("barnabas.disk.reserve.bytes")
	s.ScrubBytesPerSecond = float64(v.long("barnabas.scrub.bytes.per.second"))
	s.ScrubInterval = v.milliseconds("barnabas.scrub.interval.ms")
}

// Layers are the places where values come from, with what was set at run time: for all brokers and for this one.
func (s *Server) Layers(dynamicDefault, dynamicBroker map[string]string) Layers {
	return Layers{DynamicBroker: dynamicBroker, DynamicDefault: dynamicDefault, Static: s.static, defaults: s.defaults}
}

// BrokerRows describes every broker configuration, by name. Without dynamic values, pass nil.
func (s *Server) BrokerRows(dynamicDefault, dynamicBroker map[string]string) []Row {
	layers := s.Layers(dynamicDefault, dynamicBroker)
	rows := make([]Row, 0, len(serverTable))
	for _, d := range serverTable {
		row := Row{Name: d.Name, Source: Default, Type: d.Type, ReadOnly: !d.Dynamic, Sensitive: d.Sensitive, Doc: d.Doc, Synonyms: layers.synonyms(synonymsOf(d.Name))}
		if value, source, isSet := layers.lookup(d.Name); isSet {
			row.Value, row.Source = &value, source
		}
		rows = append(rows, s.effective(row))
	}
	slices.SortFunc(rows, func(a, b Row) int { return strings.Compare(a.Name, b.Name) })
	return rows
}

// effective fills in what follows from other configurations.
func (s *Server) effective(row Row) Row {
	if row.Value == nil {
		switch row.Name {
		case "broker.id":
			id := strconv.Itoa(int(s.NodeID))
			row.Value = &id
		case "log.dirs":
			dirs := strings.Join(s.LogDirs, ",")
			row.Value = &dirs
		}
	}
	return row
}
