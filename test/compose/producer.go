package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"sync"
	"time"
)

// producer is a client of test/clients that writes numbered records, as many a second as it was told.
type producer struct {
	gauge
	name, topic string
	pinned      string // the only partition to write to; "": the client chooses
	command     *exec.Cmd
	input       io.WriteCloser
	stop        chan struct{}
	feeding     sync.WaitGroup
	reading     sync.WaitGroup
	sent        int // valid after finish
	complaint   string
}

// keys is over how many keys the records are spread.
const keys = 50

func startProducer(name, pinned string, command []string, topic string, rate int) (*producer, error) {
	p := &producer{name: name, pinned: pinned, topic: topic, command: exec.Command(command[0], command[1:]...), stop: make(chan struct{})}
	p.first = make(chan struct{})
	input, err := p.command.StdinPipe()
	if err != nil {
		return nil, err
	}
	output, err := p.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.command.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p.input = input
	p.feeding.Go(func() { p.feed(rate) })
	p.reading.Go(func() { p.read(output) })
	return p, nil
}

// feed writes records in time, until stop is closed.
func (p *producer) feed(rate int) {
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	encode := base64.StdEncoding.EncodeToString
	for {
		select {
		case <-p.stop:
			_ = p.input.Close()
			return
		case <-tick.C:
			line := fmt.Sprintf("{%s\"key\":%q,\"value\":%q}\n", p.partition(), encode([]byte("k"+strconv.Itoa(p.sent%keys))), encode([]byte(strconv.Itoa(p.sent))))
			if _, err := io.WriteString(p.input, line); err != nil {
				return
			}
			p.sent++
		}
	}
}

func (p *producer) partition() string {
	if p.pinned == "" {
		return ""
	}
	return `"partition":` + p.pinned + ","
}

func (p *producer) read(output io.Reader) {
	lines := bufio.NewScanner(output)
	for lines.Scan() {
		var event struct {
			Acked int
			Error string
		}
		if json.Unmarshal(lines.Bytes(), &event) != nil {
			continue
		}
		if event.Error != "" {
			p.complaint = event.Error
		}
		if event.Acked > 0 {
			p.mark(event.Acked)
		}
	}
}

// awaitFirst returns with the first acknowledgement, or when the process has ended without one; finish then says why.
func (p *producer) awaitFirst() {
	ended := make(chan struct{})
	go func() {
		p.reading.Wait()
		close(ended)
	}()
	select {
	case <-p.first:
	case <-ended:
	}
}

// finish ends the input and waits until everything is acknowledged.
func (p *producer) finish() error {
	close(p.stop)
	p.feeding.Wait()
	p.reading.Wait()
	if err := p.command.Wait(); err != nil {
		return fmt.Errorf("%s: %w: %s", p.name, err, p.complaint)
	}
	if p.acked != p.sent {
		return fmt.Errorf("%s: %d records of %d acknowledged", p.name, p.acked, p.sent)
	}
	return nil
}
