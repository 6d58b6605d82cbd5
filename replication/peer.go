package replication

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/barnabas-log/barnabas/log"
	"go.uber.org/zap"
)

// How long things may take. A call's own deadline is the caller's.
const (
	dialTimeout  = 2 * time.Second
	writeTimeout = 10 * time.Second
	// After a failed attempt calls fail at once for a while, twice as long each time.
	minBackoff = 20 * time.Millisecond
	maxBackoff = 500 * time.Millisecond
)

// peer is the way to another node: one connection for each lane, opened when needed.
type peer struct {
	network *network
	id      int32
	logger  *zap.Logger
	lines   [laneSnapshot]*line
	beats   beats

	// Signs of life. Times are network times, 0: never.
	answered atomic.Int64  // an answer came
	received atomic.Int64  // a request came
	refused  atomic.Bool   // nobody listens at its address
	process  atomic.Uint64 // as it greeted last
	lost     atomic.Bool   // what the detector saw last: it is gone
	silent   atomic.Bool   // so did: nothing comes from it
	mute     atomic.Bool   // so did: it does not answer
	nudge    chan struct{} // capacity 1: ping now
	ahead    chan struct{} // one for each request that was sent although its group waits for the answer to another

	mu   sync.Mutex    // guards following
	gone bool          // the last attempt to connect failed, and was reported
	back chan struct{} // closed when the next answer comes; nil: nobody waits
}

// line is one multiplexed connection: requests go out in any order, answers come back in any order.
type line struct {
	peer *peer
	lane lane

	mu      sync.Mutex // guards following
	conn    *wireConn  // nil: not connected
	dialing chan struct{}
	backoff time.Duration
	retryAt time.Time
}

// wireConn is a connection with the calls that wait on it.
type wireConn struct {
	net.Conn
	raw     syscall.RawConn // nil: files cannot be sent from where they are
	network *network
	peer    *peer
	writeMu sync.Mutex // held while a frame is written

	mu      sync.Mutex // guards following
	next    uint64
	waiting map[uint64]chan message
	err     error // why the connection is closed
}

func newPeer(n *network, id int32) *peer {
	p := &peer{network: n, id: id, logger: n.node.logger.With(zap.Int32("peer", id))}
	for l := range p.lines {
		p.lines[l] = &line{peer: p, lane: lane(l)}
	}
	p.beats.peer = p
	p.nudge = make(chan struct{}, 1)
	p.ahead = make(chan struct{}, ahead)
	p.lost.Store(true)
	p.silent.Store(true)
	p.mute.Store(true)
	return p
}

// ping asks for a sign of life a few times in Timing.Silence, and at once when a connection breaks, until the network is closed.
func (p *peer) ping() {
	silence := p.network.node.opts.Timing.Silence
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-p.network.ctx.Done():
			return
		case <-p.nudge:
		case <-timer.C:
		}
		ctx, cancel := context.WithTimeout(p.network.ctx, silence)
		_, err := p.lines[laneControl].call(ctx, nil, kindPing, "", func(b []byte) []byte { return b })
		cancel()
		if p.lost.Load() == (err == nil) {
			p.network.node.detector.wake()
		}
		timer.Reset(silence / pingShare)
	}
}

func (p *peer) pingNow() {
	select {
	case p.nudge <- struct{}{}:
	default:
	}
}

// greeted takes note of the process that speaks for this node.
func (p *peer) greeted(process uint64) {
	if old := p.process.Swap(process); old != process && old != 0 {
		p.network.node.detector.restarted(p)
	}
	p.received.Store(p.network.now())
	p.pingNow()
}

// alive takes note of an answer.
func (p *peer) alive() {
	p.answered.Store(p.network.now())
	p.refused.Store(false)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.back != nil {
		close(p.back)
		p.back = nil
	}
}

// returns is a channel that is closed when the next answer comes.
func (p *peer) returns() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.back == nil {
		p.back = make(chan struct{})
	}
	return p.back
}

// hangUp breaks the connections to a node that is silent: what waits there may wait for long, and new ones show sooner that it is back.
func (p *peer) hangUp() {
	for _, l := range p.lines {
		l.mu.Lock()
		c := l.conn
		l.mu.Unlock()
		if c != nil {
			c.close(errSilent)
		}
	}
}

var errSilent = errors.New("the node is silent")

