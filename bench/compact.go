package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// compaction is a topic with many records over few keys, compacted while clients use it, and what is left of it.
type compaction struct {
	cluster *cluster
	topic   string
	records int
	keys    int
	live    int // keys that are written to while it is compacted
	rate    int // records a second that go to them
	nodes   int
	codec   string
	limit   time.Duration

	last      []int64 // offset of the last record of each key, by its number
	tombstone []bool  // that one has no value
	pool      []byte  // what values are cut from
	random    *rand.Rand
	end       atomic.Int64 // acknowledged
}

func newCompact(o *options) *cobra.Command {
	k := compaction{topic: "compact", live: 1000, random: rand.New(rand.NewPCG(1, 2))}
	c := &cobra.Command{
		Use:   "compact",
		Short: "Compact a topic while clients produce to it and read it, and check every record that is left; with three nodes, one is away for half of it",
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), k.limit)
			defer cancel()
			return k.bench(ctx, o)
		},
	}
	c.Flags().IntVar(&k.records, "records", 10_000_000, "records, of 100 bytes each")
	c.Flags().IntVar(&k.keys, "keys", 1_000_000, "keys")
	c.Flags().IntVar(&k.rate, "rate", 2000, "records a second that are produced while it compacts")
	c.Flags().IntVar(&k.nodes, "nodes", 1, "1, or 3 with one away")
	c.Flags().StringVar(&k.codec, "codec", "none", "none, gzip, snappy, lz4 or zstd")
	c.Flags().DurationVar(&k.limit, "limit", 20*time.Minute, "give up after this")
	return c
}

func (k *compaction) bench(ctx context.Context, o *options) (err error) {
	extra := []string{"log.cleaner.backoff.ms=200", "log.retention.check.interval.ms=300"}
	if k.nodes == 1 {
		extra = append(extra, "default.replication.factor=1", "min.insync.replicas=1", "offsets.topic.replication.factor=1")
	}
	var end func()
	if k.cluster, end, err = o.startCluster(k.nodes, extra...); err != nil {
		return err
	}
	defer end()
	client, err := k.producer()
	if err != nil {
		return err
	}
	defer client.Close()
	if err := k.makeTopic(ctx, client); err != nil {
		return err
	}
	away, err := k.fill(ctx, client)
	if err != nil {
		return err
	}
	fmt.Printf("load average %s\n", loadAverage())
	quiet, err := k.use(ctx, client, 5*time.Second, nil)
	if err != nil {
		return err
	}
	fmt.Printf("clients before: %v\n", quiet)
	if err := k.compactUnderLoad(ctx, client, away); err != nil {
		return err
	}
	if away != nil {
		if err := away.start(); err != nil {
			return err
		}
	}
	if err := k.settle(ctx, client); err != nil {
		return err
	}
	if err := k.checkOutside(ctx); err != nil {
		return err
	}
	k.cluster.stopAll()
	for _, m := range k.cluster.nodes {
		if err := k.checkFiles(m); err != nil {
			return err
		}
	}
	fmt.Printf("all %d nodes hold exactly the last record of each of %d keys, at its offset\n", k.nodes, k.wanted())
	return nil
}

func (k *compaction) producer() (*kgo.Client, error) {
	codecs := map[string]kgo.CompressionCodec{"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(),
		"zstd": kgo.ZstdCompression()}
	codec, ok := codecs[k.codec]
	if !ok {
		return nil, fmt.Errorf("no codec %q", k.codec)
	}
	return k.cluster.kafka(kgo.ProducerBatchCompression(codec), kgo.DefaultProduceTopic(k.topic), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(5*time.Millisecond), kgo.MaxBufferedRecords(50_000), kgo.ProducerBatchMaxBytes(64<<10))
}

// makeTopic makes a topic that is not compacted yet: its records are too young.
func (k *compaction) makeTopic(ctx context.Context, client *kgo.Client) error {
	config := map[string]string{"cleanup.policy": "compact", "min.compaction.lag.ms": "86400000", "min.cleanable.dirty.ratio": "0.01", "segment.bytes": strconv.Itoa(min(max(5*k.records, 1<<20), 64<<20))}
	pointers := map[string]*string{}
	for name, value := range config {
		pointers[name] = &value
	}
	for {
		made, err := kadm.NewClient(client).CreateTopic(ctx, 1, int16(k.nodes), pointers, k.topic)
		if err == nil && made.Err == nil {
			return k.cluster.awaitLeaders(ctx, k.topic)
		}
		if ctx.Err() != nil {
			return errors.Join(err, made.Err, ctx.Err())
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (k *compaction) alter(ctx context.Context, client *kgo.Client, name, value string) error {
	answers, err := kadm.NewClient(client).AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: name, Value: &value}}, k.topic)
	if err != nil {
		return err
	}
	return answers[0].Err
}

