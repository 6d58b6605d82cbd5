package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestNoConfigurationIsOneNodeAlone(t *testing.T) {
	s, warnings := load(t, Input{})
	if len(warnings) > 0 {
		t.Error(warnings)
	}
	plain := []Listener{{Name: "PLAINTEXT", Host: "127.0.0.1", Port: 9092, Protocol: "PLAINTEXT"}}
	if !reflect.DeepEqual(s.Listeners, plain) || !reflect.DeepEqual(s.AdvertisedListeners, plain) || s.ControllerListeners != nil {
		t.Errorf("listeners %v, advertised %v, controllers %v", s.Listeners, s.AdvertisedListeners, s.ControllerListeners)
	}
	if s.NodeID != 1 || s.LogDir != "data" || !s.Broker || !s.Controller || !s.Alone() || !s.AutoCreateTopics || s.InterBrokerListener != "PLAINTEXT" {
		t.Errorf("%+v", s)
	}
	if s.OffsetsTopicReplicationFactor != 1 || s.TransactionReplicationFactor != 1 || s.TransactionMinISR != 1 {
		t.Errorf("replication of internal topics when alone: %+v", s)
	}
	if s.Fsync != FsyncAcknowledge || s.RetentionCheckInterval != 5*time.Minute || s.OffsetsRetention != 7*24*time.Hour {
		t.Errorf("%+v", s)
	}
}

// The compose file that tutorials show for one Kafka node must run as it is.
var tutorial = []string{
	"PATH=/bin",
	"KAFKA_NODE_ID=1",
	"KAFKA_PROCESS_ROLES=broker,controller",
	"KAFKA_LISTENERS=PLAINTEXT://0.0.0.0:9092,CONTROLLER://0.0.0.0:9093",
	"KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://localhost:9092",
	"KAFKA_CONTROLLER_QUORUM_VOTERS=1@localhost:9093",
	"KAFKA_CONTROLLER_LISTENER_NAMES=CONTROLLER",
	"KAFKA_LISTENER_SECURITY_PROTOCOL_MAP=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
	"CLUSTER_ID=MkU3OEVBNTcwNTJENDM2Qk",
	"KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR=1",
}

func TestTutorialComposeFile(t *testing.T) {
	s, warnings := load(t, Input{Environment: tutorial})
	if len(warnings) > 0 {
		t.Error(warnings)
	}
	if got := fmt.Sprint(s.Listeners, s.AdvertisedListeners, s.ControllerListeners, s.Voters, s.InterBrokerListener); got !=
		"[PLAINTEXT://0.0.0.0:9092] [PLAINTEXT://localhost:9092] [CONTROLLER://0.0.0.0:9093] [{1 localhost 9093}]PLAINTEXT" {
		t.Error(got)
	}
	if s.ClusterID != "MkU3OEVBNTcwNTJENDM2Qk" || s.NodeID != 1 || !s.Broker || !s.Controller || s.OffsetsTopicReplicationFactor != 1 {
		t.Errorf("%+v", s)
	}
}

func TestThreeNodes(t *testing.T) {
	s, _ := load(t, Input{Environment: []string{
		"KAFKA_NODE_ID=2",
		"KAFKA_LISTENERS=INTERNAL://:19092,EXTERNAL://:9092,CONTROLLER://:9093",
		"KAFKA_ADVERTISED_LISTENERS=EXTERNAL://localhost:29092,INTERNAL://node2:19092",
		"KAFKA_INTER_BROKER_LISTENER_NAME=INTERNAL",
		"KAFKA_CONTROLLER_LISTENER_NAMES=CONTROLLER",
		"KAFKA_LISTENER_SECURITY_PROTOCOL_MAP=INTERNAL:PLAINTEXT,EXTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"KAFKA_CONTROLLER_QUORUM_VOTERS=1@node1:9093,2@node2:9093,3@node3:9093",
		"KAFKA_BROKER_RACK=b",
	}})
	if got := fmt.Sprint(s.AdvertisedListeners, s.InterBrokerListener, s.Voters, s.Rack); got !=
		"[INTERNAL://node2:19092 EXTERNAL://localhost:29092]INTERNAL[{1 node1 9093} {2 node2 9093} {3 node3 9093}]b" {
		t.Error(got)
	}
	if s.Alone() || s.OffsetsTopicReplicationFactor != 3 {
		t.Errorf("alone %v, offsets replication %d", s.Alone(), s.OffsetsTopicReplicationFactor)
	}
}

