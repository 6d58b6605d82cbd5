package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"golang.org/x/sync/errgroup"

	"github.com/barnabas-log/barnabas/bench/load"
)

// catchup is a follower that was away, and what it costs the others when it comes back.
type catchup struct {
	cluster    *cluster
	topic      string
	partitions int32
	clients    int
	bytes      int64 // produced while it is away
	rate       int64 // bytes a second that are produced, 0: as fast as it goes
	window     time.Duration
	quiet      bool
	retention  bool
	graceful   bool
	profile    string // directory for processor profiles of the time of catching up; "": none
}

// catchupLimit bounds how long a follower may take.
const catchupLimit = 10 * time.Minute

func newCatchup(o *options) *cobra.Command {
	k := catchup{topic: "catchup"}
	var gb, rate float64
	c := &cobra.Command{
		Use:   "catchup",
		Short: "Three brokers: one is away while the others take records; time until it has them, beside the disk's speed and what producers lose",
		RunE: func(cmd *cobra.Command, _ []string) error {
			k.bytes, k.rate = int64(gb*1e9), int64(rate*1e6)
			return k.bench(cmd.Context(), o)
		},
	}
	c.Flags().Float64Var(&gb, "gb", 5, "GB that are produced while one broker is away")
	c.Flags().Int32Var(&k.partitions, "partitions", 6, "partitions of the topic")
	c.Flags().IntVar(&k.clients, "clients", 2, "producers")
	c.Flags().Float64Var(&rate, "rate", 0, "MB/s that producers send, all together (0: as fast as it goes)")
	c.Flags().DurationVar(&k.window, "window", 8*time.Second, "how long producers are measured before")
	c.Flags().BoolVar(&k.quiet, "quiet", false, "stop the producers while the broker catches up")
	c.Flags().BoolVar(&k.retention, "retention", false, "let retention remove what the broker would need")
	c.Flags().StringVar(&k.profile, "profile", "", "`directory` for processor profiles of every node while the broker catches up")
	c.Flags().BoolVar(&k.graceful, "graceful", false, "stop the broker with SIGTERM, not SIGKILL")
	return c
}

func (k *catchup) bench(ctx context.Context, o *options) (err error) {
	var extra []string
	if k.retention {
		extra = []string{"log.segment.bytes=16777216", "log.retention.bytes=50000000", "log.retention.check.interval.ms=500", "log.segment.delete.delay.ms=100"}
	}
	var end func()
	if k.cluster, end, err = o.startCluster(3, extra...); err != nil {
		return err
	}
	defer end()
	disk, err := diskSpeed(k.cluster.dir)
	if err != nil {
		return err
	}
	fmt.Printf("load average %s; the disk, 1 GiB written in 1 MiB steps and synced, the best of three: %.0f MB/s\n", loadAverage(), disk/1e6)
	if err := k.cluster.makeTopic(ctx, k.topic, k.partitions); err != nil {
		return err
	}
	producers, err := k.cluster.produceTo(k.topic, k.partitions, k.clients, k.rate)
	if err != nil {
		return err
	}
	ended := false
	defer func() {
		if !ended {
			err = errors.Join(err, producers.end(ctx))
		}
	}()
	_ = producers.window(ctx, 3*time.Second) // connections, page cache
	before := producers.window(ctx, k.window)
	fmt.Printf("producers, three nodes in sync: %.1f MB/s\n", before/1e6)
	away := k.cluster.nodes[2]
	if err := k.fall(ctx, away, producers); err != nil {
		return err
	}
	if k.quiet {
		ended = true
		if err := producers.end(ctx); err != nil {
			return err
		}
	}
	during, err := k.catchUp(ctx, away, producers, disk)
	if err != nil {
		return err
	}
	if !k.quiet {
		fmt.Printf("producers meanwhile: %.1f MB/s, %.0f%% of before\n", during/1e6, 100*during/before)
		fmt.Printf("producers afterwards: %.1f MB/s\n", producers.window(ctx, k.window)/1e6)
		ended = true
		if err := producers.end(ctx); err != nil {
			return fmt.Errorf("producers saw errors: %w", err)
		}
	}
	return k.compare(ctx)
}

