package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/barnabas-log/barnabas/cmd/barnabas/cli"
)

func main() {
	// Without this a closed standard output kills the process before it can commit offsets or close its connections. Ignored, it
	// shows as EPIPE where the write happens, and cli.Run takes that for a quiet end.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal asks for an orderly end; after it the default applies again, so that a second one ends the process at once.
	context.AfterFunc(ctx, stop)
	app := cli.NewApp()
	code := cli.Run(ctx, app, newRootCommand(app), os.Args[1:])
	stop()
	os.Exit(code)
}
