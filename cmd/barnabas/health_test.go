package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/barnabas-log/barnabas/internal/config"
)

func TestHealthAsksReadyz(t *testing.T) {
	code, body := http.StatusOK, `{"status":"ok"}`
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" {
			t.Errorf("asked %s", r.URL.Path)
		}
		w.WriteHeader(code)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(s.Close)
	if code, out, errs := execute(t, "health", "--url", s.URL+"/readyz"); code != 0 || out != "ready\n" || errs != "" {
		t.Errorf("%d %q %q", code, out, errs)
	}
	code, body = http.StatusServiceUnavailable, `{"status":"failed","reasons":["orders-3 has no leader","2 replicas lag"]}`
	if code, out, errs := execute(t, "health", "--url", s.URL+"/readyz"); code != 1 || out != "" || !strings.Contains(errs, "503 Service Unavailable; orders-3 has no leader; 2 replicas lag") {
		t.Errorf("%d %q %q", code, out, errs)
	}
	s.Close()
	if code, _, errs := execute(t, "health", "--url", s.URL+"/readyz"); code != 3 || !strings.Contains(errs, "connection refused") {
		t.Errorf("%d %q", code, errs)
	}
}

func TestHealthAsksTheListenerOfTheEnvironment(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	address := cluster.ListenAddrs()[0]
	t.Setenv("KAFKA_LISTENERS", "PLAINTEXT://"+address)
	t.Setenv("BARNABAS_DEFAULT_BARNABAS_HTTP_LISTENER", ":1") // nothing is there, and nobody asked for it
	if code, out, errs := execute(t, "health", "--timeout", "5s"); code != 0 || out != "ready\n" {
		t.Errorf("%d %q %q", code, out, errs)
	}
	t.Setenv("KAFKA_BARNABAS_HTTP_LISTENER", ":1") // asked for
	if code, _, errs := execute(t, "health", "--timeout", "5s"); code != 3 || !strings.Contains(errs, "127.0.0.1:1/readyz") {
		t.Errorf("%d %q", code, errs)
	}
	t.Setenv("KAFKA_BARNABAS_HTTP_LISTENER", "")
	cluster.Close()
	if code, _, errs := execute(t, "health", "--timeout", "5s"); code != 3 || !strings.Contains(errs, address) {
		t.Errorf("%d %q", code, errs)
	}
	t.Setenv("KAFKA_LISTENERS", "nonsense")
	if code, _, errs := execute(t, "health"); code != 1 || !strings.Contains(errs, "KAFKA_LISTENERS") && !strings.Contains(errs, "listeners (environment)") {
		t.Errorf("%d %q", code, errs)
	}
}

func TestLocalAddress(t *testing.T) {
	for want, host := range map[string]string{"127.0.0.1:7": "0.0.0.0", "[::1]:7": "::", "a:7": "a"} {
		if got := localAddress([]config.Listener{{Host: host, Port: 7}}); got != want {
			t.Errorf("%q: %s", host, got)
		}
	}
	if got := localAddress([]config.Listener{{Port: 7}}); got != "127.0.0.1:7" {
		t.Error(got)
	}
}
