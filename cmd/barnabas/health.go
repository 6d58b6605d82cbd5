package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/barnabas-log/barnabas/cmd/barnabas/cli"
	"github.com/barnabas-log/barnabas/internal/config"
)

// answerLimit bounds what is read of an answer to /readyz.
const answerLimit = 64 << 10

// newHealthCommand is the `health` verb: what a container asks where there is no shell.
func newHealthCommand(app *cli.App) *cobra.Command {
	var url string
	c := &cobra.Command{
		Use:   "health",
		Short: "Ask whether the node here is ready",
		Long: `Ask the node of this machine or container whether it is ready. Exit code 0: it is; anything else: it is not.

Where it listens is read from the environment, as the node itself reads it. /readyz at barnabas.http.listener says whether it
has caught up and leaders are placed. Where there is no HTTP, or with --brokers, a Kafka listener is asked: it answers once the node
has joined the cluster and opened its partitions.`,
		Example: `  barnabas health
  barnabas health --url http://127.0.0.1:9644/readyz
  barnabas health --brokers 127.0.0.1:9092 --timeout 2s`,
		Args: cli.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return health(cmd.Context(), app, url, cmd.Flags().Changed("brokers"))
		},
	}
	c.Flags().StringVar(&url, "url", "", "ask this `address` over HTTP")
	return c
}

func health(ctx context.Context, app *cli.App, url string, named bool) error {
	ctx, cancel := app.Deadline(ctx)
	defer cancel()
	fallback := false
	if url == "" && !named && app.Env("BARNABAS_BROKERS") == "" {
		c, _, err := config.Load(config.Input{Environment: os.Environ()})
		if err != nil {
			return fmt.Errorf("configuration: %w", err)
		}
		url, fallback = readyURL(c), !c.HTTPAsked // a node whose HTTP port was taken, and not asked for, serves without
		local := localAddress(c.Listeners)
		env := app.Env
		app.Env = func(name string) string {
			if name == "BARNABAS_BROKERS" {
				return local
			}
			return env(name)
		}
	}
	if url != "" {
		if err := askReady(ctx, app, url); !fallback || !errors.Is(err, syscall.ECONNREFUSED) {
			return err
		}
	}
	return askBroker(ctx, app)
}

// askReady asks /readyz, and prints the node's reasons when it says no.
func askReady(ctx context.Context, app *cli.App, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return cli.Usagef("--url: %w", err)
	}
	transport := &http.Transport{DisableKeepAlives: true} // no proxy: it is this machine that is asked
	answer, err := transport.RoundTrip(request)
	if err != nil {
		return fmt.Errorf("ask %s: %w", url, err)
	}
	defer func() { _ = answer.Body.Close() }()
	var said struct{ Reasons []string }
	body, err := io.ReadAll(io.LimitReader(answer.Body, answerLimit))
	if err == nil && json.Unmarshal(body, &said) != nil {
		said.Reasons = nil // another server's words
	}
	if answer.StatusCode != http.StatusOK {
		return cli.Failedf("%s", strings.Join(append([]string{"not ready: " + answer.Status}, said.Reasons...), "; "))
	}
	fmt.Fprintln(app.Out, "ready")
	return nil
}

// askBroker asks a Kafka listener who is there. The addresses that it names are not needed, and need not be reachable from here.
func askBroker(ctx context.Context, app *cli.App) error {
	session, err := app.Connect(ctx)
	if err != nil {
		return err
	}
	defer session.Close()
	m, err := session.Admin.BrokerMetadata(ctx)
	if err != nil {
		return fmt.Errorf("ask for the cluster's metadata: %w", err)
	}
	if len(m.Brokers) == 0 {
		return cli.Failedf("not ready: no broker has registered yet")
	}
	fmt.Fprintln(app.Out, "ready")
	return nil
}

// localAddress is where the first of the node's listeners is found from the node itself.
func localAddress(listeners []config.Listener) string {
	if len(listeners) == 0 {
		return cli.DefaultBrokers
	}
	return loopback(listeners[0].Host, listeners[0].Port)
}

// loopback is host:port, with this machine in place of every interface.
func loopback(host string, port int) string {
	switch ip := net.ParseIP(host); {
	case host == "", ip != nil && ip.IsUnspecified() && ip.To4() != nil:
		host = "127.0.0.1"
	case ip != nil && ip.IsUnspecified():
		host = "::1"
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}

// readyURL is the node's /readyz, "" where it serves no HTTP.
func readyURL(c *config.Server) string {
	host, port, err := net.SplitHostPort(c.HTTP)
	number, _ := strconv.Atoi(port)
	if err != nil || number == 0 {
		return ""
	}
	return "http://" + loopback(host, number) + "/readyz"
}