func TestWhereNodesFindEachOther(t *testing.T) {
	const voters = "controller.quorum.voters=1@a:9093,2@b:9093"
	controllers := []string{"controller.listener.names=CONTROLLER", voters}
	tests := []struct {
		name, node, advertised string
		set                    []string
	}{
		{"a voter is where the voters say", "CONTROLLER://:9093", "CONTROLLER://b:9093",
			[]string{"node.id=2", "listeners=PLAINTEXT://b:9092,CONTROLLER://:9093"}},
		{"a broker takes any port beside its clients'", "barnabas.node://0.0.0.0:0", "barnabas.node://c:0",
			[]string{"node.id=3", "process.roles=broker", "listeners=PLAINTEXT://0.0.0.0:9092", "advertised.listeners=PLAINTEXT://c:9092"}},
		{"a broker with a listener for nodes", "CONTROLLER://0.0.0.0:9093", "CONTROLLER://c:9093",
			[]string{"node.id=3", "process.roles=broker", "listeners=OUT://:9092,PLAINTEXT://0.0.0.0:9094,CONTROLLER://0.0.0.0:9093",
				"advertised.listeners=OUT://localhost:9092,PLAINTEXT://c:9094", "listener.security.protocol.map=OUT:PLAINTEXT,PLAINTEXT:PLAINTEXT",
				"inter.broker.listener.name=PLAINTEXT"}},
		{"a broker that advertises it", "CONTROLLER://10.0.0.1:9093", "CONTROLLER://outside:19093",
			[]string{"node.id=3", "process.roles=broker", "listeners=PLAINTEXT://c:9092,CONTROLLER://10.0.0.1:9093", "advertised.listeners=CONTROLLER://outside:19093"}},
	}
	for _, test := range tests {
		s, _ := load(t, Input{Set: append(test.set, controllers...)})
		if got := fmt.Sprint(s.NodeListener, s.AdvertisedNode); got != test.node+" "+test.advertised {
			t.Errorf("%s: %s", test.name, got)
		}
	}
}

func TestDefaultsOfAnImageGiveWay(t *testing.T) {
	image := []string{"BARNABAS_DEFAULT_LISTENERS=PLAINTEXT://:9092", "BARNABAS_DEFAULT_ADVERTISED_LISTENERS=PLAINTEXT://localhost:9092", "BARNABAS_DEFAULT_LOG_DIR=/data"}
	tests := []struct {
		name, want string
		in         Input
	}{
		{"nothing else is set", "[PLAINTEXT://:9092] [PLAINTEXT://localhost:9092]/data", Input{}},
		{"advertised.listeners is set", "[PLAINTEXT://:9092] [PLAINTEXT://a:9092]/data", Input{Set: []string{"advertised.listeners=PLAINTEXT://a:9092"}}},
		{"listeners is set", "[A://b:1] [A://b:1]/data",
			Input{Environment: []string{"KAFKA_LISTENERS=A://b:1", "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP=A:PLAINTEXT"}}},
		{"log.dirs is set", "[PLAINTEXT://:9092] [PLAINTEXT://localhost:9092]/elsewhere", Input{Environment: []string{"KAFKA_LOG_DIRS=/elsewhere"}}},
	}
	for _, test := range tests {
		test.in.Environment = append(test.in.Environment, image...)
		s, _ := load(t, test.in)
		if got := fmt.Sprint(s.Listeners, s.AdvertisedListeners, s.LogDir); got != test.want {
			t.Errorf("%s: %s", test.name, got)
		}
	}
	_, _, err := Load(Input{Environment: []string{"BARNABAS_DEFAULT_LISTENER=x"}})
	if err == nil || !strings.Contains(err.Error(), "BARNABAS_DEFAULT_LISTENER (default of the image): unknown") {
		t.Error(err)
	}
}

func TestEnvironmentNames(t *testing.T) {
	for variable, name := range map[string]string{
		"KAFKA_ADVERTISED_LISTENERS":     "advertised.listeners",
		"KAFKA_CFG_ADVERTISED_LISTENERS": "advertised.listeners",
		"KAFKA_A__B":                     "a_b",
		"KAFKA_A___B":                    "a-b",
		"KAFKA_A_B__C___D":               "a.b_c-d",
	} {
		if got := environmentName(variable); got != name {
			t.Errorf("%s: %s, want %s", variable, got, name)
		}
	}
}

