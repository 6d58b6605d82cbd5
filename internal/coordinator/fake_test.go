package coordinator

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"
)

// fakeLog is a partition in memory. Writes are committed after delay, or when release is called if held.
type fakeLog struct {
	mu       sync.Mutex
	batches  [][]byte // committed
	ends     []int64  // offset after each batch
	delay    time.Duration
	held     bool
	inFlight []*fakePending
	failNext error // the next append fails when it would be committed
	refuse   error // appends are refused at once
	readErr  error
	away     bool // another node leads
	appends  int
}

type fakePending struct {
	done  chan struct{}
	batch []byte
	err   error
}

func (p *fakePending) Done() <-chan struct{} { return p.done }
func (p *fakePending) Err() error            { return p.err }
func (p *fakePending) count() int64          { return int64(binary.BigEndian.Uint32(p.batch[57:])) }

func (l *fakeLog) Start() int64 { return 0 }

func (l *fakeLog) Committed() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.end()
}

func (l *fakeLog) End() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	end := l.end()
	for _, p := range l.inFlight {
		end += p.count()
	}
	return end
}

func (l *fakeLog) end() int64 {
	if len(l.ends) == 0 {
		return 0
	}
	return l.ends[len(l.ends)-1]
}

func (l *fakeLog) Leads(int32) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.away
}

func (l *fakeLog) Read(dst []byte, offset int64, maxBytes int) ([]byte, int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.readErr != nil {
		return dst, offset, l.readErr
	}
	for i, end := range l.ends {
		if end <= offset {
			continue
		}
		if len(dst) > 0 && len(dst)+len(l.batches[i]) > maxBytes {
			return dst, offset, nil
		}
		dst, offset = append(dst, l.batches[i]...), end
	}
	return dst, offset, nil
}

func (l *fakeLog) Append(batch []byte) (Pending, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.appends++
	if l.refuse != nil {
		return nil, l.refuse
	}
	p := &fakePending{done: make(chan struct{}), batch: batch}
	l.inFlight = append(l.inFlight, p)
	if !l.held {
		time.AfterFunc(l.delay, l.release)
	}
	return p, nil
}

// release commits, or fails, the oldest write in flight.
func (l *fakeLog) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.inFlight) == 0 {
		return
	}
	p := l.inFlight[0]
	l.inFlight = l.inFlight[1:]
	if p.err = l.failNext; p.err == nil {
		binary.BigEndian.PutUint64(p.batch, uint64(l.end()))
		l.batches, l.ends = append(l.batches, p.batch), append(l.ends, l.end()+p.count())
	}
	l.failNext = nil
	close(p.done)
}

func (l *fakeLog) set(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
}

// counter is a machine that counts: each "add" writes one record. It keeps callers that "wait" until its alarm.
type counter struct {
	n       int
	alarm   time.Time
	waiting []*Caller
	notices []any
}

func (c *counter) Replay(r Record) error {
	if string(r.Key) != "n" {
		return fmt.Errorf("key %q", r.Key)
	}
	c.n = int(binary.BigEndian.Uint64(r.Value))
	return nil
}

func (c *counter) Loaded(time.Time, *Effects) {}

func (c *counter) Handle(now time.Time, caller *Caller, message any, out *Effects) {
	switch m := message.(type) {
	case string:
		c.command(now, caller, m, out)
	default:
		c.notices = append(c.notices, m)
	}
}

func (c *counter) command(now time.Time, caller *Caller, command string, out *Effects) {
	switch command {
	case "add":
		c.n++
		out.Write(Record{Key: []byte("n"), Value: binary.BigEndian.AppendUint64(nil, uint64(c.n))})
		out.Reply(caller, c.n)
	case "read":
		out.Reply(caller, c.n)
	case "notices":
		out.Reply(caller, len(c.notices))
	case "wait":
		c.waiting = append(c.waiting, caller)
		c.alarm = now.Add(time.Minute)
	case "junk":
		out.Write(Record{Key: []byte("?")})
		out.Reply(caller, 0)
	case "panic":
		panic(errors.New("as asked"))
	}
}

func (c *counter) Next() (time.Time, bool) { return c.alarm, !c.alarm.IsZero() }

func (c *counter) Tick(now time.Time, out *Effects) {
	if c.alarm.IsZero() || now.Before(c.alarm) {
		return
	}
	c.alarm = time.Time{}
	for _, w := range c.waiting {
		out.Reply(w, "rang")
	}
	c.waiting = nil
}
