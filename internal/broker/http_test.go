package broker

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/barnabas-log/barnabas/internal/config"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kadm"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// get asks a broker's HTTP listener, on a connection of its own.
func get(t *testing.T, b *Broker, path string) (code int, body string) {
	t.Helper()
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Get("http://" + b.HTTPAddr() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func reasonsOf(t *testing.T, body string) []string {
	t.Helper()
	var answer struct{ Reasons []string }
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return answer.Reasons
}

func TestANodeIsReadyAndItsFiguresMove(t *testing.T) {
	n := start(t, "barnabas.http.listener=127.0.0.1:0")
	for _, path := range []string{"/healthz", "/readyz"} {
		if code, body := get(t, n.broker, path); code != 200 {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	n.create("orders", 2)
	for range 10 {
		if err := n.produce("orders", 1, strings.Repeat("v", 100)); err != nil {
			t.Fatal(err)
		}
	}
	offsets := make(kadm.Offsets)
	offsets.AddOffset("orders", 0, 0, -1)
	offsets.AddOffset("orders", 1, 6, -1)
	if err := n.admin.CommitAllOffsets(n.ctx(), "billing", offsets); err != nil {
		t.Fatal(err)
	}
	r := n.broker.observed.registry
	for _, want := range []struct {
		value  float64
		name   string
		labels []string
	}{
		{10, "log_appended_records_total", nil}, // and more: the offsets
		{10, "log_fsync_seconds", nil},
		{10, "requests_total", []string{"Produce"}},
		{10, "request_seconds", []string{"Produce"}},
		{2, "partition_leaderships_won_total", nil},
		{2, "replicas_leading", nil},
		{1, "connections", nil},
		{500, "topic_bytes", []string{"orders"}},
		{1, "data_directory_free_bytes", nil},
	} {
		if got, _ := r.Value(want.name, want.labels...); got < want.value {
			t.Errorf("%s %v is %v, less than %v", want.name, want.labels, got, want.value)
		}
	}
	for name, want := range map[string]float64{
		"ready": 1, "replicas_offline": 0, "partitions_under_replicated": 0, "partitions_leaderless": 0, "controller_active": 1, "cluster_topics": 2,
		"cluster_brokers": 1, "replication_lag_records": 0, "log_failures_total": 0, "group_lag_omitted": 0, "group_members": 0,
	} {
		if got, ok := r.Value(name); got != want || !ok {
			t.Errorf("%s is %v %v, not %v", name, got, ok, want)
		}
	}
	if got, _ := r.Value("group_lag_records", "billing", "orders"); got != 4 {
		t.Errorf("lag is %v", got)
	}
	if got, _ := r.Value("groups", "Empty"); got != 1 {
		t.Errorf("%v empty groups", got)
	}
}

// Every figure of the node has a good name and a description, and every one of ours is in the documentation.
func TestFiguresAreNamedWellAndDocumented(t *testing.T) {
	n := start(t, "barnabas.http.listener=127.0.0.1:0")
	n.create("t", 1)
	if err := n.produce("t", 0, "a"); err != nil {
		t.Fatal(err)
	}
	n.broker.observed.registry.Value("") // once, so that figures of scraping are there
	problems, err := testutil.GatherAndLint(n.broker.observed.registry.Gatherer())
	if err != nil {
		t.Error(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	families, err := n.broker.observed.registry.Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if name := f.GetName(); strings.HasPrefix(name, "barnabas_") && !strings.Contains(string(page), "`"+name+"`") {
			t.Errorf("docs/operations.md does not say what %s is", name)
		}
	}
	code, text := get(t, n.broker, "/metrics")
	if code != 200 || !strings.Contains(text, "\nprocess_resident_memory_bytes ") || !strings.Contains(text, "# TYPE barnabas_request_seconds histogram\n") {
		t.Errorf("%d %s", code, text)
	}
}

func TestReadinessNamesWhatIsMissing(t *testing.T) {
	n := start(t, "barnabas.http.listener=127.0.0.1:0")
	n.create("orders", 1)
	image := n.broker.Image()
	r := n.broker.hosting.find(image.Topics["orders"].ID, 0)
	r.part.Failed(errors.New("input/output error"))
	code, body := get(t, n.broker, "/readyz")
	if why := reasonsOf(t, body); code != 503 || len(why) != 1 || !strings.HasPrefix(why[0], "orders-0 stopped: ") || !strings.Contains(why[0], "input/output error") {
		t.Errorf("%d %q", code, why)
	}
	code, body = get(t, n.broker, "/healthz")
	if why := reasonsOf(t, body); code != 503 || len(why) != 1 || !strings.HasPrefix(why[0], "orders-0 stopped: ") {
		t.Errorf("%d %q", code, why)
	}
	if got, _ := n.broker.observed.registry.Value("replicas_offline"); got != 1 {
		t.Errorf("%v offline", got)
	}
	for at, want := range map[phase]string{starting: "the node is starting", stopping: "the node is stopping"} {
		n.broker.phase.Store(int32(at))
		code, body = get(t, n.broker, "/readyz")
		if why := reasonsOf(t, body); code != 503 || !slices.Equal(why, []string{want}) {
			t.Errorf("%d %q", code, why)
		}
	}
}

// A node that waits for its peers answers, and says that it is not ready, and why.
func TestANodeThatWaitsForItsPeersIsAliveAndNotReady(t *testing.T) {
	var ports []string
	for range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ports = append(ports, l.Addr().String())
		l.Close()
	}
	c, _, err := config.Load(config.Input{Set: settingsOf(t.TempDir(), "listeners=PLAINTEXT://127.0.0.1:0,CONTROLLER://"+ports[0],
		"controller.listener.names=CONTROLLER", "controller.quorum.voters=1@"+ports[0]+",2@"+ports[1], "barnabas.http.listener="+ports[2])})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	opened := make(chan error, 1)
	go func() {
		b, err := Open(ctx, Options{Config: c})
		if err == nil {
			_ = b.Close(context.Background())
		}
		opened <- err
	}()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	ask := func(path string) (int, string) {
		resp, err := client.Get("http://" + ports[2] + path)
		if err != nil {
			return 0, ""
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body)
	}
	for code := 0; code == 0; { // until it listens
		code, _ = ask("/healthz")
		if code != 0 && code != 200 {
			t.Errorf("healthz: %d", code)
		}
	}
	code, body := ask("/readyz")
	if why := reasonsOf(t, body); code != 503 || !slices.Equal(why, []string{"the node is starting: the metadata group has no leader yet"}) {
		t.Errorf("%d %q", code, why)
	}
	if code, _ := ask("/metrics"); code != 200 {
		t.Errorf("metrics: %d", code)
	}
	cancel()
	if err := <-opened; err == nil {
		t.Error("opened without its peer")
	}
}

// The default port taken by another node is no reason not to start; one that was asked for is.
func TestASecondNodeStartsWithoutHTTPUnlessItWasAskedFor(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, asked := range []bool{false, true} {
		c, _, err := config.Load(config.Input{Set: settingsOf(t.TempDir())})
		if err != nil {
			t.Fatal(err)
		}
		c.HTTP, c.HTTPAsked = l.Addr().String(), asked
		core, lines := observer.New(zap.WarnLevel)
		began := time.Now()
		b, err := Open(t.Context(), Options{Config: c, Logger: zap.New(core)})
		if asked {
			if err == nil || !strings.Contains(err.Error(), "barnabas.http.listener") {
				t.Errorf("asked for: %v", err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if b.HTTPAddr() != "" || b.observed.registry != nil || lines.FilterMessageSnippet("barnabas.http.listener").Len() != 1 {
			t.Errorf("after %v: %q %v", time.Since(began), b.HTTPAddr(), lines.All())
		}
		if err := b.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
