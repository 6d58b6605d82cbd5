package testcluster

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/barnabas-log/barnabas/internal/history"
	"github.com/barnabas-log/barnabas/log"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// directory is where a node keeps the first partition of the topic.
func (n *Node) directory(t *testing.T) string {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(n.Dir(), "topics", topic, "0.*"))
	dirs = without(without(dirs, ".deleted"), ".corrupt-")
	if err != nil || len(dirs) != 1 {
		t.Fatalf("directories %v: %v", dirs, err)
	}
	return dirs[0]
}

func without(names []string, part string) (rest []string) {
	for _, name := range names {
		if !strings.Contains(name, part) {
			rest = append(rest, name)
		}
	}
	return rest
}

// segments are the .log files of a directory, in order.
func segments(t *testing.T, dir string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil || len(found) < 3 {
		t.Fatalf("segments %v: %v", found, err)
	}
	return found
}

// flip changes one bit of a file, the more from its end the larger part is.
func flip(t *testing.T, name string, part float64) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	b[int(part*float64(len(b)-1))] ^= 1
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(b, 0); err != nil {
		t.Fatal(err)
	}
}

// settled waits until no node has anything set aside and all have the same.
func (s *scene) settled() {
	s.t.Helper()
	for {
		left, _ := filepath.Glob(filepath.Join(s.dir, "*", "topics", "*", "*.corrupt-*"))
		left = without(left, ".deleted")
		if len(left) == 0 && s.difference() == "" {
			return
		}
		if s.ctx.Err() != nil {
			s.t.Fatalf("left over: %v; difference: %s", left, s.difference())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// A follower is stopped, its files are damaged in one way after the other, and it is started again under load: it has everything in the end.
func TestDamagedReplicaIsFetchedAnew(t *testing.T) {
	t.Parallel()
	s := beginWith(t, Options{}, 1, map[string]string{"segment.ms": "20", "file.delete.delay.ms": "0"})
	s.recorder = history.NewRecorder(&s.file)
	client := s.connect()
	total := int64(0)
	load := func(n int) {
		t.Helper()
		if err := s.produce(client, n, 1)(); err != nil {
			t.Fatal(err)
		}
		total += int64(n)
	}
	load(200)
	for _, c := range []struct {
		name   string
		long   bool // only with BARNABAS_LONG=1
		damage func(t *testing.T, dir string)
	}{
		{"manifest", false, func(t *testing.T, dir string) { flip(t, filepath.Join(dir, "manifest"), 1) }},
		{"manifest gone", true, func(t *testing.T, dir string) { remove(t, filepath.Join(dir, "manifest")) }},
		{"ctl", false, func(t *testing.T, dir string) { flip(t, filepath.Join(dir, "ctl"), 0.5) }},
		{"ctl gone", true, func(t *testing.T, dir string) { remove(t, filepath.Join(dir, "ctl")) }},
		{"checkpoint", false, func(t *testing.T, dir string) { flip(t, filepath.Join(dir, "checkpoint"), 1) }},
		{"recovery point", true, func(t *testing.T, dir string) { flip(t, filepath.Join(dir, "recovery"), 0.5) }},
		{"segment cut", false, func(t *testing.T, dir string) { truncate(t, segments(t, dir)[1], 0.5) }},
		{"active segment cut", true, func(t *testing.T, dir string) { all := segments(t, dir); truncate(t, all[len(all)-1], 0.5) }},
		{"segment gone", true, func(t *testing.T, dir string) { remove(t, segments(t, dir)[1]) }},
		{"indexes gone", true, func(t *testing.T, dir string) {
			for _, name := range segments(t, dir) {
				for _, suffix := range []string{".index", ".timeindex", ".raftindex"} {
					remove(t, strings.TrimSuffix(name, ".log")+suffix)
				}
			}
		}},
		{"directory gone", false, func(t *testing.T, dir string) { remove(t, dir) }},
	} {
		if c.long && os.Getenv("BARNABAS_LONG") == "" {
			continue
		}
		leader := s.leader(0)
		hurt := s.Node(leader.ID%3 + 1)
		hurt.Kill()
		c.damage(t, hurt.directory(t))
		wait := s.produce(client, 50, 1)
		hurt.Start()
		if err := wait(); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		total += 50
		s.settled()
		// It counts again: with the third one away it has to confirm.
		third := s.Node(6 - leader.ID - hurt.ID)
		third.Kill()
		load(10)
		third.Start()
		s.settled()
	}
	s.verify(total)
}

func remove(t *testing.T, name string) {
	t.Helper()
	if err := os.RemoveAll(name); err != nil {
		t.Fatal(err)
	}
}

func truncate(t *testing.T, name string, part float64) {
	t.Helper()
	info, err := os.Stat(name)
	if err == nil {
		err = os.Truncate(name, int64(part*float64(info.Size())))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Bits of segments and index files are changed under the feet of running nodes, under load, on leaders and followers: the scrub finds all of it, and each replica is put right.
func TestDamageOnRunningNodesIsFoundAndPutRight(t *testing.T) {
	t.Parallel()
	s := beginWith(t, Options{Set: []string{"barnabas.scrub.interval.ms=50", "barnabas.scrub.bytes.per.second=500000000"}}, 1,
		map[string]string{"segment.ms": "20", "file.delete.delay.ms": "0"})
	s.recorder = history.NewRecorder(&s.file)
	client := s.connect()
	total := int64(0)
	load := func(n int) (wait func() error) {
		total += int64(n)
		return s.produce(client, n, 1)
	}
	for range 4 { // apart in time, so that there are several segments
		if err := load(50)(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Millisecond)
	}
	leader := s.leader(0)
	for _, c := range []struct {
		name   string
		node   *Node
		damage func(dir string)
	}{
		{"a follower's segment", s.Node(leader.ID%3 + 1), func(dir string) { flip(t, segments(t, dir)[1], 0.7) }},
		{"the leader's segment", leader, func(dir string) { flip(t, segments(t, dir)[0], 0.4) }},
		{"an index of each", leader, func(string) {
			for k, suffix := range []string{".index", ".timeindex", ".raftindex"} {
				remove(t, strings.TrimSuffix(segments(t, s.Node(int32(k+1)).directory(t))[k], ".log")+suffix)
			}
		}},
	} {
		before := map[string]os.FileInfo{}
		if c.name != "an index of each" {
			before[c.node.directory(t)] = status(t, c.node.directory(t))
		}
		wait := load(100)
		c.damage(c.node.directory(t))
		for dir, old := range before { // another directory takes its place
			for os.SameFile(old, status(t, dir)) {
				if s.ctx.Err() != nil {
					t.Fatalf("%s: nobody has noticed", c.name)
				}
				time.Sleep(10 * time.Millisecond)
			}
		}
		if err := wait(); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		s.settled()
	}
	for _, n := range s.Nodes() {
		for missing := true; missing; time.Sleep(10 * time.Millisecond) {
			missing = false
			for _, name := range segments(t, n.directory(t)) {
				for _, suffix := range []string{".index", ".timeindex", ".raftindex"} {
					if _, err := os.Stat(strings.TrimSuffix(name, ".log") + suffix); err != nil {
						missing = true
					}
				}
			}
			if missing && s.ctx.Err() != nil {
				t.Fatal("an index is still missing")
			}
		}
	}
	s.verify(total)
}

// status waits for a file: one that is being replaced may be away for a moment.
func status(t *testing.T, name string) os.FileInfo {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		info, err := os.Stat(name)
		if err == nil {
			return info
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// With one replica only, a damaged partition is offline and says so; the others go on. What repair saves is served again without a restart.
func TestDamagedPartitionWithoutReplicasIsOfflineUntilRepaired(t *testing.T) {
	t.Parallel()
	s := &scene{Cluster: Start(t, Options{Nodes: 1, Set: []string{"default.replication.factor=1", "min.insync.replicas=1"}}), t: t, ctx: deadline(t)}
	s.client = s.connect()
	s.admin = kadm.NewClient(s.client)
	segmentMillis := "20"
	if _, err := s.admin.CreateTopic(s.ctx, 2, 1, map[string]*string{"segment.ms": &segmentMillis}, topic); err != nil {
		t.Fatal(err)
	}
	at := time.Now() // of the records: segments are rolled by it
	write := func(client *kgo.Client, partition int32) error {
		ctx, cancel := context.WithTimeout(s.ctx, 2*time.Second)
		defer cancel()
		return client.ProduceSync(ctx, &kgo.Record{Topic: topic, Partition: partition, Value: []byte("value"), Timestamp: at}).FirstErr()
	}
	for range 6 {
		if err := errors.Join(write(s.client, 0), write(s.client, 1)); err != nil {
			t.Fatal(err)
		}
		at = at.Add(25 * time.Millisecond)
	}
	node := s.Node(1)
	dir := node.directory(t)
	node.Stop()
	truncate(t, segments(t, dir)[1], 0.5)
	node.Start()
	if err := write(s.connect(), 1); err != nil {
		t.Fatalf("the sound partition: %v", err)
	}
	if err := write(s.connect(), 0); err == nil {
		t.Fatal("the damaged partition takes records")
	}
	plan, err := log.PlanRepair(nil, dir)
	if err != nil || plan.Lost() != 1 {
		t.Fatalf("%+v, %v", plan, err)
	}
	if _, err := plan.Apply(dir, plan.Configuration, nil); err != nil {
		t.Fatal(err)
	}
	for write(s.connect(), 0) != nil {
		if s.ctx.Err() != nil {
			t.Fatal("repaired, and still offline")
		}
	}
	reader := s.connect(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().At(0)}}))
	var offsets []int64
	for len(offsets) < 6 && s.ctx.Err() == nil {
		reader.PollFetches(s.ctx).EachRecord(func(r *kgo.Record) { offsets = append(offsets, r.Offset) })
	}
	if want := []int64{0, 2, 3, 4, 5, 6}; !slices.Equal(offsets, want) {
		t.Fatalf("offsets %v, not %v", offsets, want)
	}
}
