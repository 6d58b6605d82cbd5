package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
)

func newStart(o *options) *cobra.Command {
	var runs int
	var idle time.Duration
	c := &cobra.Command{
		Use:   "start",
		Short: "Time from starting the process to the first acknowledged produce on a fresh node, and its memory when idle",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return benchStart(cmd.Context(), o, runs, idle)
		},
	}
	c.Flags().IntVar(&runs, "runs", 5, "fresh nodes to start, one after another")
	c.Flags().DurationVar(&idle, "idle", 10*time.Second, "how long the last one idles before its memory and processor time are read")
	return c
}

func benchStart(ctx context.Context, o *options, runs int, idle time.Duration) error {
	var firsts []time.Duration
	for run := range runs {
		wait := time.Duration(0)
		if run == runs-1 {
			wait = idle
		}
		first, err := startOnce(ctx, o, wait)
		if err != nil {
			return err
		}
		firsts = append(firsts, first)
	}
	slices.Sort(firsts)
	fmt.Printf("start to first acknowledged produce, topic created on the way (acks=all): median %v, min %v, max %v over %d fresh nodes\n",
		firsts[len(firsts)/2], firsts[0], firsts[len(firsts)-1], len(firsts))
	return nil
}

func startOnce(ctx context.Context, o *options, idle time.Duration) (first time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, idle+30*time.Second)
	defer cancel()
	dir, remove, err := o.workdir()
	if err != nil {
		return 0, err
	}
	defer remove()
	p, err := o.start(dir)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, p.stop(syscall.SIGTERM)) }()
	if err := p.awaitPort(ctx); err != nil {
		return 0, err
	}
	client, err := p.client()
	if err != nil {
		return 0, err
	}
	defer client.Close()
	if err := client.ProduceSync(ctx, &kgo.Record{Topic: "first", Value: []byte("hello")}).FirstErr(); err != nil {
		return 0, err
	}
	first = time.Since(p.started)
	if idle > 0 {
		return first, reportIdle(p, client, idle)
	}
	return first, nil
}

func reportIdle(p *process, client *kgo.Client, idle time.Duration) error {
	client.Close()
	before, err := p.cpu()
	if err != nil {
		return err
	}
	time.Sleep(idle)
	after, err := p.cpu()
	if err != nil {
		return err
	}
	rss, peak, err := p.memory()
	if err != nil {
		return err
	}
	fmt.Printf("idle for %v with one topic: %.1f MiB resident (peak %.1f), %.2f%% of a core\n", idle, mib(rss), mib(peak),
		100*(after-before).Seconds()/idle.Seconds())
	return nil
}
