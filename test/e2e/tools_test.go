package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// The classes behind the scripts of Kafka's bin directory.
const (
	kafkaTopics          = "org.apache.kafka.tools.TopicCommand"
	kafkaConsoleProducer = "org.apache.kafka.tools.ConsoleProducer"
	kafkaConsoleConsumer = "org.apache.kafka.tools.consumer.ConsoleConsumer"
	kafkaConsumerGroups  = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
	kafkaConfigs         = "kafka.admin.ConfigCommand"
	kafkaGetOffsets      = "org.apache.kafka.tools.GetOffsetShell"
	kafkaDumpLog         = "org.apache.kafka.tools.DumpLogSegments"
)

// toolbox is one JVM that runs tools, one after another.
type toolbox struct {
	mu      sync.Mutex
	command *exec.Cmd
	input   io.WriteCloser
	output  *bufio.Reader
}

var tools toolbox

type toolResult struct {
	Exit   int    `json:"exit"`
	Stdout string `json:"stdout"`
	Stderr string `json:"stderr"`
}

// run runs a tool in the JVM that all tests share.
func (b *toolbox) run(t testing.TB, tool, stdin string, arguments ...string) toolResult {
	t.Helper()
	requireJava(t)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.command == nil {
		b.start(t)
	}
	request := mustJSON(map[string]any{"tool": tool, "args": arguments, "stdin": stdin})
	if _, err := b.input.Write(append(request, '\n')); err != nil {
		t.Fatalf("ask for %s: %v", tool, err)
	}
	line, err := b.output.ReadBytes('\n')
	if err != nil {
		t.Fatalf("answer of %s: %v", tool, err)
	}
	var result toolResult
	if err := json.Unmarshal(line, &result); err != nil {
		t.Fatalf("answer of %s: %v: %q", tool, err, line)
	}
	return result
}

func (b *toolbox) start(t testing.TB) {
	t.Helper()
	b.command = exec.Command("java", javaArguments("Tools")...)
	b.command.Stderr = os.Stderr
	dieWithParent(b.command)
	var err error
	if b.input, err = b.command.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	output, err := b.command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	b.output = bufio.NewReaderSize(output, 1<<20)
	if err := b.command.Start(); err != nil {
		t.Fatal(err)
	}
}

// stop ends the JVM.
func (b *toolbox) stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.command != nil {
		_ = b.input.Close()
		_ = b.command.Process.Kill()
		_ = b.command.Wait()
	}
}

// runTool runs a tool, which has to succeed without a complaint, and returns what it printed.
func runTool(t testing.TB, tool, stdin string, arguments ...string) string {
	t.Helper()
	result := tools.run(t, tool, stdin, arguments...)
	if result.Exit != 0 || complains(result.Stderr) {
		t.Fatalf("%s %s: exit %d\n%s\n%s", tool, strings.Join(arguments, " "), result.Exit, result.Stderr, result.Stdout[:min(len(result.Stdout), 2000)])
	}
	return result.Stdout
}

// complains says whether there is a line that is no deprecation note of the tool itself and no progress report.
func complains(stderr string) bool {
	for line := range strings.Lines(stderr) {
		switch {
		case strings.TrimSpace(line) == "", strings.Contains(line, "Processed a total of"), strings.Contains(line, "deprecated"),
			strings.Contains(line, "(KIP-848) is production-ready"):
		default:
			return true
		}
	}
	return false
}

func expectOutput(t testing.TB, output string, patterns ...string) {
	t.Helper()
	for _, pattern := range patterns {
		if !regexp.MustCompile("(?m)" + pattern).MatchString(output) {
			t.Errorf("no line matches %q in:\n%s", pattern, output)
		}
	}
}

