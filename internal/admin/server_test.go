package admin

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/barnabas-log/barnabas/internal/metrics"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// node is a Status that tests set.
type node struct{ unhealthy, unready atomic.Pointer[[]string] }

func (n *node) Unhealthy() []string { return *n.unhealthy.Load() }
func (n *node) Unready() []string   { return *n.unready.Load() }

func (n *node) Replicas(topic string) Node {
	if topic == "none" {
		return Node{ID: 7}
	}
	return Node{ID: 7, Partitions: []Replica{{Topic: "a" + topic, State: Following, Leader: 2, Compaction: &Compaction{DirtyRatio: 0.5}}}}
}

func newNode() *node {
	n := &node{}
	n.unhealthy.Store(&[]string{})
	n.unready.Store(&[]string{})
	return n
}

// start serves on a free port and returns the base of its addresses.
func start(t *testing.T, o Options) (s *Server, base string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o.Listener = l
	if o.Metrics == nil {
		o.Metrics = metrics.New()
	}
	if o.Status == nil {
		o.Status = newNode()
	}
	s = Open(o)
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s, "http://" + l.Addr().String()
}

func ask(t *testing.T, method, url, body string) (code int, answer string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestHealthAndReadinessFollowTheStatus(t *testing.T) {
	n := newNode()
	_, base := start(t, Options{Status: n})
	expect := func(path string, wantCode int, want string) {
		t.Helper()
		if code, body := ask(t, "GET", base+path, ""); code != wantCode || strings.TrimSpace(body) != want {
			t.Errorf("%s: %d %s, not %d %s", path, code, body, wantCode, want)
		}
	}
	expect("/healthz", 200, `{"status":"ok"}`)
	expect("/readyz", 200, `{"status":"ok"}`)
	n.unready.Store(&[]string{"starting"})
	expect("/healthz", 200, `{"status":"ok"}`)
	expect("/readyz", 503, `{"status":"failed","reasons":["starting"]}`)
	n.unhealthy.Store(&[]string{"a-0 stopped: disk full", "a-1 stopped: disk full"})
	expect("/healthz", 503, `{"status":"failed","reasons":["a-0 stopped: disk full","a-1 stopped: disk full"]}`)
	n.unready.Store(&[]string{})
	expect("/readyz", 200, `{"status":"ok"}`)
}

func TestMetricsAndIndexAreServed(t *testing.T) {
	r := metrics.New()
	r.Counter("things_total", "Things.").Add(4)
	_, base := start(t, Options{Metrics: r})
	if code, body := ask(t, "GET", base+"/metrics", ""); code != 200 || !strings.Contains(body, "\nbarnabas_things_total 4\n") {
		t.Errorf("%d %s", code, body)
	}
	if code, body := ask(t, "GET", base+"/", ""); code != 200 || !strings.Contains(body, "/readyz") {
		t.Errorf("%d %s", code, body)
	}
	if code, _ := ask(t, "GET", base+"/nothing", ""); code != 404 {
		t.Error(code)
	}
	if code, _ := ask(t, "POST", base+"/healthz", ""); code != 405 {
		t.Error(code)
	}
}

func TestReplicasAreServed(t *testing.T) {
	_, base := start(t, Options{})
	for query, want := range map[string]string{
		"":            `{"node":7,"partitions":[{"topic":"a","partition":0,"state":"following","leader":2,"segments":0,"bytes":0,"start":0,"end":0,"highWatermark":0,"compaction":{"to":0,"cleanBytes":0,"dirtyBytes":0,"dirtyRatio":0.5}}]}`,
		"?topic=none": `{"node":7,"partitions":[]}`,
	} {
		if code, body := ask(t, "GET", base+"/partitions"+query, ""); code != 200 || strings.TrimSpace(body) != want {
			t.Errorf("%s: %d %s, not %s", query, code, body, want)
		}
	}
}

func TestLogLevelChangesAtRunTime(t *testing.T) {
	level := zap.NewAtomicLevelAt(zap.InfoLevel)
	core, lines := observer.New(zapcore.DebugLevel)
	_, base := start(t, Options{Level: &level, Logger: zap.New(core)})
	if code, body := ask(t, "GET", base+"/log/level", ""); code != 200 || !strings.Contains(body, `"info"`) {
		t.Errorf("%d %s", code, body)
	}
	if code, body := ask(t, "PUT", base+"/log/level", `{"level":"debug"}`); code != 200 || level.Level() != zap.DebugLevel {
		t.Errorf("%d %s: %v", code, body, level)
	}
	if lines.FilterMessage("log level changed").Len() != 1 {
		t.Errorf("no line about it: %v", lines.All())
	}
	resp, err := http.PostForm(base+"/log/level", nil) // not a way to change it
	if err != nil || resp.StatusCode != 405 {
		t.Errorf("%v %v", resp, err)
	}
	resp.Body.Close()
	req, err := http.NewRequestWithContext(t.Context(), "PUT", base+"/log/level", strings.NewReader("level=warn")) // as curl -X PUT -d level=warn
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if resp, err = http.DefaultClient.Do(req); err != nil || resp.StatusCode != 200 || level.Level() != zap.WarnLevel {
		t.Fatalf("%v %v: %v", resp, err, level)
	}
	resp.Body.Close()
	level.SetLevel(zap.DebugLevel)
	if code, _ := ask(t, "PUT", base+"/log/level", `{"level":"loud"}`); code != 400 || level.Level() != zap.DebugLevel {
		t.Errorf("%d %v", code, level)
	}
	if code, _ := ask(t, "PUT", base+"/log/level", strings.Repeat(" ", maxBody+1)+`{"level":"info"}`); code != 400 || level.Level() != zap.DebugLevel {
		t.Errorf("a long body: %d %v", code, level)
	}
}

func TestProfilesAreServedHere(t *testing.T) {
	_, base := start(t, Options{})
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/goroutine?debug=1", "/debug/pprof/heap", "/debug/pprof/cmdline", "/debug/pprof/symbol"} {
		if code, body := ask(t, "GET", base+path, ""); code != 200 || body == "" {
			t.Errorf("%s: %d", path, code)
		}
	}
}

