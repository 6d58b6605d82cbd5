package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"sync"
	"time"

	"github.com/barnabas-log/barnabas/internal/metrics"
	"go.uber.org/zap"
)

// Status is what the endpoints ask of the node. Its methods are called from any goroutine, from before the node has started until Close returns, and return soon.
type Status interface {
	// Unhealthy is why the node cannot go on without a restart: replicas that stopped because the disk failed. Empty: it is well.
	Unhealthy() []string
	// Unready is why the node does not serve all that it should. Empty: it does.
	Unready() []string
	// Replicas is what the node has on its disks: of all topics, or of the one that is named.
	Replicas(topic string) Node
}

// Options of a Server.
type Options struct {
	Listener net.Listener // the server closes it
	Status   Status
	Metrics  *metrics.Registry
	Level    *zap.AtomicLevel // nil: the level cannot be changed
	Logger   *zap.Logger      // nil: no output
}

// Server answers HTTP requests from Open until Close.
type Server struct {
	opts    Options
	log     *zap.Logger
	http    *http.Server
	serving sync.WaitGroup
}

const (
	// headerLimit bounds how long a client may take to send its request's header, idleLimit how long a connection stays open between two requests.
	headerLimit = 5 * time.Second
	idleLimit   = 2 * time.Minute
	// maxHeader and maxBody bound what a request may carry.
	maxHeader = 16 << 10
	maxBody   = 4 << 10
)

// Open starts to serve.
func Open(o Options) *Server {
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	s := &Server{opts: o, log: o.Logger}
	s.http = &http.Server{
		Handler: s.routes(), ReadHeaderTimeout: headerLimit, IdleTimeout: idleLimit, MaxHeaderBytes: maxHeader,
		ErrorLog: zap.NewStdLog(s.log.WithOptions(zap.IncreaseLevel(zap.ErrorLevel))), // what clients do wrong is no news
	}
	s.serving.Go(func() {
		if err := s.http.Serve(o.Listener); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("the HTTP listener ended", zap.Error(err))
		}
	})
	return s
}

// Addr is where the server listens.
func (s *Server) Addr() net.Addr { return s.opts.Listener.Addr() }

// Close lets requests in hand finish until ctx ends, then cuts them off (a profile may take half a minute). Nothing of the server is left after it.
func (s *Server) Close(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = s.http.Close()
	}
	s.serving.Wait()
	if err != nil {
		return fmt.Errorf("close the HTTP listener: %w", err)
	}
	return nil
}

func (s *Server) routes() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /{$}", index)
	m.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { report(w, s.opts.Status.Unhealthy()) })
	m.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { report(w, s.opts.Status.Unready()) })
	m.HandleFunc("GET /partitions", s.partitions)
	m.Handle("GET /metrics", s.opts.Metrics.Handler())
	if s.opts.Level != nil {
		m.Handle("GET /log/level", local(s.opts.Level))
		m.Handle("PUT /log/level", local(http.HandlerFunc(s.setLevel)))
	}
	m.Handle("GET /debug/pprof/", local(http.HandlerFunc(pprof.Index)))
	m.Handle("GET /debug/pprof/cmdline", local(http.HandlerFunc(pprof.Cmdline)))
	m.Handle("GET /debug/pprof/profile", local(http.HandlerFunc(pprof.Profile)))
	m.Handle("GET /debug/pprof/symbol", local(http.HandlerFunc(pprof.Symbol)))
	m.Handle("POST /debug/pprof/symbol", local(http.HandlerFunc(pprof.Symbol)))
	m.Handle("GET /debug/pprof/trace", local(http.HandlerFunc(pprof.Trace)))
	return m
}

// setLevel changes the log level, and leaves a line that says so.
func (s *Server) setLevel(w http.ResponseWriter, r *http.Request) {
	before := s.opts.Level.Level()
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	s.opts.Level.ServeHTTP(w, r)
	if now := s.opts.Level.Level(); now != before {
		s.log.Log(max(now, zap.InfoLevel), "log level changed", zap.Stringer("from", before), zap.Stringer("to", now), zap.String("client", r.RemoteAddr))
	}
}

func index(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = fmt.Fprint(w, "Barnabas\n\n/healthz\n/readyz\n/partitions\n/metrics\n\non this machine only:\n/log/level\n/debug/pprof/\n")
}

// condition is the body of healthz and readyz.
type condition struct {
	Status  string   `json:"status"`
	Reasons []string `json:"reasons,omitempty"`
}

func report(w http.ResponseWriter, reasons []string) {
	c, code := condition{Status: "ok"}, http.StatusOK
	if len(reasons) > 0 {
		c, code = condition{Status: "failed", Reasons: reasons}, http.StatusServiceUnavailable
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(c) // an error is the client's: it hung up
}

// local answers requests that come from this machine, and refuses others.
func local(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !fromLoopback(r.RemoteAddr) || !loopbackName(r.Host) {
			http.Error(w, "this is answered on the loopback interface only", http.StatusForbidden)
			return
		}
		h.ServeHTTP(w, r)
	})
}

func fromLoopback(remote string) bool {
	a, err := netip.ParseAddrPort(remote)
	return err == nil && a.Addr().Unmap().IsLoopback()
}

// loopbackName says whether a Host header names the loopback interface.
func loopbackName(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	if len(name) > 1 && name[0] == '[' && name[len(name)-1] == ']' {
		name = name[1 : len(name)-1]
	}
	a, err := netip.ParseAddr(name)
	return name == "localhost" || err == nil && a.Unmap().IsLoopback()
}