func TestKafkaTopicsTool(t *testing.T) {
	broker := sharedBroker(t)
	topic := topicName(t)
	topics := func(arguments ...string) string {
		t.Helper()
		return runTool(t, kafkaTopics, "", append([]string{"--bootstrap-server", broker.address}, arguments...)...)
	}
	expectOutput(t, topics("--create", "--topic", topic, "--partitions", "3", "--replication-factor", "1",
		"--config", "retention.ms=3600000", "--config", "cleanup.policy=compact,delete"), "Created topic "+topic)
	expectOutput(t, topics("--create", "--if-not-exists", "--topic", topic), "")
	expectOutput(t, topics("--list"), "^"+topic+"$")
	expectOutput(t, topics("--describe", "--topic", topic),
		`^Topic: `+topic+`\s+TopicId: \S{22}\s+PartitionCount: 3\s+ReplicationFactor: 1\s+Configs: .*retention.ms=3600000`,
		`Partition: 2\s+Leader: (\d+)\s+Replicas: (\d+)\s+Isr: (\d+)`)
	topics("--alter", "--topic", topic, "--partitions", "5")
	expectOutput(t, topics("--describe", "--topic", topic), "PartitionCount: 5", "Partition: 4")
	if unavailable := topics("--describe", "--unavailable-partitions"); strings.TrimSpace(unavailable) != "" {
		t.Errorf("partitions without a leader:\n%s", unavailable)
	}
	topics("--delete", "--topic", topic)
	if list := topics("--list"); strings.Contains(list, topic) {
		t.Errorf("%s is still listed:\n%s", topic, list)
	}

	twice := tools.run(t, kafkaTopics, "", "--bootstrap-server", broker.address, "--alter", "--topic", topic, "--partitions", "9")
	if twice.Exit == 0 || !strings.Contains(twice.Stdout+twice.Stderr, "does not exist") {
		t.Errorf("alter of a deleted topic: exit %d\n%s%s", twice.Exit, twice.Stdout, twice.Stderr)
	}
}

func TestKafkaTopicsToolExplainsRefusals(t *testing.T) {
	broker := sharedBroker(t)
	topic := topicName(t)
	createTopic(t, broker.address, topic, 2)
	for _, refused := range []struct {
		words     string
		arguments []string
	}{
		{"already exists", []string{"--create", "--topic", topic}},
		{"InvalidTopicException|illegal|invalid", []string{"--create", "--topic", "a/b"}},
		{"(?i)replication", []string{"--create", "--topic", topic + ".many", "--replication-factor", "7"}},
		{"(?i)unknown topic config name|config", []string{"--create", "--topic", topic + ".config", "--config", "retention.msec=1"}},
		{"(?i)partition", []string{"--alter", "--topic", topic, "--partitions", "1"}},
	} {
		result := tools.run(t, kafkaTopics, "", append([]string{"--bootstrap-server", broker.address}, refused.arguments...)...)
		if result.Exit == 0 || !regexp.MustCompile(refused.words).MatchString(result.Stdout+result.Stderr) {
			t.Errorf("%v: exit %d, expected words like %q:\n%s%s", refused.arguments, result.Exit, refused.words, result.Stdout, result.Stderr)
		}
	}
}

func TestKafkaConsoleTools(t *testing.T) {
	broker := sharedBroker(t)
	topic := topicName(t)
	createTopic(t, broker.address, topic, 1)
	runTool(t, kafkaConsoleProducer, "h1:a,h2:b|k1|first\nNULL|k2|second\nNULL|k3|NULL\n",
		"--bootstrap-server", broker.address, "--topic", topic,
		"--reader-property", "parse.key=true", "--reader-property", "parse.headers=true", "--reader-property", "key.separator=|",
		"--reader-property", "headers.delimiter=|", "--reader-property", "null.marker=NULL", "--compression-codec", "zstd")
	runTool(t, kafkaConsoleProducer, "plain\n", "--bootstrap-server", broker.address, "--topic", topic, "--sync")
	format := []string{
		"--formatter-property", "print.key=true", "--formatter-property", "print.offset=true",
		"--formatter-property", "print.partition=true", "--formatter-property", "print.headers=true",
	}
	read := func(arguments ...string) string {
		t.Helper()
		arguments = append([]string{"--bootstrap-server", broker.address, "--topic", topic, "--timeout-ms", "20000"}, arguments...)
		return runTool(t, kafkaConsoleConsumer, "", append(arguments, format...)...)
	}
	expectOutput(t, read("--from-beginning", "--max-messages", "4"),
		`^Partition:0\s+Offset:0\s+h1:a,h2:b\s+k1\s+first$`, `Offset:1\s+NO_HEADERS\s+k2\s+second$`,
		`Offset:2\s+NO_HEADERS\s+k3\s+null$`, `Offset:3\s+NO_HEADERS\s+null\s+plain$`)
	if output := read("--partition", "0", "--offset", "2", "--max-messages", "2"); strings.Contains(output, "first") || !strings.Contains(output, "plain") {
		t.Errorf("from offset 2 came:\n%s", output)
	}
	expectOutput(t, read("--group", topic, "--from-beginning", "--max-messages", "2"), "first", "second")
	expectOutput(t, read("--group", topic, "--max-messages", "2"), "k3", "plain")
}

