package replication

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/barnabas-log/barnabas/internal/vfs"
	"github.com/barnabas-log/barnabas/log"
	"github.com/hashicorp/raft"
)

// light is a machine that only counts.
type light struct {
	toy
	applied atomic.Int64
	window  chan struct{} // a place for each proposal under way
	led     chan struct{}
	once    sync.Once
}

func newLight(window int) *light {
	return &light{toy: *newToy(), window: make(chan struct{}, window), led: make(chan struct{})}
}

func (m *light) Admit(uint64, log.Term) bool { return true }
func (m *light) Stored([]Entry)              {}
func (m *light) Lead(log.Term)               { m.once.Do(func() { close(m.led) }) }
func (m *light) Resign(log.Term, int32)      {}
func (m *light) Apply(entries []Entry) {
	m.applied.Add(int64(len(entries)))
	for range entries {
		<-m.window
	}
}

func processorTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func benchLog(b testing.TB, sync bool) *log.Log {
	b.Helper()
	l, err := log.Open(filepath.Join(b.TempDir(), "p"), log.Options{FS: vfs.OS{}, Config: log.Config{SyncOnAppend: sync}})
	if err != nil {
		b.Fatal(err)
	}
	return l
}

// Throughput from Propose to Apply, one voter, on the machine's disk.
func BenchmarkPropose(b *testing.B) {
	for _, size := range []int{1 << 10, 100 << 10} {
		for _, sync := range []bool{true, false} {
			for _, window := range []int{1, 256} {
				b.Run(fmt.Sprintf("bytes=%d/sync=%v/window=%d", size, sync, window), func(b *testing.B) { benchPropose(b, size, sync, window) })
			}
		}
	}
}

