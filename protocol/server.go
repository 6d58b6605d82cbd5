package protocol

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
)

// Options of a Server; zero values are Kafka's defaults. Names in brackets are Kafka's.
type Options struct {
	MaxRequestBytes   int         // socket.request.max.bytes
	MaxConnections    int         // max.connections
	MaxPerIP          int         // max.connections.per.ip
	MaxIdleMs         int64       // connections.max.idle.ms
	InFlightBytes     int64       // queued.max.request.bytes: bytes of requests in hand over all connections. 0: 256 MiB (Kafka: no limit)
	FetchMaxBytes     int         // fetch.max.bytes
	MaxFetchSessions  int         // max.incremental.fetch.session.cache.slots; negative: no sessions
	AutoCreate        bool        // auto.create.topics.enable
	DeleteTopicEnable bool        // delete.topic.enable
	RackAware         bool        // replica.selector.class: consumers are sent to replicas in their rack
	Metrics           *Metrics    // of this server alone; nil: nobody reads any
	Logger            *zap.Logger // nil: no output
}

// EnsureDefaults replaces zero values by the defaults.
func (o *Options) EnsureDefaults() {
	setDefaultInt(&o.MaxRequestBytes, 100<<20)
	setDefaultInt(&o.MaxConnections, 1<<31-1)
	setDefaultInt(&o.MaxPerIP, 1<<31-1)
	setDefaultInt(&o.MaxIdleMs, 600_000)
	setDefaultInt(&o.InFlightBytes, 256<<20)
	setDefaultInt(&o.FetchMaxBytes, 55<<20)
	setDefaultInt(&o.MaxFetchSessions, 1000)
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil)
	}
}

func setDefaultInt[T int | int64](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}

// Server speaks Kafka's protocol on any number of listeners.
type Server struct {
	backend    Backend
	opts       Options
	log        *zap.Logger
	metrics    *Metrics
	table      map[int16]*api
	versions   []kmsg.ApiVersionsResponseApiKey // what ApiVersions answers, printed from the table
	shapes     shapes
	budget     *budget
	zombies    zombies
	sessions   *sessions
	complaints complaints

	frameTimeout time.Duration // the constant, except in tests

	open    context.Context // ends when Shutdown begins: long polls and rebalances return
	closing context.CancelFunc
	hard    context.Context // ends when Shutdown's patience does: everything returns
	kill    context.CancelFunc
	group   sync.WaitGroup // one for each connection

	mu sync.Mutex
	// mu guards following.
	listeners map[net.Listener]struct{}
	conns     map[*conn]struct{}
	perIP     map[string]int
	closed    bool
}

// NewServer makes a server for the backend. Nothing is served before Serve.
func NewServer(b Backend, o Options) *Server {
	o.EnsureDefaults()
	s := &Server{
		backend: b, opts: o, log: o.Logger, metrics: o.Metrics, table: byKey(apis), versions: advertise(apis), budget: newBudget(o.InFlightBytes),
		sessions: newSessions(o.MaxFetchSessions), frameTimeout: frameTimeout,
		listeners: map[net.Listener]struct{}{}, conns: map[*conn]struct{}{}, perIP: map[string]int{},
	}
	s.open, s.closing = context.WithCancel(context.Background())
	s.hard, s.kill = context.WithCancel(context.Background())
	s.publish()
	return s
}

// ErrServerClosed is returned by Serve after Shutdown. It is a net.ErrClosed, too: nothing went wrong.
var ErrServerClosed = fmt.Errorf("the server was shut down: %w", net.ErrClosed)

// Serve accepts connections until the listener is closed or Shutdown; name is the listener's (PLAINTEXT), which decides the advertised
// addresses. It returns ErrServerClosed after Shutdown, and otherwise why accepting ended.
func (s *Server) Serve(l net.Listener, name string) error {
	if !s.listen(l) {
		l.Close()
		return ErrServerClosed
	}
	for pause := time.Duration(0); ; {
		nc, err := l.Accept()
		if s.open.Err() != nil {
			if err == nil {
				hangUp(nc)
			}
			return ErrServerClosed
		}
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("accept on %s: %w", name, err)
			}
			// Out of descriptors, most likely. It passes when connections close.
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.log.Warn("accepting a connection", zap.String("listener", name), zap.Duration("retry", pause), zap.Error(err))
			select {
			case <-time.After(pause):
			case <-s.open.Done():
			}
			continue
		}
		pause = 0
		s.accept(nc, name)
	}
}

// listen remembers l, so that Shutdown can close it.
func (s *Server) listen(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.listeners[l] = struct{}{}
	}
	return !s.closed
}

// accept starts a connection, or drops it when it is one too many.
func (s *Server) accept(nc net.Conn, listener string) {
	c := newConn(s, nc, listener)
	if reason := s.admit(c); reason != "" {
		s.metrics.refused.With(reason).Inc()
		s.log.Info("connection refused", zap.String("client", c.host), zap.String("reason", reason))
		nc.Close()
		return
	}
	s.metrics.accepted.Inc()
	go func() {
		defer s.group.Done()
		defer s.forget(c)
		c.serve()
	}()
}

// hangUp closes a connection that came while the server closes, with a reset: clients take an orderly close right after connecting for a broker that speaks another protocol, and
// give up, but come back after a reset.
func hangUp(nc net.Conn) {
	if tcp, ok := nc.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = nc.Close()
}

// admit counts c, or says why it may not be.
func (s *Server) admit(c *conn) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return "the server is shutting down"
	case len(s.conns) >= s.opts.MaxConnections:
		return "max.connections is reached"
	case s.perIP[c.ip] >= s.opts.MaxPerIP:
		return "max.connections.per.ip is reached"
	}
	s.conns[c] = struct{}{}
	s.perIP[c.ip]++
	s.group.Add(1)
	return ""
}

func (s *Server) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if s.perIP[c.ip]--; s.perIP[c.ip] == 0 {
		delete(s.perIP, c.ip)
	}
}

// Shutdown stops accepting, lets requests in hand finish until ctx ends, then closes every connection. Long polls and rebalances return at once.
// After it, no goroutine of the server is left.
func (s *Server) Shutdown(ctx context.Context) error {
	s.closing()
	s.mu.Lock()
	s.closed = true
	for l := range s.listeners {
		l.Close()
	}
	clear(s.listeners)
	for c := range s.conns {
		c.nudge()
	}
	s.mu.Unlock()

	done := make(chan struct{})
	go func() {
		s.group.Wait()
		close(done)
	}()
	defer s.kill()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	s.kill()
	s.mu.Lock()
	for c := range s.conns {
		c.nc.Close()
	}
	s.mu.Unlock()
	<-done
	return fmt.Errorf("shutdown: requests in hand were cut off: %w", ctx.Err())
}

// Connections is how many connections are open.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// Client is one open connection, for whoever asks who is still on an old client. Software and Version are empty until the client has said them, which
// old ones never do.
type Client struct {
	Address, Listener string
	Software, Version string
}

// Clients lists the open connections, in no order.
func (s *Server) Clients() []Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	clients := make([]Client, 0, len(s.conns))
	for c := range s.conns {
		each := Client{Address: c.nc.RemoteAddr().String(), Listener: c.listener}
		if said := c.software.Load(); said != nil {
			each.Software, each.Version = said.name, said.version
		}
		clients = append(clients, each)
	}
	return clients
}
