package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/barnabas-log/barnabas/bench/load"
	"github.com/barnabas-log/barnabas/internal/freeport"
)

// system is something that can be measured.
type system struct {
	name       string
	title      string // on charts
	driver     string
	nodes      int
	durability string // what an acknowledgement means, as this system is configured here
	launch     func(*running) error
}

// running is a started system.
type running struct {
	system  system
	o       *options
	dir     string
	ports   []int
	nodes   []*exec.Cmd
	cleanup []func()
}

const (
	fsynced = "fsync before acknowledging"
	flushed = "page cache"
)

// systems are all that are known, ours first.
func systems() []system {
	majority := ", on 2 of 3 nodes"
	return []system{
		{"barnabas", "Barnabas, fsync", "kafka", 1, fsynced, launchBarnabas("acknowledge")},
		{"barnabas-flush", "Barnabas, no fsync", "kafka", 1, flushed, launchBarnabas("flush")},
		{"barnabas3", "Barnabas ×3, fsync", "kafka", 3, fsynced + majority, launchBarnabas("acknowledge")},
		{"barnabas3-flush", "Barnabas ×3, no fsync", "kafka", 3, flushed + majority, launchBarnabas("flush")},
		{"kafka", "Kafka, no fsync", "kafka", 1, flushed, launchKafka()},
		{"kafka-fsync", "Kafka, fsync", "kafka", 1, fsynced + " (flush.messages=1)", launchKafka("log.flush.interval.messages=1")},
		{"kafka3", "Kafka ×3, no fsync", "kafka", 3, flushed + " of all replicas in sync, at least 2 of 3", launchKafka()},
		{"nats", "JetStream, fsync every 2 min", "nats", 1, flushed + " (fsync every 2 min)", launchNATS("2m")},
		{"nats-sync", "JetStream, fsync", "nats", 1, fsynced + " (sync_interval: always)", launchNATS("always")},
		{"nats3", "JetStream ×3, fsync every 2 min", "nats", 3, flushed + majority, launchNATS("2m")},
		{"nats3-sync", "JetStream ×3, fsync", "nats", 3, fsynced + majority, launchNATS("always")},
		{"rabbitmq", "RabbitMQ quorum queue, fsync", "rabbitmq", 1, fsynced + " (quorum queue)", launchRabbitMQ},
		{"redis", "Redis Streams, fsync every second", "redis", 1, "page cache or less (appendfsync everysec)", launchRedis("everysec")},
		{"redis-always", "Redis Streams, fsync", "redis", 1, fsynced + " (appendfsync always)", launchRedis("always")},
	}
}

// findSystem knows the systems by name, and any Kafka-speaking server by kafka:HOST:PORT[,HOST:PORT...].
func findSystem(name string) (system, error) {
	if addresses, ok := strings.CutPrefix(name, "kafka:"); ok {
		nodes := strings.Split(addresses, ",")
		return system{name: name, title: addresses, driver: "kafka", nodes: len(nodes), durability: "not known"}, nil
	}
	var names []string
	for _, s := range systems() {
		if s.name == name {
			return s, nil
		}
		names = append(names, s.name)
	}
	return system{}, fmt.Errorf("no system is called %q; there are %s, and kafka:HOST:PORT", name, strings.Join(names, ", "))
}

// launch starts the system with its data below dir and waits until its ports are open.
func (s system) start(ctx context.Context, o *options, dir string) (r *running, err error) {
	r = &running{system: s, o: o, dir: filepath.Join(dir, s.name)}
	if s.launch == nil {
		return r, nil
	}
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return nil, err
	}
	for range 3 * s.nodes {
		port, err := freeport.Find()
		if err != nil {
			return nil, err
		}
		r.ports = append(r.ports, port)
	}
	if err := s.launch(r); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", s.name, err), r.stop())
	}
	if err := r.awaitReady(ctx); err != nil {
		return nil, errors.Join(err, r.lastWords(), r.stop())
	}
	return r, nil
}

