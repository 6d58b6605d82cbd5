package consumergroup

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var rewrite = flag.Bool("rewrite", false, "write what the system said into testdata")

// TestStories plays testdata/*.txt. A story is a list of scenes: commands, one a line, then ----, then what the system said. Lines with # are comments.
// -rewrite replaces what was said; whoever does that must understand the difference.
//
//	options name=value ...             before anything else: delay, retention, check, max-size, max-metadata
//	join WHO [name=value ...]          group, topics=a,b, protocols=x,y, type, session, rebalance, instance, id (of the member; else the one it was told last, - for none), old
//	                                   (does not know MEMBER_ID_REQUIRED), v9 (can skip the assignment)
//	sync WHO [WHO=partitions ...]      with gen=, id=, instance=, protocol=, type=
//	heartbeat WHO, leave WHO ...       leave -/INSTANCE removes by instance id
//	commit WHO topic:n=offset ...      WHO is - for a simple consumer; with retention=, gen=, epoch=, metadata=
//	fetch [topic:n ...]                all offsets without arguments
//	describe, list, delete, delete-offsets topic:n ..., topic-deleted topic
//	wait DURATION                      time passes
//	restart                            the shard loads again from what was written
//
// Member ids are the client id, which is WHO, and a number.
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { playStory(t, file) })
	}
}

func playStory(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	st := newStage()
	var said strings.Builder
	for _, scene := range strings.Split(strings.TrimRight(string(text), "\n"), "\n\n") {
		commands, _, _ := strings.Cut(scene+"\n", "----\n")
		commands = strings.TrimRight(commands, "\n")
		said.WriteString(commands + "\n")
		spoke := false
		for _, line := range strings.Split(commands, "\n") {
			if strings.HasPrefix(line, "#") || strings.TrimSpace(line) == "" {
				continue
			}
			spoke = spoke || !strings.HasPrefix(line, "options")
			if err := st.do(line); err != nil {
				t.Fatalf("%s: %q: %v", file, line, err)
			}
		}
		if spoke {
			said.WriteString("----\n" + st.take())
		}
		said.WriteString("\n")
	}
	got := strings.TrimRight(said.String(), "\n") + "\n"
	if *rewrite {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got != string(text) {
		t.Errorf("the story goes otherwise (run with -rewrite and read the difference)\n%s", difference(string(text), got))
	}
}

func difference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range w {
		if i >= len(g) || w[i] != g[i] {
			from := max(0, i-4)
			return fmt.Sprintf("line %d\n--- want\n%s\n--- got\n%s", i+1, strings.Join(w[from:min(len(w), i+4)], "\n"), strings.Join(g[from:min(len(g), i+4)], "\n"))
		}
	}
	return "got more lines: " + strings.Join(g[len(w):], "\n")
}

// arguments of one command: WHO and what has no =, and the rest by name in the given order.
type arguments struct {
	plain []string
	named map[string]string
	pairs []string // the names of pairs that are not options, in order
}

func parseArguments(words []string, options ...string) arguments {
	a := arguments{named: map[string]string{}}
	for _, w := range words {
		name, value, ok := strings.Cut(w, "=")
		switch {
		case !ok:
			a.plain = append(a.plain, w)
		default:
			if !slices.Contains(options, name) {
				a.pairs = append(a.pairs, name)
			}
			a.named[name] = value
		}
	}
	return a
}

func (a arguments) has(plain string) bool { return slices.Contains(a.plain, plain) }

func (a arguments) get(name, otherwise string) string {
	if v, ok := a.named[name]; ok {
		return v
	}
	return otherwise
}

func (a arguments) pointer(name string) *string {
	if v, ok := a.named[name]; ok {
		return &v
	}
	return nil
}

func (a arguments) duration(name string, otherwise time.Duration) time.Duration {
	v, ok := a.named[name]
	if !ok {
		return otherwise
	}
	d, err := time.ParseDuration(v)
	if err != nil {
		panic(err)
	}
	return d
}

func (a arguments) number(name string, otherwise int64) int64 {
	v, ok := a.named[name]
	if !ok {
		return otherwise
	}
	return mustInt(v)
}

func mustInt(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

// parsePartition reads topic:n.
func parsePartition(s string) TopicPartition {
	topic, number, _ := strings.Cut(s, ":")
	return TopicPartition{Topic: topic, Partition: int32(mustInt(number))}
}
