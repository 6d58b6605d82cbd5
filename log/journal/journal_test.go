package journal

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/barnabas-log/barnabas/internal/vfs"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// TestPowerCutAtEverySync cuts the power around every fsync of random histories.
func TestPowerCutAtEverySync(t *testing.T) {
	seeds := 6
	if long() {
		seeds = 200
	}
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			memory := newMemory(3)
			w := newWorld(t, memory, seed, 3)
			cuts := 0
			memory.OnSync(func(string, bool) {
				cuts++
				w.verify(memory.CrashClone(w.r))
			})
			if err := w.open(); err != nil {
				t.Fatal(err)
			}
			for range 200 {
				w.step()
			}
			for _, p := range w.parts {
				if p.failed != nil {
					t.Fatal(p.failed)
				}
			}
			w.verify(memory.Clone())
			if cuts < 200 {
				t.Fatal("too few syncs:", cuts)
			}
		})
	}
}

// TestEveryFailingCallLosesNothing fails the Nth call to the file system, for every N. Whatever fails, what was acknowledged is there after the power was cut.
func TestEveryFailingCallLosesNothing(t *testing.T) {
	seeds := 1
	if long() {
		seeds = 30
	}
	for seed := range uint64(seeds) {
		for lose, stride := range map[bool]int{false: 3, true: 1} {
			n := 1
			for failNth(t, seed, n, lose) {
				n += stride
			}
			if n < 100 {
				t.Fatal("too few calls:", n)
			}
		}
	}
}

// failNth says whether there was an nth call to fail.
func failNth(t *testing.T, seed uint64, n int, lose bool) (tripped bool) {
	memory := newMemory(3)
	failing := vfs.NewFailing(memory)
	failing.LoseWrites = lose
	w := newWorld(t, failing, seed, 3)
	failing.FailNth(vfs.Changes|vfs.Open, n)
	if w.open() != nil {
		return true
	}
	for range 60 {
		w.step()
	}
	tripped = failing.Tripped()
	failing.FailWhen(nil)
	w.verify(memory.CrashClone(w.r))
	for _, p := range w.parts { // who has failed is opened anew
		if err := w.j.Attach(p.owner); err != nil && !errors.Is(err, errClosed) {
			t.Fatalf("call %d: %v", n, err)
		}
		if p.failed != nil && w.j.state != closed {
			p.failed = nil
			p.content, p.changes = p.content[:p.acked], false
			must(t, p.do(vfs.File.Sync))
		}
	}
	_ = w.j.Close() // which may have failed
	return tripped
}

// TestAFailureIsMendedByWhoComesAnew: after a failure nobody uses the journal, until somebody's files are opened anew.
func TestAFailureIsMendedByWhoComesAnew(t *testing.T) {
	memory := newMemory(2)
	failing := vfs.NewFailing(memory)
	w := newWorld(t, failing, 1, 2)
	core, logs := observer.New(zap.ErrorLevel)
	w.o.Logger = zap.New(core)
	must(t, w.open())
	a, b := w.parts[0], w.parts[1]
	must(t, a.add(100)) // has the files made
	must(t, a.add(100))
	failing.FailWhen(func(k vfs.Kind, name string) error {
		if k == vfs.Sync && path.Dir(name) == root+"/"+dirName {
			return vfs.ErrInjected
		}
		return nil
	})
	must(t, b.add(100)) // by a sync of its own
	if err := w.j.Forget(a.owner); !errors.Is(err, vfs.ErrInjected) {
		t.Fatal(err)
	}
	if err := w.j.Attach(b.owner); !errors.Is(err, vfs.ErrInjected) {
		t.Fatal(err)
	}
	if logs.FilterMessageSnippet("journal failed").Len() != 1 {
		t.Fatal(logs.All())
	}
	failing.FailWhen(nil)
	must(t, w.j.Attach(b.owner))
	if w.j.Holds(a.owner) {
		t.Fatal("it still holds writes")
	}
	must(t, b.add(100))
	must(t, b.add(100))
	if !w.j.Holds(b.owner) {
		t.Fatal("the journal is not used again")
	}
	w.verify(memory.CrashClone(w.r))
	must(t, w.j.Close())
}