// call sends a request, which encode appends to a buffer after its header, and waits for the answer's body. done and ctx end the wait.
func (l *line) call(ctx context.Context, done <-chan struct{}, k kind, group string, encode func([]byte) []byte) ([]byte, error) {
	buffer := buffers.Get().(*[]byte)
	f := frame{b: endFrame(encode(beginRequest((*buffer)[:0], k, 0, group)))}
	sent, err := l.send(ctx, done, &f)
	*buffer = f.b
	recycle(buffer)
	if err != nil {
		return nil, err
	}
	return sent.wait(ctx, done)
}

// outgoing is a request that was written. Its answer is waited for, or forgotten.
type outgoing struct {
	conn   *wireConn
	id     uint64
	answer <-chan message
}

// send writes a request, a whole frame but for its id. done and ctx end waiting for a connection.
func (l *line) send(ctx context.Context, done <-chan struct{}, f *frame) (*outgoing, error) {
	c, err := l.connected(ctx, done)
	if err != nil {
		return nil, err
	}
	id, answer, err := c.expect()
	if err != nil {
		return nil, err
	}
	setID(f.b, id)
	if err := c.write(f); err != nil {
		c.forget(id)
		c.close(err)
		return nil, fmt.Errorf("node %d: %w: %w", l.peer.id, ErrUnreachable, err)
	}
	return &outgoing{conn: c, id: id, answer: answer}, nil
}

// wait is for the answer's body. done and ctx end it.
func (o *outgoing) wait(ctx context.Context, done <-chan struct{}) ([]byte, error) {
	defer o.forget()
	node := o.conn.peer.id
	select {
	case m, ok := <-o.answer:
		if !ok {
			return nil, fmt.Errorf("node %d: %w: %w", node, ErrUnreachable, o.conn.cause())
		}
		return m.outcome(node)
	case <-done:
		return nil, ErrClosed
	case <-ctx.Done():
		return nil, fmt.Errorf("node %d: %w: %w", node, ErrUnreachable, ctx.Err())
	}
}

// forget takes no answer any more.
func (o *outgoing) forget() { o.conn.forget(o.id) }

// outcome is an answer's body or the error that it stands for.
func (m message) outcome(node int32) ([]byte, error) {
	switch m.status {
	case statusOK:
		return m.body, nil
	case statusUnknown:
		return nil, fmt.Errorf("node %d: %w", node, ErrUnknownGroup)
	case statusBusy:
		return nil, fmt.Errorf("node %d: busy", node)
	}
	return nil, fmt.Errorf("%w %d: %s", errRemote, node, m.body)
}

// errRemote says that the peer was reached and could not do what it was asked.
var errRemote = errors.New("node")

// connected is the line's connection. One caller dials, the others wait for it.
func (l *line) connected(ctx context.Context, done <-chan struct{}) (*wireConn, error) {
	for {
		l.mu.Lock()
		if l.conn != nil && l.conn.cause() == nil {
			c := l.conn
			l.mu.Unlock()
			return c, nil
		}
		l.conn = nil
		if wait := l.dialing; wait != nil {
			l.mu.Unlock()
			select {
			case <-wait:
				continue
			case <-done:
				return nil, ErrClosed
			case <-ctx.Done():
				return nil, fmt.Errorf("node %d: %w: %w", l.peer.id, ErrUnreachable, ctx.Err())
			}
		}
		if time.Now().Before(l.retryAt) {
			l.mu.Unlock()
			return nil, fmt.Errorf("node %d: %w", l.peer.id, ErrUnreachable)
		}
		dialing := make(chan struct{})
		l.dialing = dialing
		l.mu.Unlock()
		c, err := l.dial()
		l.mu.Lock()
		l.dialing = nil
		if err != nil {
			l.backoff = min(max(2*l.backoff, minBackoff), maxBackoff)
			l.retryAt = time.Now().Add(l.backoff)
		} else {
			l.conn, l.backoff = c, 0
		}
		l.mu.Unlock()
		close(dialing)
		if err != nil {
			return nil, fmt.Errorf("node %d: %w: %w", l.peer.id, ErrUnreachable, err)
		}
		return c, nil
	}
}

// live is the line's connection if there is one that works, as far as is known.
func (l *line) live() *wireConn {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn == nil || l.conn.cause() != nil {
		return nil
	}
	return l.conn
}

