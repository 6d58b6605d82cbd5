package protocol

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/barnabas-log/barnabas/internal/metrics"
	"github.com/barnabas-log/barnabas/partition"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// figures reads the figures of a server under test.
type figures struct {
	*testing.T
	*metrics.Registry
}

func (f figures) expect(want float64, name string, labels ...string) {
	f.Helper()
	if got, _ := f.Value(name, labels...); got != want {
		f.Errorf("%s %v is %v, not %v", name, labels, got, want)
	}
}

func TestRequestsAreCounted(t *testing.T) {
	f := figures{t, metrics.New()}
	s := serve(t, Options{Metrics: NewMetrics(f.Registry)})
	s.create("t", 1, partition.Config{})
	c := dial(t, s)
	hello := kmsg.NewPtrApiVersionsRequest()
	hello.SetVersion(3)
	hello.ClientSoftwareName, hello.ClientSoftwareVersion = "tester", "1.2"
	c.ask(hello)
	c.produced(produceTo("t", 0, 9, -1, batch(1)))
	c.produced(produceTo("t", 0, 9, -1, batch(1)))
	c.ask(produceTo("t", 7, 9, -1, batch(1)))
	c.ask(fetchFrom("t", 0, 11, 0))
	c.ask(fetchFrom("t", 0, 11, 1<<40))
	c.ask(metadataRequest(9)) // answered after everything before it was counted
	f.expect(3, "requests_total", "Produce", "9")
	f.expect(2, "requests_total", "Fetch", "11")
	f.expect(3, "request_seconds", "Produce")
	f.expect(2, "request_seconds", "Fetch")
	f.expect(1, "request_seconds", "ApiVersions")
	f.expect(1, "request_errors_total", "Produce")
	f.expect(1, "request_errors_total", "Produce", "UNKNOWN_TOPIC_OR_PARTITION")
	f.expect(1, "request_errors_total", "Fetch", "OFFSET_OUT_OF_RANGE")
	f.expect(0, "request_errors_total", "ApiVersions")
	f.expect(1, "connections_accepted_total")
	f.expect(1, "connections", "tester", "1.2")
	f.expect(0, "connections_refused_total")
	f.expect(256<<20, "requests_in_flight_limit_bytes")
	for _, api := range []string{"Produce", "Fetch", "ApiVersions"} {
		in, _ := f.Value("request_bytes_total", api)
		out, _ := f.Value("response_bytes_total", api)
		if in < 20 || out < 50 {
			t.Errorf("%s: %v bytes in, %v out", api, in, out)
		}
	}
}

// The bytes of a fetch that are counted are those that arrive, whether they are copied or sent from the file.
func TestBytesOfRepliesAreThoseThatArrive(t *testing.T) {
	for name, max := range map[string]int32{"copied": 17 << 10, "from the file": 1 << 20} {
		t.Run(name, func(t *testing.T) {
			f := figures{t, metrics.New()}
			s := serve(t, Options{Metrics: NewMetrics(f.Registry)})
			s.create("t", 1, partition.Config{})
			c := dial(t, s)
			for range 20 {
				c.produced(produceTo("t", 0, 9, -1, filled(15<<10)))
			}
			req := fetchFrom("t", 0, 11, 0)
			req.MaxBytes = max
			c.send(req)
			_, body, err := c.read()
			if err != nil {
				t.Fatal(err)
			}
			c.ask(metadataRequest(9))
			f.expect(float64(len(body)+8), "response_bytes_total", "Fetch")
		})
	}
}