// What could hurt is refused to whoever is not on this machine, and to browsers that were led here under another name.
func TestProfilesAndLevelAreRefusedFromElsewhere(t *testing.T) {
	level := zap.NewAtomicLevelAt(zap.InfoLevel)
	s := &Server{opts: Options{Status: newNode(), Metrics: metrics.New(), Level: &level}, log: zap.NewNop()}
	for _, c := range []struct {
		remote, host string
		allowed      bool
	}{
		{"127.0.0.1:5000", "127.0.0.1:9644", true},
		{"127.8.9.1:5000", "localhost", true},
		{"[::1]:5000", "[::1]:9644", true},
		{"[::1]:5000", "[::1]", true},
		{"[::ffff:127.0.0.1]:5000", "localhost:9644", true},
		{"10.1.2.3:5000", "10.1.2.4:9644", false},
		{"10.1.2.3:5000", "localhost:9644", false},
		{"[2001:db8::1]:5000", "[2001:db8::2]:9644", false},
		{"127.0.0.1:5000", "evil.example:9644", false},
		{"127.0.0.1:5000", "localhost.evil.example", false},
		{"@", "localhost", false},
	} {
		for _, what := range []struct{ method, path string }{
			{"GET", "/debug/pprof/"}, {"GET", "/debug/pprof/cmdline"}, {"GET", "/debug/pprof/heap"}, {"GET", "/log/level"}, {"PUT", "/log/level"},
		} {
			req := httptest.NewRequest(what.method, what.path, strings.NewReader(`{"level":"debug"}`))
			req.RemoteAddr, req.Host = c.remote, c.host
			w := httptest.NewRecorder()
			s.routes().ServeHTTP(w, req)
			if want := map[bool]int{true: 200, false: 403}[c.allowed]; w.Code != want {
				t.Errorf("%s %s from %s to %s: %d, not %d", what.method, what.path, c.remote, c.host, w.Code, want)
			}
		}
		if changed := level.Level() == zap.DebugLevel; changed != c.allowed {
			t.Errorf("from %s to %s: level is %v", c.remote, c.host, level)
		}
		level.SetLevel(zap.InfoLevel)
		req := httptest.NewRequest("GET", "/readyz", nil)
		req.RemoteAddr, req.Host = c.remote, c.host
		w := httptest.NewRecorder()
		if s.routes().ServeHTTP(w, req); w.Code != 200 {
			t.Errorf("readyz from %s: %d", c.remote, w.Code)
		}
	}
}

// Close does not wait for a profile that takes half a minute.
func TestCloseCutsOffALongProfile(t *testing.T) {
	s, base := start(t, Options{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		resp, err := http.Get(base + "/debug/pprof/trace?seconds=25")
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
	}()
	for inHand := false; !inHand; { // until the request is in hand
		_, body := ask(t, "GET", base+"/debug/pprof/goroutine?debug=2", "")
		inHand = strings.Contains(body, "pprof.Trace")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Close(ctx); err != nil {
		t.Error(err)
	}
	<-ended
}
