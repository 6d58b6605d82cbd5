package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/barnabas-log/barnabas/cmd/barnabas/cli"
	"github.com/barnabas-log/barnabas/internal/broker"
	"github.com/barnabas-log/barnabas/internal/config"
)

// drainLimit is how long requests in hand may take to finish after a signal.
const drainLimit = 10 * time.Second

// serverFlags are what the server can be told on the command line; everything else is a property.
type serverFlags struct {
	file   string
	set    []string
	level  string
	format string
}

// newServerCommand is the `server` verb, which is also what runs without a verb: its flags and RunE are shared with the root command.
func newServerCommand() *cobra.Command {
	var f serverFlags
	c := &cobra.Command{
		Use:   "server",
		Short: "Run a node (also what happens without a verb)",
		Long: `Run a node until SIGTERM or SIGINT.

Nothing needs to be configured: without any setting the node listens on 127.0.0.1:9092 and keeps its data in ./data.
Settings have Kafka's property names. They come from a file, from KAFKA_... variables as the common container images
map them, and from --set; later ones win.`,
		Example: `  barnabas
  barnabas server --config server.properties
  barnabas server --set listeners=PLAINTEXT://0.0.0.0:9092 --set advertised.listeners=PLAINTEXT://kafka.example:9092
  KAFKA_LOG_DIRS=/var/lib/barnabas barnabas`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runServer(cmd.Context(), f)
		},
	}
	flags := c.Flags()
	flags.StringVar(&f.file, "config", "", "a server.properties `file`")
	flags.StringArrayVar(&f.set, "set", nil, "a setting, `name=value`; repeatable")
	flags.StringVar(&f.level, "log-level", "info", "debug, info, warn or error")
	flags.StringVar(&f.format, "log-format", "auto", "json, console, or auto: console on a terminal")
	return c
}

func runServer(ctx context.Context, f serverFlags) error {
	logger, level, err := newLogger(f.level, f.format)
	if err != nil {
		return cli.Usagef("%w", err)
	}
	defer func() { _ = logger.Sync() }() // standard error cannot be synced everywhere
	c, warnings, err := config.Load(config.Input{File: f.file, Environment: os.Environ(), Set: f.set})
	if err != nil {
		return cli.Usagef("configuration: %w", err)
	}
	for _, w := range warnings {
		logger.Warn("setting ignored", zap.String("name", w.Name), zap.String("origin", w.Origin), zap.String("reason", w.Reason))
	}
	defer calmCollector()()
	started := time.Now()
	b, err := broker.Open(ctx, broker.Options{Config: c, Logger: logger, Level: &level})
	switch {
	case err != nil && ctx.Err() == nil:
		return cli.Failedf("start: %w", err) // a port that is taken is no broker that does not answer
	case err != nil:
		return fmt.Errorf("start: %w", err)
	}
	logger.Info("ready", zap.Int32("node", c.NodeID), zap.String("address", b.Addr()), zap.Strings("data", c.LogDirs),
		zap.String("fsync", string(c.Fsync)), zap.Duration("after", time.Since(started)))
	<-ctx.Done()
	logger.Info("stopping")
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainLimit)
	defer cancel()
	if err := b.Close(drain); err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	logger.Info("stopped")
	return nil
}