func TestConnectionsThatAreRefusedOrSendNonsenseAreCounted(t *testing.T) {
	f := figures{t, metrics.New()}
	s := serve(t, Options{Metrics: NewMetrics(f.Registry), MaxConnections: 1})
	c := dial(t, s)
	c.ask(metadataRequest(9))
	second := dial(t, s)
	if _, err := second.Read(make([]byte, 1)); err == nil {
		t.Fatal("the second connection is served")
	}
	f.expect(1, "connections_refused_total", "max.connections is reached")
	f.expect(1, "connections", "unknown")
	if _, err := c.Write([]byte{0, 0, 0, 8, 0, 99, 0, 0, 0, 0, 0, 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Fatal("answered")
	}
	f.expect(1, "connections_malformed_total")
}

// A client can say that it is anything: how many names are told apart is bounded.
func TestSoftwareIsBounded(t *testing.T) {
	s := NewServer(nil, Options{})
	total := 0
	for i := range 3 * softwareLimit {
		for range 1 + i%3 {
			c := &conn{}
			c.software.Store(&software{fmt.Sprintf("client-%d", i), "1"})
			s.conns[c] = struct{}{}
			total++
		}
	}
	list := s.software()
	sum := 0
	for _, c := range list {
		sum += c.connections
	}
	if len(list) != softwareLimit+1 || sum != total || list[0].connections != 3 || list[softwareLimit].name != "other" {
		t.Errorf("%d entries, %d of %d connections: %+v", len(list), sum, total, list)
	}
	for c := range s.conns {
		c.software.Store(&software{"other", "other"})
		break
	}
	seen := map[software]bool{}
	for _, c := range s.software() {
		if seen[c.software] {
			t.Errorf("%v is there twice", c.software)
		}
		seen[c.software] = true
	}
}

func TestFetchSessionsAreCounted(t *testing.T) {
	f := figures{t, metrics.New()}
	s := serve(t, Options{Metrics: NewMetrics(f.Registry), MaxFetchSessions: 1})
	first := s.server.sessions.add(false, 1)
	first.index[partKey{number: 1}] = &sessionPart{}
	s.server.sessions.done(first)
	f.expect(1, "fetch_sessions")
	f.expect(1, "fetch_session_partitions")
	if s.server.sessions.add(false, 2) == nil {
		t.Fatal("no room")
	}
	f.expect(1, "fetch_sessions")
	f.expect(1, "fetch_sessions_evicted_total")
}

// Whatever is in flight is in the figure, and nothing stays in it.
func TestBytesInFlightComeAndGo(t *testing.T) {
	b := newBudget(100)
	if _, err := b.take(t.Context(), 30); err != nil {
		t.Fatal(err)
	}
	n, err := b.take(t.Context(), 70)
	if err != nil || b.used.Load() != 100 {
		t.Fatal(n, err, b.used.Load())
	}
	if _, err := b.take(ended, 1); err == nil || b.used.Load() != 100 {
		t.Fatal(err, b.used.Load())
	}
	b.give(30)
	b.give(n)
	if b.used.Load() != 0 {
		t.Fatal(b.used.Load())
	}
}

// Every API that is served has its codes found, at every depth. They are counted by a second way: fill sets them.
func TestCodesOfEveryAPIAreFound(t *testing.T) {
	for i := range apis {
		key := apis[i].key
		resp := kmsg.ResponseForKey(key)
		want := fill(reflect.ValueOf(resp).Elem())
		got := 0
		planFor(key).each(reflect.ValueOf(resp).Elem(), func(code int16) {
			if code == 42 {
				got++
			}
		})
		if got != want || want == 0 {
			t.Errorf("%s: %d of %d codes", kmsg.NameForKey(key), got, want)
		}
		if key < 0 || key > maxKey {
			t.Errorf("key %d", key)
		}
	}
}

// fill gives every list two elements and every ErrorCode the value 42, and returns how many there are.
func fill(v reflect.Value) (codes int) {
	for name, f := range v.Fields() {
		switch {
		case name.Name == "ErrorCode":
			f.SetInt(42)
			codes++
		case f.Kind() == reflect.Slice && f.Type().Elem().Kind() == reflect.Struct:
			f.Set(reflect.MakeSlice(f.Type(), 2, 2))
			codes += fill(f.Index(0)) + fill(f.Index(1))
		}
	}
	return codes
}

func TestCountingARequestAllocatesNothing(t *testing.T) {
	m := NewMetrics(metrics.New())
	rows := byKey(apis)
	resp := kmsg.NewPtrOffsetCommitResponse()
	fill(reflect.ValueOf(resp).Elem())
	count := func() {
		a := m.of(rows[8])
		a.came(8, 100)
		a.answered(time.Now(), 100)
		a.failures(resp)
	}
	count()
	if n := testing.AllocsPerRun(100, count); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestCodeNames(t *testing.T) {
	for code, want := range map[int16]string{codeNotLeaderOrFollower: "NOT_LEADER_OR_FOLLOWER", codeUnknownServerError: "UNKNOWN_SERVER_ERROR", 3: "UNKNOWN_TOPIC_OR_PARTITION", 9999: "9999"} {
		if got := codeName(code); got != want {
			t.Errorf("%d is %s", code, got)
		}
	}
}
