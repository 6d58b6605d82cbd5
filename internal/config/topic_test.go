package config

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTableAgreesWithItself(t *testing.T) {
	for name, table := range map[string][]*Definition{"topic": topicTable, "server": serverTable, "group": groupTable} {
		seen := map[string]bool{}
		for _, d := range table {
			if seen[d.Name] {
				t.Errorf("%s: %s is there twice", name, d.Name)
			}
			seen[d.Name] = true
			if d.Type < Boolean || d.Type > Password || !strings.HasSuffix(d.Doc, ".") {
				t.Errorf("%s: %s has type %d, doc %q", name, d.Name, d.Type, d.Doc)
			}
			if d.NoValue != (d.NoValue && d.Default == "") {
				t.Errorf("%s: %s has no value and the default %s", name, d.Name, d.Default)
			}
			if !d.NoValue {
				if err := d.Validate(d.Default); err != nil {
					t.Errorf("%s: default of %s: %v", name, d.Name, err)
				}
			}
			for _, s := range d.Synonyms {
				if serverIndex[s.Name] == nil {
					t.Errorf("%s: synonym %s of %s is unknown", name, s.Name, d.Name)
				}
			}
			if name == "server" && d.section == "" {
				t.Errorf("%s is in no section", d.Name)
			}
		}
		if name != "server" && !slices.IsSortedFunc(table, func(a, b *Definition) int { return strings.Compare(a.Name, b.Name) }) {
			t.Errorf("%s table is not sorted", name)
		}
	}
	for name := range serverIndex {
		if reason := refusedNames[name]; reason != "" {
			t.Errorf("%s is known and refused: %s", name, reason)
		}
	}
}

// A topic with nothing set has Kafka's defaults, whichever way they are read.
func TestInheritedDefaultsAreTheTopicsDefaults(t *testing.T) {
	layers := Layers{}
	for _, d := range topicTable {
		if value, source, isSet := layers.inherited(d); value != d.Default || source != Default || isSet == d.NoValue {
			t.Errorf("%s: %q from %d (%v), want %q", d.Name, value, source, isSet, d.Default)
		}
	}
}

func TestTopicValues(t *testing.T) {
	tests := []struct{ name, value, want string }{
		{"retention.ms", "-1", ""},
		{"retention.ms", " 5 ", ""},
		{"retention.ms", "-2", "Invalid value -2 for configuration retention.ms: Value must be at least -1"},
		{"retention.ms", "abc", "Invalid value abc for configuration retention.ms: Not a number of type LONG"},
		{"retention.ms", "9223372036854775808", "Invalid value 9223372036854775808 for configuration retention.ms: Not a number of type LONG"},
		{"retention.ms", "", "Invalid value  for configuration retention.ms: Not a number of type LONG"},
		{"retention.bytes", "-5", ""}, // Kafka has no bound here
		{"segment.bytes", "1048575", "Invalid value 1048575 for configuration segment.bytes: Value must be at least 1048576"},
		{"segment.bytes", "3000000000", "Invalid value 3000000000 for configuration segment.bytes: Not a number of type INT"},
		{"min.cleanable.dirty.ratio", "1.5", "Invalid value 1.5 for configuration min.cleanable.dirty.ratio: Value must be no more than 1"},
		{"min.cleanable.dirty.ratio", "NaN", "Invalid value NaN for configuration min.cleanable.dirty.ratio: Not a number of type DOUBLE"},
		{"min.cleanable.dirty.ratio", "0.25", ""},
		{"preallocate", "TRUE", ""},
		{"preallocate", "1", "Invalid value 1 for configuration preallocate: Expected value to be either true or false"},
		{"cleanup.policy", "compact, delete", ""},
		{"cleanup.policy", "", ""},
		{"cleanup.policy", "compact,drop", "Invalid value compact,drop for configuration cleanup.policy: String must be one of: compact, delete"},
		{"cleanup.policy", "compact,compact", "Invalid value compact,compact for configuration cleanup.policy: values must not be duplicated"},
		{"compression.type", "lz4", ""},
		{"compression.type", "lzma", "Invalid value lzma for configuration compression.type: String must be one of: uncompressed, zstd, lz4, snappy, gzip, producer"},
		{"compression.gzip.level", "0", "Invalid value 0 for configuration compression.gzip.level: Value must be between 1 and 9 or equal to -1"},
		{"compression.gzip.level", "9", ""},
		{"compression.lz4.level", "18", "Invalid value 18 for configuration compression.lz4.level: Value must be no more than 17"},
		{"compression.zstd.level", "-131073", "Invalid value -131073 for configuration compression.zstd.level: Value must be at least -131072"},
		{"leader.replication.throttled.replicas", "*", ""},
		{"leader.replication.throttled.replicas", "0:1,2:3", ""},
		{"leader.replication.throttled.replicas", "0:1,*", "must be the literal '*' or a list"},
		{"leader.replication.throttled.replicas", "0:x", "must be the literal '*' or a list"},
		{"message.timestamp.type", "createtime", "Invalid value createtime for configuration message.timestamp.type: String must be one of: CreateTime, LogAppendTime"},
		{"message.format.version", "2.8", ""}, // from tools older than Kafka 4
		{"log.retention.ms", "5", "Unknown topic config name: log.retention.ms"},
	}
	for _, test := range tests {
		err := Validate(test.name, test.value)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s=%s: %v, want %q", test.name, test.value, err, test.want)
		}
	}
}

