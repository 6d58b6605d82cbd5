package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is one run of a client.
type process struct {
	client  *client
	command *exec.Cmd
	input   io.WriteCloser
	done    chan struct{} // closed when the process is gone and all that it printed is read

	mu sync.Mutex
	// mu guards following
	records []record
	ackedBy int
	held    []int32 // the partitions of the last assignment; nil before the first
	failure *failure
	stderr  bytes.Buffer
	changed chan struct{} // closed and replaced whenever the fields above change
	err     error
}

// failure is the line in which a client reports an error.
type failure struct {
	Error string
	Code  *int
}

func (f *failure) String() string {
	if f == nil {
		return "no error"
	}
	if f.Code == nil {
		return f.Error + " (no code)"
	}
	return fmt.Sprintf("%s (code %d)", f.Error, *f.Code)
}

// start runs a verb of the client. The process is killed at the end of the test if it still runs.
func (c *client) start(t testing.TB, brokers, verb, topic string, options ...string) *process {
	t.Helper()
	command := c.command(t)
	command.Args = append(append(command.Args, brokers, verb, topic), options...)
	p := &process{client: c, command: command, done: make(chan struct{}), changed: make(chan struct{})}
	stdin, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.input = stdin
	dieWithParent(command)
	if err := command.Start(); err != nil {
		t.Fatalf("start %s: %v", c.name, err)
	}
	var readers sync.WaitGroup
	readers.Go(func() { p.readOutput(stdout) })
	readers.Go(func() { p.readComplaints(stderr) })
	go func() {
		readers.Wait()
		err := command.Wait()
		p.change(func() { p.err = err })
		close(p.done)
	}()
	t.Cleanup(func() {
		_ = command.Process.Kill()
		<-p.done
		if t.Failed() {
			t.Logf("%s %s %s %v: %d records, %d acknowledged, %v, %v\n%s", c.name, verb, topic, options,
				len(p.records), p.ackedBy, p.failure, p.err, tail(p.stderr.Bytes(), 15))
		}
	})
	return p
}

// change alters what is known of the process and wakes those who wait for it.
func (p *process) change(alter func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	alter()
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *process) readOutput(output io.Reader) {
	if p.client.plain {
		p.readPlain(output)
		return
	}
	reader := bufio.NewReaderSize(output, 1<<20)
	for {
		line, err := reader.ReadBytes('\n')
		if err != nil {
			return
		}
		var event struct {
			Acked    *int     `json:"acked"`
			Assigned *[]int32 `json:"assigned"`
			Error    *string  `json:"error"`
			Code     *int     `json:"code"`
			record
		}
		if err := json.Unmarshal(line, &event); err != nil {
			p.change(func() { fmt.Fprintf(&p.stderr, "printed %q: %v\n", line, err) })
			continue
		}
		p.change(func() {
			switch {
			case event.Acked != nil:
				p.ackedBy = *event.Acked
			case event.Assigned != nil:
				p.held = append([]int32{}, *event.Assigned...)
			case event.Error != nil:
				p.failure = &failure{*event.Error, event.Code}
			default:
				p.records = append(p.records, event.record)
			}
		})
	}
}

func (p *process) readPlain(output io.Reader) {
	var waiting []byte
	buffer := make([]byte, 1<<20)
	for {
		n, err := output.Read(buffer)
		waiting = append(waiting, buffer[:n]...)
		p.change(func() {
			for {
				r, rest, ok := decodePlain(waiting)
				if !ok {
					return
				}
				p.records, waiting = append(p.records, r), rest
			}
		})
		if err != nil {
			return
		}
	}
}

var (
	kcatAssigned  = regexp.MustCompile(`rebalanced .*assigned: (.*)`)
	kcatPartition = regexp.MustCompile(`\[(\d+)\]`)
)

func (p *process) readComplaints(output io.Reader) {
	reader := bufio.NewReader(output)
	for {
		line, err := reader.ReadString('\n')
		p.change(func() {
			p.stderr.WriteString(line)
			if found := kcatAssigned.FindStringSubmatch(line); p.client.plain && found != nil {
				p.held = []int32{}
				for _, partition := range kcatPartition.FindAllStringSubmatch(found[1], -1) {
					number, _ := strconv.Atoi(partition[1])
					p.held = append(p.held, int32(number))
				}
			} else if p.client.plain && strings.Contains(line, "revoked:") {
				p.held = []int32{}
			}
		})
		if err != nil {
			return
		}
	}
}

// send gives a producer one record.
func (p *process) send(t testing.TB, r record) {
	t.Helper()
	line := p.client.encode(r)
	if !p.client.plain {
		line = append(line, '\n')
	}
	if _, err := p.input.Write(line); err != nil && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, os.ErrClosed) {
		t.Fatalf("%s takes no more input: %v", p.client.name, err)
	}
}

// clientTimeout is how long one run of a client may take.
const clientTimeout = 90 * time.Second

// wait closes the input, waits for the end of the process and returns its error.
func (p *process) wait() error {
	_ = p.input.Close()
	select {
	case <-p.done:
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.err
	case <-time.After(clientTimeout):
		_ = p.command.Process.Kill()
		return fmt.Errorf("still running after %v", clientTimeout)
	}
}

// finish waits for a good end.
func (p *process) finish(t testing.TB) {
	t.Helper()
	if err := p.wait(); err != nil {
		t.Fatalf("%s: %v: %v", p.client.name, err, p.reported())
	}
}

// leave asks a group member to commit and leave, and waits for it.
func (p *process) leave(t testing.TB) {
	t.Helper()
	if p.client.plain {
		_ = p.command.Process.Signal(syscall.SIGTERM)
	}
	p.finish(t)
}

// await returns when the condition, which is called under the lock, holds.
func (p *process) await(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(clientTimeout)
	for {
		p.mu.Lock()
		holds, changed := condition(), p.changed
		p.mu.Unlock()
		if holds {
			return
		}
		select {
		case <-changed:
		case <-p.done:
			p.mu.Lock()
			holds, failure := condition(), p.failure
			p.mu.Unlock()
			if holds {
				return
			}
			t.Fatalf("%s ended (%v) before %s", p.client.name, failure, what)
		case <-deadline:
			t.Fatalf("%s: no %s within %v", p.client.name, what, clientTimeout)
		}
	}
}

func (p *process) awaitRecords(t testing.TB, count int) {
	t.Helper()
	p.await(t, fmt.Sprintf("record number %d", count), func() bool { return len(p.records) >= count })
}

// awaitHeld waits until the member holds as many partitions as the condition accepts.
func (p *process) awaitHeld(t testing.TB, what string, accept func(held int) bool) {
	t.Helper()
	p.await(t, what, func() bool { return p.held != nil && accept(len(p.held)) })
}

func (p *process) acked() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ackedBy
}

func (p *process) recordsSoFar() []record {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]record(nil), p.records...)
}

func (p *process) reported() *failure {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failure
}

func (p *process) complaints() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stderr.String()
}

func mustJSON(value any) []byte {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return text
}