func TestVariablesThatMeanNothingHere(t *testing.T) {
	environment := []string{
		"KAFKA_HEAP_OPTS=-Xmx1G", "KAFKA_JMX_PORT=9101", "KAFKA_JMX_OPTS=x", "KAFKA_OPTS=x", "KAFKA_LOG4J_ROOT_LOGLEVEL=WARN", "KAFKA_LOG4J_LOGGERS=x",
		"KAFKA_ZOOKEEPER_CONNECT=zk:2181", "KAFKA_SSL_KEYSTORE_FILENAME=x", "KAFKA_METRIC_REPORTERS=x", "KAFKA_CONFLUENT_SUPPORT_METRICS_ENABLE=false",
		"KAFKA_SERVICE_HOST=10.0.0.1", "KAFKA_PORT=tcp://10.0.0.1:9092", "KAFKA_PORT_9092_TCP_ADDR=10.0.0.1", "KAFKA_UI_SERVICE_PORT_HTTP=80",
		"KAFKA_CREATE_TOPICS=a:1:1", "KAFKA_BOOTSTRAP_SERVERS=x", "KAFKA_SOCKET_SEND_BUFFER_BYTES=1", "KAFKA_REPLICA_FETCH_MAX_BYTES=1",
	}
	_, warnings := load(t, Input{Environment: environment})
	if len(warnings) != len(environment) {
		t.Errorf("%d warnings for %d variables: %v", len(warnings), len(environment), warnings)
	}
	for _, w := range warnings {
		if w.Reason == "" || !strings.HasPrefix(w.Name, "KAFKA_") || w.Origin != "environment" {
			t.Errorf("%+v", w)
		}
	}
}

func TestLaterSourcesWin(t *testing.T) {
	file := filepath.Join(t.TempDir(), "server.properties")
	text := "# a node\nnode.id = 4\nnum.partitions=2\n\nlog.retention.hours: 24\nlog.dirs=/var/lib/a\\\n  b\nnum.network.threads=3\nzookeeper.connect=x:1\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, warnings := load(t, Input{File: file, Environment: []string{"KAFKA_NUM_PARTITIONS=3", "KAFKA_NODE_ID=5"}, Set: []string{"node.id=6"}})
	if s.NodeID != 6 || s.NumPartitions != 3 || s.LogDir != "/var/lib/ab" {
		t.Errorf("%+v", s)
	}
	if len(warnings) != 1 || warnings[0].Name != "zookeeper.connect" || warnings[0].Origin != file+":9" {
		t.Errorf("%v", warnings)
	}
	if c := NewTopicConfig(nil, s.Layers(nil, nil)); c.RetentionTime != 24*time.Hour {
		t.Errorf("retention %v", c.RetentionTime)
	}
}

func TestProblemsAreAllReported(t *testing.T) {
	tests := []struct {
		name string
		set  []string
		want []string
	}{
		{"unknown", []string{"num.partition=3", "advertised.listener=x", "log.retention.hour=1", "frobnicate.everything.now=1", "retention.ms=5"}, []string{
			"num.partition (--set): unknown configuration; did you mean num.partitions?",
			"advertised.listener (--set): unknown configuration; did you mean advertised.listeners?",
			"log.retention.hour (--set): unknown configuration; did you mean log.retention.hours?",
			"frobnicate.everything.now (--set): unknown configuration",
			"retention.ms (--set): unknown configuration; did you mean log.retention.ms?",
		}},
		{"values", []string{"num.partitions=0", "node.id=x", "auto.create.topics.enable=yes", "log.cleanup.policy=drop", "barnabas.fsync=never", "nonsense"}, []string{
			"num.partitions (--set): Invalid value 0 for configuration num.partitions: Value must be at least 1",
			"node.id (--set): Invalid value x for configuration node.id: Not a number of type INT",
			"auto.create.topics.enable (--set): Invalid value yes for configuration auto.create.topics.enable: Expected value to be either true or false",
			"log.cleanup.policy (--set): Invalid value drop for configuration log.cleanup.policy: String must be one of: compact, delete",
			"barnabas.fsync (--set): Invalid value never for configuration barnabas.fsync: String must be one of: acknowledge, flush",
			`--set "nonsense": not name=value`,
		}},
		{"listeners", []string{"listeners=PLAINTEXT://0.0.0.0:9092,FOO://:1,plaintext://h:2,SSL://h:9093,9094,PLAINTEXT2://x:99999"}, []string{
			"PLAINTEXT://0.0.0.0:9092: clients cannot connect to every interface",
			"FOO://:1 has no security protocol; add FOO:PLAINTEXT to listener.security.protocol.map",
			"PLAINTEXT is there twice",
			"SSL://h:9093 is SSL, which this version does not serve yet",
			`"9094" is not NAME://host:port`,
			`"99999" is no port number`,
		}},
		{"same port", []string{"listeners=PLAINTEXT://localhost:9092,B://:9092", "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,B:PLAINTEXT,C,D:TLS"}, []string{
			"PLAINTEXT://localhost:9092 and B://:9092 are on the same port", `"C" is not NAME:PROTOCOL`, `"D:TLS": the protocol is none of`,
		}},
		{"advertised", []string{"listeners=PLAINTEXT://:9092", "advertised.listeners=PLAINTEXT://0.0.0.0:9092,OTHER://h:1"}, []string{
			"PLAINTEXT://0.0.0.0:9092: clients cannot connect to every interface", "OTHER://h:1 has no listener of that name in listeners",
		}},
		{"only a controller's listener", []string{"listeners=CONTROLLER://:9093", "controller.listener.names=CONTROLLER", "inter.broker.listener.name=X"}, []string{
			"every listener is a controller's", "inter.broker.listener.name (--set): names X",
		}},
		{"no listener", []string{"listeners=,"}, []string{"listeners (--set): is empty"}},
		{"quorum", []string{"node.id=4", "controller.quorum.voters=1@a:1,2@b,x@c:1,1@d:1", "controller.listener.names=C"}, []string{
			`"2@b": "b" is not host:port`, `"x" is no node id`, "node 1 is there twice", "node 4 is a controller but not among the voters", "names C, which is not in listeners",
		}},
		{"roles", []string{"process.roles=broker"}, []string{"a node without the controller role needs"}},
		{"role and vote", []string{"process.roles=broker", "node.id=1", "controller.quorum.voters=1@a:1"}, []string{"node 1 is among controller.quorum.voters but has no controller role"}},
		{"broker without voters", []string{"process.roles=broker", "controller.quorum.bootstrap.servers=a:1"}, []string{"needs controller.quorum.voters"}},
		{"bootstrap", []string{"controller.quorum.bootstrap.servers=a:1,b:1"}, []string{"names several nodes without their ids"}},
		{"no way to each other", []string{"controller.quorum.voters=1@a:1,2@b:1"}, []string{"is needed when there are other voters"}},
		{"ids", []string{"node.id=1", "broker.id=2"}, []string{"is 2, but node.id is 1"}},
		{"directories", []string{"log.dirs=a,./a"}, []string{"names a twice"}},
		{"budget", []string{"queued.max.request.bytes=10"}, []string{"less than one request may have"}},
		{"sessions", []string{"group.min.session.timeout.ms=9", "group.max.session.timeout.ms=8"}, []string{"larger than group.max.session.timeout.ms"}},
		{"protocol between brokers", []string{"security.inter.broker.protocol=SSL"}, []string{"is SSL, which this version does not serve yet"}},
		{"authorizer", []string{"authorizer.class.name=x"}, []string{"access control is not served"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, _, err := Load(Input{Set: test.set})
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in:\n%v", want, err)
				}
			}
			if lines := strings.Count(err.Error(), "\n") + 1; lines != len(test.want) {
				t.Errorf("%d problems, want %d:\n%v", lines, len(test.want), err)
			}
		})
	}
}