func TestTopicValuesTogether(t *testing.T) {
	if err := ValidateTopic(map[string]string{"min.compaction.lag.ms": "10", "max.compaction.lag.ms": "9"}); err == nil ||
		err.Error() != "conflict topic config setting min.compaction.lag.ms (10) > max.compaction.lag.ms (9)" {
		t.Errorf("got %v", err)
	}
	if err := ValidateTopic(map[string]string{"remote.storage.enable": "true"}); err == nil {
		t.Error("tiered storage was promised")
	}
	if err := ValidateTopic(map[string]string{"min.compaction.lag.ms": "10", "retention.ms": "5", "remote.storage.enable": "false"}); err != nil {
		t.Error(err)
	}
	if err := ValidateTopic(map[string]string{"a": "b"}); err == nil || err.Error() != "Unknown topic config name: a" {
		t.Errorf("got %v", err)
	}
}

// describe is one row in one line: value, source, then the synonyms.
func describe(t *testing.T, rows []Row, name string) string {
	t.Helper()
	r := row(t, rows, name)
	text := func(value *string) string {
		if value == nil {
			return "null"
		}
		return *value
	}
	sources := map[Source]string{1: "topic", 2: "broker", 3: "brokers", 4: "static", 5: "default", 8: "group"}
	out := text(r.Value) + " " + sources[r.Source]
	for _, s := range r.Synonyms {
		out += " | " + sources[s.Source] + ":" + s.Name + "=" + text(s.Value)
	}
	return out
}