func TestKafkaConsumerGroupsTool(t *testing.T) {
	broker := sharedBroker(t)
	topic := topicName(t)
	createTopic(t, broker.address, topic, 2)
	var records []record
	for i := range 40 {
		records = append(records, text("k", fmt.Sprint(i)).at(int32(i%2), 1_700_000_000_000+int64(i)*1000))
	}
	produceReference(t, broker.address, topic, referenceCodecs()["none"], records)
	read := func(count string) {
		t.Helper()
		runTool(t, kafkaConsoleConsumer, "", "--bootstrap-server", broker.address, "--topic", topic, "--group", topic,
			"--from-beginning", "--max-messages", count, "--timeout-ms", "20000")
	}
	groups := func(arguments ...string) string {
		t.Helper()
		return runTool(t, kafkaConsumerGroups, "", append([]string{"--bootstrap-server", broker.address}, arguments...)...)
	}
	read("40")
	expectOutput(t, groups("--list"), "^"+topic+"$")
	expectOutput(t, groups("--list", "--state"), topic+`\s+.*(Empty|Stable)`)
	describe := func() string {
		t.Helper()
		// That no member is active is said on standard error.
		result := tools.run(t, kafkaConsumerGroups, "", "--bootstrap-server", broker.address, "--describe", "--group", topic)
		if result.Exit != 0 {
			t.Fatalf("describe: exit %d\n%s%s", result.Exit, result.Stdout, result.Stderr)
		}
		return result.Stdout
	}
	line := func(partition, committed, end, lag int) string {
		return fmt.Sprintf(`^%s\s+%s\s+%d\s+%d\s+(-\s+)?%d\s+%d\s`, topic, topic, partition, committed, end, lag)
	}
	expectOutput(t, describe(), line(0, 20, 20, 0), line(1, 20, 20, 0))

	reset := func(arguments ...string) string {
		t.Helper()
		return groups(append([]string{"--group", topic, "--topic", topic, "--reset-offsets", "--execute"}, arguments...)...)
	}
	reset("--to-earliest")
	expectOutput(t, describe(), line(0, 0, 20, 20), line(1, 0, 20, 20))
	reset("--to-datetime", "2023-11-14T22:13:30.500")
	expectOutput(t, describe(), line(0, 6, 20, 14), line(1, 5, 20, 15))
	reset("--shift-by", "3")
	expectOutput(t, describe(), line(0, 9, 20, 11), line(1, 8, 20, 12))
	reset("--to-offset", "15")
	expectOutput(t, describe(), line(0, 15, 20, 5), line(1, 15, 20, 5))
	reset("--to-latest")
	expectOutput(t, describe(), line(0, 20, 20, 0))
	groups("--group", topic, "--topic", topic+":1", "--reset-offsets", "--to-offset", "19", "--execute")
	read("1")
	groups("--delete-offsets", "--group", topic, "--topic", topic+":0")
	if output := describe(); regexp.MustCompile(`(?m)^` + topic + `\s+` + topic + `\s+0\s+\d`).MatchString(output) {
		t.Errorf("partition 0 still has a committed offset:\n%s", output)
	}
	expectOutput(t, groups("--delete", "--group", topic), "(?i)success")
	if list := groups("--list"); strings.Contains(list, topic) {
		t.Errorf("%s is still listed:\n%s", topic, list)
	}
}

