package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/barnabas-log/barnabas/internal/history"
)

// kafkajs is a program that uses the cluster through that client; what it says line by line goes into the same history as what our own clients see.
type kafkajs struct {
	crowd *crowd
	path  string
}

// findKafkajs returns the program, or why it cannot be run: the clients have to be installed (make clients), and Node.
func findKafkajs(crowd *crowd, path string) (*kafkajs, error) {
	if _, err := exec.LookPath("node"); err != nil {
		return nil, err
	}
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(path), "node_modules", "kafkajs")); err != nil {
		return nil, err
	}
	return &kafkajs{crowd: crowd, path: path}, nil
}

// line is what the program prints. See test/clients/kafkajs/chaos.js.
type line struct {
	Ready     bool
	Topic     string
	Partition int32
	Count     int
	Base      int64
	Error     string
	Joined    map[string][]int32
	Records   [][2]any // offset, value in base64
	Committed []struct {
		Topic     string
		Partition int32
		Offset    int64
	}
}

// child is a running program.
type child struct {
	command *exec.Cmd
	input   io.WriteCloser
	lines   chan line // closed when the program has said everything
}

func (k *kafkajs) start(args ...string) (*child, error) {
	c := &child{command: exec.Command("node", append([]string{"--no-warnings", k.path, strings.Join(k.crowd.cluster.addresses(), ",")}, args...)...), lines: make(chan line, 2*stuckBuffer)} // more than can be waiting: nobody reads while a record is handed over
	c.command.Stderr = os.Stderr
	c.command.SysProcAttr = endWithParent()
	var err error
	if c.input, err = c.command.StdinPipe(); err != nil {
		return nil, err
	}
	output, err := c.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.command.Start(); err != nil {
		return nil, err
	}
	go func() { // ends with the program; whoever started it reads lines until then
		defer close(c.lines)
		scan := bufio.NewScanner(output)
		scan.Buffer(nil, 64<<20)
		for scan.Scan() {
			var l line
			if err := json.Unmarshal(scan.Bytes(), &l); err != nil {
				l = line{Error: fmt.Sprintf("not a line of chaos.js: %v", err)}
			}
			c.lines <- l
		}
	}()
	return c, nil
}

// end closes the input, and lets hear of every line until the program has ended, which it must before give up ends.
func (c *child) end(giveUp context.Context, hear func(line)) error {
	_ = c.input.Close()
	kill := context.AfterFunc(giveUp, func() { _ = c.command.Process.Kill() })
	defer kill()
	for l := range c.lines {
		hear(l)
	}
	return c.command.Wait()
}

// produce makes records until stop ends, then waits until all are answered or give up ends. A program that ended because a record was not acknowledged is replaced.
func (k *kafkajs) produce(stop, giveUp context.Context, seed uint64, share float64) error {
	r := rand.New(rand.NewPCG(seed, 4))
	for {
		left, err := k.produceOnce(stop, giveUp, r, share)
		if stop.Err() == nil && giveUp.Err() == nil {
			if err != nil {
				k.crowd.odd("kafkajs: a producer ended: %v", err)
			}
			continue
		}
		if left > 0 || err != nil {
			return fmt.Errorf("kafkajs: %d records were never answered: %w", left, errors.Join(err, giveUp.Err()))
		}
		return nil
	}
}

// handed is a record that was handed to the program.
type handed struct {
	id history.ID
	at time.Time
}

// kafkajsProducer is one run of the program.
type kafkajsProducer struct {
	*kafkajs
	number  int32
	sent    int64
	open    map[history.Partition][]handed // not answered, oldest first
	unheard int
	ready   bool // it reads what it is given; before, writing to it could take for ever
}

