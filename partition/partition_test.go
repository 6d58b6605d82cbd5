package partition

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/barnabas-log/barnabas/internal/vfs"
	"github.com/barnabas-log/barnabas/log"
	"github.com/barnabas-log/barnabas/log/record"
)

func TestEverythingFailsAfterAStorageFailure(t *testing.T) {
	r := newReplica(t, Config{DeletePolicy: true})
	r.elect(1)
	d, err := r.p.Append(plainBatch(1), AcksAll)
	if err != nil {
		t.Fatal(err)
	}
	w := NewWaiter()
	defer w.Close()
	r.p.Watch(w)
	cause := errors.New("disk on fire")
	r.p.Failed(cause)
	r.p.Failed(errors.New("another"))
	if !woken(w) {
		t.Error("readers were not woken")
	}
	_, waited := d.Wait(t.Context())
	_, appended := r.p.Append(plainBatch(1), AcksAll)
	_, read := r.p.Read(Read{LeaderEpoch: -1, LastFetchedEpoch: -1})
	_, listed := r.p.OffsetAt(Latest, ReadUncommitted, -1)
	_, _, ended := r.p.EpochEnd(-1, 1)
	_, deleted := r.p.DeleteRecords(t.Context(), 0)
	for name, err := range map[string]error{
		"Wait": waited, "Append": appended, "Read": read, "OffsetAt": listed, "EpochEnd": ended, "DeleteRecords": deleted,
		"CheckEpoch": r.p.CheckEpoch(-1), "Enforce": r.p.Enforce(t.Context()), "Err": r.p.Err(),
	} {
		if !errors.Is(err, ErrStorage) || !errors.Is(err, cause) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if node, _, here := r.p.Leader(); node != -1 || here {
		t.Errorf("leader %d, here %t", node, here)
	}
}

func TestALeaderThatIsAloneAnswersReadersAfterAStorageFailure(t *testing.T) {
	r := newReplica(t, Config{DeletePolicy: true})
	r.p.alone = func() bool { return true }
	r.elect(1)
	d, err := r.p.Append(plainBatch(3), AcksAll)
	if err != nil {
		t.Fatal(err)
	}
	r.store(1)
	r.commit(1)
	if _, err := d.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.p.Failed(errors.New("disk on fire"))
	r.p.Resign(1, -1) // the group goes as well
	if node, epoch, here := r.p.Leader(); !here || node < 0 || epoch != 1 {
		t.Errorf("leader %d in epoch %d, here %t", node, epoch, here)
	}
	if _, err := r.p.Append(plainBatch(1), AcksAll); !errors.Is(err, ErrStorage) {
		t.Errorf("append: %v", err)
	}
	read, err := r.p.Read(Read{MaxBytes: 1 << 20, LeaderEpoch: 1, LastFetchedEpoch: -1})
	if err != nil || read.Chunk == nil || read.HighWatermark != 3 {
		t.Fatalf("read: %+v %v", read, err)
	}
	read.Chunk.Release()
	if at, err := r.p.OffsetAt(Latest, ReadUncommitted, -1); err != nil || at.Offset != 3 {
		t.Errorf("end: %+v %v", at, err)
	}
	if err := r.p.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.p.Read(Read{LeaderEpoch: -1, LastFetchedEpoch: -1}); !errors.Is(err, ErrStorage) {
		t.Errorf("read after close: %v", err)
	}
}

func TestAppendIsRefusedWhereThereIsNoRoom(t *testing.T) {
	r := newReplica(t, Config{})
	var asked int
	r.p.room = func(bytes int) error {
		asked = bytes
		return ErrNoRoom
	}
	r.elect(1)
	batch := plainBatch(1)
	if _, err := r.p.Append(batch, AcksLeader); !errors.Is(err, ErrNoRoom) || asked != len(batch) {
		t.Errorf("append: %v, asked for %d bytes", err, asked)
	}
	if _, err := r.p.AppendInternal(batch, AcksLeader); !errors.Is(err, ErrNoRoom) {
		t.Errorf("internal append: %v", err)
	}
	if err := r.p.CheckEpoch(-1); err != nil {
		t.Errorf("readers: %v", err)
	}
}

func TestCloseFailsWhatIsPendingAndCanBeRepeated(t *testing.T) {
	r := newReplica(t, Config{})
	r.elect(1)
	d, err := r.p.Append(plainBatch(1), AcksAll)
	if err != nil {
		t.Fatal(err)
	}
	w := NewWaiter()
	defer w.Close()
	r.p.Watch(w)
	if err := errors.Join(r.p.Close(), r.p.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Wait(t.Context()); !errors.Is(err, ErrClosed) || !woken(w) {
		t.Errorf("%v, woken %t", err, woken(w))
	}
	if _, err := r.p.Append(plainBatch(1), AcksAll); !errors.Is(err, ErrClosed) {
		t.Errorf("append: %v", err)
	}
	if _, err := r.p.Read(Read{LeaderEpoch: -1, LastFetchedEpoch: -1}); !errors.Is(err, ErrClosed) {
		t.Errorf("read: %v", err)
	}
	late := NewWaiter()
	defer late.Close()
	r.p.Watch(late)
	if !woken(late) {
		t.Error("whoever watches a closed partition sleeps for ever")
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	r := newReplica(t, Config{})
	r.elect(1)
	d, err := r.p.Append(plainBatch(2), AcksAll)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Wait(ctx); !errors.Is(err, ErrTimeout) || !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	r.run() // the write goes on
	if result, err := d.Wait(ctx); err != nil || result.BaseOffset != 0 || result.AppendTime != -1 || result.LogStart != 0 {
		t.Errorf("%+v, %v", result, err)
	}
}

func TestTooFewReplicasRefuseAcksAll(t *testing.T) {
	r := newReplica(t, Config{MinInsyncReplicas: 2})
	r.elect(1)
	count := 1
	r.p.inSync = func() int { return count }
	if _, err := r.p.Append(plainBatch(1), AcksAll); !errors.Is(err, ErrNotEnoughReplicas) {
		t.Errorf("%v", err)
	}
	for _, acks := range []Acks{AcksLeader, AcksNone} {
		if _, err := r.p.Append(plainBatch(1), acks); err != nil {
			t.Errorf("acks %d: %v", acks, err)
		}
	}
	count = 2
	if _, err := r.p.Append(plainBatch(1), AcksAll); err != nil {
		t.Error(err)
	}
}

func TestDeleteRecordsAnswersTheLowWatermark(t *testing.T) {
	r := newReplica(t, Config{DeletePolicy: true})
	ctx := t.Context()
	if _, err := r.p.DeleteRecords(ctx, 0); !errors.Is(err, ErrNotLeader) {
		t.Errorf("%v", err)
	}
	r.elect(1)
	if _, err := r.p.Append(plainBatch(10), AcksAll); err != nil {
		t.Fatal(err)
	}
	r.run()
	remove := func(offset log.Offset) (log.Offset, error) {
		var group sync.WaitGroup
		defer group.Wait()
		stop := make(chan struct{})
		defer close(stop)
		group.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					r.run()
				}
			}
		})
		return r.p.DeleteRecords(ctx, offset)
	}
	for _, c := range []struct{ offset, low log.Offset }{{4, 4}, {2, 4}, {-1, 10}, {10, 10}} {
		if low, err := remove(c.offset); err != nil || low != c.low {
			t.Errorf("before %d: low watermark %d, %v; want %d", c.offset, low, err, c.low)
		}
	}
	for _, offset := range []log.Offset{11, -2} {
		if _, err := remove(offset); !errors.Is(err, ErrOffsetOutOfRange) {
			t.Errorf("before %d: %v", offset, err)
		}
	}
	r.config.DeletePolicy = false
	r.p.Configure(r.config)
	if _, err := remove(10); !errors.Is(err, ErrPolicyViolation) {
		t.Errorf("%v", err)
	}
}

