package log

import (
	"errors"
	"fmt"
	"testing"

	"github.com/barnabas-log/barnabas/internal/vfs"
)

// TestPowerCutAtEverySync cuts the power around every fsync of a random history, and sometimes again while the log recovers from that. Everything that
// was acknowledged must be there, nothing may be invented, and what is there must be sound.
func TestPowerCutAtEverySync(t *testing.T) {
	seeds, steps := 6, 60
	if long() {
		seeds, steps = 60, 100
	}
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			h := newHistory(t, 2*seed+1000)
			defer func() { h.log.Close() }()
			cuts := 0
			h.before, h.after = h.model, h.model
			for range steps {
				h.fs.OnSync(nil)
				running := h.fs
				running.OnSync(func(name string, done bool) {
					if h.fs != running {
						return
					}
					cuts++
					h.cutPower(running.CrashClone(h.g.r), 0, cuts%8 == 0)
				})
				h.step(false)
			}
			h.fs.OnSync(nil)
			if cuts < steps/2 {
				t.Fatal("too few syncs:", cuts)
			}
		})
	}
}

// cutPower opens what is left of the disk and checks it.
func (h *history) cutPower(left *vfs.Memory, depth int, thorough bool) {
	h.t.Helper()
	options := h.options
	options.FS = left
	options.Config = h.g.config()
	if depth < 2 && thorough {
		left.OnSync(func(string, bool) {
			if h.g.r.IntN(8<<depth) == 0 {
				h.cutPower(left.CrashClone(h.g.r), depth+1, h.g.r.IntN(4) == 0)
			}
		})
	}
	if h.journaled {
		options.Journal = openTestJournal(h.t, left)
		defer func() { _ = options.Journal.Close() }()
	}
	l, err := Open(modelDir, options)
	if err != nil {
		h.t.Fatalf("open after a power cut in %q: %v", h.current(), err)
	}
	left.OnSync(nil)
	defer l.Close()
	after := h.after
	if f := l.Floor(); !h.trimming && !sameFloor(f, after.floor) && !sameFloor(f, h.before.floor) {
		h.t.Fatalf("floor after a power cut in %q: %+v, not %+v or %+v", h.current(), f, h.before.floor, after.floor)
	}
	survivor := checkSurvivor(h.t, l, h.before, after, h.synced, h.durable)
	if thorough {
		verify(h.t, l, survivor, h.g)
		if err := l.Close(); err != nil {
			h.t.Fatal(err)
		}
		if report, err := Inspect(modelDir, InspectOptions{FS: left, Records: true}); err != nil || len(report.Findings) > 0 {
			h.t.Fatalf("inspection: %+v %v", report.Findings, err)
		}
	}
}

func (h *history) current() string {
	if len(h.steps) == 0 {
		return "open"
	}
	return h.steps[len(h.steps)-1]
}

func sameFloor(a, b Floor) bool {
	return a.Index == b.Index && a.Term == b.Term && a.Offset == b.Offset && a.Start == b.Start && string(a.State) == string(b.State)
}

