package metrics

import (
	"net/http"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// prefix begins the name of every figure of ours.
const prefix = "barnabas_"

// Counter counts up. Inc and Add are safe from any goroutine.
type Counter = prometheus.Counter

// Histogram counts observations by size. Observe is safe from any goroutine.
type Histogram = prometheus.Observer

// Registry holds figures under their names. The methods of a nil Registry make figures that work and that nobody can read.
//
// A name that is taken, or that is none, is a bug and panics: all names are made when the node starts, and a test makes them all.
type Registry struct{ registry *prometheus.Registry }

// New makes a registry. It has the figures of the Go runtime and of the process already.
func New() *Registry {
	r := &Registry{prometheus.NewRegistry()}
	r.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

func (r *Registry) register(c prometheus.Collector) {
	if r != nil {
		r.registry.MustRegister(c)
	}
}

// Counter makes a counter. name is without the prefix and ends with _total.
func (r *Registry) Counter(name, help string) Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: prefix + name, Help: help})
	r.register(c)
	return c
}

// Histogram makes a histogram; buckets are upper bounds, ascending. name is without the prefix and ends with its unit.
func (r *Registry) Histogram(name, help string, buckets []float64) Histogram {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: prefix + name, Help: help, Buckets: buckets})
	r.register(h)
	return h
}

// Counters is a counter for each combination of the values of some labels.
type Counters struct{ vec *prometheus.CounterVec }

// Counters makes counters with labels.
func (r *Registry) Counters(name, help string, labels ...string) *Counters {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + name, Help: help}, labels)
	r.register(v)
	return &Counters{v}
}

// With is the counter for these values, made when it is asked for the first time. It takes a lock and looks the values up: whoever counts often keeps what it returns.
func (c *Counters) With(values ...string) Counter { return c.vec.WithLabelValues(values...) }

// Histograms is a histogram for each combination of the values of some labels.
type Histograms struct{ vec *prometheus.HistogramVec }

// Histograms makes histograms with labels.
func (r *Registry) Histograms(name, help string, buckets []float64, labels ...string) *Histograms {
	v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: prefix + name, Help: help, Buckets: buckets}, labels)
	r.register(v)
	return &Histograms{v}
}

// With is the histogram for these values; see Counters.With.
func (h *Histograms) With(values ...string) Histogram { return h.vec.WithLabelValues(values...) }

// Handler serves the figures in the formats that Prometheus reads. At most four scrapes are answered at a time; more are refused with 503. A figure that cannot be had is left out.
func (r *Registry) Handler() http.Handler {
	return promhttp.HandlerFor(r.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, ErrorHandling: promhttp.ContinueOnError})
}

// Gatherer gives the figures to tests.
func (r *Registry) Gatherer() prometheus.Gatherer { return r.registry }

// Latencies are the buckets for times, in seconds, from a tenth of a millisecond to ten seconds: memory, a fast disk, a network, a long poll, a rebalance.
func Latencies() []float64 {
	return []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
}

// Powers are n buckets, each twice the one before, from first.
func Powers(first float64, n int) []float64 { return prometheus.ExponentialBuckets(first, 2, n) }

// Value is what a scrape would show of a figure: of a histogram the number of observations. labels are the values of some of its labels; series that have them all are
// added up. ok is false when there is no such series. For tests and tools: it takes a whole scrape.
func (r *Registry) Value(name string, labels ...string) (sum float64, ok bool) {
	families, err := r.registry.Gather()
	if err != nil {
		return 0, false
	}
	for _, family := range families {
		if family.GetName() != prefix+name {
			continue
		}
		for _, m := range family.GetMetric() {
			var values []string
			for _, pair := range m.GetLabel() {
				values = append(values, pair.GetValue())
			}
			if !slices.ContainsFunc(labels, func(l string) bool { return !slices.Contains(values, l) }) {
				sum, ok = sum+m.GetCounter().GetValue()+m.GetGauge().GetValue()+float64(m.GetHistogram().GetSampleCount()), true
			}
		}
	}
	return sum, ok
}
