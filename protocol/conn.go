package protocol

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/barnabas-log/barnabas/log"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
)

const (
	// maxInFlight bounds the produces of one connection that wait for their outcome. Kafka's producers have at most five.
	maxInFlight = 64
	// frameTimeout bounds how long one frame may take to arrive once its size is known. Clients give up after 30 s.
	frameTimeout = 60 * time.Second
	// readBuffer holds small requests, so that one system call reads size and body.
	readBuffer = 4 << 10
)

// conn is one client's connection. Its reader goroutine runs serve; everything below is the reader's own unless said otherwise.
type conn struct {
	server   *Server
	nc       net.Conn
	raw      syscall.RawConn // nil unless nc is a TCP connection
	r        *bufio.Reader
	listener string
	ip, host string
	log      *zap.Logger
	idle     time.Duration
	where    whereabouts // Server.nextPosition: made into a value once, not for each frame

	ctx    context.Context // ends when the connection fails or the server is killed
	cancel context.CancelFunc

	produces chan *produceReply // to the writer; nil before the first produce
	waiting  atomic.Int32       // produces that were not answered yet
	drained  chan struct{}      // the writer says that waiting became 0
	written  chan struct{}      // closed when the writer has ended
	failure  atomic.Pointer[error]

	software atomic.Pointer[software] // from ApiVersions, for whoever asks who is still on an old client

	hand           *frame // the frame that is being dispatched, until something else answers for it
	produceRequest kmsg.ProduceRequest
	fetchRequest   kmsg.FetchRequest
	fetchParts     []fetchPart
	splices        []log.Piece
	lastClientID   string
}

// software is what a client says it is (KIP-511).
type software struct{ name, version string }

func newConn(s *Server, nc net.Conn, listener string) *conn {
	c := &conn{
		server: s, nc: nc, r: bufio.NewReaderSize(nc, readBuffer), listener: listener,
		idle: time.Duration(s.opts.MaxIdleMs) * time.Millisecond, drained: make(chan struct{}, 1), written: make(chan struct{}), where: s.nextPosition,
	}
	c.ip = nc.RemoteAddr().String()
	if host, _, err := net.SplitHostPort(c.ip); err == nil {
		c.ip = host
	}
	c.host = "/" + c.ip
	c.log = s.log.With(zap.String("client", nc.RemoteAddr().String()), zap.String("listener", listener))
	if tcp, ok := nc.(*net.TCPConn); ok {
		if raw, err := tcp.SyscallConn(); err == nil {
			c.raw = raw
		}
	}
	c.ctx, c.cancel = context.WithCancel(s.hard)
	return c
}

// errQuit ends a connection without a word: the client hung up, was idle, or the server closes.
var errQuit = errors.New("quit")

// serve reads and answers requests until the connection ends.
func (c *conn) serve() {
	defer c.nc.Close()
	defer c.cancel()
	err := c.loop()
	c.finish(err)
	if cause := c.failure.Load(); cause != nil {
		err = *cause
	}
	if !errors.As(err, new(*panicked)) { // that was logged with its stack
		c.explain(err)
	}
}

// explain logs why the connection ends. What the network and well-behaved clients do is of no interest; a client that sends what makes no sense is
// worth a line, but however many it sends, not more than a few lines a second.
func (c *conn) explain(err error) {
	var network net.Error
	reason := zap.NamedError("reason", err)
	switch {
	case errors.Is(err, errQuit), errors.Is(err, net.ErrClosed), errors.As(err, &network), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, context.Canceled), errors.Is(err, errRefusedUnheard):
		c.log.Debug("connection closed", reason)
		return
	}
	c.server.metrics.malformed.Inc()
	level := zap.DebugLevel
	if c.server.complaints.allow(time.Now()) {
		level = zap.InfoLevel
	}
	c.log.Log(level, "connection closed because of what the client sent", reason)
}

// panicked is a panic turned into the end of a connection.
type panicked struct{ value any }

func (p *panicked) Error() string { return fmt.Sprintf("panic: %v", p.value) }