// script is a fixed history that touches everything; each step takes the model forward or fails.
func script(l *Log, m *model, g *generator, acknowledged func()) error {
	add := func() error {
		entries := g.entries(m)
		after := m.clone()
		after.append(entries)
		if _, err := l.Append(entries); err != nil {
			return err
		}
		*m = *after
		acknowledged()
		return nil
	}
	for range 6 {
		if err := add(); err != nil {
			return err
		}
	}
	steps := []func() error{
		l.Roll,
		add,
		func() error {
			return l.WriteCheckpoint(Checkpoint{Index: m.last(), Term: m.term, HighWatermark: m.end})
		},
		func() error { return l.Trim(m.end/3, m.last()/2, []byte("state")) },
		add,
		func() error { return l.TruncateSuffix(m.last() - 5) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	m.floor = l.Floor()
	return l.Close()
}

// TestEveryFailingCallStopsTheLogAndLosesNothing fails the Nth call to the file system, for every N: the log must stop (or not open), later writes must be
// refused, reading what was readable must go on, and opening again must find everything that was acknowledged.
func TestEveryFailingCallStopsTheLogAndLosesNothing(t *testing.T) {
	for _, sync := range []bool{true, false} {
		for n := 1; ; n++ {
			if !failNth(t, n, sync) {
				if n < 100 {
					t.Fatal("the script makes too few calls:", n)
				}
				break
			}
		}
	}
}

func failNth(t *testing.T, n int, sync bool) (tripped bool) {
	t.Helper()
	memory := vfs.NewMemory()
	memory.MkdirAll("/data")
	memory.SyncDir("/")
	failing := vfs.NewFailing(memory)
	options := Options{FS: failing, Config: Config{SegmentBytes: 900, IndexIntervalBytes: 100, SyncOnAppend: sync, FlushMessages: 7}}
	g := newGenerator(42)
	m := &model{}
	acknowledged := Index(0)
	failing.FailNth(vfs.Changes|vfs.Open, n)
	l, err := Open(modelDir, options)
	if err == nil {
		err = script(l, m, g, func() { acknowledged = l.LastIndex() })
	}
	if !failing.Tripped() {
		if err != nil {
			t.Fatal(err)
		}
		return false
	}
	failing.FailWhen(nil)
	if l != nil {
		if err == nil {
			t.Fatalf("call %d failed and nobody noticed", n)
		}
		if !errors.Is(err, vfs.ErrInjected) {
			t.Fatalf("call %d: the cause is lost: %v", n, err)
		}
		if !l.closed.Load() {
			checkStopped(t, n, l, m)
		}
		l.Close()
	}
	for _, left := range []*vfs.Memory{memory.Clone(), memory.CrashClone(g.r)} {
		options.FS = left
		again, err := Open(modelDir, options)
		if err != nil {
			t.Fatalf("call %d: open again: %v", n, err)
		}
		if sync && again.LastIndex()+6 < acknowledged { // the script takes six back
			t.Fatalf("call %d: entries up to %d, %d were acknowledged", n, again.LastIndex(), acknowledged)
		}
		for i := again.FirstIndex(); i <= min(again.LastIndex(), m.last()); i++ {
			meta, err := again.Meta(i)
			if err != nil {
				t.Fatalf("call %d: %v", n, err)
			}
			data, err := again.Data(nil, meta)
			if want := m.entries[i-1]; err != nil || string(data) != string(want.Data) {
				t.Fatalf("call %d: entry %d differs: %v", n, i, err)
			}
		}
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return true
}

// checkStopped says that a log that failed refuses to write and goes on to read.
func checkStopped(t *testing.T, n int, l *Log, m *model) {
	t.Helper()
	if l.Err() == nil {
		return // an error that changed nothing, in reading
	}
	if _, err := l.Append([]Entry{{Index: l.LastIndex() + 1, Term: 100, Kind: KindNoop}}); !errors.Is(err, ErrFailed) {
		t.Fatalf("call %d: append to a log that failed: %v", n, err)
	}
	for _, f := range []func() error{l.Sync, l.Roll, func() error { return l.WriteCheckpoint(Checkpoint{}) },
		func() error { return l.Trim(1, 1, nil) }, func() error { return l.TruncateSuffix(1) }, func() error { return l.Reset(Floor{}) }} {
		if err := f(); !errors.Is(err, ErrFailed) || !errors.Is(err, vfs.ErrInjected) {
			t.Fatalf("call %d: a log that failed: %v", n, err)
		}
	}
	from, end := l.StartOffset(), l.EndOffset()
	for from < end {
		c, err := l.Read(from, end, 1<<20, true)
		if err != nil || c == nil {
			t.Fatalf("call %d: read from %d of %d: %v", n, from, end, err)
		}
		if _, err := c.Bytes(nil); err != nil {
			t.Fatal(err)
		}
		from = c.NextOffset()
		c.Release()
	}
}
