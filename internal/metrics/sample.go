package metrics

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// Figure describes a figure that is looked up when someone scrapes.
type Figure struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

// Gauge describes a figure that goes up and down. name is without the prefix.
func Gauge(name, help string, labels ...string) *Figure {
	return &Figure{prometheus.NewDesc(prefix+name, help, labels, nil), prometheus.GaugeValue}
}

// Total describes a figure that only grows, kept elsewhere. name ends with _total.
func Total(name, help string, labels ...string) *Figure {
	return &Figure{prometheus.NewDesc(prefix+name, help, labels, nil), prometheus.CounterValue}
}

// Emit reports the value of one of the figures of a Sample. labels are the values of the figure's labels, in order.
type Emit func(f *Figure, value float64, labels ...string)

// Sample has look called at every scrape, to report figures that belong together, all taken at one time. look is called from any goroutine, several times at once when several
// scrapes are under way, and must return soon. A combination of figure and labels may be reported once only.
func (r *Registry) Sample(look func(emit Emit), figures ...*Figure) {
	r.register(&sample{look, figures})
}

type sample struct {
	look    func(Emit)
	figures []*Figure
}

// Describe implements prometheus.Collector.
func (s *sample) Describe(out chan<- *prometheus.Desc) {
	for _, f := range s.figures {
		out <- f.desc
	}
}

// Collect implements prometheus.Collector.
func (s *sample) Collect(out chan<- prometheus.Metric) {
	s.look(func(f *Figure, value float64, labels ...string) {
		for i := range labels {
			labels[i] = strings.ToValidUTF8(labels[i], "\uFFFD") // clients choose names of groups
		}
		m, err := prometheus.NewConstMetric(f.desc, f.kind, value, labels...)
		if err != nil {
			m = prometheus.NewInvalidMetric(f.desc, err) // the scrape says so
		}
		out <- m
	})
}
