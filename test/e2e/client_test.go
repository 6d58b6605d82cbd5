package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// client is a program under test/clients that drives one Kafka client library.
type client struct {
	name   string
	codecs []string
	// javaHash: keys go to the partitions that the Java client would choose.
	javaHash bool
	// idempotent: the library has an idempotent producer.
	idempotent bool
	// plain: it produces one stream of keys and values; what concerns headers, nulls and partitions is said for a whole run.
	plain bool
	// nullIsEmpty: what it reads does not tell null from empty.
	nullIsEmpty bool
	// createsOnConsume: a consumer of an unknown topic creates it.
	createsOnConsume bool
	// unknownTopic and tooLarge are what a program may report for these errors: codes, or words of the message.
	unknownTopic, tooLarge []string
	// command returns the program and its first arguments, or ends the test when its runtime is missing.
	command func(t testing.TB) *exec.Cmd
}

var (
	everyCodec   = []string{"none", "gzip", "snappy", "lz4", "zstd"}
	unknownTopic = []string{"3"}
	tooLarge     = []string{"10"}
)

var clients = []*client{
	goClient("franz-go", true, true),
	goClient("sarama", false, true),
	goClient("kafka-go", true, false),
	{
		name: "kafkajs", codecs: everyCodec, javaHash: true, idempotent: true, createsOnConsume: true,
		unknownTopic: unknownTopic, tooLarge: tooLarge,
		command: func(t testing.TB) *exec.Cmd {
			requireProgram(t, "node", "install Node 18 or newer with npm, then run `make clients`")
			requireFile(t, clientsDir("kafkajs", "node_modules", "kafkajs"), "run `make clients`")
			return exec.Command("node", clientsDir("kafkajs", "client.js"))
		},
	},
	{
		name: "kcat", codecs: everyCodec, idempotent: true, plain: true,
		unknownTopic: []string{"nknown topic"}, tooLarge: []string{"Message size too large"},
		command: func(t testing.TB) *exec.Cmd {
			requireProgram(t, "kcat", "apt-get install kcat, or brew install kcat")
			return exec.Command(clientsDir("kcat", "client.sh"))
		},
	},
	{
		name: "confluent-kafka", codecs: everyCodec, idempotent: true,
		unknownTopic: []string{"3", "-188"}, tooLarge: tooLarge, // librdkafka: _UNKNOWN_TOPIC
		command: python("client_confluent.py", "confluent"),
	},
	{
		name: "kafka-python", codecs: everyCodec, javaHash: true, idempotent: true, createsOnConsume: true,
		unknownTopic: []string{"3", "KafkaTimeoutError"}, tooLarge: tooLarge,
		command: python("client_kafka_python.py", "kafka-python"),
	},
	{
		// 2.0.2 (2.0.6 where Python is too new for it) is five years old and still what many images ship. It asks for Produce 7 and older, without ApiVersions 1+.
		name: "kafka-python-2.0.2", codecs: everyCodec, javaHash: true, createsOnConsume: true,
		unknownTopic: []string{"3", "KafkaTimeoutError"}, tooLarge: tooLarge,
		command: python("client_kafka_python.py", "kafka-python-2.0.2"),
	},
	{
		name: "java", codecs: everyCodec, javaHash: true, idempotent: true, createsOnConsume: true,
		unknownTopic: unknownTopic, tooLarge: tooLarge,
		command: func(t testing.TB) *exec.Cmd {
			requireJava(t)
			return exec.Command("java", javaArguments("Client")...)
		},
	},
}

func goClient(name string, javaHash, idempotent bool) *client {
	return &client{
		name: name, codecs: everyCodec, javaHash: javaHash, idempotent: idempotent,
		createsOnConsume: name != "kafka-go", nullIsEmpty: name == "kafka-go",
		unknownTopic: unknownTopic, tooLarge: tooLarge,
		command: func(t testing.TB) *exec.Cmd {
			return exec.Command(builtOnce(t, clientsDir("go"), "goclient", "."), name)
		},
	}
}

func python(script, packages string) func(testing.TB) *exec.Cmd {
	return func(t testing.TB) *exec.Cmd {
		requireProgram(t, "python3", "install Python 3.9 or newer with pip, then run `make clients`")
		requireFile(t, clientsDir("python", ".venv", packages), "run `make clients`")
		command := exec.Command("python3", clientsDir("python", script))
		command.Env = append(os.Environ(), "PYTHONPATH="+clientsDir("python", ".venv", packages), "PYTHONDONTWRITEBYTECODE=1")
		return command
	}
}

// installed says whether the runtime of the client is there, for tests that run all clients at once.
func (c *client) installed(t *testing.T) bool {
	installed := false
	t.Run(c.name+" is installed", func(t *testing.T) {
		c.command(t)
		installed = true
	})
	return installed
}

