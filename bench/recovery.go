package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
)

func newRecovery(o *options) *cobra.Command {
	var gb float64
	c := &cobra.Command{
		Use:   "recovery",
		Short: "Fill one partition, kill -9 in the middle of producing, and time until it is served again",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return benchRecovery(cmd.Context(), o, int64(gb*1e9))
		},
	}
	c.Flags().Float64Var(&gb, "gb", 10, "size of the partition in GB")
	return c
}

func benchRecovery(ctx context.Context, o *options, bytes int64) (err error) {
	dir, remove, err := o.workdir()
	if err != nil {
		return err
	}
	defer remove()
	if err := fillPageCache(dir); err != nil {
		return err
	}
	acked, err := fillAndKill(ctx, o, dir, bytes)
	if err != nil {
		return err
	}
	p, err := o.start(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop(syscall.SIGTERM)) }()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if err := p.awaitPort(ctx); err != nil {
		return err
	}
	fmt.Printf("accepting connections after %v\n", time.Since(p.started))
	if err := awaitRecord(ctx, p, acked); err != nil {
		return err
	}
	fmt.Printf("last acknowledged record (offset %d) read after %v\n", acked, time.Since(p.started))
	client, err := p.client()
	if err != nil {
		return err
	}
	defer client.Close()
	if err := client.ProduceSync(ctx, &kgo.Record{Topic: "big", Value: []byte("again")}).FirstErr(); err != nil {
		return err
	}
	fmt.Printf("first produce acknowledged after %v\n", time.Since(p.started))
	return nil
}

// fillAndKill produces until bytes are acknowledged, then ends the broker while more is under way. It returns the last acknowledged offset.
func fillAndKill(ctx context.Context, o *options, dir string, bytes int64) (int64, error) {
	p, err := o.start(dir)
	if err != nil {
		return 0, err
	}
	if err := p.awaitPort(ctx); err != nil {
		return 0, errors.Join(err, p.stop(syscall.SIGKILL))
	}
	client, err := p.client(kgo.ProducerBatchMaxBytes(1_000_000), kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.MaxBufferedRecords(20_000), kgo.ProducerLinger(5*time.Millisecond), kgo.RecordDeliveryTimeout(5*time.Second))
	if err != nil {
		return 0, errors.Join(err, p.stop(syscall.SIGKILL))
	}
	last := int64(-1)
	acked := make(chan int64, 1024)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for offset := range acked {
			last = max(last, offset)
		}
	}()
	value := make([]byte, 1024)
	for i := range value {
		value[i] = byte(rand.Uint32())
	}
	begin := time.Now()
	for sent := int64(0); sent < bytes; sent += int64(len(value)) {
		client.Produce(ctx, &kgo.Record{Topic: "big", Value: value}, func(r *kgo.Record, err error) {
			if err == nil {
				acked <- r.Offset
			}
		})
	}
	err = p.stop(syscall.SIGKILL)
	took := time.Since(begin)
	client.Close()
	close(acked)
	<-done
	fmt.Printf("%.2f GB acknowledged in %v (%.0f MB/s), then kill -9\n", float64(last+1)*1024/1e9, took.Round(time.Millisecond),
		float64(last+1)*1024/1e6/took.Seconds())
	return last, err
}

// awaitRecord reads the record at offset.
func awaitRecord(ctx context.Context, p *process, offset int64) error {
	client, err := p.client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"big": {0: kgo.NewOffset().At(offset)}}),
		kgo.FetchMaxWait(100*time.Millisecond), kgo.ConsumeResetOffset(kgo.NoResetOffset()))
	if err != nil {
		return err
	}
	defer client.Close()
	fetches := client.PollRecords(ctx, 1)
	if err := fetches.Err(); err != nil {
		return err
	}
	for _, r := range fetches.Records() {
		if r.Offset == offset {
			return nil
		}
	}
	return fmt.Errorf("offset %d is not there", offset)
}
