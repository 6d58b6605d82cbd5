package protocol

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/barnabas-log/barnabas/internal/metrics"
	"github.com/twmb/franz-go/pkg/kerr"
)

// Metrics are the figures of a Server. What concerns one API is resolved when the API is first used, so that a request costs some atomic additions and no look-up.
type Metrics struct {
	registry *metrics.Registry // what is looked up is added when the server is made

	latency  *metrics.Histograms
	requests *metrics.Counters
	errors   *metrics.Counters
	received *metrics.Counters
	sent     *metrics.Counters

	accepted  metrics.Counter
	refused   *metrics.Counters
	malformed metrics.Counter
	panics    metrics.Counter
	throttled metrics.Counter

	mu   sync.Mutex // makes one apiMetrics at a time
	apis [maxKey + 1]atomic.Pointer[apiMetrics]
}

// maxKey bounds the keys of the table of APIs.
const maxKey = 127

// NewMetrics makes the figures, for one server.
func NewMetrics(r *metrics.Registry) *Metrics {
	return &Metrics{
		registry: r,
		latency: r.Histograms("request_seconds", "From the arrival of a request until its reply was written (Produce: was ready). A fetch or a rebalance that waits counts with its wait.",
			metrics.Latencies(), "api"),
		requests:  r.Counters("requests_total", "Requests, by API and version.", "api", "version"),
		errors:    r.Counters("request_errors_total", "Error codes in replies, each partition's counted, by API and Kafka's name of the error.", "api", "error"),
		received:  r.Counters("request_bytes_total", "Bytes of requests.", "api"),
		sent:      r.Counters("response_bytes_total", "Bytes of replies.", "api"),
		accepted:  r.Counter("connections_accepted_total", "Connections that were accepted."),
		refused:   r.Counters("connections_refused_total", "Connections that were closed at once, by the limit that they were over.", "reason"),
		malformed: r.Counter("connections_malformed_total", "Connections that were closed because what the client sent made no sense or is not served."),
		panics:    r.Counter("panics_total", "Panics while serving a connection. Each is a bug, with its stack in the log."),
		throttled: r.Counter("throttled_seconds_total", "How long clients were kept waiting because they were over a quota."),
	}
}

// apiMetrics are the figures of one API.
type apiMetrics struct {
	name     string
	latency  metrics.Histogram
	received metrics.Counter
	sent     metrics.Counter
	versions []metrics.Counter // from 0 to the last that is served
	errors   sync.Map          // code (int16) → metrics.Counter
	all      *metrics.Counters // errors of all APIs
	codes    *codePlan
}

// of is the figures of an API.
func (m *Metrics) of(row *api) *apiMetrics {
	if a := m.apis[row.key].Load(); a != nil {
		return a
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if a := m.apis[row.key].Load(); a != nil {
		return a
	}
	name := kafkaName(row.key)
	a := &apiMetrics{name: name, latency: m.latency.With(name), received: m.received.With(name), sent: m.sent.With(name), all: m.errors, codes: planFor(row.key)}
	for v := range row.max + 1 {
		a.versions = append(a.versions, m.requests.With(name, strconv.Itoa(int(v))))
	}
	m.apis[row.key].Store(a)
	return a
}

// came counts a request of size bytes.
func (a *apiMetrics) came(version int16, size int) {
	a.versions[version].Inc()
	a.received.Add(float64(size))
}

// answered counts the reply to a request that came at a time.
func (a *apiMetrics) answered(came time.Time, size int) {
	a.latency.Observe(time.Since(came).Seconds())
	a.sent.Add(float64(size))
}

// failed counts an error code of a reply; none is no error.
func (a *apiMetrics) failed(code int16) {
	if code == codeNone {
		return
	}
	c, ok := a.errors.Load(code)
	if !ok {
		c, _ = a.errors.LoadOrStore(code, a.all.With(a.name, codeName(code)))
	}
	c.(metrics.Counter).Inc()
}

// codeName is an error code as Kafka names it.
func codeName(code int16) string {
	if code == codeNotLeaderOrFollower {
		return "NOT_LEADER_OR_FOLLOWER" // kerr has the older name
	}
	if e, ok := kerr.ErrorForCode(code).(*kerr.Error); ok && e.Code == code {
		return e.Message
	}
	return strconv.Itoa(int(code))
}

// softwareLimit bounds how many names and versions of client software are told apart.
const softwareLimit = 50

// What is looked up when someone scrapes.
var (
	connectionsNow = metrics.Gauge("connections", "Connections that are open, by what the client says it is (KIP-511): the "+strconv.Itoa(softwareLimit)+
		" most frequent, the rest as \"other\"; \"unknown\" said nothing.", "software", "version")
	inFlightBytes     = metrics.Gauge("requests_in_flight_bytes", "Bytes of the requests in hand, over all connections.")
	inFlightLimit     = metrics.Gauge("requests_in_flight_limit_bytes", "How many bytes of requests may be in hand (queued.max.request.bytes); at the limit, connections are not read.")
	fetchSessions     = metrics.Gauge("fetch_sessions", "Fetch sessions that are remembered.")
	sessionPartitions = metrics.Gauge("fetch_session_partitions", "Partitions in all fetch sessions together.")
	sessionsEvicted   = metrics.Total("fetch_sessions_evicted_total", "Fetch sessions that had to make room for others.")
)

// publish adds what is looked up.
func (s *Server) publish() {
	s.metrics.registry.Sample(func(emit metrics.Emit) {
		for _, c := range s.software() {
			emit(connectionsNow, float64(c.connections), c.name, c.version)
		}
		emit(inFlightBytes, float64(s.budget.used.Load()))
		emit(inFlightLimit, float64(s.budget.capacity))
		sessions, partitions := s.sessions.count()
		emit(fetchSessions, float64(sessions))
		emit(sessionPartitions, float64(partitions))
		emit(sessionsEvicted, float64(s.sessions.evicted.Load()))
	}, connectionsNow, inFlightBytes, inFlightLimit, fetchSessions, sessionPartitions, sessionsEvicted)
}

// softwareCount is how many connections a version of a client has.
type softwareCount struct {
	software
	connections int
}

// software counts connections by client software, most frequent first; beyond the limit they are put together.
func (s *Server) software() []softwareCount {
	counts := map[software]int{}
	s.mu.Lock()
	for c := range s.conns {
		if said := c.software.Load(); said != nil {
			counts[*said]++
		} else {
			counts[software{"unknown", "unknown"}]++
		}
	}
	s.mu.Unlock()
	list := make([]softwareCount, 0, len(counts))
	for said, n := range counts {
		list = append(list, softwareCount{said, n})
	}
	slices.SortFunc(list, func(a, b softwareCount) int {
		return cmp.Or(cmp.Compare(b.connections, a.connections), strings.Compare(a.name, b.name), strings.Compare(a.version, b.version))
	})
	if len(list) <= softwareLimit {
		return list
	}
	other := softwareCount{software: software{"other", "other"}}
	for _, c := range list[softwareLimit:] {
		other.connections += c.connections
	}
	list = list[:softwareLimit]
	for i := range list {
		if list[i].software == other.software { // someone calls himself so
			list[i].connections += other.connections
			return list
		}
	}
	return append(list, other)
}