// forEachClient runs a test for each client, in parallel.
func forEachClient(t *testing.T, test func(t *testing.T, c *client)) {
	for _, c := range clients {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.command(t) // skips when the runtime is missing
			test(t, c)
		})
	}
}

// encode is a record as the client reads it.
func (c *client) encode(r record) []byte {
	if !c.plain {
		return mustJSON(r)
	}
	var line []byte
	if r.Key != nil {
		line = append(append(line, r.Key...), 0x1f)
	}
	return append(append(line, r.Value...), 0x1e)
}

// produce writes all records and returns when the client says that they are acknowledged.
func (c *client) produce(t testing.TB, brokers, topic string, records []record, options ...string) {
	t.Helper()
	for _, run := range c.runs(records) {
		p := c.start(t, brokers, "produce", topic, append(run.options, options...)...)
		for _, r := range run.records {
			p.send(t, r)
		}
		p.finish(t)
		if acked := p.acked(); !c.plain && acked != len(run.records) {
			t.Fatalf("%s acknowledged %d of %d records", c.name, acked, len(run.records))
		}
	}
}

type producerRun struct {
	options []string
	records []record
}

// runs cuts the records where a plain client must be started again with other options.
func (c *client) runs(records []record) []producerRun {
	if !c.plain {
		return []producerRun{{records: records}}
	}
	var runs []producerRun
	for _, r := range records {
		var options []string
		for _, h := range r.Headers {
			options = append(options, fmt.Sprintf("header=%s=%s", h.Key, h.Value))
		}
		if r.Partition != nil {
			options = append(options, "partition="+strconv.Itoa(int(*r.Partition)))
		}
		if r.Value == nil {
			options = append(options, "null=true")
		}
		if last := len(runs) - 1; last >= 0 && slices.Equal(runs[last].options, options) {
			runs[last].records = append(runs[last].records, r)
			continue
		}
		runs = append(runs, producerRun{options, []record{r}})
	}
	return runs
}

// consume reads count records without a group.
func (c *client) consume(t testing.TB, brokers, topic string, count int, options ...string) []record {
	t.Helper()
	p := c.start(t, brokers, "consume", topic, append(options, "count="+strconv.Itoa(count))...)
	p.finish(t)
	records := p.recordsSoFar()
	if len(records) != count {
		t.Fatalf("%s read %d of %d records", c.name, len(records), count)
	}
	if c.nullIsEmpty {
		for i := range records {
			records[i] = emptyForNull(records[i])
		}
	}
	return records
}

// expectError waits for a run that has to fail, and checks what the client reports.
func (c *client) expectError(t testing.TB, p *process, accepted []string) {
	t.Helper()
	if err := p.wait(); err == nil {
		t.Fatalf("%s reported no error, expected %v", c.name, accepted)
	}
	if f := p.reported(); f != nil {
		if f.Code != nil && slices.Contains(accepted, strconv.Itoa(*f.Code)) {
			return
		}
		if slices.Contains(accepted, f.Error) {
			return
		}
	}
	if c.plain && strings.Contains(p.complaints(), accepted[0]) {
		return
	}
	t.Fatalf("%s reported %v, expected one of %v\n%s", c.name, p.reported(), accepted, p.complaints())
}

// decodePlain parses what client.sh of kcat prints: "partition offset timestamp key-length value-length", headers, key and value.
func decodePlain(data []byte) (r record, rest []byte, ok bool) {
	numbersEnd := bytes.IndexByte(data, '\n')
	if numbersEnd < 0 {
		return record{}, data, false
	}
	headersEnd := bytes.IndexByte(data[numbersEnd+1:], '\n')
	if headersEnd < 0 {
		return record{}, data, false
	}
	headersEnd += numbersEnd + 1
	var partition int32
	var timestamp int64
	var keyLength, valueLength int
	if _, err := fmt.Sscan(string(data[:numbersEnd]), &partition, &r.Offset, &timestamp, &keyLength, &valueLength); err != nil {
		panic(fmt.Sprintf("kcat printed %q: %v", data[:numbersEnd], err))
	}
	body := data[headersEnd+1:]
	if len(body) < max(keyLength, 0)+max(valueLength, 0)+1 {
		return record{}, data, false
	}
	r.Partition, r.Timestamp = &partition, &timestamp
	for _, pair := range strings.Split(string(data[numbersEnd+1:headersEnd]), ",") {
		if key, value, found := strings.Cut(pair, "="); found {
			r.Headers = append(r.Headers, header{key, []byte(value)})
		}
	}
	if keyLength >= 0 {
		r.Key = append([]byte{}, body[:keyLength]...)
		body = body[keyLength:]
	}
	if valueLength >= 0 {
		r.Value = append([]byte{}, body[:valueLength]...)
		body = body[valueLength:]
	}
	return r, body[1:], true
}
