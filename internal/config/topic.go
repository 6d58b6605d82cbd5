package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

var topicIndex = index(topicTable)

// Topics are the definitions of all topic-level configurations, by name. They must not be changed.
func Topics() []*Definition { return topicTable }

// Validate checks one topic-level configuration. The error is Kafka's message for INVALID_CONFIG.
func Validate(name, value string) error {
	d := topicIndex[name]
	if d == nil {
		return kafka("Unknown topic config name: %s", name)
	}
	return d.Validate(value)
}

// ValidateTopic checks all that is set on a topic, each value for itself and together.
func ValidateTopic(values map[string]string) error {
	for _, name := range sortedNames(values) {
		if err := Validate(name, values[name]); err != nil {
			return err
		}
	}
	value := func(name string) int64 {
		text, isSet := values[name]
		if !isSet {
			text = topicIndex[name].Default
		}
		return parseLong(text)
	}
	if low, high := value("min.compaction.lag.ms"), value("max.compaction.lag.ms"); low > high {
		return fmt.Errorf("conflict topic config setting min.compaction.lag.ms (%d) > max.compaction.lag.ms (%d)", low, high)
	}
	if on, _ := parseBool(values["remote.storage.enable"]); on {
		return kafka("Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage.")
	}
	return nil
}

// TopicList says whether a topic-level configuration is a list, and what it is where nothing was set.
func TopicList(name string) (fallback string, list bool) {
	d := topicIndex[name]
	if d == nil || d.Type != List {
		return "", false
	}
	return d.Default, true
}

// Source is Kafka's number of the place where a value comes from.
type Source int8

// The sources, in order of precedence.
const (
	DynamicTopic         Source = 1
	DynamicBroker        Source = 2
	DynamicDefaultBroker Source = 3
	StaticBroker         Source = 4
	Default              Source = 5
	DynamicGroup         Source = 8
)

// Row is one line of DescribeConfigs.
type Row struct {
	Name      string
	Value     *string // nil: no value, or sensitive
	Source    Source
	Type      Type
	ReadOnly  bool
	Sensitive bool
	Doc       string
	Synonyms  []RowSynonym
}

// RowSynonym is one place where a row's value may come from; the first is where it does.
type RowSynonym struct {
	Name   string
	Value  *string
	Source Source
}

// Layers are the places below a topic where values come from, by server configuration name.
type Layers struct {
	DynamicBroker  map[string]string // set on this broker at run time
	DynamicDefault map[string]string // set for all brokers at run time
	Static         map[string]string // from the file, the environment and the command line
	defaults       map[string]string // where this server's defaults differ from the table's
}

// lookup is the value of one server configuration and where it was set.
func (l *Layers) lookup(name string) (string, Source, bool) {
	for _, layer := range []struct {
		values map[string]string
		source Source
	}{{l.DynamicBroker, DynamicBroker}, {l.DynamicDefault, DynamicDefaultBroker}, {l.Static, StaticBroker}} {
		if value, isSet := layer.values[name]; isSet {
			return value, layer.source, true
		}
	}
	value, isSet := l.fallback(name)
	return value, Default, isSet
}

// fallback is the default of a server configuration, if it has one.
func (l *Layers) fallback(name string) (string, bool) {
	if value, isSet := l.defaults[name]; isSet {
		return value, true
	}
	if d := serverIndex[name]; d != nil && !d.NoValue {
		return d.Default, true
	}
	return "", false
}

// synonyms lists every place where one of the names is set: first all dynamic ones of this broker, then the cluster's, then static, then defaults.
func (l *Layers) synonyms(names []Synonym) []RowSynonym {
	var rows []RowSynonym
	add := func(values func(string) (string, bool), source Source) {
		for _, s := range names {
			if value, isSet := values(s.Name); isSet {
				rows = append(rows, RowSynonym{Name: s.Name, Value: &value, Source: source})
			}
		}
	}
	in := func(values map[string]string) func(string) (string, bool) {
		return func(name string) (string, bool) { value, isSet := values[name]; return value, isSet }
	}
	add(in(l.DynamicBroker), DynamicBroker)
	add(in(l.DynamicDefault), DynamicDefaultBroker)
	add(in(l.Static), StaticBroker)
	add(l.fallback, Default)
	return rows
}

// inherited is the value that a topic gets from the server, in the topic's unit. A synonym that is set anywhere wins over a default of one that goes before it.
func (l *Layers) inherited(d *Definition) (string, Source, bool) {
	found, foundSource, ok := "", Default, false
	for _, s := range d.Synonyms {
		value, source, isSet := l.lookup(s.Name)
		if !isSet || ok && source == Default {
			continue
		}
		if !ok || foundSource == Default {
			found, foundSource, ok = scale(value, s.Unit), source, true
		}
	}
	if !ok && !d.NoValue {
		return d.Default, Default, true
	}
	return found, foundSource, ok
}

// scale converts hours or minutes to milliseconds; negative values (unlimited) stay.
func scale(value string, unit int64) string {
	n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
	if unit == 1 || err != nil || n < 0 {
		return value
	}
	return strconv.FormatInt(n*unit, 10)
}

