package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// javaArguments runs a class of the Java client's jars, in a JVM that starts fast rather than runs fast.
func javaArguments(class string, arguments ...string) []string {
	java := clientsDir("java", "target")
	return append([]string{
		"-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto",
		"-cp", filepath.Join(java, "classes") + ":" + filepath.Join(java, "lib", "*"), class,
	}, arguments...)
}

func requireJava(t testing.TB) {
	t.Helper()
	requireProgram(t, "java", "install a JDK 17 and Maven, then run `make clients`")
	requireFile(t, clientsDir("java", "target", "classes", "Client.class"), "run `make clients`")
}

// kafka is the command of a single-node Apache Kafka: what the tests are proved against.
func (s *server) kafka(t testing.TB) *exec.Cmd {
	requireJava(t)
	properties := filepath.Join(s.dir, "server.properties")
	if _, err := os.Stat(properties); err != nil {
		s.formatKafka(t, properties)
	}
	command := exec.Command("java", javaArguments("kafka.Kafka", properties)...)
	command.Args = append([]string{"java", "-Xmx1g", "-Dlog.level=WARN"}, command.Args[1:]...)
	return command
}

func (s *server) formatKafka(t testing.TB, properties string) {
	controller := freeAddress(t)
	lines := []string{
		"process.roles=broker,controller", "node.id=1",
		"listeners=PLAINTEXT://" + s.address + ",CONTROLLER://" + controller,
		"controller.listener.names=CONTROLLER", "controller.quorum.voters=1@" + controller,
		"listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"log.dirs=" + s.dataDir(),
		"offsets.topic.replication.factor=1", "offsets.topic.num.partitions=4",
		"transaction.state.log.replication.factor=1", "transaction.state.log.min.isr=1", "transaction.state.log.num.partitions=4",
	}
	text := strings.Join(append(lines, s.settings...), "\n") + "\n"
	if err := os.WriteFile(properties, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	format := exec.Command("java", javaArguments("kafka.tools.StorageTool", "format", "-t", "QmFybmFiYXMtdGVzdC0xMg", "-c", properties)...)
	if output, err := format.CombinedOutput(); err != nil {
		t.Fatal(fmt.Errorf("format storage of Kafka: %w\n%s", err, output))
	}
}
