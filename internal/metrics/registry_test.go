package metrics

import (
	"io"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// scrape is what Prometheus would read.
func scrape(t *testing.T, r *Registry) string {
	t.Helper()
	w := httptest.NewRecorder()
	r.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	body, err := io.ReadAll(w.Result().Body)
	if err != nil || w.Code != 200 {
		t.Fatalf("%d %v %s", w.Code, err, body)
	}
	return string(body)
}

func TestScrapeShowsWhatWasCountedAndWhatIsLookedUp(t *testing.T) {
	r := New()
	plain := r.Counter("things_total", "Things.")
	byKind := r.Counters("kinds_total", "Things by kind.", "kind")
	times := r.Histogram("wait_seconds", "Waits.", []float64{1, 2})
	byWho := r.Histograms("work_seconds", "Work.", []float64{1}, "who")
	open, seen := Gauge("open", "Open now.", "name"), Total("seen_total", "Seen.")
	r.Sample(func(emit Emit) {
		emit(open, 2.5, "a")
		emit(seen, 7)
	}, open, seen)
	plain.Add(3)
	byKind.With("x").Inc()
	times.Observe(1.5)
	byWho.With("me").Observe(0.5)
	text := scrape(t, r)
	for _, line := range []string{
		"barnabas_things_total 3", `barnabas_kinds_total{kind="x"} 1`, `barnabas_wait_seconds_bucket{le="1"} 0`, `barnabas_wait_seconds_bucket{le="2"} 1`,
		`barnabas_work_seconds_count{who="me"} 1`, `barnabas_open{name="a"} 2.5`, "barnabas_seen_total 7", "# TYPE barnabas_seen_total counter",
	} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("no line %q in\n%s", line, text)
		}
	}
	if !strings.Contains(text, "\ngo_goroutines ") || !strings.Contains(text, "\nprocess_resident_memory_bytes ") {
		t.Errorf("nothing of the runtime or the process in\n%s", text)
	}
	for name, want := range map[string]float64{"things_total": 3, "kinds_total": 1, "wait_seconds": 1, "open": 2.5} {
		if v, ok := r.Value(name); v != want || !ok {
			t.Errorf("%s is %v %v", name, v, ok)
		}
	}
	if v, ok := r.Value("kinds_total", "y"); v != 0 || ok {
		t.Errorf("a series that is not there: %v", v)
	}
	problems, err := testutil.GatherAndLint(r.Gatherer())
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	if err != nil {
		t.Error(err)
	}
}

func TestWithoutARegistryFiguresWorkAndNobodyReadsThem(t *testing.T) {
	var r *Registry
	r.Counter("things_total", "Things.").Inc()
	r.Counters("kinds_total", "Kinds.", "kind").With("x").Inc()
	r.Histogram("wait_seconds", "Waits.", Latencies()).Observe(1)
	r.Histograms("work_seconds", "Work.", Powers(1, 4), "who").With("me").Observe(1)
	r.Sample(func(Emit) { t.Error("looked") }, Gauge("open", "Open."))
}

func TestCountingAllocatesNothing(t *testing.T) {
	r := New()
	c, h := r.Counters("things_total", "Things.", "kind").With("x"), r.Histogram("wait_seconds", "Waits.", Latencies())
	if n := testing.AllocsPerRun(100, func() { c.Inc(); c.Add(12); h.Observe(0.01) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// One bad figure does not take the others along: who is blind to one alert should not be blind to all.
func TestFiguresThatCannotBeHadAreLeftOut(t *testing.T) {
	r := New()
	r.Counter("good_total", "Good.").Inc()
	open := Gauge("open", "Open.", "name")
	r.Sample(func(emit Emit) {
		emit(open, 1)
		emit(open, 2, "a\xffb")
		emit(open, 3, "a\xfeb") // the same once it can be printed
	}, open)
	if _, err := r.Gatherer().Gather(); err == nil {
		t.Error("no error")
	}
	text := scrape(t, r)
	if !strings.Contains(text, "\nbarnabas_good_total 1\n") || strings.Count(text, "barnabas_open{name=\"a\uFFFDb\"}") != 1 {
		t.Error(text)
	}
}

func BenchmarkObserve(b *testing.B) {
	h := New().Histogram("wait_seconds", "Waits.", Latencies())
	b.ReportAllocs()
	for b.Loop() {
		h.Observe(0.003)
	}
}