// diskSpeed is what a file takes in bytes a second, written in order and synced: the best of three.
func diskSpeed(dir string) (best float64, err error) {
	for range 3 {
		rate, err := newFileRate(filepath.Join(dir, "speed"))
		if err != nil {
			return 0, err
		}
		best = max(best, rate*1e6)
	}
	return best, fillPageCache(dir)
}

// newFileRate is writeRate of a file that is there for that only.
func newFileRate(name string) (float64, error) {
	f, err := os.Create(name)
	if err != nil {
		return 0, err
	}
	rate, err := writeRate(f)
	return rate, errors.Join(err, f.Close(), os.Remove(name))
}

// fall ends a node and produces without it.
func (k *catchup) fall(ctx context.Context, away *member, producers *stream) error {
	sig := syscall.SIGKILL
	if k.graceful {
		sig = syscall.SIGTERM
	}
	away.end(sig)
	rate, err := producers.until(ctx, k.bytes)
	if err != nil {
		return err
	}
	fmt.Printf("node %d went by %v; %.2f GB were acknowledged without it, %.1f MB/s\n", away.number, sig, float64(k.bytes)/1e9, rate/1e6)
	return nil
}

// catchUp starts the node, waits until it is in sync everywhere, and returns what producers achieved meanwhile.
func (k *catchup) catchUp(ctx context.Context, away *member, producers *stream, disk float64) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, catchupLimit)
	defer cancel()
	held, had := k.segmentEnds(away), k.stored(away)
	pids := k.pids()
	used, err := load.UsageOf(pids)
	if err != nil {
		return 0, err
	}
	acked, begun := producers.acked.Load(), time.Now()
	if err := away.start(); err != nil {
		return 0, err
	}
	if k.profile != "" {
		if err := k.takeProfiles(ctx); err != nil {
			return 0, err
		}
	}
	if err := k.awaitRecords(ctx, away); err != nil {
		return 0, err
	}
	copying, written := time.Since(begun), k.stored(away)-had
	if err := k.awaitInSync(ctx, away); err != nil {
		return 0, err
	}
	took := time.Since(begun)
	rate := float64(producers.acked.Load()-acked) / took.Seconds()
	after, err := load.UsageOf(pids)
	if err != nil {
		return 0, err
	}
	own, err := away.running().cpu()
	if err != nil {
		return 0, err
	}
	if k.retention {
		fmt.Printf("node %d was in sync again after %v\n", away.number, took.Round(time.Millisecond))
		return rate, k.skipped(away, held)
	}
	speed := float64(written) / copying.Seconds()
	fmt.Printf("node %d had what the others have after %v: %.2f GB, %.0f MB/s, %.0f%% of the disk's speed; it was in sync after %v; its processor time %.2f s/GB, the others' %.2f s\n", away.number,
		copying.Round(time.Millisecond), float64(written)/1e9, speed/1e6, 100*speed/disk, took.Round(time.Millisecond), own.Seconds()/(float64(written)/1e9), (after.CPU - used.CPU).Seconds())
	return rate, nil
}

// profileSeconds is how long the profiles are taken.
const profileSeconds = 5

// takeProfiles asks every node for a profile, at the same time.
func (k *catchup) takeProfiles(ctx context.Context) error {
	var all errgroup.Group
	for _, m := range k.cluster.nodes {
		all.Go(func() error { return m.profile(ctx, filepath.Join(k.profile, fmt.Sprintf("node%d.pprof", m.number))) })
	}
	return all.Wait()
}

// profile asks the node for a processor profile. One that was just started is asked again until it answers.
func (m *member) profile(ctx context.Context, file string) error {
	url := fmt.Sprintf("http://%s:%d/debug/pprof/profile?seconds=%d", m.host, m.http, profileSeconds)
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		answer, err := http.DefaultClient.Do(request)
		if err == nil {
			defer answer.Body.Close()
			body, err := io.ReadAll(answer.Body)
			if err != nil {
				return err
			}
			return os.WriteFile(file, body, 0o644)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("profile node %d: %w", m.number, err)
		}
	}
}