func (k *kafkajs) produceOnce(stop, giveUp context.Context, r *rand.Rand, share float64) (unheard int, err error) {
	p := &kafkajsProducer{kafkajs: k, number: k.crowd.producers.Add(1), open: map[history.Partition][]handed{}}
	c, err := k.start("produce")
	if err != nil {
		return 0, err
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	due := 0.0
	for alive := true; alive && stop.Err() == nil; {
		select {
		case <-stop.Done():
		case l, ok := <-c.lines:
			if alive = ok; ok {
				p.hear(l)
			}
		case <-tick.C:
			if due = min(due+float64(k.crowd.rate)*share/100, float64(k.crowd.rate)); !p.ready || p.unheard > stuckBuffer {
				due = 0
			}
			for ; due >= 1 && alive; due-- {
				alive = p.send(c.input, r) == nil
			}
		}
	}
	err = c.end(giveUp, p.hear)
	unheard = p.unheard
	for at, open := range p.open {
		p.unknown(at, len(open))
	}
	return unheard, err
}

func (p *kafkajsProducer) send(input io.Writer, r *rand.Rand) error {
	at := history.Partition{Topic: p.crowd.topics[r.IntN(len(p.crowd.topics))], Number: r.Int32N(p.crowd.partitions)}
	id := history.ID{Producer: p.number, Number: p.sent}
	p.sent++
	p.crowd.recorder.Record(history.Event{Kind: history.Invoked, Partition: at, ID: id})
	p.open[at] = append(p.open[at], handed{id, time.Now()})
	p.unheard++
	value := base64.StdEncoding.EncodeToString(history.NewPayload(id, 40+r.IntN(400)))
	_, err := fmt.Fprintf(input, "{\"topic\":%q,\"partition\":%d,\"value\":%q}\n", at.Topic, at.Number, value)
	return err
}

// hear of what became of the oldest records of a partition.
func (p *kafkajsProducer) hear(l line) {
	if l.Ready {
		p.ready = true
		return
	}
	at := history.Partition{Topic: l.Topic, Number: l.Partition}
	if l.Error != "" {
		p.crowd.odd("kafkajs: produce: %s", l.Error)
		p.unknown(at, l.Count)
		return
	}
	if l.Count > len(p.open[at]) {
		p.crowd.odd("kafkajs: %d records of %v are acknowledged, there are %d", l.Count, at, len(p.open[at]))
		return
	}
	for i, h := range p.open[at][:l.Count] {
		p.crowd.recorder.Record(history.Event{Kind: history.Acknowledged, Partition: at, ID: h.id, Offset: l.Base + int64(i)})
		p.crowd.waits.add(time.Since(h.at))
	}
	p.crowd.acked.Add(int64(l.Count))
	p.crowd.ackedByKafkajs.Add(int64(l.Count))
	p.open[at] = p.open[at][l.Count:]
	p.unheard -= l.Count
}

// unknown is what becomes of a partition's oldest records.
func (p *kafkajsProducer) unknown(at history.Partition, count int) {
	count = min(count, len(p.open[at]))
	for _, h := range p.open[at][:count] {
		p.crowd.recorder.Record(history.Event{Kind: history.Unknown, Partition: at, ID: h.id})
	}
	p.open[at] = p.open[at][count:]
	p.unheard -= count
}

// member reads as a member of a group until ctx ends. With a life it leaves and comes back.
func (k *kafkajs) member(ctx context.Context, group string, seed uint64, life time.Duration) error {
	r := rand.New(rand.NewPCG(seed, 5))
	for ctx.Err() == nil {
		once, cancel := ctx, context.CancelFunc(func() {})
		if life > 0 {
			once, cancel = context.WithTimeout(ctx, life/2+time.Duration(r.Int64N(int64(life))))
		}
		err := k.memberOnce(once, group)
		cancel()
		if err != nil {
			return err
		}
	}
	return nil
}

// leaveLimit is how long a member may take to leave.
const leaveLimit = 20 * time.Second

func (k *kafkajs) memberOnce(ctx context.Context, group string) error {
	c, err := k.start("group", group, strings.Join(k.crowd.topics, ","))
	if err != nil {
		return err
	}
	m := k.newMember(group)
	defer m.unsettled(func(history.Partition, int64) bool { return true })
	for alive := true; alive && ctx.Err() == nil; {
		select {
		case <-ctx.Done():
		case l, ok := <-c.lines:
			if alive = ok; ok {
				m.heard(l)
			}
		}
	}
	giveUp, cancel := context.WithTimeout(context.Background(), leaveLimit)
	defer cancel()
	if err := c.end(giveUp, m.heard); err != nil && ctx.Err() == nil {
		k.crowd.odd("kafkajs: a member of %s ended: %v", group, err)
	}
	return nil
}

// kafkajsMember is one run of the program.
type kafkajsMember struct {
	*kafkajs
	group   string
	readers map[history.Partition]int32
	ends    map[history.Partition][]int64 // of batches whose commit was not confirmed, oldest first
}

func (k *kafkajs) newMember(group string) *kafkajsMember {
	return &kafkajsMember{kafkajs: k, group: group, readers: map[history.Partition]int32{}, ends: map[history.Partition][]int64{}}
}

// unsettled says of the commits that nobody confirmed, and of which the function says yes, that they may take effect later. kafkajs commits behind each batch, and tells of what was answered only.
func (m *kafkajsMember) unsettled(given func(history.Partition, int64) bool) {
	for at, ends := range m.ends {
		m.ends[at] = slices.DeleteFunc(ends, func(end int64) bool {
			if !given(at, end) {
				return false
			}
			m.crowd.recorder.Record(history.Event{Kind: history.Unsettled, Partition: at, Group: m.group, Offset: end})
			return true
		})
	}
}

// heard of something that a member did.
func (m *kafkajsMember) heard(l line) {
	k, group, readers := m.kafkajs, m.group, m.readers
	if l.Error != "" {
		k.crowd.odd("kafkajs: a member of %s: %s", group, l.Error)
	}
	for topic, numbers := range l.Joined {
		for _, n := range numbers {
			at := history.Partition{Topic: topic, Number: n}
			readers[at] = k.crowd.assign(at, group)
		}
	}
	for _, done := range l.Committed {
		p := history.Partition{Topic: done.Topic, Number: done.Partition}
		m.ends[p] = slices.DeleteFunc(m.ends[p], func(end int64) bool { return end == done.Offset })
		m.unsettled(func(at history.Partition, end int64) bool { return at == p && end < done.Offset })
		k.crowd.recorder.Record(history.Event{Kind: history.Committed, Partition: p, Group: group, Offset: done.Offset})
	}
	at := history.Partition{Topic: l.Topic, Number: l.Partition}
	for _, record := range l.Records {
		offset, _ := record[0].(float64)
		text, _ := record[1].(string)
		value, _ := base64.StdEncoding.DecodeString(text)
		k.crowd.gotOne(at, readers[at], int64(offset), value)
	}
	if n := len(l.Records); n > 0 {
		last, _ := l.Records[n-1][0].(float64)
		k.crowd.reach(group, at, int64(last)+1)
		m.ends[at] = append(m.ends[at], int64(last)+1)
	}
}
