package broker

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// move asks for a move as an administrator's tool does.
func (n *node) move(topic string, partition int32, dir string) int16 {
	n.Helper()
	req := kmsg.NewPtrAlterReplicaLogDirsRequest()
	to := kmsg.NewAlterReplicaLogDirsRequestDir()
	to.Dir = dir
	to.Topics = append(to.Topics, kmsg.AlterReplicaLogDirsRequestDirTopic{Topic: topic, Partitions: []int32{partition}})
	req.Dirs = append(req.Dirs, to)
	return ask[*kmsg.AlterReplicaLogDirsResponse](n, req).Topics[0].Partitions[0].ErrorCode
}

// home is the data directory that DescribeLogDirs names for a partition.
func (n *node) home(topic string) (path string, future bool) {
	n.Helper()
	for _, d := range ask[*kmsg.DescribeLogDirsResponse](n, kmsg.NewPtrDescribeLogDirsRequest()).Dirs {
		for _, t := range d.Topics {
			for _, p := range t.Partitions {
				if t.Topic == topic && p.IsFuture {
					future = true
				} else if t.Topic == topic {
					path = d.Dir
				}
			}
		}
	}
	return path, future
}

func TestAReplicaMovesToAnotherDirectoryWhileItServes(t *testing.T) {
	n := startSeveralDirs(t)
	n.create("t", 1, "segment.bytes", "1048576")
	l := n.work("t")
	n.until("a few segments", func() bool { return l.acks.Load() > 150 })
	for round := range 4 {
		from, _ := n.home("t")
		to := n.broker.dirs.data[0].path
		if to == from {
			to = n.broker.dirs.data[1].path
		}
		if code := n.move("t", 0, to); code != 0 {
			t.Fatalf("move: code %d", code)
		}
		n.until("the replica to have moved", func() bool { at, future := n.home("t"); return at == to && !future })
		before := l.acks.Load()
		n.until("produces to go on", func() bool { return l.acks.Load() > before+20 })
		if left, _ := filepath.Glob(filepath.Join(from, "topics", "t", "*")); len(left) > 0 && !strings.HasSuffix(left[0], ".deleted") {
			t.Errorf("round %d: left behind: %q", round, left)
		}
	}
	acknowledged := l.stop()
	n.holds("t", acknowledged)
	n.restart()
	n.holds("t", acknowledged)
}

func TestMovesThatCannotBeAreRefused(t *testing.T) {
	n := startSeveralDirs(t)
	n.create("t", 1)
	at, _ := n.home("t")
	for _, test := range []struct {
		topic     string
		partition int32
		dir       string
		code      int16
	}{
		{"t", 0, at, 0},
		{"t", 0, "/nowhere", kerr.LogDirNotFound.Code},
		{"t", 1, at, kerr.UnknownTopicOrPartition.Code},
		{"u", 0, at, kerr.UnknownTopicOrPartition.Code},
	} {
		if code := n.move(test.topic, test.partition, test.dir); code != test.code {
			t.Errorf("%s-%d to %s: code %d, want %d", test.topic, test.partition, test.dir, code, test.code)
		}
	}
}

// A node that is killed in the middle of a move has the replica in one of the two directories, and sweeps the other.
func TestAMoveThatWasInterruptedLeavesOneReplica(t *testing.T) {
	for _, committed := range []bool{false, true} {
		t.Run(fmt.Sprint("committed ", committed), func(t *testing.T) {
			n := startSeveralDirs(t)
			n.create("t", 1)
			if err := n.produce("t", 0, "a", "b"); err != nil {
				t.Fatal(err)
			}
			r := n.broker.hosting.find(n.broker.Image().Topics["t"].ID, 0)
			from, to := r.dir, ""
			for _, d := range n.broker.dirs.data {
				if d != r.home {
					to = d.replicaDir("t", r.place())
				}
			}
			list, there := filepath.Join(n.broker.dirs.meta.path, homesName), n.broker.dirs.data
			n.stop()
			if err := os.CopyFS(to, os.DirFS(from)); err != nil { // the copy has its name, and the old one is not removed
				t.Fatal(err)
			}
			if err := os.CopyFS(to+futureSuffix, os.DirFS(from)); err != nil { // of yet another attempt
				t.Fatal(err)
			}
			if committed {
				content, err := os.ReadFile(list)
				if err != nil {
					t.Fatal(err)
				}
				ids := []string{there[0].identity(), there[1].identity()}
				if strings.HasPrefix(to, there[0].path) {
					ids[0], ids[1] = ids[1], ids[0]
				}
				if content = bytes.ReplaceAll(content, []byte(ids[0]), []byte(ids[1])); os.WriteFile(list, content, 0o644) != nil {
					t.Fatal("write")
				}
				from, to = to, from
			}
			n.open()
			if got := n.read("t", 0, 0); len(got) != 2 {
				t.Errorf("%q", got)
			}
			if now := n.broker.hosting.find(r.topic.ID, 0).dir; now != from {
				t.Errorf("the replica is in %s, not in %s", now, from)
			}
			n.until("the rest to be removed", func() bool { left, _ := filepath.Glob(to + "*"); return len(left) == 0 })
		})
	}
}

// The copier must make the directory equal whatever happens to files between rounds: growth, cuts and rewrites to the same length, replacement, removal.
func TestTheLastRoundOfACopyMakesItEqual(t *testing.T) {
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "copy")
	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(from, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	old := time.Now().Add(-time.Hour)
	write("0.log", strings.Repeat("a", 1000))
	write("1.log", strings.Repeat("b", 1000))
	write("2.log", strings.Repeat("c", 1000))
	write("ctl", "old")
	write("gone", "x")
	for _, name := range []string{"0.log", "2.log"} {
		if err := os.Chtimes(filepath.Join(from, name), old, old); err != nil {
			t.Fatal(err)
		}
	}
	var copied atomic.Int64
	c, err := newCopier(from, to, &copied)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.round(context.Background(), false); err != nil {
		t.Fatal(err)
	}
	write("1.log", strings.Repeat("b", 500)+strings.Repeat("d", 500)) // cut and appended to, to the same length
	write("ctl", "new")
	write("3.log", "e")
	if err := os.Remove(filepath.Join(from, "gone")); err != nil {
		t.Fatal(err)
	}
	f, _ := os.OpenFile(filepath.Join(from, "2.log"), os.O_APPEND|os.O_WRONLY, 0)
	if _, err := f.WriteString("more"); err != nil || f.Close() != nil {
		t.Fatal(err)
	}
	n, err := c.round(context.Background(), true)
	if err != nil {
		t.Fatal(err)
	}
	if n != 4+1000+3+1 {
		t.Errorf("%d bytes were copied: an old file must not be, and of one that grew only what is new", n)
	}
	total := int64(0)
	entries, _ := os.ReadDir(to)
	for _, e := range entries {
		want, err := os.ReadFile(filepath.Join(from, e.Name()))
		got, _ := os.ReadFile(filepath.Join(to, e.Name()))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s differs", e.Name())
		}
		total += int64(len(got))
	}
	if len(entries) != 5 || total != copied.Load() {
		t.Errorf("%d files, %d bytes, %d counted", len(entries), total, copied.Load())
	}
}