// The broker's own batches may be what a client's may not.
func TestInternalBatches(t *testing.T) {
	r := newReplica(t, Config{MaxMessageBytes: 80, TimestampAfter: time.Hour})
	r.elect(1)
	b := record.New()
	b.ProducerID, b.ProducerEpoch, b.Control, b.Transactional = 7, 3, true, true
	b.Add(record.Record{Timestamp: storyStart.Add(100 * time.Hour).UnixMilli(), Key: make([]byte, 4), Value: make([]byte, 100)})
	d, err := r.p.AppendInternal(b.Batch(), AcksAll)
	if err != nil {
		t.Fatal(err)
	}
	again, err := r.p.AppendInternal(append([]byte(nil), b.Batch()...), AcksAll) // markers have no sequence, so no duplicates
	if err != nil {
		t.Fatal(err)
	}
	r.run()
	if first, second := waitFor(t, d), waitFor(t, again); first.BaseOffset != 0 || second.BaseOffset != 1 {
		t.Errorf("offsets %d, %d", first.BaseOffset, second.BaseOffset)
	}
	if all := r.p.Producers(); len(all) != 1 || all[0].Epoch != 3 || all[0].LastSequence != -1 {
		t.Errorf("%+v", all)
	}
	r.reopen()
	if all := r.p.Producers(); len(all) != 1 || all[0].Epoch != 3 {
		t.Errorf("after reopening: %+v", all)
	}
	r.elect(2)
	for _, bad := range [][]byte{nil, plainBatch(1)[:70], changed(plainBatch(2), func(b []byte) { b[26] = 9 })} {
		if _, err := r.p.AppendInternal(bad, AcksAll); err == nil {
			t.Errorf("%d bytes were accepted", len(bad))
		}
	}
}