func TestDescribeTopic(t *testing.T) {
	type set = map[string]string
	tests := []struct {
		what      string
		overrides set
		layers    Layers
		name      string
		want      string
	}{
		{"nothing set", nil, Layers{}, "retention.ms", "604800000 default | default:log.retention.hours=168"},
		{"static hours", nil, Layers{Static: set{"log.retention.hours": "2"}}, "retention.ms", "7200000 static | static:log.retention.hours=2 | default:log.retention.hours=168"},
		{"static minutes win over hours", nil, Layers{Static: set{"log.retention.hours": "2", "log.retention.minutes": "3"}}, "retention.ms",
			"180000 static | static:log.retention.minutes=3 | static:log.retention.hours=2 | default:log.retention.hours=168"},
		{"unlimited hours stay unlimited", nil, Layers{Static: set{"log.retention.hours": "-1"}}, "retention.ms",
			"-1 static | static:log.retention.hours=-1 | default:log.retention.hours=168"},
		{"all of them", set{"retention.ms": "1"}, Layers{Static: set{"log.retention.ms": "4"}, DynamicDefault: set{"log.retention.ms": "3"}, DynamicBroker: set{"log.retention.ms": "2"}},
			"retention.ms", "1 topic | topic:retention.ms=1 | broker:log.retention.ms=2 | brokers:log.retention.ms=3 | static:log.retention.ms=4 | default:log.retention.hours=168"},
		{"the cluster's", nil, Layers{DynamicDefault: set{"message.max.bytes": "9"}}, "max.message.bytes", "9 brokers | brokers:message.max.bytes=9 | default:message.max.bytes=1048588"},
		{"no server synonym", nil, Layers{}, "remote.storage.enable", "false default | default:remote.storage.enable=false"},
		{"no server synonym, set", set{"remote.storage.enable": "true"}, Layers{}, "remote.storage.enable", "true topic | topic:remote.storage.enable=true | default:remote.storage.enable=false"},
		{"no value", nil, Layers{}, "errors.deadletterqueue.group.enable", "null default"},
		{"flush", nil, Layers{Static: set{"log.flush.scheduler.interval.ms": "7"}}, "flush.ms",
			"7 static | static:log.flush.scheduler.interval.ms=7 | default:log.flush.scheduler.interval.ms=9223372036854775807"},
	}
	for _, test := range tests {
		t.Run(test.what, func(t *testing.T) {
			if got := describe(t, Resolve(test.overrides, test.layers), test.name); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
	rows := Resolve(map[string]string{"message.format.version": "2.8"}, Layers{})
	if len(rows) != len(topicTable)-2 {
		t.Errorf("%d rows; only the two that Kafka dropped are left out", len(rows))
	}
}

func TestDescribeBroker(t *testing.T) {
	s, _ := load(t, Input{Set: []string{"log.retention.hours=2", "node.id=3", "log.dirs=/d"}})
	for name, want := range map[string]string{
		"log.retention.ms":                 "5 broker | broker:log.retention.ms=5 | static:log.retention.hours=2 | default:log.retention.hours=168",
		"log.retention.hours":              "2 static | broker:log.retention.ms=5 | static:log.retention.hours=2 | default:log.retention.hours=168",
		"node.id":                          "3 static | static:node.id=3 | default:node.id=1",
		"broker.id":                        "3 default | static:node.id=3 | default:node.id=1",
		"log.dirs":                         "/d static | static:log.dirs=/d",
		"num.partitions":                   "1 default | default:num.partitions=1",
		"offsets.topic.replication.factor": "1 default | default:offsets.topic.replication.factor=1",
		"broker.rack":                      "null default",
	} {
		if got := describe(t, s.BrokerRows(nil, map[string]string{"log.retention.ms": "5"}), name); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", name, got, want)
		}
	}
	rows := s.BrokerRows(nil, nil)
	if r := row(t, rows, "log.retention.ms"); r.ReadOnly {
		t.Error("log.retention.ms is read-only")
	}
	if r := row(t, rows, "log.dirs"); !r.ReadOnly {
		t.Error("log.dirs is not read-only")
	}
	// The ones that tools look for.
	for _, name := range strings.Fields("broker.id node.id advertised.listeners listeners log.dirs log.dir num.partitions default.replication.factor min.insync.replicas " +
		"auto.create.topics.enable delete.topic.enable message.max.bytes socket.request.max.bytes log.retention.ms log.retention.minutes log.retention.hours " +
		"log.retention.bytes log.segment.bytes log.roll.ms log.roll.hours log.cleanup.policy log.message.timestamp.type compression.type offsets.retention.minutes " +
		"offsets.topic.num.partitions offsets.topic.replication.factor transaction.state.log.num.partitions transaction.state.log.replication.factor " +
		"transaction.state.log.min.isr transaction.max.timeout.ms transactional.id.expiration.ms producer.id.expiration.ms group.min.session.timeout.ms " +
		"group.max.session.timeout.ms group.initial.rebalance.delay.ms group.max.size fetch.max.bytes max.incremental.fetch.session.cache.slots replica.lag.time.max.ms " +
		"unclean.leader.election.enable inter.broker.protocol.version sasl.enabled.mechanisms connections.max.reauth.ms quota.window.num quota.window.size.seconds " +
		"num.io.threads num.network.threads") {
		row(t, rows, name)
	}
}

func TestTypedTopicConfig(t *testing.T) {
	c := NewTopicConfig(map[string]string{
		"cleanup.policy": "compact, delete", "retention.ms": "-1", "segment.ms": "1000", "compression.type": "zstd", "message.timestamp.type": "LogAppendTime",
		"max.message.bytes": "7", "min.insync.replicas": "2", "segment.bytes": "broken",
	}, Layers{Static: map[string]string{"compression.zstd.level": "5", "log.segment.bytes": "2097152", "producer.id.expiration.ms": "1000"}})
	if !c.Compact || !c.Delete || c.RetentionTime >= 0 || c.SegmentAge != time.Second || c.CompressionType != "zstd" || c.CompressionLevel != 5 || !c.LogAppendTime ||
		c.MaxMessageBytes != 7 || c.MinInsyncReplicas != 2 || c.SegmentBytes != 2<<20 || c.ProducerIDExpiry != time.Second {
		t.Errorf("%+v", c)
	}
	zero := map[string]string{"segment.index.bytes": "4", "index.interval.bytes": "0", "flush.ms": "0", "max.message.bytes": "0", "message.timestamp.after.max.ms": "0"}
	if err := ValidateTopic(zero); err != nil {
		t.Fatal(err)
	}
	if c = NewTopicConfig(zero, Layers{}); c.SegmentIndexBytes != 24 || c.IndexIntervalBytes != 1 || c.FlushAge != time.Millisecond || c.MaxMessageBytes != 1 ||
		c.TimestampAfter != time.Millisecond {
		t.Errorf("the smallest values became %+v", c)
	}
	c = NewTopicConfig(nil, Layers{})
	if c.Compact || !c.Delete || c.RetentionTime != 7*24*time.Hour || c.RetentionBytes != -1 || c.SegmentBytes != 1<<30 || c.SegmentAge != 7*24*time.Hour ||
		c.TimestampAfter != time.Hour || c.TimestampBefore < 200*365*24*time.Hour || c.MaxMessageBytes != 1048588 || c.ProducerIDExpiry != 24*time.Hour ||
		c.FlushAge < 200*365*24*time.Hour || c.FileDeleteDelay != time.Minute || c.IndexIntervalBytes != 4096 || c.SegmentIndexBytes != 10<<20 {
		t.Errorf("%+v", c)
	}
}

func TestBrokerConfigurationAtRunTime(t *testing.T) {
	tests := []struct {
		name, value string
		code        int16 // 0: accepted, 42, 40
		want        string
	}{
		{"log.retention.ms", "5", 0, ""},
		{"message.max.bytes", "5", 0, ""},
		{"producer.id.expiration.ms", "5", 0, ""},
		{"num.io.threads", "5", 0, ""},
		{"log.retention.hours", "5", 42, "Cannot update these configs dynamically: Set(log.retention.hours)"},
		{"log.dirs", "/x", 42, "Cannot update these configs dynamically: Set(log.dirs)"},
		{"zookeeper.connect", "x", 42, "Cannot update these configs dynamically: Set(zookeeper.connect)"},
		{"log.retention.ms", "x", 42, "Invalid value x for configuration log.retention.ms: Not a number of type LONG"},
		{"log.retention.mss", "5", 40, "Unknown broker config name: log.retention.mss; did you mean log.retention.ms?"},
	}
	for _, test := range tests {
		err := ValidateBroker(map[string]string{test.name: test.value}, []string{test.name})
		code := int16(0)
		if err != nil {
			code = 40
		}
		if request, is := err.(*RequestError); is {
			code = request.KafkaCode()
		}
		if code != test.code || err != nil && err.Error() != test.want {
			t.Errorf("%s=%s: %d %v", test.name, test.value, code, err)
		}
	}
	if err := ValidateBroker(nil, []string{"log.dirs"}); err == nil {
		t.Error("removing what cannot be changed was accepted")
	}
	if _, list := BrokerList("log.cleanup.policy"); !list {
		t.Error("log.cleanup.policy is a list")
	}
}

func TestGroupConfiguration(t *testing.T) {
	if err := ValidateGroup(map[string]string{"consumer.session.timeout.ms": "5"}); err != nil {
		t.Error(err)
	}
	if err := ValidateGroup(map[string]string{"share.isolation.level": "5"}); err == nil {
		t.Error("accepted a bad isolation level")
	}
	if err := ValidateGroup(map[string]string{"x": "5"}); err == nil || err.Error() != "Unknown group config name: x" {
		t.Errorf("got %v", err)
	}
	if got := describe(t, ResolveGroup(map[string]string{"consumer.session.timeout.ms": "5"}, Layers{}), "consumer.session.timeout.ms"); got !=
		"5 group | group:consumer.session.timeout.ms=5 | default:group.consumer.session.timeout.ms=45000" {
		t.Error(got)
	}
}

func TestNearest(t *testing.T) {
	known := sortedNames(serverIndex)
	for name, want := range map[string]string{
		"lisetners": "listeners", "num.partition": "num.partitions", "log.retention.hour": "log.retention.hours", "auto.create.topic.enable": "auto.create.topics.enable",
		"x": "", "completely.different.setting": "",
	} {
		if got := nearest(name, known); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