// record makes the next record of a key. Every twentieth has no value.
func (k *compaction) record(key int, offset int64) *kgo.Record {
	r := &kgo.Record{Topic: k.topic, Key: binary.BigEndian.AppendUint64(make([]byte, 0, 8), uint64(key))}
	k.last[key], k.tombstone[key] = offset, offset%20 == 19
	if !k.tombstone[key] {
		r.Value = binary.BigEndian.AppendUint64(make([]byte, 0, 84), uint64(offset))
		at := k.random.IntN(len(k.pool) - 76)
		r.Value = append(r.Value, k.pool[at:at+76]...)
	}
	return r
}

// fill writes the records, every key once and then any. With three nodes one goes when half is written.
func (k *compaction) fill(ctx context.Context, client *kgo.Client) (away *member, err error) {
	k.last, k.tombstone = make([]int64, k.keys+k.live), make([]bool, k.keys+k.live)
	k.pool = make([]byte, 64<<10)
	for i := range k.pool {
		k.pool[i] = "0123456789abcdef"[k.random.IntN(16)]
	}
	failed := make(chan error, 1)
	begun := time.Now()
	for o := range int64(k.records) {
		if k.nodes > 1 && o == int64(k.records)/2 {
			away = k.cluster.nodes[k.nodes-1]
			away.end(syscall.SIGKILL)
		}
		key := int(o)
		if key >= k.keys {
			key = k.random.IntN(k.keys)
		}
		client.Produce(ctx, k.record(key, o), func(r *kgo.Record, err error) {
			if err == nil && r.Offset != o {
				err = fmt.Errorf("record %d has offset %d", o, r.Offset)
			}
			if err != nil {
				select {
				case failed <- err:
				default:
				}
			}
		})
	}
	if err := client.Flush(ctx); err != nil {
		return nil, err
	}
	select {
	case err := <-failed:
		return nil, err
	default:
	}
	k.end.Store(int64(k.records))
	fmt.Printf("%d records over %d keys in %v, %.0f MB on disk, codec %s\n", k.records, k.keys, time.Since(begun).Round(time.Second), float64(k.stored(k.cluster.nodes[0]))/1e6, k.codec)
	return away, nil
}

func (k *compaction) stored(m *member) (bytes int64) {
	found, _ := filepath.Glob(filepath.Join(m.data(), "topics", k.topic, "*", "*.log"))
	for _, file := range found {
		if info, err := os.Stat(file); err == nil {
			bytes += info.Size()
		}
	}
	return bytes
}

// usage is what clients saw for a while.
type usage struct {
	waits []time.Duration // for acknowledgements
	read  int64
	took  time.Duration
}

func (u usage) String() string {
	slices.Sort(u.waits)
	at := func(q float64) time.Duration {
		return u.waits[int(q*float64(len(u.waits)-1))].Round(10 * time.Microsecond)
	}
	return fmt.Sprintf("%d records acknowledged, p50 %v, p99 %v, at most %v; %.0f records a second read", len(u.waits), at(0.5), at(0.99), at(1), float64(u.read)/u.took.Seconds())
}

// use produces to the live keys at the rate, and reads the topic over and over, until the time is over or done.
func (k *compaction) use(ctx context.Context, client *kgo.Client, limit time.Duration, done <-chan struct{}) (usage, error) {
	reading, stop := context.WithCancel(ctx)
	var read atomic.Int64
	var readError error
	var reader sync.WaitGroup
	reader.Go(func() { readError = k.readAgain(reading, &read) })
	u := usage{}
	begun := time.Now()
	err := func() error {
		for n := 0; time.Since(begun) < limit; n++ {
			select {
			case <-done:
				return nil
			default:
			}
			o := k.end.Load()
			sent := time.Now()
			if err := client.ProduceSync(ctx, k.record(k.keys+k.random.IntN(k.live), o)).FirstErr(); err != nil {
				return err
			}
			u.waits = append(u.waits, time.Since(sent))
			k.end.Store(o + 1)
			if ahead := time.Duration(n)*time.Second/time.Duration(k.rate) - time.Since(begun); ahead > 0 {
				time.Sleep(ahead)
			}
		}
		return nil
	}()
	u.took = time.Since(begun)
	stop()
	reader.Wait()
	u.read = read.Load()
	return u, errors.Join(err, readError)
}

// readAgain reads the topic from its start to its end, again and again. Offsets rise, and every value is the one of its offset.
func (k *compaction) readAgain(ctx context.Context, read *atomic.Int64) error {
	for ctx.Err() == nil {
		err := k.read(ctx, k.end.Load(), func(r *kgo.Record) error {
			read.Add(1)
			return k.checkRecord(r.Offset, r.Key, r.Value)
		})
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

// read reads everything before end.
func (k *compaction) read(ctx context.Context, end int64, f func(*kgo.Record) error) error {
	client, err := k.cluster.kafka(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{k.topic: {0: kgo.NewOffset().At(0)}}), kgo.FetchMaxWait(100*time.Millisecond),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()))
	if err != nil {
		return err
	}
	defer client.Close()
	for last := int64(-1); last < end-1; { // the last record is the last of its key
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return err
		}
		for _, r := range fetches.Records() {
			if r.Offset <= last {
				return fmt.Errorf("offset %d after %d", r.Offset, last)
			}
			if last = r.Offset; last >= end {
				return nil
			}
			if err := f(r); err != nil {
				return err
			}
		}
	}
	return nil
}