func TestProblemsInTheEnvironmentNameTheVariable(t *testing.T) {
	_, _, err := Load(Input{Environment: []string{"KAFKA_NUM_PARTITION=3", "KAFKA_NODE_ID=x", "KAFKA_AUTHORIZER_CLASS_NAME=y", "NUM_PARTITIONS=x", "nonsense"}})
	want := "KAFKA_AUTHORIZER_CLASS_NAME (environment): access control is not served by this version; remove it to run without\n" +
		"KAFKA_NODE_ID (environment): Invalid value x for configuration node.id: Not a number of type INT\n" +
		"KAFKA_NUM_PARTITION (environment): unknown configuration num.partition; did you mean num.partitions?"
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestBrokerIDAloneIsTheNodeID(t *testing.T) {
	s, _ := load(t, Input{Set: []string{"broker.id=7"}})
	if s.NodeID != 7 {
		t.Errorf("node id %d", s.NodeID)
	}
	if got := row(t, s.BrokerRows(nil, nil), "node.id"); *got.Value != "7" {
		t.Errorf("node.id is described as %s", *got.Value)
	}
}

func TestEmptyValueOfAVariableIsNoValue(t *testing.T) {
	s, _ := load(t, Input{Environment: []string{"KAFKA_BROKER_RACK=", "CLUSTER_ID=", "KAFKA_ADVERTISED_LISTENERS="}})
	if s.Rack != "" || s.ClusterID != "" || len(s.AdvertisedListeners) != 1 {
		t.Errorf("%+v", s)
	}
}

func TestMissingFile(t *testing.T) {
	if _, _, err := Load(Input{File: filepath.Join(t.TempDir(), "none")}); !os.IsNotExist(unwrap(err)) {
		t.Errorf("got %v", err)
	}
}

func unwrap(err error) error {
	for {
		inner, ok := err.(interface{ Unwrap() error })
		if !ok || inner.Unwrap() == nil || os.IsNotExist(err) {
			return err
		}
		err = inner.Unwrap()
	}
}

func row(t *testing.T, rows []Row, name string) Row {
	t.Helper()
	for _, r := range rows {
		if r.Name == name {
			return r
		}
	}
	t.Fatalf("no row %s", name)
	return Row{}
}