func (k *catchup) pids() (pids []int) {
	for _, m := range k.cluster.nodes {
		if p := m.running(); p != nil {
			pids = append(pids, p.cmd.Process.Pid)
		}
	}
	return pids
}

// awaitRecords waits until a node's files are as long as another's, but for what is under way. With retention that says nothing.
func (k *catchup) awaitRecords(ctx context.Context, m *member) error {
	const underWay = 10 << 20
	for !k.retention && k.stored(m) < k.stored(k.cluster.nodes[0])-underWay {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("node %d does not get the records: %w", m.number, ctx.Err())
		}
	}
	return nil
}

// awaitInSync waits until a node counts as in sync in every partition.
func (k *catchup) awaitInSync(ctx context.Context, m *member) error {
	client, err := k.cluster.kafka()
	if err != nil {
		return err
	}
	defer client.Close()
	for ctx.Err() == nil {
		found, err := kadm.NewClient(client).Metadata(ctx, k.topic)
		if err == nil {
			all := len(found.Topics[k.topic].Partitions) == int(k.partitions)
			for _, p := range found.Topics[k.topic].Partitions {
				all = all && slices.Contains(p.ISR, int32(m.number))
			}
			if all {
				return nil
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	return fmt.Errorf("node %d is not in sync: %w", m.number, ctx.Err())
}

// logs are a node's segment files of the topic, by partition and in order.
func (k *catchup) logs(m *member) map[string][]string {
	found, _ := filepath.Glob(filepath.Join(m.data(), "topics", k.topic, "*", "*.log"))
	slices.Sort(found)
	logs := map[string][]string{}
	for _, file := range found {
		partition := filepath.Base(filepath.Dir(file))
		logs[partition] = append(logs[partition], file)
	}
	return logs
}

// stored is how many bytes of records a node has.
func (k *catchup) stored(m *member) (bytes int64) {
	for _, files := range k.logs(m) {
		for _, file := range files {
			if info, err := os.Stat(file); err == nil {
				bytes += info.Size()
			}
		}
	}
	return bytes
}

// segmentEnds is where each partition's last segment begins.
func (k *catchup) segmentEnds(m *member) map[string]int64 {
	ends := map[string]int64{}
	for partition, files := range k.logs(m) {
		ends[partition] = baseOffset(files[len(files)-1])
	}
	return ends
}

func baseOffset(file string) int64 {
	n, _ := strconv.ParseInt(strings.TrimSuffix(filepath.Base(file), ".log"), 10, 64)
	return n
}

// skipped says whether a node's files begin behind all that it held before: it was told where the log begins, and did not get what was removed.
func (k *catchup) skipped(m *member, held map[string]int64) error {
	logs := k.logs(m)
	for _, partition := range slices.Sorted(maps.Keys(held)) {
		files := logs[partition]
		if len(files) == 0 {
			return fmt.Errorf("node %d has no files of partition %s", m.number, partition)
		}
		if begins := baseOffset(files[0]); begins <= held[partition] {
			return fmt.Errorf("partition %s of node %d begins at %d, and its last segment before began at %d: retention has removed nothing that it needed; raise --gb",
				partition, m.number, begins, held[partition])
		}
	}
	fmt.Printf("all %d of its partitions begin behind what it had: it took the logs' starts, without records\n", len(held))
	return nil
}

// compare holds the files of all nodes against each other, while they run and after they have stopped.
func (k *catchup) compare(ctx context.Context) error {
	if differ := k.cluster.compareReplicas(ctx, []string{k.topic}); len(differ) > 0 {
		return fmt.Errorf("replicas differ: %s", strings.Join(differ, "; "))
	}
	var unexpected []string
	for _, m := range k.cluster.nodes {
		unexpected = append(unexpected, m.unexpected()...)
		unexpected = append(unexpected, complaints(m.log())...)
	}
	if len(unexpected) > 0 {
		return fmt.Errorf("nodes complained: %s", strings.Join(unexpected, "; "))
	}
	fmt.Println("the segment files of all three nodes are the same, byte for byte")
	return nil
}
