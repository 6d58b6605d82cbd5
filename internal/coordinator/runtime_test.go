package coordinator

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/barnabas-log/barnabas/partition"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// stage runs f in a bubble of virtual time, with a runtime of counters that is closed at the end.
func stage(t *testing.T, f func(t *testing.T, r *Runtime)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := New(Options{NewMachine: func(int32) Machine { return &counter{} }})
		defer r.Close()
		f(t, r)
	})
}

func lead(r *Runtime, number int32, l Log, epoch int32) {
	r.LeadLog(number, l, epoch)
	synctest.Wait()
}

func mustCall(t *testing.T, r *Runtime, message string, want any) {
	t.Helper()
	got, err := r.Call(t.Context(), 0, message)
	if err != nil || got != want {
		t.Fatalf("%s: %v, %v; want %v", message, got, err, want)
	}
}

func mustFail(t *testing.T, r *Runtime, message string, want error) {
	t.Helper()
	if got, err := r.Call(t.Context(), 0, message); !errors.Is(err, want) {
		t.Fatalf("%s: %v, %v; want %v", message, got, err, want)
	}
}

func TestStateSurvivesANewLeader(t *testing.T) {
	stage(t, func(t *testing.T, r *Runtime) {
		l := &fakeLog{}
		mustFail(t, r, "read", ErrNotCoordinator)
		lead(r, 0, l, 1)
		mustCall(t, r, "add", 1)
		mustCall(t, r, "add", 2)
		r.Resign(0)
		mustFail(t, r, "read", ErrNotCoordinator)
		lead(r, 0, l, 2)
		mustCall(t, r, "read", 2)
		lead(r, 0, l, 3) // without having resigned
		mustCall(t, r, "add", 3)
	})
}

func TestCallersThatComeDuringAWriteShareTheNext(t *testing.T) {
	stage(t, func(t *testing.T, r *Runtime) {
		l := &fakeLog{delay: 10 * time.Millisecond}
		lead(r, 0, l, 1)
		var callers sync.WaitGroup
		started := time.Now()
		for range 1000 {
			callers.Go(func() {
				if _, err := r.Call(t.Context(), 0, "add"); err != nil {
					t.Error(err)
				}
			})
		}
		callers.Wait()
		if took := time.Since(started); took > 100*time.Millisecond {
			t.Errorf("a thousand writes took %v of 10 ms each", took)
		}
		if l.appends > 8 {
			t.Errorf("a thousand writes took %d batches", l.appends)
		}
		mustCall(t, r, "read", 1000)
	})
}

func TestNothingIsAnsweredBeforeItIsCommitted(t *testing.T) {
	stage(t, func(t *testing.T, r *Runtime) {
		l := &fakeLog{held: true}
		lead(r, 0, l, 1)
		add, err := r.Send(t.Context(), 0, "add")
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		read, err := r.Send(t.Context(), 0, "read") // would see the uncommitted 1
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for _, c := range []*Call{add, read} {
			select {
			case got := <-c.caller.answer:
				t.Fatalf("answered %v before the write is committed", got)
			default:
			}
		}
		l.release()
		for _, c := range []*Call{add, read} {
			if got, err := c.Wait(t.Context()); err != nil || got != 1 {
				t.Errorf("answered %v, %v", got, err)
			}
		}
	})
}

func TestAFailedWriteIsUndone(t *testing.T) {
	stage(t, func(t *testing.T, r *Runtime) {
		l := &fakeLog{held: true}
		lead(r, 0, l, 1)
		first, err := r.Send(t.Context(), 0, "add")
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		second, err := r.Send(t.Context(), 0, "add") // rests on the first
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		l.set(func() { l.failNext, l.held = partition.ErrNotEnoughReplicas, false })
		l.release()
		for _, c := range []*Call{first, second} {
			if got, err := c.Wait(t.Context()); !errors.Is(err, ErrUnavailable) {
				t.Errorf("%v, %v; want ErrUnavailable", got, err)
			}
		}
		time.Sleep(time.Second)
		synctest.Wait()
		mustCall(t, r, "read", 0)
		mustCall(t, r, "add", 1)
	})
}

func TestARefusedWriteIsUndone(t *testing.T) {
	stage(t, func(t *testing.T, r *Runtime) {
		l := &fakeLog{refuse: partition.ErrNotLeader, away: true}
		lead(r, 0, l, 1)
		mustFail(t, r, "add", ErrNotCoordinator)
		time.Sleep(time.Minute)
		synctest.Wait()
		mustFail(t, r, "read", ErrNotCoordinator) // it does not lead: no state is better than an old one
		l.set(func() { l.refuse, l.away = nil, false })
		time.Sleep(time.Second)
		synctest.Wait()
		mustCall(t, r, "add", 1)
	})
}

func TestResignAnswersEveryone(t *testing.T) {
	stage(t, func(t *testing.T, r *Runtime) {
		l := &fakeLog{held: true}
		lead(r, 0, l, 1)
		var calls []*Call
		for _, message := range []string{"wait", "add", "wait", "read"} {
			c, err := r.Send(t.Context(), 0, message)
			if err != nil {
				t.Fatal(err)
			}
			calls = append(calls, c)
		}
		synctest.Wait()
		r.Resign(0)
		for _, c := range calls {
			if got, err := c.Wait(t.Context()); !errors.Is(err, ErrNotCoordinator) {
				t.Errorf("%v, %v; want ErrNotCoordinator", got, err)
			}
		}
	})
}