// Resolve describes every topic-level configuration of a topic on which overrides were set, by name.
func Resolve(overrides map[string]string, layers Layers) []Row {
	rows := make([]Row, 0, len(topicTable))
	for _, d := range topicTable {
		if d.Hidden {
			continue
		}
		row := Row{Name: d.Name, Source: Default, Type: d.Type, Sensitive: d.Sensitive, Doc: d.Doc, Synonyms: layers.synonyms(d.Synonyms)}
		if value, source, isSet := layers.inherited(d); isSet {
			row.Value, row.Source = &value, source
		}
		if len(row.Synonyms) == 0 && row.Value != nil {
			row.Synonyms = []RowSynonym{{Name: d.Name, Value: row.Value, Source: Default}}
		}
		if value, isSet := overrides[d.Name]; isSet {
			row.Value, row.Source = &value, DynamicTopic
			row.Synonyms = slices.Insert(row.Synonyms, 0, RowSynonym{Name: d.Name, Value: &value, Source: DynamicTopic})
		}
		rows = append(rows, row)
	}
	return rows
}

// TopicConfig is what a topic's configuration amounts to: the values that this server acts on. Negative retention is without bound.
type TopicConfig struct {
	Compact, Delete    bool // cleanup.policy
	RetentionTime      time.Duration
	RetentionBytes     int64
	SegmentBytes       int64
	SegmentAge         time.Duration
	SegmentJitter      time.Duration
	SegmentIndexBytes  int64
	IndexIntervalBytes int64
	FileDeleteDelay    time.Duration
	FlushMessages      int64
	FlushAge           time.Duration
	MaxMessageBytes    int
	CompressionType    string
	CompressionLevel   int // of CompressionType; 0 where the codec has none
	LogAppendTime      bool
	TimestampBefore    time.Duration
	TimestampAfter     time.Duration
	MinInsyncReplicas  int
	MinDirtyRatio      float64
	MinCompactionLag   time.Duration
	MaxCompactionLag   time.Duration
	DeleteRetention    time.Duration
	ProducerIDExpiry   time.Duration // producer.id.expiration.ms, of the broker
}

// smallestIndex is the size of an index that holds two entries of the time index, the least that a segment needs.
const smallestIndex = 24

// NewTopicConfig resolves a topic's configuration. A value that is not valid counts as not set. Where Kafka allows a zero that amounts to "at once" or "as few as
// possible", the result is the smallest value that works, because the packages that act on it take zero for "not set".
func NewTopicConfig(overrides map[string]string, layers Layers) TopicConfig {
	get := func(name string) string {
		d := topicIndex[name]
		if value, isSet := overrides[name]; isSet && d.Validate(value) == nil {
			return strings.TrimSpace(value)
		}
		if value, _, isSet := layers.inherited(d); isSet && d.Validate(value) == nil {
			return strings.TrimSpace(value)
		}
		return d.Default
	}
	long := func(name string) int64 { return parseLong(get(name)) }
	age := func(name string) time.Duration { return milliseconds(long(name)) }
	policy := splitList(get("cleanup.policy"))
	c := TopicConfig{
		Compact:            slices.Contains(policy, "compact"),
		Delete:             slices.Contains(policy, "delete"),
		RetentionTime:      age("retention.ms"),
		RetentionBytes:     long("retention.bytes"),
		SegmentBytes:       long("segment.bytes"),
		SegmentAge:         age("segment.ms"),
		SegmentJitter:      age("segment.jitter.ms"),
		SegmentIndexBytes:  max(long("segment.index.bytes"), smallestIndex),
		IndexIntervalBytes: max(long("index.interval.bytes"), 1),
		FileDeleteDelay:    age("file.delete.delay.ms"),
		FlushMessages:      long("flush.messages"),
		FlushAge:           max(age("flush.ms"), time.Millisecond),
		MaxMessageBytes:    max(int(long("max.message.bytes")), 1),
		CompressionType:    get("compression.type"),
		LogAppendTime:      get("message.timestamp.type") == "LogAppendTime",
		TimestampBefore:    max(age("message.timestamp.before.max.ms"), time.Millisecond),
		TimestampAfter:     max(age("message.timestamp.after.max.ms"), time.Millisecond),
		MinInsyncReplicas:  int(long("min.insync.replicas")),
		MinDirtyRatio:      parseDouble(get("min.cleanable.dirty.ratio")),
		MinCompactionLag:   age("min.compaction.lag.ms"),
		MaxCompactionLag:   age("max.compaction.lag.ms"),
		DeleteRetention:    age("delete.retention.ms"),
	}
	if level := topicIndex["compression."+c.CompressionType+".level"]; level != nil {
		c.CompressionLevel = int(long(level.Name))
	}
	expiry, _, _ := layers.lookup("producer.id.expiration.ms")
	c.ProducerIDExpiry = milliseconds(parseLong(expiry))
	return c
}

func parseDouble(value string) float64 {
	x, _ := strconv.ParseFloat(strings.TrimSpace(value), 64)
	return x
}

func parseLong(value string) int64 {
	n, _ := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
	return n
}

// milliseconds is a duration that does not overflow: what is longer than 292 years is 292 years.
func milliseconds(ms int64) time.Duration {
	const most = int64(1<<63-1) / int64(time.Millisecond)
	if ms > most {
		return time.Duration(1<<63 - 1)
	}
	return time.Duration(max(ms, -most)) * time.Millisecond
}