// caught turns a panic into an error, once, at the boundary of each of the connection's two goroutines.
func (c *conn) caught(err *error) {
	if v := recover(); v != nil {
		c.server.metrics.panics.Inc()
		c.log.Error("panic while serving a connection", zap.Any("panic", v), zap.ByteString("stack", debug.Stack()))
		*err = &panicked{v}
	}
}

// loop reads one frame after the other and dispatches it.
func (c *conn) loop() (err error) {
	defer func() {
		if c.hand != nil { // a panic on the way: the budget gets its bytes back
			c.hand.discharge()
		}
	}()
	defer c.caught(&err)
	for {
		f, err := c.next()
		if err != nil {
			return err
		}
		c.hand = f
		err = c.server.dispatch(c, f)
		c.hand = nil
		if err != nil {
			return err
		}
	}
}

// next reads the next frame.
func (c *conn) next() (*frame, error) {
	size, err := c.nextSize()
	for errors.Is(err, os.ErrDeadlineExceeded) && c.waiting.Load() > 0 && c.server.open.Err() == nil {
		size, err = c.nextSize() // not idle: it waits for the outcome of a produce
	}
	switch {
	case err == nil:
	case errors.Is(err, errQuit):
		return nil, err
	case err == io.EOF:
		return nil, fmt.Errorf("%w: the client hung up", errQuit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, fmt.Errorf("%w: idle", errQuit)
	default:
		return nil, fmt.Errorf("read a request's size: %w", err)
	}
	if c.r.Buffered() < size {
		c.frameDeadline()
	}
	f, err := readFrame(c.ctx, c.r, size, c.server.budget, c.frameDeadline, c.where)
	if err != nil {
		return nil, fmt.Errorf("read a request of %d bytes: %w", size, err)
	}
	return f, nil
}

// nextSize waits for the size of the next frame, as long as a connection may be idle.
func (c *conn) nextSize() (int, error) {
	if err := c.nc.SetReadDeadline(time.Now().Add(c.idle)); err != nil {
		return 0, fmt.Errorf("%w: %w", errQuit, err)
	}
	// After the deadline was set: either Shutdown sees the connection after this check and moves the deadline, or the check sees Shutdown.
	if c.server.open.Err() != nil {
		return 0, fmt.Errorf("%w: the server is shutting down", errQuit)
	}
	return readSize(c.r, c.server.opts.MaxRequestBytes)
}

// frameDeadline bounds the time that the rest of a frame may take. Shutdown does not wait for it.
func (c *conn) frameDeadline() {
	c.nc.SetReadDeadline(time.Now().Add(min(c.server.frameTimeout, c.idle)))
	if c.server.open.Err() != nil {
		c.nudge()
	}
}

// nudge makes a reader that waits for the next request look up. Called by Shutdown.
func (c *conn) nudge() { c.nc.SetReadDeadline(time.Unix(1, 0)) }

// finish lets the writer answer what it can, and waits for it.
func (c *conn) finish(err error) {
	if c.produces == nil {
		return
	}
	if !errors.Is(err, errQuit) {
		c.cancel()
	}
	close(c.produces)
	<-c.written
}

// fail ends the connection from the writer's side: the reader finds it closed.
func (c *conn) fail(err error) {
	c.failure.CompareAndSwap(nil, &err)
	c.cancel()
	c.nc.Close()
}

// drain waits until every produce before was answered: from here on, the reader may write.
func (c *conn) drain() error {
	for c.waiting.Load() != 0 {
		select {
		case <-c.drained:
		case <-c.ctx.Done():
			return fmt.Errorf("%w: %w", errQuit, c.ctx.Err())
		}
	}
	return nil
}

// write sends b as a whole. A client that does not read for as long as it may be idle is cut off.
func (c *conn) write(b []byte) error {
	if err := c.nc.SetWriteDeadline(time.Now().Add(c.idle)); err != nil {
		return err
	}
	if _, err := c.nc.Write(b); err != nil {
		return fmt.Errorf("write a reply: %w", err)
	}
	return nil
}

// mute stops reading from a client for d (KIP-219): its reply, which said so, has left.
func (c *conn) mute(d time.Duration) {
	if d <= 0 {
		return
	}
	c.server.metrics.throttled.Add(d.Seconds())
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-c.server.open.Done():
	case <-c.ctx.Done():
	}
}
