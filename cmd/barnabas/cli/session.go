package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Session is a connection to a cluster. Close it.
type Session struct {
	Client *kgo.Client
	Admin  *kadm.Client
	app    *App
}

// settings is what flags, environment and properties file say about the cluster.
type settings struct {
	seeds    []string
	clientID string
	tls      *tls.Config
	options  []kgo.Opt
}

// Connect opens a session with additional client options. At least one of the brokers must accept a connection, or the error says what
// to start. ctx bounds only this check.
func (a *App) Connect(ctx context.Context, extra ...kgo.Opt) (*Session, error) {
	s, err := a.settings()
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	a.seeds, a.dialErrors = s.seeds, map[string]error{}
	a.mu.Unlock()
	if err := a.probe(ctx, s.seeds); err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: min(10*time.Second, a.flags.timeout)}
	opts := []kgo.Opt{
		kgo.SeedBrokers(s.seeds...),
		kgo.ClientID(s.clientID),
		kgo.RetryTimeout(a.flags.timeout),
		kgo.RequestTimeoutOverhead(min(max(a.flags.timeout, 100*time.Millisecond), 10*time.Second)),
		kgo.DisableClientMetrics(),
		kgo.MetadataMinAge(100 * time.Millisecond),
		kgo.Dialer(func(ctx context.Context, network, host string) (net.Conn, error) {
			conn, err := dial(ctx, dialer, s.tls, network, host)
			a.remember(host, err)
			return conn, err
		}),
	}
	if a.flags.debug {
		opts = append(opts, kgo.WithLogger(kgo.BasicLogger(a.Err, kgo.LogLevelDebug, nil)))
	}
	opts = append(opts, s.options...)
	client, err := kgo.NewClient(append(opts, extra...)...)
	if err != nil {
		return nil, fmt.Errorf("set up the client: %w", err)
	}
	admin := kadm.NewClient(client)
	admin.SetTimeoutMillis(int32(min(a.flags.timeout.Milliseconds(), 1<<31-1)))
	return &Session{Client: client, Admin: admin, app: a}, nil
}

// Begin opens a session for a command that is over within the --timeout flag, by which it bounds ctx. end closes it; it is nil after an error.
func (a *App) Begin(ctx context.Context) (_ context.Context, s *Session, end func(), err error) {
	ctx, cancel := a.Deadline(ctx)
	if s, err = a.Connect(ctx); err != nil {
		cancel()
		return nil, nil, nil, err
	}
	end = func() {
		s.Close()
		cancel()
	}
	return ctx, s, end, nil
}

// Close ends the session.
func (s *Session) Close() { s.Client.Close() }

func dial(ctx context.Context, d *net.Dialer, config *tls.Config, network, host string) (net.Conn, error) {
	if config == nil {
		return d.DialContext(ctx, network, host)
	}
	return (&tls.Dialer{NetDialer: d, Config: config}).DialContext(ctx, network, host)
}

// remember keeps the last dial error of each address, for the message if nothing comes of it.
func (a *App) remember(host string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err == nil || errors.Is(err, context.Canceled) {
		delete(a.dialErrors, host)
		return
	}
	a.dialErrors[host] = err
}

// probe dials the seeds one after another until one accepts: the client library would go on retrying where a person wants an answer.
func (a *App) probe(ctx context.Context, seeds []string) error {
	var last error
	for _, seed := range seeds {
		d := net.Dialer{Timeout: min(5*time.Second, a.flags.timeout)}
		conn, err := d.DialContext(ctx, "tcp", seed)
		if err == nil {
			return conn.Close()
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		last = err
	}
	list := strings.Join(seeds, ", ")
	f := &Failure{Code: ExitUnreachable, cause: fmt.Errorf("cannot reach %s: %w", list, last)}
	var dns *net.DNSError
	switch {
	case errors.Is(last, syscall.ECONNREFUSED):
		f.cause = fmt.Errorf("nothing listens at %s: connection refused", list)
		f.Hint = "start a node with `barnabas`, or name a running one with --brokers host:port"
	case errors.As(last, &dns):
		f.Hint = "check the host name given with --brokers, $BARNABAS_BROKERS or bootstrap.servers"
	default:
		f.Hint = "check the address given with --brokers, and the network in between"
	}
	return f
}

// settings merges flag, environment and properties file: the flag wins over the variable, the variable over the file.
func (a *App) settings() (settings, error) {
	s := settings{clientID: "barnabas-cli"}
	list := ""
	if a.flags.config != "" {
		properties, err := readProperties(a.flags.config)
		if err != nil {
			return s, err
		}
		list = properties["bootstrap.servers"]
		if id := properties["client.id"]; id != "" {
			s.clientID = id
		}
		if err := s.secure(properties); err != nil {
			return s, Usagef("%s: %w", a.flags.config, err)
		}
		for _, name := range unknownProperties(properties) {
			a.Notef("%s: %s is ignored: it has no meaning for this command", a.flags.config, name)
		}
	}
	if v := a.Env("BARNABAS_BROKERS"); v != "" {
		list = v
	}
	if a.flags.brokers != "" {
		list = a.flags.brokers
	}
	if list == "" {
		list = DefaultBrokers
	}
	for _, seed := range strings.Split(list, ",") {
		address, err := withPort(strings.TrimSpace(seed))
		if err != nil {
			return s, err
		}
		s.seeds = append(s.seeds, address)
	}
	return s, nil
}

// withPort adds Kafka's port where none is given.
func withPort(seed string) (string, error) {
	if i := strings.Index(seed, "://"); i >= 0 {
		seed = seed[i+3:]
	}
	if seed == "" {
		return "", Usagef("--brokers has an empty address: write host:port,host:port")
	}
	if _, _, err := net.SplitHostPort(seed); err == nil {
		return seed, nil
	}
	address := net.JoinHostPort(strings.Trim(seed, "[]"), "9092")
	if _, _, err := net.SplitHostPort(address); err != nil {
		return "", Usagef("%q is not an address: write host:port", seed)
	}
	return address, nil
}

func readProperties(path string) (map[string]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, Usagef("read client settings: %w", err)
	}
	defer f.Close()
	properties, err := parseProperties(f)
	if err != nil {
		return nil, Usagef("read client settings %s: %w", path, err)
	}
	return properties, nil
}
