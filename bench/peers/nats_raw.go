package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"

	"github.com/barnabas-log/barnabas/bench/load"
)

// natsRaw publishes without a library: prepared lines on one connection (https://docs.nats.io/reference/reference-protocols/nats-protocol). JetStream answers in the order of one stream, and, while one
// record at a time is under way, of all.
type natsRaw struct {
	conn    net.Conn
	replies *bufio.Reader
	lines   [][]byte
	next    int
	failed  error // the reader's
	pending *load.Pending[struct{}]
}

// RawProducer connects to the first node.
func (d *natsDriver) RawProducer(context.Context) (load.Producer, error) {
	conn, err := net.Dial("tcp", d.order.Target.Addresses[0])
	if err != nil {
		return nil, err
	}
	p := &natsRaw{conn: conn, replies: bufio.NewReader(conn)}
	inbox := d.name + "-acks"
	if err := p.greet(inbox); err != nil {
		conn.Close()
		return nil, err
	}
	value := bytes.Repeat([]byte{'x'}, d.order.Spec.Size)
	for i := range d.order.Spec.Partitions {
		p.lines = append(p.lines, fmt.Appendf(nil, "PUB %s %s %d\r\n%s\r\n", d.subject(i), inbox, len(value), value))
	}
	p.pending = load.NewPending(window(d.order.Spec.Size), func(struct{}) error {
		if p.failed == nil {
			p.failed = p.acknowledged()
		}
		return p.failed
	})
	return p, nil
}

func (p *natsRaw) greet(inbox string) error {
	_, err := fmt.Fprintf(p.conn, "CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true}\r\nSUB %s 1\r\nPING\r\n", inbox)
	for err == nil {
		var line []byte
		if line, err = p.replies.ReadSlice('\n'); bytes.HasPrefix(line, []byte("PONG")) {
			return nil
		}
	}
	return err
}

// acknowledged reads up to the next acknowledgement.
func (p *natsRaw) acknowledged() error {
	for {
		line, err := p.replies.ReadSlice('\n')
		if err != nil {
			return err
		}
		fields := bytes.Fields(line)
		if len(fields) == 0 {
			continue
		}
		switch string(fields[0]) {
		case "MSG":
			return p.acknowledgement(fields[len(fields)-1])
		case "PING":
			if _, err := p.conn.Write([]byte("PONG\r\n")); err != nil {
				return err
			}
		case "-ERR", "HMSG": // with a header comes only that nobody takes it
			return errors.New(string(bytes.TrimSpace(line)))
		}
	}
}

func (p *natsRaw) acknowledgement(size []byte) error {
	n, err := strconv.Atoi(string(size))
	if err != nil {
		return err
	}
	body := make([]byte, n+2)
	if _, err := io.ReadFull(p.replies, body); err != nil {
		return err
	}
	if bytes.Contains(body, []byte(`"error"`)) || !bytes.Contains(body, []byte(`"seq"`)) {
		return errors.New(string(body[:n]))
	}
	return nil
}

// Send publishes a record of its own, as large as value, to the next stream.
func (p *natsRaw) Send(_ context.Context, _ []byte, done func(error)) {
	p.next = (p.next + 1) % len(p.lines)
	if _, err := p.conn.Write(p.lines[p.next]); err != nil {
		p.conn.Close() // whoever waits for the acknowledgement hears of it
	}
	p.pending.Add(struct{}{}, done)
}

// Close waits for what is under way.
func (p *natsRaw) Close(ctx context.Context) {
	p.pending.Close(ctx)
	p.conn.Close()
}