func TestKafkaConsumerGroupsToolSeesMembers(t *testing.T) {
	requireJava(t)
	broker := sharedBroker(t)
	topic := topicName(t)
	createTopic(t, broker.address, topic, 4)
	franz := clients[0]
	member := franz.start(t, broker.address, "group", topic, "group="+topic)
	member.awaitHeld(t, "all partitions", func(held int) bool { return held == 4 })
	describe := func(what string) string {
		t.Helper()
		return runTool(t, kafkaConsumerGroups, "", "--bootstrap-server", broker.address, "--describe", "--group", topic, what)
	}
	expectOutput(t, describe("--members"), topic+`\s+e2e-franz-go-\S+\s+/127.0.0.1\s+e2e-franz-go\s+4`)
	expectOutput(t, describe("--state"), topic+`\s+\S+:\d+ +\(\d+\)\s+range\s+Stable\s+1`)
	refused := tools.run(t, kafkaConsumerGroups, "", "--bootstrap-server", broker.address, "--delete", "--group", topic)
	if !strings.Contains(refused.Stdout+refused.Stderr, "GroupNotEmptyException") {
		t.Errorf("delete of a group with a member:\n%s%s", refused.Stdout, refused.Stderr)
	}
	member.leave(t)
}

func TestKafkaConfigsTool(t *testing.T) {
	broker := sharedBroker(t)
	topic := topicName(t)
	createTopic(t, broker.address, topic, 1)
	configs := func(arguments ...string) string {
		t.Helper()
		return runTool(t, kafkaConfigs, "", append([]string{"--bootstrap-server", broker.address}, arguments...)...)
	}
	ofTopic := []string{"--entity-type", "topics", "--entity-name", topic}
	expectOutput(t, configs(append(ofTopic, "--alter", "--add-config", "retention.ms=12345,compression.type=zstd,cleanup.policy=[compact,delete]")...), "Completed")
	expectOutput(t, configs(append(ofTopic, "--describe")...), `retention.ms=12345 sensitive=false synonyms=\{DYNAMIC_TOPIC_CONFIG:retention.ms=12345`,
		"compression.type=zstd", "cleanup.policy=compact,delete")
	expectOutput(t, configs(append(ofTopic, "--describe", "--all")...), "retention.ms=12345",
		`segment.bytes=1073741824 sensitive=false synonyms=\{DEFAULT_CONFIG:log.segment.bytes=1073741824\}`, "min.insync.replicas=1")
	configs(append(ofTopic, "--alter", "--delete-config", "retention.ms")...)
	if output := configs(append(ofTopic, "--describe")...); strings.Contains(output, "retention.ms") {
		t.Errorf("retention.ms is still set:\n%s", output)
	}
	node := brokerID(t, broker)
	expectOutput(t, configs("--entity-type", "brokers", "--entity-name", node, "--describe", "--all"),
		"num.partitions=3", "auto.create.topics.enable=true", "message.max.bytes=1048588", "default.replication.factor=1")

	for _, refused := range []string{"retention.ms=soon", "cleanup.policy=sometimes", "no.such.setting=1"} {
		result := tools.run(t, kafkaConfigs, "", append([]string{"--bootstrap-server", broker.address, "--alter", "--add-config", refused}, ofTopic...)...)
		if result.Exit == 0 || !strings.Contains(result.Stdout+result.Stderr, "InvalidConfigurationException") && !strings.Contains(result.Stdout+result.Stderr, "nvalid") {
			t.Errorf("%s: exit %d\n%s%s", refused, result.Exit, result.Stdout, result.Stderr)
		}
	}
}