// Every change fails once: nothing that was acknowledged is lost, nothing panics, and the partition says that it is offline.
func TestFailingDisk(t *testing.T) {
	for n := 1; ; n++ {
		memory := vfs.NewMemory()
		files := vfs.NewFailing(memory)
		acked, failed := workOn(t, files, n)
		r := &replica{t: t, files: memory.Clone(), config: Config{DeletePolicy: true}, clock: &clock{now: storyStart}}
		r.config.Log.SyncOnAppend = true
		r.open()
		r.elect(100)
		if mark := r.p.HighWatermark(); mark < acked {
			t.Fatalf("call %d failed: %d were acknowledged, %d are there", n, acked, mark)
		}
		if err := r.p.Close(); err != nil {
			t.Fatalf("call %d failed: %v", n, err)
		}
		if !failed {
			t.Logf("%d calls", n-1)
			return
		}
	}
}

// workOn works on a disk whose nth change fails, and says how far it got.
func workOn(t *testing.T, files *vfs.Failing, n int) (acked log.Offset, failed bool) {
	r := &replica{t: t, clock: &clock{now: storyStart}, config: Config{DeletePolicy: true, CheckpointEachBytes: 200, Log: log.Config{SegmentBytes: 400, SyncOnAppend: true}}}
	l, err := log.Open("data", log.Options{Config: r.config.Log, FS: files})
	if err != nil {
		t.Fatal(err)
	}
	if r.p, err = Open(Options{Log: l, Config: r.config, Now: r.clock.Now}); err != nil {
		t.Fatal(err)
	}
	r.log, r.tokens = l, map[log.Index]uint64{}
	r.p.Bind(r)
	r.elect(1)
	files.FailNth(vfs.Changes, n)
	for i := range int32(12) {
		d, err := r.p.Append(batchOf(storyStart, 7, 0, i, 1), AcksAll)
		if err == nil && i == 8 {
			_, err = r.p.proposeCommand(encodeTrim(5))
		}
		if err != nil {
			failed = true
			break
		}
		r.run()
		r.p.background.Wait()
		if result, err := d.Wait(t.Context()); err != nil {
			if !errors.Is(err, ErrStorage) {
				t.Fatalf("call %d failed: %v", n, err)
			}
			failed = true
			break
		} else {
			acked = result.BaseOffset + 1
		}
	}
	if failed && r.p.Err() == nil {
		t.Fatalf("call %d failed, and the partition does not know", n)
	}
	if err := r.p.Close(); err != nil {
		failed = true
	}
	return acked, failed
}

// loop is a group with one voter that runs on its own, as replication does: proposals are taken in groups, in order.
type loop struct {
	*replica
	wake chan struct{}
	done chan struct{}
}