func (l *line) dial() (*wireConn, error) {
	conn, err := l.peer.dial(l.lane)
	if err != nil {
		return nil, err
	}
	c := &wireConn{Conn: conn, network: l.peer.network, peer: l.peer, waiting: map[uint64]chan message{}}
	if tcp, ok := conn.(*net.TCPConn); ok {
		c.raw, _ = tcp.SyscallConn()
	}
	if !l.peer.network.spawn(func() { c.read() }) {
		l.peer.network.drop(conn)
		return nil, ErrClosed
	}
	return c, nil
}

// dial connects and greets. It says once when the peer goes, and once when it is back.
func (p *peer) dial(l lane) (net.Conn, error) {
	conn, err := p.network.dial(p.id)
	if err == nil {
		_ = conn.SetWriteDeadline(time.Now().Add(writeTimeout))
		_, err = conn.Write(hello{l, p.network.node.opts.NodeID, p.id, p.network.process}.encode())
		if err != nil {
			p.network.drop(conn)
		}
	}
	if errors.Is(err, syscall.ECONNREFUSED) && !p.refused.Swap(true) {
		p.network.node.detector.wake()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if gone := err != nil; gone != p.gone && !errors.Is(err, ErrClosed) {
		if p.gone = gone; gone {
			p.logger.Warn("peer unreachable", zap.Error(err))
		} else {
			p.logger.Info("peer reachable")
		}
	}
	return conn, err
}

// expect reserves an id for a request. The channel is closed when the connection breaks.
func (c *wireConn) expect() (uint64, <-chan message, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return 0, nil, fmt.Errorf("%w: %w", ErrUnreachable, c.err)
	}
	c.next++
	answer := make(chan message, 1)
	c.waiting[c.next] = answer
	return c.next, answer, nil
}

func (c *wireConn) forget(id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waiting, id)
}

// write sends a frame as a whole.
func (c *wireConn) write(f *frame) error {
	b, files := f.b, len(f.pieces) > 0
	if files && (c.raw == nil || !log.CanSend(f.pieces)) {
		var err error
		if b, err = log.Join(make([]byte, 0, len(f.b)+f.attached), f.b, f.pieces); err != nil {
			return err
		}
		files = false
	}
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	_ = c.SetWriteDeadline(time.Now().Add(writeTimeout))
	if files {
		return log.Send(c.raw, b, f.pieces)
	}
	_, err := c.Write(b)
	return err
}

// read hands answers to those who wait, until the connection breaks.
func (c *wireConn) read() {
	r := bufio.NewReaderSize(c, 16<<10)
	for {
		frame, err := readFrame(r, nil)
		if err == nil {
			var m message
			if m, err = decodeFrame(frame, true); err == nil {
				c.peer.alive()
				c.mu.Lock()
				if answer := c.waiting[m.id]; answer != nil {
					answer <- m
					delete(c.waiting, m.id)
				}
				c.mu.Unlock()
				continue
			}
		}
		c.close(err)
		return
	}
}

// close breaks the connection: everybody who waits gets to know.
func (c *wireConn) close(cause error) {
	c.network.drop(c.Conn)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	if c.err = cause; cause == nil {
		c.err = io.EOF
	}
	c.peer.pingNow()
	for id, answer := range c.waiting {
		close(answer)
		delete(c.waiting, id)
	}
}

func (c *wireConn) cause() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// close breaks all connections to the peer.
func (p *peer) close() {
	for _, l := range p.lines {
		l.mu.Lock()
		if l.conn != nil {
			l.conn.close(ErrClosed)
		}
		l.mu.Unlock()
	}
}

// buffers are frames under construction. Large ones are not kept.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

func recycle(b *[]byte) {
	if cap(*b) <= 2*maxAppend {
		buffers.Put(b)
	}
}

// dialTCP is how a node reaches another unless the options say otherwise.
func dialTCP(ctx context.Context, address string, config *tls.Config) (net.Conn, error) {
	d := net.Dialer{Timeout: dialTimeout}
	if config == nil {
		return d.DialContext(ctx, "tcp", address)
	}
	t := tls.Dialer{NetDialer: &d, Config: config}
	return t.DialContext(ctx, "tcp", address)
}

// tellToStand tells the peer's replica of a group to stand, until ctx or done ends it.
func (p *peer) tellToStand(ctx context.Context, done <-chan struct{}, group string) error {
	_, err := p.lines[laneControl].call(ctx, done, kindStand, group, func(b []byte) []byte { return b })
	return err
}