// TestWhatCannotBeSettledIsKept: a file that cannot be synced keeps its writes in the journal, which cannot be written over then, until they are done again.
func TestWhatCannotBeSettledIsKept(t *testing.T) {
	memory := newMemory(2)
	w := newWorld(t, memory, 1, 2)
	must(t, w.open())
	a, b := w.parts[0], w.parts[1]
	must(t, a.add(100))
	must(t, a.add(100))
	a.failed = errors.New("its disk fails")
	fill := func() {
		for range 3 * smallFile / 2000 {
			must(t, b.add(2000))
		}
	}
	fill()
	if w.j.Write("p1", partName, b, 0, nil) {
		t.Fatal("what p0 has not settled was written over")
	}
	if err := w.j.Forget("p1"); !errors.Is(err, errBusy) {
		t.Fatal(err)
	}
	w.verify(memory.CrashClone(w.r))
	a.failed = nil
	fill()
	must(t, b.truncate())
	w.verify(memory.CrashClone(w.r))
	must(t, w.j.Close())
}

// TestFilesGrowWhileTheyFillFast up to the largest size, if there is room.
func TestFilesGrowWhileTheyFillFast(t *testing.T) {
	for _, room := range []bool{true, false} {
		memory := newMemory(1)
		w := newWorld(t, memory, 1, 1)
		asked := 0
		w.o.Room = func(int64) bool { asked++; return room || asked <= 2 }
		must(t, w.open())
		for range 40 * smallFile / 3000 {
			must(t, w.parts[0].add(3000))
		}
		want := int64(smallFile)
		if room {
			want *= 4
		}
		for k := range 2 {
			if info, err := memory.Stat(path.Join(root, dirName, fileName(k))); err != nil || info.Bytes != want {
				t.Fatal(info, err)
			}
		}
		must(t, w.j.Close())
	}
}

// TestWithoutRoomThereIsNoJournal, and everything goes on.
func TestWithoutRoomThereIsNoJournal(t *testing.T) {
	w := newWorld(t, newMemory(1), 1, 1)
	w.o.Room = func(int64) bool { return false }
	must(t, w.open())
	for range 3 {
		must(t, w.parts[0].add(100))
	}
	if w.j.Holds("p0") || w.j.broken != nil {
		t.Fatal("there is one")
	}
	must(t, w.j.Close())
}

// TestThoseWhoWaitAreWrittenTogether: while one group is being synced all others gather in the next one.
func TestThoseWhoWaitAreWrittenTogether(t *testing.T) {
	memory := newMemory(1)
	w := newWorld(t, memory, 1, 1)
	groups := 0
	w.o.Synced = func(time.Time, int) { groups++ }
	must(t, w.open())
	p := w.parts[0]
	must(t, p.add(10)) // has the files made, and is not in them yet
	groups = 0
	syncing, gate := make(chan struct{}), make(chan struct{})
	var once sync.Once
	data := []byte("ten bytes.")
	const others = 50
	must(t, p.do(func(f vfs.File) error {
		if err := errors.Join(f.Truncate(10+10*(1+others)), f.Sync()); err != nil {
			return err
		}
		_, err := f.WriteAt(bytes.Repeat(data, 1+others), 10)
		return err
	}))
	memory.OnSync(func(string, bool) {
		once.Do(func() {
			close(syncing)
			<-gate
		})
	})
	var all sync.WaitGroup
	write := func(k int) {
		all.Go(func() {
			if !w.j.Write("p0", partName, p, int64(10+10*k), [][]byte{data}) {
				t.Error("the journal is not used")
			}
		})
	}
	write(0)
	<-syncing
	for k := range others {
		write(1 + k)
	}
	for gathered := 0; gathered < others; runtime.Gosched() {
		w.j.mu.Lock()
		if g := w.j.filling; g != nil {
			gathered = bytes.Count(g.b, data)
		}
		w.j.mu.Unlock()
	}
	close(gate)
	all.Wait()
	if groups != 2 {
		t.Fatal("groups:", groups)
	}
	memory.OnSync(nil)
	left := memory.CrashClone(w.r)
	j, err := Open(root, Options{FS: left, Smallest: smallFile, Largest: smallFile})
	must(t, err)
	if got, err := vfs.ReadFile(left, p.path()); err != nil || !bytes.Equal(got[10:], bytes.Repeat(data, 1+others)) {
		t.Fatal(len(got), err)
	}
	must(t, errors.Join(j.Close(), w.j.Close()))
}