func (l *loop) Propose(data []byte, token uint64) error {
	if err := l.replica.Propose(data, token); err != nil {
		return err
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return nil
}

func startLoop(t testing.TB, config Config) *loop {
	l := &loop{replica: newReplica(t, config), wake: make(chan struct{}, 1), done: make(chan struct{})}
	l.p.Bind(l)
	l.elect(1)
	go func() {
		defer close(l.done)
		for range l.wake {
			l.run()
		}
	}()
	return l
}

func (l *loop) stop() {
	close(l.wake)
	<-l.done
}

// Producers, readers that wait, retention and a wandering leadership, all at once: for the race detector, and for order within each producer.
func TestManyAtOnce(t *testing.T) {
	l := startLoop(t, Config{DeletePolicy: true, RetentionTime: -1, RetentionBytes: 20_000, CheckpointEachBytes: 5000, Log: log.Config{SegmentBytes: 4000}})
	const producerCount, batches = 4, 200
	var group sync.WaitGroup
	for id := range int64(producerCount) {
		group.Go(func() {
			var window []*Pending
			for i := range int32(batches) {
				d, err := l.p.Append(batchOf(storyStart, id, 0, i, 1), AcksAll)
				if err != nil {
					t.Errorf("producer %d: %v", id, err)
					return
				}
				if window = append(window, d); len(window) == 5 {
					waitFor(t, window[0])
					window = window[1:]
				}
			}
			for _, d := range window {
				waitFor(t, d)
			}
		})
	}
	stop := make(chan struct{})
	var helpers sync.WaitGroup
	helpers.Go(func() {
		for {
			w := NewWaiter()
			l.p.Watch(w)
			select {
			case <-stop:
				w.Close()
				return
			case <-w.C():
				w.Close()
				_ = l.p.Enforce(t.Context())
				_ = l.p.Producers()
				_, _ = l.p.State()
			}
		}
	})
	group.Go(func() { readToEnd(t, l.p, producerCount*batches) })
	group.Wait()
	close(stop)
	helpers.Wait()
	l.stop()
	for _, pr := range l.p.Producers() {
		if pr.LastSequence != batches-1 {
			t.Errorf("%+v", pr)
		}
	}
}

// readToEnd reads as a consumer with long polls does, until offset end.
func readToEnd(t *testing.T, p *Partition, end log.Offset) {
	read := func(offset log.Offset) (log.Offset, bool) {
		out, err := p.Read(Read{Offset: offset, MaxBytes: 1000, AtLeastOne: true, LeaderEpoch: -1, LastFetchedEpoch: -1})
		if errors.Is(err, ErrOffsetOutOfRange) {
			return p.LogStart(), true // retention was faster
		}
		if err != nil {
			t.Error(err)
			return end, true
		}
		if out.Chunk == nil {
			return offset, false
		}
		defer out.Chunk.Release()
		return out.Chunk.NextOffset(), true
	}
	for offset := log.Offset(0); offset < end; {
		next, ok := read(offset)
		if !ok {
			w := NewWaiter()
			p.Watch(w)
			if next, ok = read(offset); !ok {
				<-w.C()
			}
			w.Close()
		}
		offset = next
	}
}

func TestHotPathsDoNotAllocate(t *testing.T) {
	r := newReplica(t, Config{})
	r.elect(1)
	plain, numbered := plainBatch(10), batchOf(storyStart, 7, 0, 0, 1)
	next := int32(0)
	appendOne := func(batch []byte) *Pending {
		d, err := r.p.Append(batch, AcksAll)
		if err != nil {
			t.Fatal(err)
		}
		r.queue = r.queue[:0]
		return d
	}
	offset := log.Offset(0)
	entries := make([]Entry, 1)
	index := r.log.LastIndex()
	finish := func(d *Pending, batch []byte, count log.Offset) {
		index++
		entries[0] = Entry{Meta: log.Meta{Index: index, Term: 1, BaseOffset: offset, NextOffset: offset + count, Size: len(batch)}, Data: batch, Token: d.token}
		offset += count
		if !r.p.Admit(d.token, 1) {
			t.Fatal("not admitted")
		}
		r.p.Stored(entries)
		entries[0].Data = nil
		r.p.Apply(entries)
		if !d.resolved {
			t.Fatal("not resolved")
		}
	}
	for range 20 { // let the ring and the queue grow
		finish(appendOne(plain), plain, 10)
	}
	// One for the Pending, one for its channel.
	if n := testing.AllocsPerRun(200, func() { finish(appendOne(plain), plain, 10) }); n > 2 {
		t.Errorf("append, store and apply: %v allocations", n)
	}
	numberedOnce := func() {
		copy(numbered, changed(numbered, func(b []byte) { b[56], b[55] = byte(next), byte(next>>8) }))
		next++
		finish(appendOne(numbered), numbered, 1)
	}
	numberedOnce()
	base := testing.AllocsPerRun(200, func() { _ = changed(numbered, func([]byte) {}) })
	if n := testing.AllocsPerRun(200, numberedOnce); n > 2+base {
		t.Errorf("with a sequence: %v allocations, %v are the test's", n, base)
	}
}

func TestReadAllocatesTheChunkOnly(t *testing.T) {
	r := newReplica(t, Config{})
	r.elect(1)
	if _, err := r.p.Append(plainBatch(10), AcksAll); err != nil {
		t.Fatal(err)
	}
	r.run()
	read := Read{Offset: 0, MaxBytes: 1 << 20, AtLeastOne: true, LeaderEpoch: 1, LastFetchedEpoch: 1}
	chunk := testing.AllocsPerRun(200, func() {
		c, err := r.log.Read(0, 10, 1<<20, true)
		if err != nil {
			t.Fatal(err)
		}
		c.Release()
	})
	if n := testing.AllocsPerRun(200, func() {
		out, err := r.p.Read(read)
		if err != nil {
			t.Fatal(err)
		}
		out.Chunk.Release()
	}); n > chunk {
		t.Errorf("%v allocations, the log's are %v", n, chunk)
	}
	read.Offset = 10
	if n := testing.AllocsPerRun(200, func() { _, _ = r.p.Read(read) }); n != 0 {
		t.Errorf("nothing to read: %v allocations", n)
	}
}

// BenchmarkAppend is the cost of the partition alone: no log, no consensus.
func BenchmarkAppend(b *testing.B) {
	for _, records := range []int{1, 16, 1000} {
		b.Run(fmt.Sprint(records), func(b *testing.B) {
			r := newReplica(b, Config{})
			r.elect(1)
			batch := plainBatch(records)
			entries := make([]Entry, 1)
			offset, index := log.Offset(0), r.log.LastIndex()
			b.SetBytes(int64(len(batch)))
			b.ReportAllocs()
			for b.Loop() {
				d, err := r.p.Append(batch, AcksAll)
				if err != nil {
					b.Fatal(err)
				}
				r.queue = r.queue[:0]
				index++
				entries[0] = Entry{Meta: log.Meta{Index: index, Term: 1, BaseOffset: offset, NextOffset: offset + 1, Size: 1}, Data: batch, Token: d.token}
				offset++
				r.p.Admit(d.token, 1)
				r.p.Stored(entries)
				r.p.Apply(entries)
			}
		})
	}
}

// BenchmarkProduce goes through a real log, without fsync: 16 records of 1 KiB in a batch, 64 batches under way.
func BenchmarkProduce(b *testing.B) {
	r := &replica{t: b, clock: &clock{now: storyStart}, tokens: map[log.Index]uint64{}}
	l, err := log.Open(b.TempDir(), log.Options{})
	if err != nil {
		b.Fatal(err)
	}
	if r.p, err = Open(Options{Log: l}); err != nil {
		b.Fatal(err)
	}
	r.log = l
	r.p.Bind(r)
	r.elect(1)
	builder := record.New()
	for range 16 {
		builder.Add(record.Record{Timestamp: time.Now().UnixMilli(), Value: make([]byte, 1024)})
	}
	batches := make([][]byte, 64)
	for i := range batches {
		batches[i] = append([]byte(nil), builder.Batch()...)
	}
	b.SetBytes(int64(len(batches) * len(batches[0])))
	b.ReportAllocs()
	for b.Loop() {
		var last *Pending
		for _, batch := range batches {
			if last, err = r.p.Append(batch, AcksAll); err != nil {
				b.Fatal(err)
			}
		}
		r.run()
		waitFor(b, last)
	}
	if err := r.p.Close(); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkReadAtTheEnd(b *testing.B) {
	r := newReplica(b, Config{})
	r.elect(1)
	read := Read{MaxBytes: 1 << 20, AtLeastOne: true, LeaderEpoch: 1, LastFetchedEpoch: -1}
	b.ReportAllocs()
	for b.Loop() {
		_, _ = r.p.Read(read)
	}
}

// Where the next batch will be written is known while others are under way, and when one of them was refused.
func TestNextPosition(t *testing.T) {
	r := newReplica(t, Config{})
	if at := r.p.NextPosition(); at != -1 {
		t.Errorf("before anything was appended: %d", at)
	}
	r.elect(1)
	var end int64
	add := func(records int) {
		t.Helper()
		batch := plainBatch(records)
		if _, err := r.p.Append(batch, AcksAll); err != nil {
			t.Fatal(err)
		}
		end += int64(len(batch))
	}
	check := func(when string) {
		t.Helper()
		if at := r.p.NextPosition(); at != end {
			t.Errorf("%s: %d, not %d", when, at, end)
		}
	}
	check("an empty log")
	add(1)
	add(20)
	add(3)
	check("three under way")
	r.store(2)
	check("two stored")
	add(7)
	check("one more under way")
	r.commit(1)
	r.store(1)
	check("three stored, one committed")
	r.refuse = errRefused
	if _, err := r.p.Append(plainBatch(9), AcksAll); err == nil {
		t.Fatal("not refused")
	}
	check("one refused")
	r.store(10)
	r.commit(10)
	check("all committed")
	if bytes := r.p.Segments()[0].Bytes; bytes != end {
		t.Errorf("the log has %d bytes, not %d", bytes, end)
	}
}