func TestTimersRing(t *testing.T) {
	stage(t, func(t *testing.T, r *Runtime) {
		lead(r, 0, &fakeLog{}, 1)
		started := time.Now()
		mustCall(t, r, "wait", "rang")
		if took := time.Since(started); took != time.Minute {
			t.Errorf("rang after %v", took)
		}
	})
}

func TestCancellingACallOnlyEndsTheWait(t *testing.T) {
	stage(t, func(t *testing.T, r *Runtime) {
		lead(r, 0, &fakeLog{}, 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := r.Call(ctx, 0, "wait"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		mustCall(t, r, "wait", "rang") // the one who is gone is answered too, and nobody minds
	})
}

func TestWhatIsNotUnderstoodIsSkipped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logged := observer.New(zap.WarnLevel)
		r := New(Options{NewMachine: func(int32) Machine { return &counter{} }, Logger: zap.New(core), LoadBytes: 100})
		defer r.Close()
		l := &fakeLog{}
		lead(r, 0, l, 1)
		mustCall(t, r, "add", 1)
		mustCall(t, r, "junk", 0)
		mustCall(t, r, "add", 2)
		lead(r, 0, l, 2)
		mustCall(t, r, "read", 2)
		if n := logged.FilterMessage("coordinator skipped what it does not understand").Len(); n != 1 {
			t.Errorf("%d warnings: %v", n, logged.All())
		}
	})
}

func TestLoadIsTriedAgain(t *testing.T) {
	stage(t, func(t *testing.T, r *Runtime) {
		l := &fakeLog{}
		lead(r, 0, l, 1)
		mustCall(t, r, "add", 1)
		l.set(func() { l.readErr = errors.New("disk on fire") })
		lead(r, 0, l, 2)
		if _, err := r.Call(t.Context(), 0, "read"); !errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrLoading) {
			t.Errorf("got %v", err)
		}
		l.set(func() { l.readErr = nil })
		time.Sleep(time.Second)
		synctest.Wait()
		mustCall(t, r, "read", 1)
	})
}

func TestAPanicEndsOneLife(t *testing.T) {
	stage(t, func(t *testing.T, r *Runtime) {
		lead(r, 0, &fakeLog{}, 1)
		mustCall(t, r, "add", 1)
		mustFail(t, r, "panic", ErrUnavailable)
		time.Sleep(time.Second)
		synctest.Wait()
		mustCall(t, r, "read", 1)
	})
}

// What was in flight when a life ended may still be committed; the next life must know it.
func TestTheNextLifeKnowsWhatWasInFlight(t *testing.T) {
	stage(t, func(t *testing.T, r *Runtime) {
		l := &fakeLog{delay: 3 * time.Second}
		lead(r, 0, l, 1)
		if _, err := r.Send(t.Context(), 0, "add"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		mustFail(t, r, "panic", ErrUnavailable)
		time.Sleep(4 * time.Second)
		synctest.Wait()
		mustCall(t, r, "read", 1)
		if _, err := r.Send(t.Context(), 0, "add"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		lead(r, 0, l, 2)
		mustFail(t, r, "read", ErrLoading)
		time.Sleep(4 * time.Second)
		synctest.Wait()
		mustCall(t, r, "read", 2)
	})
}

func TestNoticesReachEveryShard(t *testing.T) {
	stage(t, func(t *testing.T, r *Runtime) {
		for number := range int32(3) {
			lead(r, number, &fakeLog{}, 1)
		}
		r.Notify(7)
		r.Notify(8)
		synctest.Wait()
		for number := range int32(3) {
			if got, err := r.Call(t.Context(), number, "notices"); err != nil || got != 2 {
				t.Errorf("shard %d: %v, %v", number, got, err)
			}
		}
	})
}

// An old shard must not write into the epoch of its successor: the successor waits until it has stopped.
func TestANewEpochWaitsForTheOldShard(t *testing.T) {
	stage(t, func(t *testing.T, r *Runtime) {
		l := &fakeLog{delay: 100 * time.Millisecond}
		lead(r, 0, l, 1)
		var callers sync.WaitGroup
		var mu sync.Mutex
		answered := 0
		for range 50 {
			callers.Go(func() {
				for range 100 {
					if got, err := r.Call(t.Context(), 0, "add"); err == nil {
						mu.Lock()
						answered = max(answered, got.(int))
						mu.Unlock()
					}
					time.Sleep(100 * time.Millisecond)
				}
			})
		}
		for epoch := range int32(20) {
			time.Sleep(730 * time.Millisecond)
			r.LeadLog(0, l, epoch+2)
		}
		callers.Wait()
		time.Sleep(5 * time.Second)
		got, err := r.Call(t.Context(), 0, "read")
		if err != nil || got.(int) < answered || answered < 500 {
			t.Errorf("%v, %v; %d was answered", got, err, answered)
		}
	})
}

func TestFullBatchesHoldTheMailbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(Options{NewMachine: func(int32) Machine { return &counter{} }, BatchBytes: 200})
		defer r.Close()
		l := &fakeLog{delay: time.Millisecond}
		lead(r, 0, l, 1)
		var callers sync.WaitGroup
		for range 500 {
			callers.Go(func() {
				if _, err := r.Call(t.Context(), 0, "add"); err != nil {
					t.Error(err)
				}
			})
		}
		callers.Wait()
		for _, b := range l.batches {
			if len(b) > 300 {
				t.Errorf("batch of %d bytes", len(b))
			}
		}
		mustCall(t, r, "read", 500)
	})
}