// compactUnderLoad lets the nodes that run compact what there is, while clients work, and measures both.
func (k *compaction) compactUnderLoad(ctx context.Context, client *kgo.Client, away *member) error {
	to := k.end.Load() - int64(k.records)/5 // but for the active segment, which is less than that
	leader, cpuBefore, memoryBefore, err := k.measure()
	if err != nil {
		return err
	}
	if err := k.alter(ctx, client, "min.compaction.lag.ms", "0"); err != nil {
		return err
	}
	done := make(chan struct{})
	peak := memoryBefore
	var watching sync.WaitGroup
	var watchError error
	watching.Go(func() {
		defer close(done)
		for {
			rss, _, err := leader.running().memory()
			peak = max(peak, rss)
			all := true
			for _, m := range k.cluster.nodes {
				if m != away && err == nil {
					var reached int64
					reached, _, err = m.compacted(k.topic)
					all = all && reached >= to
				}
			}
			if watchError = errors.Join(err, ctx.Err()); all || watchError != nil {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	})
	during, err := k.use(ctx, client, k.limit, done)
	watching.Wait()
	if err := errors.Join(err, watchError); err != nil {
		return err
	}
	cpu, err := leader.running().cpu()
	if err != nil {
		return err
	}
	_, lines, err := leader.compacted(k.topic)
	if err != nil {
		return err
	}
	first := lines[0]
	took, err := time.ParseDuration(first.Took)
	if err != nil {
		return err
	}
	expanded := float64(first.Records) * 100 / 1e6
	fmt.Printf("compacted: %.0f MB to %.0f MB, %d of %d records kept, %d pass; %v: %.0f MB/s of segments, %.0f MB/s of records; the process used %.1f s of CPU meanwhile, clients served\n",
		first.Before/1e6, first.After/1e6, first.Kept, first.Records, first.Passes, took.Round(time.Millisecond), first.Before/1e6/took.Seconds(),
		expanded/took.Seconds(), (cpu - cpuBefore).Seconds())
	fmt.Printf("resident memory: %.0f MB before, %.0f MB at most\n", float64(memoryBefore)/1e6, float64(peak)/1e6)
	fmt.Printf("clients meanwhile: %v\n", during)
	return nil
}

// measure looks at the first node, which compacts like the others.
func (k *compaction) measure() (m *member, cpu time.Duration, rss int64, err error) {
	m = k.cluster.nodes[0]
	if cpu, err = m.running().cpu(); err == nil {
		rss, _, err = m.running().memory()
	}
	return m, cpu, rss, err
}

// compactedLine is what a node says in its log of one compaction.
type compactedLine struct {
	Msg     string  `json:"msg"`
	Topic   string  `json:"topic"`
	Before  float64 `json:"before"`
	After   float64 `json:"after"`
	Records int64   `json:"records"`
	Kept    int64   `json:"kept"`
	Passes  int     `json:"passes"`
	To      int64   `json:"to"`
	Took    string  `json:"took"`
}

// compacted is how far a node has compacted, and what it says of that.
func (m *member) compacted(topic string) (to int64, lines []compactedLine, err error) {
	f, err := os.Open(m.log())
	if err != nil {
		return 0, nil, err
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		var line compactedLine
		if bytes.Contains(s.Bytes(), []byte(`"compacted"`)) && json.Unmarshal(s.Bytes(), &line) == nil && line.Msg == "compacted" && line.Topic == topic {
			to = max(to, line.To)
			lines = append(lines, line)
		}
	}
	return to, lines, nil
}

// settle lets everything be compacted, the active segment too.
func (k *compaction) settle(ctx context.Context, client *kgo.Client) error {
	begun := time.Now()
	// A few records that were not there for the last compaction are no reason for another, by the ratio that the topic was made with.
	if err := errors.Join(k.alter(ctx, client, "segment.ms", "1000"), k.alter(ctx, client, "min.cleanable.dirty.ratio", "0")); err != nil {
		return err
	}
	for _, m := range k.cluster.nodes {
		for to := int64(0); to < k.end.Load(); {
			var err error
			if to, _, err = m.compacted(k.topic); err != nil {
				return err
			}
			if ctx.Err() != nil {
				return fmt.Errorf("node %d has compacted to %d of %d: %w", m.number, to, k.end.Load(), ctx.Err())
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	fmt.Printf("everything was compacted everywhere after another %v\n", time.Since(begun).Round(time.Millisecond))
	return nil
}
