package e2e

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A process whose disk runs full under load: with the reserve, produces are refused in time; without it, writes meet ENOSPC, those of votes and metadata too. Either way readers are
// served, the process lives, and when something else gives room back it goes on by itself, with every acknowledged record. Needs root, for a file system of its own.
func TestADiskThatRunsFull(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root may mount a file system")
	}
	for name, reserve := range map[string]string{"reserve": "barnabas.disk.reserve.bytes=268435456", "no reserve": "barnabas.disk.reserve.bytes=0"} {
		t.Run(name, func(t *testing.T) {
			s := startServerOn(t, 48, reserve)
			filler := filepath.Join(s.dataDir(), "filler")
			if err := os.WriteFile(filler, make([]byte, 16<<20), 0o600); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
			defer cancel()
			var acked atomic.Int64
			producing, stop := context.WithCancel(ctx)
			ended := make(chan struct{})
			client, err := kgo.NewClient(kgo.SeedBrokers(s.address), kgo.AllowAutoTopicCreation(), kgo.DefaultProduceTopic("disk"), kgo.ProducerBatchCompression(kgo.NoCompression()),
				kgo.MetadataMinAge(100*time.Millisecond), kgo.RecordRetries(100000))
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			go func() {
				defer close(ended)
				value := make([]byte, 100<<10)
				for i := int64(0); producing.Err() == nil; i++ {
					binary.BigEndian.PutUint64(value[rand.IntN(1000)+8:], uint64(i))
					binary.BigEndian.PutUint64(value, uint64(i))
					if client.ProduceSync(producing, kgo.SliceRecord(value)).FirstErr() == nil {
						acked.Add(1)
					}
				}
			}()
			awaitStall(ctx, t, &acked)
			full := acked.Load()
			if full < 50 {
				t.Fatalf("only %d records until the disk was full", full)
			}
			s.holdsAtLeast(ctx, t, full)
			if err := syscall.Kill(s.process.Process.Pid, 0); err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(filler); err != nil {
				t.Fatal(err)
			}
			for acked.Load() < full+30 {
				if ctx.Err() != nil {
					t.Fatalf("no produce was acknowledged after there was room again; %d before", full)
				}
				time.Sleep(10 * time.Millisecond)
			}
			stop()
			<-ended
			s.holdsAtLeast(ctx, t, acked.Load())
		})
	}
}

// startServerOn starts a broker whose data is on a file system of its own of so many MiB.
func startServerOn(t *testing.T, megabytes int, settings ...string) *server {
	t.Helper()
	if os.Getenv("BARNABAS_E2E_BROKERS") != "" || os.Getenv("BARNABAS_E2E_SERVER") == "kafka" {
		t.Skip("is about this broker")
	}
	s := newServer(t, append(settings, "barnabas.http.listener=", "offsets.topic.num.partitions=1")...)
	if err := os.Mkdir(s.dataDir(), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("none", s.dataDir(), "tmpfs", 0, fmt.Sprintf("size=%dm", megabytes)); errors.Is(err, syscall.EPERM) {
		t.Skip("this root may not mount a file system")
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.kill()
		s.explain(t)
		if err := syscall.Unmount(s.dataDir(), syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	s.start(t)
	return s
}

// awaitStall waits until nothing has been acknowledged for two seconds.
func awaitStall(ctx context.Context, t *testing.T, acked *atomic.Int64) {
	t.Helper()
	last, since := int64(-1), time.Now()
	for time.Since(since) < 2*time.Second {
		if ctx.Err() != nil {
			t.Fatal("the disk does not run full")
		}
		if n := acked.Load(); n != last {
			last, since = n, time.Now()
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// holdsAtLeast reads everything, and fails unless the values are 0, 1, 2 and so on, count of them or more.
func (s *server) holdsAtLeast(ctx context.Context, t *testing.T, count int64) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(s.address), kgo.ConsumeTopics("disk"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for next := uint64(0); next < uint64(count); {
		fetches := client.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			t.Fatalf("%d of %d records could be read", next, count)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if got := binary.BigEndian.Uint64(r.Value); got != next || uint64(r.Offset) != next {
				t.Fatalf("value %d at offset %d, where %d was expected", got, r.Offset, next)
			}
			next++
		})
	}
}
