package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/barnabas-log/barnabas/bench/load"
)

// newDrive is the client process of a run: it reads an order and prints what it measured. A process for each run begins with an empty heap, and peers need another
// binary (bench/peers) with the same command.
func newDrive() *cobra.Command {
	return &cobra.Command{
		Use:    "drive",
		Short:  "Be the clients of one run (started by run)",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var order load.Order
			if err := json.NewDecoder(os.Stdin).Decode(&order); err != nil {
				return fmt.Errorf("read the order: %w", err)
			}
			o, err := driveKafka(cmd.Context(), order)
			if err != nil {
				return err
			}
			return json.NewEncoder(os.Stdout).Encode(o)
		},
	}
}

func driveKafka(ctx context.Context, order load.Order) (*load.Outcome, error) {
	driver, err := newKafkaDriver(order)
	if err != nil {
		return nil, err
	}
	defer driver.Close()
	switch order.Spec.Kind {
	case load.RawProduce, load.RawFetch:
		return runRaw(ctx, driver, order)
	}
	return load.Run(ctx, driver, order)
}

// clientGC has the clients of every system collect their garbage less often than Go does on its own. What a client takes then depends little on how full its buffer is, and so on how fast the
// server is (docs/decisions/0021).
const clientGC = "GOGC=400"

// driveLimit bounds a run beyond its own length: making topics, filling them, stopping.
const driveLimit = 90 * time.Second

// drive lets a client process carry out the order.
func (o *options) drive(ctx context.Context, order load.Order) (*load.Outcome, error) {
	binary := o.peers
	if order.Target.Driver == "kafka" {
		var err error
		if binary, err = os.Executable(); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, driveLimit+order.Spec.Warm+order.Spec.For)
	defer cancel()
	in, err := json.Marshal(order)
	if err != nil {
		return nil, err
	}
	var out, complaints strings.Builder
	cmd := exec.CommandContext(ctx, binary, "drive")
	cmd.Env = append(os.Environ(), clientGC)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(string(in)), &out, &complaints
	if err := cmd.Run(); err != nil {
		if said := strings.TrimSpace(complaints.String()); said != "" && ctx.Err() == nil {
			return nil, errors.New(said)
		}
		return nil, errors.Join(err, ctx.Err())
	}
	var outcome load.Outcome
	if err := json.Unmarshal([]byte(out.String()), &outcome); err != nil {
		return nil, fmt.Errorf("read what was measured: %w", err)
	}
	return &outcome, nil
}