// Of each node's three ports the first is for clients, the second for nodes, and the third for whatever else there is.
func (r *running) client(node int) int { return r.ports[3*node] }
func (r *running) peer(node int) int   { return r.ports[3*node+1] }
func (r *running) other(node int) int  { return r.ports[3*node+2] }

// nodeDir makes the directory of a node.
func (r *running) nodeDir(node int) (string, error) {
	dir := filepath.Join(r.dir, fmt.Sprintf("node%d", node+1))
	return dir, os.MkdirAll(dir, 0o755)
}

// spawn starts a process whose output goes to a file in dir.
func (r *running) spawn(dir string, environment []string, name string, args ...string) error {
	out, err := os.OpenFile(filepath.Join(dir, "output"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = dir, out, out, endWithParent()
	cmd.Env = append(os.Environ(), environment...)
	if err := cmd.Start(); err != nil {
		return err
	}
	r.nodes = append(r.nodes, cmd)
	return nil
}

// startLimit is how long a system may take until it serves.
const startLimit = time.Minute

func (r *running) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for node := range r.system.nodes {
		for {
			err := r.ready(ctx, node)
			if err == nil {
				break
			}
			if ctx.Err() != nil {
				return fmt.Errorf("%s does not serve, see %s: %w", r.system.name, r.dir, err)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	return nil
}

// ready says whether a node is there; one that speaks Kafka must know all of its nodes.
func (r *running) ready(ctx context.Context, node int) error {
	c, err := net.DialTimeout("tcp", r.address(node), time.Second)
	if err != nil {
		return err
	}
	_ = c.Close()
	if r.system.driver != "kafka" {
		return nil
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(r.address(node)), kgo.RequestRetries(0))
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	found, err := kadm.NewClient(client).BrokerMetadata(ctx)
	if err == nil && len(found.Brokers) < r.system.nodes {
		err = fmt.Errorf("node %d knows %d brokers", node+1, len(found.Brokers))
	}
	return err
}

// lastWords are the ends of what the nodes said.
func (r *running) lastWords() error {
	var all error
	for node := range r.system.nodes {
		dir, _ := r.nodeDir(node)
		text, _ := os.ReadFile(filepath.Join(dir, "output"))
		all = errors.Join(all, fmt.Errorf("node %d: %s", node+1, text[max(0, len(text)-1000):]))
	}
	return all
}

func (r *running) address(node int) string { return fmt.Sprintf("127.0.0.1:%d", r.client(node)) }

// target is how clients find the system.
func (r *running) target() load.Target {
	t := load.Target{Driver: r.system.driver, Replicas: r.system.nodes}
	if addresses, ok := strings.CutPrefix(r.system.name, "kafka:"); ok {
		t.Addresses, t.Replicas = strings.Split(addresses, ","), min(3, r.system.nodes)
		return t
	}
	t.Data = []string{r.dir}
	for node := range r.system.nodes {
		t.Addresses = append(t.Addresses, r.address(node))
	}
	for _, cmd := range r.nodes {
		t.Processes = append(t.Processes, cmd.Process.Pid)
	}
	return t
}

// pause stops all processes where they are, so that one system does not disturb the measurement of another; resume lets them go on.
func (r *running) pause()  { r.signal(syscall.SIGSTOP) }
func (r *running) resume() { r.signal(syscall.SIGCONT) }

// signal goes to the process group of each node.
func (r *running) signal(sig syscall.Signal) {
	for _, cmd := range r.nodes {
		_ = syscall.Kill(-cmd.Process.Pid, sig)
	}
}

// stop ends the system, by force if it takes long, and removes its data.
func (r *running) stop() error {
	r.resume()
	for _, cmd := range r.nodes {
		_ = cmd.Process.Signal(syscall.SIGTERM)
	}
	late := time.AfterFunc(10*time.Second, func() { r.signal(syscall.SIGKILL) })
	for _, cmd := range r.nodes {
		_ = cmd.Wait()
	}
	late.Stop()
	r.signal(syscall.SIGKILL) // children that stayed
	for _, f := range slices.Backward(r.cleanup) {
		f()
	}
	if r.o.keep {
		return nil
	}
	return os.RemoveAll(r.dir)
}

// launchBarnabas starts our own nodes, three with replicas on all of them.
func launchBarnabas(fsync string) func(*running) error {
	return func(r *running) error {
		binary, err := filepath.Abs(r.o.binary)
		if err != nil {
			return err
		}
		for node := range r.system.nodes {
			dir, err := r.nodeDir(node)
			if err != nil {
				return err
			}
			set := []string{deletesAtOnce, "barnabas.fsync=" + fsync, fmt.Sprintf("barnabas.http.listener=127.0.0.1:%d", r.other(node)), "log.dirs=" + filepath.Join(dir, "data")}
			if r.system.nodes == 1 {
				set = append(set, "listeners=PLAINTEXT://"+r.address(0))
			} else {
				set = append(set, r.nodeSettings(node)...)
			}
			args := []string{"server", "--log-format", "json"}
			for _, s := range append(set, r.o.set...) {
				args = append(args, "--set", s)
			}
			if err := r.spawn(dir, nil, binary, args...); err != nil {
				return err
			}
		}
		return nil
	}
}

// nodeSettings are the properties by which nodes find each other. Kafka has the same.
func (r *running) nodeSettings(node int) []string {
	var voters []string
	for n := range r.system.nodes {
		voters = append(voters, fmt.Sprintf("%d@127.0.0.1:%d", n+1, r.peer(n)))
	}
	set := []string{fmt.Sprintf("node.id=%d", node+1), "process.roles=broker,controller", "controller.listener.names=CONTROLLER",
		fmt.Sprintf("listeners=PLAINTEXT://%s,CONTROLLER://127.0.0.1:%d", r.address(node), r.peer(node)),
		"controller.quorum.voters=" + strings.Join(voters, ",")}
	if r.system.nodes > 1 {
		set = append(set, "default.replication.factor=3", "min.insync.replicas=2")
	}
	return set
}

// deletesAtOnce has topics leave the disk when they are deleted, and not in the middle of a later run.
const deletesAtOnce = "log.segment.delete.delay.ms=0"

// kafkaHeap is what Kafka's own start script gives a broker.
var kafkaHeap = []string{"-Xms1g", "-Xmx1g"}

// launchKafka starts Apache Kafka from the jars that bench/peers/install fetched, with the JVM options of its own start script.
func launchKafka(extra ...string) func(*running) error {
	return func(r *running) error {
		jars, err := filepath.Abs(filepath.Join(r.o.peersDir(), "kafka", "lib"))
		if err != nil {
			return err
		}
		if _, err := os.Stat(jars); err != nil {
			return fmt.Errorf("run bench/peers/install first: %w", err)
		}
		heap := kafkaHeap
		java := append(slices.Clone(heap), "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35",
			"-XX:+ExplicitGCInvokesConcurrent", "-Djava.awt.headless=true", "-cp", filepath.Join(jars, "..", "config")+":"+filepath.Join(jars, "*"))
		for node := range r.system.nodes {
			dir, err := r.nodeDir(node)
			if err != nil {
				return err
			}
			lines := append(r.nodeSettings(node), deletesAtOnce, "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
				"log.dirs="+filepath.Join(dir, "data"), fmt.Sprintf("offsets.topic.replication.factor=%d", r.system.nodes))
			properties := filepath.Join(dir, "server.properties")
			if err := os.WriteFile(properties, []byte(strings.Join(append(lines, extra...), "\n")+"\n"), 0o644); err != nil {
				return err
			}
			format := exec.Command("java", append(slices.Clone(java), "kafka.tools.StorageTool", "format", "-t", "QmFybmFiYXMtYmVuY2gtMQ", "-c", properties)...)
			if out, err := format.CombinedOutput(); err != nil {
				return fmt.Errorf("format storage: %w\n%s", err, out)
			}
			if err := r.spawn(dir, nil, "java", append(slices.Clone(java), "kafka.Kafka", properties)...); err != nil {
				return err
			}
		}
		return nil
	}
}
