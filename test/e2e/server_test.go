package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/barnabas-log/barnabas/internal/freeport"
)

// server is one broker process with its own data directory.
type server struct {
	address  string // host:port of the listener
	dir      string // holds data/ and the log of the process
	settings []string
	command  func(t testing.TB) *exec.Cmd
	process  *exec.Cmd
	exited   chan struct{} // closed when the process is gone
}

// newServer prepares a broker of the kind that BARNABAS_E2E_SERVER names: this repository's (the default), or "kafka": Apache
// Kafka from the jars of the Java client, the reference of what these tests expect. Settings are name=value.
func newServer(t testing.TB, settings ...string) *server {
	t.Helper()
	dir, err := os.MkdirTemp(scratch, "broker-")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{address: freeAddress(t), dir: dir, settings: settings}
	switch kind := os.Getenv("BARNABAS_E2E_SERVER"); kind {
	case "", "barnabas":
		s.command = s.barnabas
	case "kafka":
		s.command = s.kafka
	default:
		t.Fatalf("BARNABAS_E2E_SERVER=%s: want barnabas or kafka", kind)
	}
	return s
}

// startServer starts a broker that belongs to the test alone: it may be killed, stopped and restarted.
func startServer(t testing.TB, settings ...string) *server {
	t.Helper()
	if os.Getenv("BARNABAS_E2E_BROKERS") != "" {
		t.Skip("needs a broker of its own, and BARNABAS_E2E_BROKERS names a foreign one")
	}
	s := newServer(t, settings...)
	t.Cleanup(func() {
		s.kill()
		s.explain(t)
	})
	s.start(t)
	return s
}

func (s *server) dataDir() string { return filepath.Join(s.dir, "data") }

func (s *server) logFile() string { return filepath.Join(s.dir, "broker.log") }

func (s *server) barnabas(t testing.TB) *exec.Cmd {
	arguments := []string{"server", "--set", "listeners=PLAINTEXT://" + s.address, "--set", "log.dirs=" + s.dataDir()}
	for _, setting := range s.settings {
		arguments = append(arguments, "--set", setting)
	}
	binary := os.Getenv("BARNABAS_E2E_BINARY")
	if binary == "" {
		binary = builtOnce(t, root, "barnabas", "./cmd/barnabas")
	}
	return exec.Command(binary, arguments...)
}

// start runs the process and waits until it answers requests.
func (s *server) start(t testing.TB) {
	t.Helper()
	s.launch(t)
	if err := s.awaitReady(60 * time.Second); err != nil {
		s.kill()
		text, _ := os.ReadFile(s.logFile())
		t.Fatalf("broker on %s is not ready: %v\n%s", s.address, err, tail(text, 60))
	}
}

// launch runs the process.
func (s *server) launch(t testing.TB) {
	t.Helper()
	command := s.command(t)
	log, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	command.Dir, command.Stdout, command.Stderr = s.dir, log, log
	dieWithParent(command)
	if err := command.Start(); err != nil {
		t.Fatalf("start broker: %v", err)
	}
	exited := make(chan struct{})
	go func() {
		_ = command.Wait()
		close(exited)
	}()
	s.process, s.exited = command, exited
}

func (s *server) awaitReady(within time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	for {
		if err := ping(ctx, s.address); err == nil {
			return nil
		} else if ctx.Err() != nil {
			return err
		}
		select {
		case <-s.exited:
			return errors.New("the process ended")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// ping asks for metadata, once.
func ping(ctx context.Context, address string) error {
	connection, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return err
	}
	_ = connection.Close()
	client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.RetryTimeout(time.Second))
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return client.Ping(ctx)
}

// kill is kill -9. It returns when the process is gone.
func (s *server) kill() {
	if s.process != nil {
		_ = s.process.Process.Kill()
		<-s.exited
	}
}

// stop asks the process to end, and fails the test when it does not within 30 seconds or ends with an error.
func (s *server) stop(t testing.TB) {
	t.Helper()
	if err := s.process.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatalf("stop broker: %v", err)
	}
	select {
	case <-s.exited:
	case <-time.After(30 * time.Second):
		t.Fatal("broker still runs 30 seconds after SIGTERM")
	}
	// A JVM that SIGTERM ends reports 143 even when it shut down in good order.
	if status := s.process.ProcessState.ExitCode(); status != 0 && status != 143 {
		t.Fatalf("broker ended with status %d after SIGTERM", status)
	}
}

// explain shows the end of the broker's log when the test has failed.
func (s *server) explain(t testing.TB) {
	if !t.Failed() {
		return
	}
	if text, err := os.ReadFile(s.logFile()); err == nil {
		t.Logf("end of the log of the broker on %s:\n%s", s.address, tail(text, 60))
	}
}

func freeAddress(t testing.TB) string {
	t.Helper()
	address, err := freeport.Address()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// tail returns the last lines of a text.
func tail(text []byte, lines int) string {
	start := len(text)
	for start > 0 && lines >= 0 {
		start--
		if text[start] == '\n' {
			lines--
		}
	}
	return string(text[start:])
}

var (
	sharedMu sync.Mutex
	shared   = map[string]*server{}
)

// sharedSettings lets groups form at once, as a production broker's delay of three seconds would make each test wait.
var sharedSettings = []string{"group.initial.rebalance.delay.ms=100", "num.partitions=3"}

// sharedBroker returns the broker that tests share which use their own topic and group names and leave the broker alone.
func sharedBroker(t testing.TB) *server {
	t.Helper()
	if address := os.Getenv("BARNABAS_E2E_BROKERS"); address != "" {
		return &server{address: address}
	}
	return sharedNamed(t, "shared", sharedSettings...)
}

// strictBroker is shared too; it creates no topic by itself.
func strictBroker(t testing.TB) *server {
	t.Helper()
	if os.Getenv("BARNABAS_E2E_BROKERS") != "" {
		t.Skip("needs a broker with auto.create.topics.enable=false")
	}
	return sharedNamed(t, "strict", append([]string{"auto.create.topics.enable=false"}, sharedSettings...)...)
}

func sharedNamed(t testing.TB, name string, settings ...string) *server {
	t.Helper()
	sharedMu.Lock()
	defer sharedMu.Unlock()
	s := shared[name]
	if s == nil {
		s = newServer(t, settings...)
		s.start(t)
		shared[name] = s
	}
	select {
	case <-s.exited:
		text, _ := os.ReadFile(s.logFile())
		t.Fatalf("the shared broker is dead:\n%s", tail(text, 60))
	default:
	}
	return s
}

// explainShared shows what the shared brokers logged last, when the run has failed.
func explainShared() {
	for name, s := range shared {
		if text, err := os.ReadFile(s.logFile()); err == nil {
			fmt.Fprintf(os.Stderr, "end of the log of the %s broker:\n%s\n", name, tail(text, 60))
		}
	}
}

// stopShared ends the shared brokers at the end of the run, in order, so that a broker that cannot stop is seen.
func stopShared() {
	sharedMu.Lock()
	defer sharedMu.Unlock()
	for name, s := range shared {
		_ = s.process.Process.Signal(syscall.SIGTERM)
		select {
		case <-s.exited:
		case <-time.After(30 * time.Second):
			fmt.Fprintf(os.Stderr, "the %s broker still runs 30 seconds after SIGTERM\n", name)
			s.kill()
		}
	}
}

func portOf(address string) int {
	_, text, _ := net.SplitHostPort(address)
	port, _ := strconv.Atoi(text)
	return port
}
