package clitest

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/barnabas-log/barnabas/cmd/barnabas/cli"
)

// Now is what the clock of a command under test shows.
var Now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// Result is what one run of a command left behind.
type Result struct {
	Code     int
	Out, Err string
}

// Bench runs commands against one cluster.
type Bench struct {
	Cluster *kfake.Cluster
	t       testing.TB
	verbs   []func(*cli.App) *cobra.Command
}

// New starts a fake cluster that ends with the test; verbs are what the command under test offers.
func New(t testing.TB, verbs ...func(*cli.App) *cobra.Command) *Bench {
	return NewCluster(t, nil, verbs...)
}

// NewCluster is New with options for the fake cluster.
func NewCluster(t testing.TB, opts []kfake.Opt, verbs ...func(*cli.App) *cobra.Command) *Bench {
	t.Helper()
	opts = append([]kfake.Opt{kfake.NumBrokers(1), kfake.DefaultNumPartitions(1), kfake.ClusterID("castle")}, opts...)
	cluster, err := kfake.NewCluster(opts...)
	if err != nil {
		t.Fatalf("start the fake cluster: %v", err)
	}
	t.Cleanup(cluster.Close)
	return &Bench{Cluster: cluster, t: t, verbs: verbs}
}

// Run runs one command line against the cluster.
func (b *Bench) Run(args ...string) Result { return b.RunWith(strings.NewReader(""), args...) }

// RunWith is Run with standard input.
func (b *Bench) RunWith(in io.Reader, args ...string) Result {
	b.t.Helper()
	var out, errs bytes.Buffer
	code := b.RunTo(b.t.Context(), in, &out, &errs, args...)
	return Result{code, out.String(), errs.String()}
}

// RunTo is Run with everything given by the caller.
func (b *Bench) RunTo(ctx context.Context, in io.Reader, out, errs io.Writer, args ...string) int {
	brokers := strings.Join(b.Cluster.ListenAddrs(), ",")
	return Execute(ctx, map[string]string{"BARNABAS_BROKERS": brokers}, in, out, errs, b.verbs, args...)
}

// Execute runs one command line in an environment.
func Execute(ctx context.Context, env map[string]string, in io.Reader, out, errs io.Writer, verbs []func(*cli.App) *cobra.Command, args ...string) int {
	app := &cli.App{In: in, Out: out, Err: errs, Env: func(k string) string { return env[k] }, Now: func() time.Time { return Now }}
	root := cli.NewRoot(app)
	for _, verb := range verbs {
		root.AddCommand(verb(app))
	}
	return cli.Run(ctx, app, root, args)
}

// Create makes a topic.
func (b *Bench) Create(topic string, partitions int32) {
	b.t.Helper()
	if err := b.Cluster.CreateTopic(topic, partitions, nil); err != nil {
		b.t.Fatalf("create topic %s: %v", topic, err)
	}
}

// Produce writes records as they are, to the partitions they name.
func (b *Bench) Produce(records ...*kgo.Record) {
	b.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Cluster.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		b.t.Fatal(err)
	}
	defer client.Close()
	if err := client.ProduceSync(b.t.Context(), records...).FirstErr(); err != nil {
		b.t.Fatalf("produce: %v", err)
	}
}

// Want fails the test unless the run ended with code.
func (r Result) Want(t testing.TB, code int) Result {
	t.Helper()
	if r.Code != code {
		t.Fatalf("exit code %d, want %d\nstdout:\n%s\nstderr:\n%s", r.Code, code, r.Out, r.Err)
	}
	return r
}

// WantOut fails the test unless standard output is exactly this.
func (r Result) WantOut(t testing.TB, want string) Result {
	t.Helper()
	if r.Out != want {
		t.Fatalf("standard output:\n%s\nwant:\n%s\nstderr:\n%s", r.Out, want, r.Err)
	}
	return r
}

// Contains fails the test unless each part occurs in standard output.
func (r Result) Contains(t testing.TB, parts ...string) Result {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(r.Out, part) {
			t.Fatalf("standard output lacks %q:\n%s\nstderr:\n%s", part, r.Out, r.Err)
		}
	}
	return r
}

// Says fails the test unless each part occurs in standard error.
func (r Result) Says(t testing.TB, parts ...string) Result {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(r.Err, part) {
			t.Fatalf("standard error lacks %q:\n%s", part, r.Err)
		}
	}
	return r
}
