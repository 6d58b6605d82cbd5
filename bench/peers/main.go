// Command bench-peers is what the bench needs of other systems: nats-server, and the clients of NATS JetStream, RabbitMQ and Redis. It is a module of its own, so
// that none of them is a dependency of Barnabas. The bench starts it; nobody has to.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/barnabas-log/barnabas/bench/load"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench-peers:", err)
		os.Exit(1)
	}
}

func run() error {
	switch {
	case len(os.Args) == 3 && os.Args[1] == "nats-server":
		return serveNATS(os.Args[2])
	case len(os.Args) == 2 && os.Args[1] == "drive":
		return drive(context.Background())
	}
	return errors.New("usage: bench-peers nats-server CONFIG | bench-peers drive <ORDER")
}

// drive reads an order and prints what it measured.
func drive(ctx context.Context) error {
	var order load.Order
	if err := json.NewDecoder(os.Stdin).Decode(&order); err != nil {
		return fmt.Errorf("read the order: %w", err)
	}
	connect := map[string]func(load.Order) (load.Driver, error){"nats": newNATS, "rabbitmq": newRabbitMQ, "redis": newRedis}[order.Target.Driver]
	if connect == nil {
		return fmt.Errorf("driver %q is unknown", order.Target.Driver)
	}
	if order.Spec.Compression != "" || order.Spec.Acks != "all" {
		return fmt.Errorf("compression and weaker acknowledgements: %w", load.ErrUnsupported)
	}
	driver, err := connect(order)
	if err != nil {
		return err
	}
	defer driver.Close()
	o, err := load.Run(ctx, driver, order)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(o)
}

// serveNATS is nats-server with a configuration file, nothing else.
func serveNATS(config string) error {
	o, err := server.ProcessConfigFile(config)
	if err != nil {
		return err
	}
	o.NoSigs = true
	s, err := server.NewServer(o)
	if err != nil {
		return err
	}
	s.ConfigureLogger()
	s.Start()
	if !s.ReadyForConnections(30 * time.Second) {
		return errors.New("nats-server is not ready")
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, os.Interrupt)
	<-stop
	s.Shutdown()
	s.WaitForShutdown()
	return nil
}

// window is how many records may be under way: 8 MB of them, and no more than the clients' libraries like.
func window(size int) int { return min(4096, max(16, 8<<20/size)) }