func TestKafkaConfigsToolAltersBrokers(t *testing.T) {
	broker := startServer(t, sharedSettings...)
	node := brokerID(t, broker)
	alter := func(entity []string, arguments ...string) {
		t.Helper()
		runTool(t, kafkaConfigs, "", append(append([]string{"--bootstrap-server", broker.address, "--entity-type", "brokers"}, entity...), arguments...)...)
	}
	describe := func() string {
		t.Helper()
		return runTool(t, kafkaConfigs, "", "--bootstrap-server", broker.address, "--entity-type", "brokers", "--entity-name", node, "--describe", "--all")
	}
	one, all := []string{"--entity-name", node}, []string{"--entity-default"}
	alter(all, "--alter", "--add-config", "log.retention.ms=777000")
	alter(one, "--alter", "--add-config", "log.retention.ms=888000")
	expectOutput(t, describe(), `log.retention.ms=888000 sensitive=false synonyms=\{DYNAMIC_BROKER_CONFIG:log.retention.ms=888000, DYNAMIC_DEFAULT_BROKER_CONFIG:log.retention.ms=777000`)
	createTopic(t, broker.address, "follows", 1)
	expectOutput(t, runTool(t, kafkaConfigs, "", "--bootstrap-server", broker.address, "--entity-type", "topics", "--entity-name", "follows", "--describe", "--all"),
		"retention.ms=888000")
	alter(one, "--alter", "--delete-config", "log.retention.ms")
	expectOutput(t, describe(), "log.retention.ms=777000")
}

// brokerID is the node id of a single broker, as its Metadata has it.
func brokerID(t testing.TB, broker *server) string {
	t.Helper()
	output := runTool(t, "org.apache.kafka.tools.BrokerApiVersionsCommand", "", "--bootstrap-server", broker.address)
	found := regexp.MustCompile(`\(id: (\d+) `).FindStringSubmatch(output)
	if found == nil {
		t.Fatalf("no broker id in:\n%s", output)
	}
	return found[1]
}

func TestKafkaGetOffsetsTool(t *testing.T) {
	broker := sharedBroker(t)
	topic := replayTopic(t, broker)
	offsets := func(arguments ...string) string {
		t.Helper()
		return runTool(t, kafkaGetOffsets, "", append([]string{"--bootstrap-server", broker.address, "--topic", topic}, arguments...)...)
	}
	list := func(at ...int) string {
		var lines strings.Builder
		for partition, offset := range at {
			fmt.Fprintf(&lines, "%s:%d:%d\n", topic, partition, offset)
		}
		return lines.String()
	}
	for _, c := range []struct{ time, want string }{
		{"-1", list(200, 200, 200)}, {"latest", list(200, 200, 200)},
		{"-2", list(0, 0, 0)}, {"earliest", list(0, 0, 0)},
		{"-3", list(199, 199, 199)}, {"max-timestamp", list(199, 199, 199)},
		{fmt.Sprint(replayTime(1, 60)), list(61, 60, 60)},
		{fmt.Sprint(replayTime(0, 0) - 1), list(0, 0, 0)},
	} {
		if got := offsets("--time", c.time); got != c.want {
			t.Errorf("--time %s: got\n%s, expected\n%s", c.time, got, c.want)
		}
	}
	if got := offsets("--partitions", "2"); got != topic+":2:200\n" {
		t.Errorf("--partitions 2: got %s", got)
	}
}

// holdsPartition knows Barnabas's directories, topic/partition.id, and Kafka's, topic-partition.
func holdsPartition(dir, topic string, partition int) bool {
	number, _, _ := strings.Cut(filepath.Base(dir), ".")
	return filepath.Base(filepath.Dir(dir)) == topic && number == fmt.Sprint(partition) ||
		filepath.Base(dir) == fmt.Sprintf("%s-%d", topic, partition)
}

// segmentFiles returns the files of a partition on the broker's disk that end so.
func segmentFiles(t testing.TB, s *server, topic string, partition int, suffix string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(s.dataDir(), func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && strings.HasSuffix(path, suffix) && holdsPartition(filepath.Dir(path), topic, partition) {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
