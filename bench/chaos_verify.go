package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/barnabas-log/barnabas/internal/history"
	"github.com/barnabas-log/barnabas/log"
)

// ends are the offsets behind the last record of every partition. While somebody does not answer it asks again, until ctx ends.
func (c *crowd) ends(ctx context.Context) (map[history.Partition]int64, error) {
	client, err := c.cluster.kafka()
	if err != nil {
		return nil, err
	}
	defer client.Close()
	for {
		listed, err := kadm.NewClient(client).ListEndOffsets(ctx, c.topics...)
		if err == nil {
			err = listed.Error()
		}
		if err == nil {
			ends := map[history.Partition]int64{}
			listed.Each(func(o kadm.ListedOffset) { ends[history.Partition{Topic: o.Topic, Number: o.Partition}] = o.Offset })
			return ends, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("list end offsets: %w", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// awaitGroups waits until the groups have read everything.
func (c *crowd) awaitGroups(ctx context.Context, groups ...string) []string {
	ctx, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	ends, err := c.ends(ctx)
	if err != nil {
		return []string{err.Error()}
	}
	behind := func() (lines []string) {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, g := range groups {
			for p, end := range ends {
				if got := c.reached[g+"/"+p.String()]; got < end {
					lines = append(lines, fmt.Sprintf("group %s got %v up to %d of %d", g, p, got, end))
				}
			}
		}
		slices.Sort(lines)
		return lines
	}
	for ctx.Err() == nil {
		if len(behind()) == 0 {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return behind()
}

// unread begins a line about records that the final reading did not get.
const unread = "final reading: records below the end offsets did not come"

// finalReading reads everything from the start, up to the last record of each partition.
func (c *crowd) finalReading(ctx context.Context) []string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	listing, done := context.WithTimeout(ctx, settleLimit)
	defer done()
	ends, err := c.ends(listing)
	if err != nil {
		return []string{"final reading: " + err.Error()}
	}
	from := map[string]map[int32]kgo.Offset{}
	missing, open := int64(0), 0
	for p, end := range ends {
		if from[p.Topic] == nil {
			from[p.Topic] = map[int32]kgo.Offset{}
		}
		from[p.Topic][p.Number] = kgo.NewOffset().At(0)
		missing += end
		if end > 0 {
			open++
		}
	}
	client, err := c.cluster.kafka(kgo.ConsumePartitions(from), kgo.ConsumeResetOffset(kgo.NoResetOffset()))
	if err != nil {
		return []string{err.Error()}
	}
	defer client.Close()
	for open > 0 && ctx.Err() == nil {
		fetches := client.PollRecords(ctx, 10_000)
		c.fetchErrors("final reading", fetches)
		fetches.EachRecord(func(r *kgo.Record) {
			p := history.Partition{Topic: r.Topic, Number: r.Partition}
			id, err := history.ParsePayload(r.Value)
			if err != nil {
				c.odd("%v offset %d: %v", p, r.Offset, err)
			} else {
				c.recorder.Record(history.Event{Kind: history.Final, Partition: p, ID: id, Offset: r.Offset})
			}
			missing--
			if r.Offset == ends[p]-1 {
				open--
			}
		})
	}
	if missing > 0 {
		return []string{fmt.Sprintf("%s: %d", unread, missing)}
	}
	return nil
}

// compareReplicas waits until the segment files of all replicas are the same.
func (c *cluster) compareReplicas(ctx context.Context, topics []string) []string {
	ctx, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	for {
		var differ []string
		for _, t := range topics {
			differ = append(differ, c.differences(t)...)
		}
		if len(differ) == 0 || ctx.Err() != nil {
			return differ
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// differences of a topic's segment files between the first node and the others.
func (c *cluster) differences(topic string) (lines []string) {
	root := func(m *member) string { return filepath.Join(m.data(), "topics", topic) }
	first, err := segments(root(c.nodes[0]))
	if err != nil || len(first) == 0 {
		return []string{fmt.Sprintf("node 1 has no segments of %s: %v", topic, err)}
	}
	for _, m := range c.nodes[1:] {
		other, err := segments(root(m))
		if err != nil || !slices.Equal(first, other) {
			lines = append(lines, fmt.Sprintf("nodes 1 and %d have different segments of %s: %v, %v (%v)", m.number, topic, first, other, err))
			continue
		}
		for _, name := range first {
			if at, err := firstDifference(filepath.Join(root(c.nodes[0]), name), filepath.Join(root(m), name)); err != nil || at >= 0 {
				lines = append(lines, fmt.Sprintf("%s/%s differs between nodes 1 and %d at %d (%v)", topic, name, m.number, at, err))
			}
		}
	}
	return lines
}

func segments(root string) ([]string, error) {
	found, err := filepath.Glob(filepath.Join(root, "*", "*.log"))
	for i := range found {
		found[i], _ = filepath.Rel(root, found[i])
	}
	return found, err
}

// firstDifference of two files, -1 for none.
func firstDifference(a, b string) (int64, error) {
	fa, err := os.Open(a)
	if err != nil {
		return 0, err
	}
	defer fa.Close()
	fb, err := os.Open(b)
	if err != nil {
		return 0, err
	}
	defer fb.Close()
	ba, bb := make([]byte, 256<<10), make([]byte, 256<<10)
	for at := int64(0); ; {
		na, errA := io.ReadFull(fa, ba)
		nb, _ := io.ReadFull(fb, bb)
		if !bytes.Equal(ba[:na], bb[:nb]) {
			i := 0
			for i < na && i < nb && ba[i] == bb[i] {
				i++
			}
			return at + int64(i), nil
		}
		if errA != nil {
			return -1, nil // both ended
		}
		at += int64(na)
	}
}

// inspect verifies the logs of stopped nodes, all the way down to the records, and compares the replicas once more.
func (c *cluster) inspect(topics []string) (problems []string) {
	for _, t := range topics {
		problems = append(problems, c.differences(t)...)
		for _, m := range c.nodes {
			dirs, _ := filepath.Glob(filepath.Join(m.data(), "topics", t, "*"))
			for _, d := range dirs {
				report, err := log.Inspect(d, log.InspectOptions{Records: true})
				if err != nil || !report.Sound() {
					problems = append(problems, fmt.Sprintf("%s is not sound: %v %v", d, err, report))
				}
			}
		}
	}
	return problems
}

// expected are parts of lines that nodes may well log as errors under such faults.
func (c *cluster) expected(kinds []string) []string {
	signs := []string{"a write hangs"} // as it does in a process that is paused, and on a slow disk
	if slices.Contains(kinds, "full") {
		signs = append(signs, "no space left on device", "disk is full up to its reserve")
	}
	return signs
}

// complaints are the lines of a node's log that nobody should ever see.
func complaints(path string, expected ...string) (lines []string) {
	f, err := os.Open(path)
	if err != nil {
		return []string{err.Error()}
	}
	defer f.Close()
	scan := bufio.NewScanner(f)
	scan.Buffer(nil, 1<<20)
	for scan.Scan() {
		line := scan.Text()
		if slices.ContainsFunc(expected, func(sign string) bool { return strings.Contains(line, sign) }) {
			continue
		}
		for _, sign := range []string{`"level":"error"`, `"level":"dpanic"`, "panic: ", "fatal error: ", "goroutine 1 ["} {
			if strings.Contains(line, sign) && len(lines) < 20 {
				lines = append(lines, filepath.Base(filepath.Dir(path))+": "+line[:min(len(line), 400)])
				break
			}
		}
	}
	return lines
}