// TestDamageIsSaid: what is damaged in the middle is left out, and somebody is told.
func TestDamageIsSaid(t *testing.T) {
	memory := newMemory(1)
	w := newWorld(t, memory, 1, 1)
	must(t, w.open())
	for range 6 {
		must(t, w.parts[0].add(100))
	}
	left := memory.CrashClone(w.r)
	f, err := left.OpenFile(path.Join(root, dirName, "0"), os.O_RDWR, 0)
	must(t, err)
	_, err = f.WriteAt([]byte{1}, 3*block+groupHeader+50) // of five groups the third
	must(t, errors.Join(err, f.Sync()))
	core, logs := observer.New(zap.ErrorLevel)
	j, err := Open(root, Options{FS: left, Smallest: smallFile, Largest: smallFile, Logger: zap.New(core)})
	must(t, err)
	if n := logs.FilterMessageSnippet("the journal is damaged").Len(); n != 1 {
		t.Fatal(n, logs.All())
	}
	must(t, errors.Join(j.Close(), w.j.Close()))
}

// TestFilesThatAreGoneAreLeftOut: a file that was removed does not come again, and keeps nobody from starting.
func TestFilesThatAreGoneAreLeftOut(t *testing.T) {
	memory := newMemory(2)
	w := newWorld(t, memory, 1, 2)
	must(t, w.open())
	for range 3 {
		must(t, w.parts[0].add(100))
		must(t, w.parts[1].add(100))
	}
	must(t, memory.Remove(w.parts[0].path()))
	w.parts = w.parts[1:]
	w.verify(memory.Clone())
	if _, err := memory.Clone().Stat(path.Join(root, "p0", partName)); err == nil {
		t.Fatal("it is there again")
	}
	must(t, w.j.Close())
}

// TestANewerFormatIsRefused, and not taken for an empty journal.
func TestANewerFormatIsRefused(t *testing.T) {
	memory := newMemory(1)
	must(t, memory.MkdirAll(path.Join(root, dirName)))
	b := make([]byte, block)
	pass{1, 2}.putHeader(b)
	b[4]++
	resum(b)
	must(t, vfs.WriteSynced(memory, path.Join(root, dirName, "0"), b))
	if _, err := Open(root, Options{FS: memory}); err == nil {
		t.Fatal("it was opened")
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestAFileThatFillsAgainAtOnceIsSettledAgain, however little time has passed.
func TestAFileThatFillsAgainAtOnceIsSettledAgain(t *testing.T) {
	w := newWorld(t, newMemory(1), 1, 1)
	must(t, w.open())
	must(t, w.parts[0].add(10)) // has the files made
	w.j.o.Inline = false
	begun := w.j.generation
	for n := 0; w.j.generation < begun+6; n++ {
		if !w.j.Write("p0", partName, w.parts[0], 0, [][]byte{make([]byte, 10)}) {
			t.Fatal("the journal is not used, at write", n)
		}
		w.j.awaitRoom()
		w.j.mu.Lock()
		clean := w.j.files[0].clean || w.j.files[1].clean
		w.j.mu.Unlock()
		if !clean {
			t.Fatal("a full file is not settled, at write", n)
		}
	}
	must(t, w.j.Forget("p0"))
	must(t, w.j.Close())
}
