package broker

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/barnabas-log/barnabas/internal/metadata"
	"github.com/barnabas-log/barnabas/internal/vfs"
)

// homesLife is what a node does to its homes: replicas come, some go, one moves to another directory.
func homesLife(h *homes, after func(p place, id string, err error)) {
	for n := range int32(6) {
		p := place{metadata.TopicID{byte(n)}, n}
		after(p, "one", h.enter("one", p))
		if n%2 == 1 {
			after(p, "", h.leave(p))
		}
	}
	moved := place{metadata.TopicID{0}, 0}
	after(moved, "two", h.enter("two", moved))
}

func homesOn(t *testing.T, files vfs.FS) *homes {
	t.Helper()
	h, err := openHomes(files, "/meta")
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func directoryFor(t *testing.T, files vfs.FS) {
	t.Helper()
	for _, err := range []error{files.MkdirAll("/meta"), files.SyncDir("/")} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestHomesSurviveEveryFailedCall lets each call to the file system fail in turn. What the node knows afterwards is what was acknowledged, and once it is certain again, the disk agrees.
func TestHomesSurviveEveryFailedCall(t *testing.T) {
	for n := 1; ; n++ {
		memory := vfs.NewMemory()
		directoryFor(t, memory)
		failing := vfs.NewFailing(memory)
		h := homesOn(t, failing)
		failing.FailNth(vfs.All, n)
		want, failures := map[place]string{}, 0
		homesLife(h, func(p place, id string, err error) {
			if err != nil {
				failures++
				if err := h.certain(); err != nil {
					t.Errorf("call %d: not certain, although nothing fails any more: %v", n, err)
				}
			} else if want[p] = id; id == "" {
				delete(want, p)
			}
			if !maps.Equal(h.at, want) {
				t.Errorf("call %d: the node believes %v, acknowledged was %v", n, h.at, want)
			}
			if got := homesOn(t, memory.CrashClone(rand.New(rand.NewPCG(uint64(n), 1)))).at; !maps.Equal(got, want) {
				t.Errorf("call %d: after a crash the disk says %v, acknowledged was %v", n, got, want)
			}
		})
		if !failing.Tripped() {
			return // fewer calls than that
		}
		if failures != 1 {
			t.Errorf("call %d failed, and %d changes did", n, failures)
		}
	}
}

// TestHomesSurviveACrashAtEverySync cuts the power before and after each sync. A change that was under way may be there or not, one that was acknowledged is.
func TestHomesSurviveACrashAtEverySync(t *testing.T) {
	memory := vfs.NewMemory()
	directoryFor(t, memory)
	r := rand.New(rand.NewPCG(7, 7))
	var clones []*vfs.Memory
	memory.OnSync(func(string, bool) {
		for range 3 {
			clones = append(clones, memory.CrashClone(r))
		}
	})
	before, crashes := map[place]string{}, 0
	homesLife(homesOn(t, memory), func(p place, id string, err error) {
		if err != nil {
			t.Fatal(err)
		}
		next := maps.Clone(before)
		if next[p] = id; id == "" {
			delete(next, p)
		}
		for i, clone := range clones {
			if got := homesOn(t, clone).at; !maps.Equal(got, before) && !maps.Equal(got, next) {
				t.Errorf("crash %d of %s: %v, neither %v nor %v", i, fmt.Sprint(p), got, before, next)
			}
		}
		crashes += len(clones)
		before, clones = next, nil
	})
	if crashes < 50 {
		t.Errorf("only %d crashes", crashes)
	}
}