func benchPropose(b *testing.B, size int, sync bool, window int) {
	n, m, l := testNode(b), newLight(window), benchLog(b, sync)
	g := start(b, n, "p", l, m)
	<-m.led
	ring := make([][]byte, 2*window+2)
	for i := range ring {
		ring[i] = recordBatch(make([]byte, size-log.HeaderSize-12))
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.ResetTimer()
	cpu := processorTime()
	for i := range b.N {
		m.window <- struct{}{}
		if err := g.Propose(ring[i%len(ring)], uint64(i+1)); err != nil {
			b.Fatal(err)
		}
	}
	for range window {
		m.window <- struct{}{}
	}
	b.ReportMetric((processorTime()-cpu).Seconds()/(float64(b.N)*float64(size)/1e9), "cpu-s/GB")
	b.StopTimer()
	closeGroup(b, g)
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
}

// What groups cost when nothing happens, and how long they take to lead. Run with BARNABAS_MEASURE=1.
func TestMeasureGroups(t *testing.T) {
	if os.Getenv("BARNABAS_MEASURE") == "" {
		t.Skip("measures only")
	}
	n := testNode(t)
	base := t.TempDir()
	heap := func() uint64 {
		runtime.GC()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return s.HeapInuse + s.StackInuse
	}
	open := func(i int) *log.Log {
		l, err := log.Open(filepath.Join(base, fmt.Sprint(i)), log.Options{FS: vfs.OS{}, Config: log.Config{SyncOnAppend: true}})
		if err != nil {
			t.Error(err)
		}
		return l
	}
	begin := time.Now()
	one := newLight(1)
	l := open(-1)
	opened := time.Now()
	g := start(t, n, "one", l, one)
	<-one.led
	t.Logf("one new group: log opened %v, leads %v later", opened.Sub(begin), time.Since(opened))
	closeGroup(t, g)

	const many = 500
	logs := make([]*log.Log, many)
	machines := make([]*light, many)
	for i := range logs {
		machines[i] = newLight(1)
	}
	startRange := func(from, to int) time.Duration {
		var wg sync.WaitGroup
		for i := from; i < to; i++ {
			wg.Go(func() { logs[i] = open(i) })
		}
		wg.Wait()
		begin := time.Now()
		for i := from; i < to; i++ {
			wg.Go(func() {
				start(t, n, fmt.Sprint(i), logs[i], machines[i])
				<-machines[i].led
			})
		}
		wg.Wait()
		return time.Since(begin)
	}
	for i := range 50 {
		logs[i] = nil
	}
	t.Logf("50 new groups lead after %v", startRange(0, 50))
	before := heap()
	goroutines := runtime.NumGoroutine()
	t.Logf("450 more lead after %v", startRange(50, many))
	t.Logf("a group: %d bytes of heap and stacks, %.1f goroutines", (heap()-before)/(many-50), float64(runtime.NumGoroutine()-goroutines)/(many-50))
	cpu, begin := processorTime(), time.Now()
	time.Sleep(10 * time.Second)
	t.Logf("%d idle groups: %.2f%% of a core", many, 100*(processorTime()-cpu).Seconds()/time.Since(begin).Seconds())
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	for _, l := range logs {
		_ = l.Close()
	}
}

// Three nodes in one process: what idle groups cost, and throughput with every entry on three disks. Run with BARNABAS_MEASURE=1.
func TestMeasureThreeNodes(t *testing.T) {
	if os.Getenv("BARNABAS_MEASURE") == "" {
		t.Skip("measures only")
	}
	c := newCluster(t, Timing{})
	base := t.TempDir()
	open := func(id int32, group string) *log.Log {
		l, err := log.Open(filepath.Join(base, fmt.Sprint(id), group), log.Options{FS: vfs.OS{}, Config: log.Config{SyncOnAppend: true}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		return l
	}
	many := 300
	if n, err := strconv.Atoi(os.Getenv("BARNABAS_MEASURE")); err == nil && n > 1 {
		many = n
	}
	begin := time.Now()
	var wg sync.WaitGroup
	groups := make([]*Group, many)
	machines := make([]*light, many)
	for i := range many {
		wg.Go(func() {
			voters := []int32{int32(i)%3 + 1, int32(i+1)%3 + 1, int32(i+2)%3 + 1}
			candidates, led := map[int32]*Group{}, newLight(64)
			for _, id := range voters {
				g, err := c.nodes[id].StartGroup(GroupOptions{ID: fmt.Sprint(i), Log: open(id, fmt.Sprint(i)), Machine: &shared{light: newLight(1), first: led}, Voters: voters, Preferred: id == voters[0]})
				if err != nil {
					t.Error(err)
					return
				}
				candidates[id] = g
			}
			<-led.led
			for groups[i] == nil {
				for _, g := range candidates {
					if g.role() == raft.Leader {
						groups[i], machines[i] = g, led
					}
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d groups on three nodes lead after %v", many, time.Since(begin))
	var s runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&s)
	t.Logf("heap %d MB, stacks %d MB, %d goroutines", s.HeapInuse>>20, s.StackInuse>>20, runtime.NumGoroutine())
	time.Sleep(3 * time.Second)
	cpu, begin := processorTime(), time.Now()
	time.Sleep(15 * time.Second)
	t.Logf("%d idle groups on three nodes: %.2f%% of a core", many, 100*(processorTime()-cpu).Seconds()/time.Since(begin).Seconds())
	for _, size := range []int{1 << 10, 100 << 10} {
		m, g := machines[0], groups[0]
		ring := make([][]byte, 130)
		for i := range ring {
			ring[i] = recordBatch(make([]byte, size-log.HeaderSize-12))
		}
		cpu, begin = processorTime(), time.Now()
		count := 0
		for ; time.Since(begin) < 3*time.Second; count++ {
			m.window <- struct{}{}
			if err := g.Propose(ring[count%len(ring)], uint64(count+1)); err != nil {
				t.Fatal(err)
			}
		}
		for range cap(m.window) {
			m.window <- struct{}{}
		}
		for range cap(m.window) {
			<-m.window
		}
		bytes := float64(count) * float64(size)
		t.Logf("batches of %d bytes: %.0f MB/s, %.2f s of processor for a GB, three replicas", size, bytes/1e6/time.Since(begin).Seconds(), (processorTime()-cpu).Seconds()/(bytes/1e9))
	}
}

// shared is the machine of one replica of a group whose proposals are counted by the one that leads.
type shared struct {
	*light
	first *light
	leads atomic.Bool
}

func (m *shared) Lead(log.Term) {
	m.leads.Store(true)
	m.first.once.Do(func() { close(m.first.led) })
}
func (m *shared) Resign(log.Term, int32) { m.leads.Store(false) }
func (m *shared) Apply(entries []Entry) {
	for i := range entries {
		if entries[i].Token != 0 {
			<-m.first.window
		}
	}
}
