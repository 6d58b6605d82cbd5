package partition

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/barnabas-log/barnabas/log"
)

// history plays clients that behave against a replica to which everything happens: elections that nobody hears of, lost leadership with proposals queued,
// truncation, other leaders' batches, trims, restarts, power cuts. After every step it checks what must always hold.
type history struct {
	*replica
	random  *rand.Rand
	steps   []string
	leading bool
	mark    log.Offset
	model   []modelBatch // everything in the log
	clients []*client
}

// modelBatch is one batch of the log, kept by the test.
type modelBatch struct {
	index  log.Index
	base   log.Offset
	next   log.Offset
	header []byte
}

// client is an idempotent producer with some batches under way, which it sends again in order when one fails.
type client struct {
	id    int64
	next  int32
	sent  []*request
	acked []*request
}

type request struct {
	first, n int32
	pending  *Pending // nil: to be sent again
	base     log.Offset
}

func (r *request) String() string { return fmt.Sprintf("%d+%d", r.first, r.n) }

func TestHistories(t *testing.T) {
	count, steps := 60, 120
	if os.Getenv("BARNABAS_LONG") != "" {
		count, steps = 5000, 300
	}
	for seed := range uint64(count) {
		h := newHistory(t, seed)
		for range steps {
			h.step()
		}
		h.settle()
		if err := h.p.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func newHistory(t *testing.T, seed uint64) *history {
	random := rand.New(rand.NewPCG(seed, 1))
	config := Config{DeletePolicy: true, CheckpointEachBytes: 1 + random.Int64N(2000), Log: log.Config{SegmentBytes: 300 + random.Int64N(3000)}}
	h := &history{replica: newReplica(t, config), random: random}
	for id := range int64(3) {
		h.clients = append(h.clients, &client{id: id})
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("seed %d: %v", seed, h.steps)
		}
	})
	return h
}

func (h *history) note(format string, args ...any) {
	h.steps = append(h.steps, fmt.Sprintf(format, args...))
}

func (h *history) fatal(format string, args ...any) {
	h.t.Helper()
	h.t.Fatalf("step %d: %s", len(h.steps), fmt.Sprintf(format, args...))
}

func (h *history) step() {
	switch n := h.random.IntN(100); {
	case n < 40:
		h.send(h.clients[h.random.IntN(len(h.clients))])
	case n < 58:
		h.note("store")
		h.storeSome(1 + h.random.IntN(4))
	case n < 75:
		h.note("commit")
		h.commit(1 + h.random.IntN(4))
	case n < 79:
		h.note("elect")
		h.becomeLeader()
	case n < 82: // raft has a new term, and the partition has not heard of it
		h.note("silent")
		if h.leading {
			h.term += 2
			h.append(log.Entry{Kind: log.KindNoop})
		}
	case n < 86:
		h.note("resign")
		h.term++
		h.leading = false
		h.p.Resign(h.term, 2)
	case n < 90:
		h.note("truncate")
		h.loseTail()
	case n < 93:
		h.note("follow")
		if !h.leading {
			h.append(log.Entry{Kind: log.KindBatch, Data: plainBatch(1 + h.random.IntN(3))})
		}
	case n < 95:
		h.note("trim")
		if h.leading {
			_, _ = h.p.proposeCommand(encodeTrim(h.p.HighWatermark()))
		}
	case n < 98:
		h.note("reopen")
		h.restart(func() { h.reopen() })
	default:
		h.note("crash")
		h.restart(func() {
			clone := h.files.CrashClone(h.random)
			_ = h.p.Close()
			h.files = clone
			h.open()
		})
	}
	h.learn()
	for _, c := range h.clients {
		h.receive(c)
	}
	h.check()
}

// becomeLeader elects the replica in a new term; everything in its log is committed by that.
func (h *history) becomeLeader() {
	h.queue = nil
	h.elect(h.term + 1)
	h.leading = true
}

func (h *history) storeSome(n int) {
	if h.leading {
		h.store(n)
	} else {
		h.queue = nil // raft refuses them
	}
}

// loseTail is what a new leader does to a replica that has more than it.
func (h *history) loseTail() {
	if h.applied >= h.log.LastIndex() {
		return
	}
	h.leading = false
	h.term++
	index := h.applied + 1 + log.Index(h.random.Int64N(int64(h.log.LastIndex()-h.applied)))
	h.truncate(index)
	for len(h.model) > 0 && h.model[len(h.model)-1].index >= index {
		h.model = h.model[:len(h.model)-1]
	}
	for i := range h.tokens {
		if i >= index {
			delete(h.tokens, i)
		}
	}
}

func (h *history) restart(how func()) {
	before := h.applied
	how()
	h.leading = false
	h.mark = 0 // it may start at the checkpoint again
	if h.log.Checkpoint().Index > before {
		h.fatal("the checkpoint is at %d, only %d is committed", h.log.Checkpoint().Index, before)
	}
	// A replica may learn again what is committed, and need not; the log keeps it in any case.
	h.commit(int(before - h.applied))
}

// learn takes what is new in the log into the model.
func (h *history) learn() {
	last := log.Index(0)
	if len(h.model) > 0 {
		last = h.model[len(h.model)-1].index
	}
	for i := max(last+1, h.log.FirstIndex()); i <= h.log.LastIndex(); i++ {
		m, err := h.log.Meta(i)
		if err != nil {
			h.fatal("entry %d: %v", i, err)
		}
		if m.Kind == log.KindBatch {
			data, err := h.log.Data(nil, m)
			if err != nil {
				h.fatal("entry %d: %v", i, err)
			}
			h.model = append(h.model, modelBatch{index: i, base: m.BaseOffset, next: m.NextOffset, header: data[:log.HeaderSize]})
		}
	}
}

// send sends what failed again, in order, or a new batch.
func (h *history) send(c *client) {
	again := false
	for _, r := range c.sent {
		if again = again || r.pending == nil; again {
			h.sendOne(c, r)
		}
	}
	if again || len(c.sent) >= rememberedBatches {
		return
	}
	r := &request{first: c.next, n: 1 + h.random.Int32N(3), base: -1}
	c.next += r.n
	c.sent = append(c.sent, r)
	h.sendOne(c, r)
	if h.random.IntN(8) == 0 {
		h.sendOne(c, r) // and once more, as if an answer was slow
	}
}

func (h *history) sendOne(c *client, r *request) {
	d, err := h.p.Append(batchOf(h.clock.Now(), c.id, 0, r.first, int(r.n)), AcksAll)
	h.note("send %d: %v: %v", c.id, r, err)
	if err == nil {
		r.pending = d
		return
	}
	r.pending = nil
	switch name(err) {
	case "NotLeader":
	case "OutOfOrderSequence": // right if one before it failed
		if c.sent[0] == r {
			h.fatal("client %d: %v, the oldest under way: %v", c.id, r, err)
		}
	case "DuplicateSequence": // the client takes it as written: it must be
		if h.find(c.id, r) < 0 {
			h.fatal("client %d: %v: %v, but it is nowhere", c.id, r, err)
		}
		r.pending = &Pending{done: alreadyDone, resolved: true, result: AppendResult{BaseOffset: h.find(c.id, r)}}
	default:
		h.fatal("client %d: %v: %v", c.id, r, err)
	}
}

// receive takes the answers.
func (h *history) receive(c *client) {
	var rest []*request
	for _, r := range c.sent {
		if r.pending == nil {
			rest = append(rest, r)
			continue
		}
		select {
		case <-r.pending.Done():
		default:
			rest = append(rest, r)
			continue
		}
		result, err := r.pending.Wait(context.Background())
		if err != nil {
			r.pending = nil
			rest = append(rest, r)
			continue
		}
		r.base = result.BaseOffset
		h.note("acked %d: %v at %d", c.id, r, r.base)
		if at := h.find(c.id, r); at != r.base {
			h.fatal("client %d: %v was acknowledged at %d and is at %d", c.id, r, r.base, at)
		}
		if end := r.base + log.Offset(r.n); end > h.p.HighWatermark() {
			h.fatal("client %d: %v was acknowledged up to %d, the high watermark is %d", c.id, r, end, h.p.HighWatermark())
		}
		c.acked = append(c.acked, r)
	}
	c.sent = rest
}

// find says where in the log the client's batch is, -1 if nowhere.
func (h *history) find(id int64, r *request) log.Offset {
	for _, b := range h.model {
		if header := log.Header(b.header); header.ProducerID() == id && header.BaseSequence() == r.first {
			return b.base
		}
	}
	return -1
}

// check is what always holds.
func (h *history) check() {
	start, stable, mark, end := h.p.LogStart(), h.p.LastStable(), h.p.HighWatermark(), h.p.LogEnd()
	if start > stable || stable > mark || mark > end {
		h.fatal("start %d, stable %d, mark %d, end %d", start, stable, mark, end)
	}
	if mark < h.mark {
		h.fatal("the high watermark went from %d to %d", h.mark, mark)
	}
	h.mark = mark
	next, sequences := log.Offset(0), map[int64]int32{}
	for _, b := range h.model {
		if b.base != next {
			h.fatal("offset %d follows %d", b.base, next)
		}
		next = b.next
		header := log.Header(b.header)
		if id := header.ProducerID(); id >= 0 {
			if header.BaseSequence() != sequences[id] {
				h.fatal("producer %d: %d at offset %d, %d must follow", id, header.BaseSequence(), b.base, sequences[id])
			}
			sequences[id] += header.Count()
		}
	}
	if next != end {
		h.fatal("the log ends at %d, not %d", end, next)
	}
	h.checkProducers()
	for _, c := range h.clients {
		for _, r := range c.acked {
			if at := h.find(c.id, r); at != r.base {
				h.fatal("client %d: %v was acknowledged at %d and is at %d now", c.id, r, r.base, at)
			}
		}
	}
}

// checkProducers compares the state with one that was made from every header since the beginning.
func (h *history) checkProducers() {
	want := newProducers()
	for _, b := range h.model {
		want.stored(log.Header(b.header), b.base, b.next, 0)
	}
	h.p.mu.Lock()
	got, err := decodeProducers(h.p.producers.encode())
	h.p.mu.Unlock()
	if err != nil {
		h.fatal("%v", err)
	}
	for _, pr := range got.byID {
		pr.lastSeen = 0
	}
	if !bytes.Equal(got.encode(), want.encode()) {
		h.fatal("producers are\n%+v\nand should be\n%+v", describe(got), describe(want))
	}
}

func describe(ps *producers) (lines []string) {
	lines = append(lines, fmt.Sprintf("offset %d", ps.offset))
	for _, pr := range ps.sorted() {
		lines = append(lines, fmt.Sprintf("%d: epoch %d, run %d, %v", pr.id, pr.epoch, pr.run, pr.batches[:pr.count]))
	}
	return lines
}

// settle lets peace return: everything that was sent gets acknowledged.
func (h *history) settle() {
	h.note("settle")
	h.p.Resign(h.term+1, -1)
	h.becomeLeader()
	for range 20 {
		for _, c := range h.clients {
			h.receive(c)
			if len(c.sent) > 0 {
				h.send(c)
			}
		}
		h.run()
		h.learn()
	}
	for _, c := range h.clients {
		h.receive(c)
		for _, r := range c.sent {
			if r.pending == nil {
				h.fatal("client %d: %v was never accepted", c.id, r)
			}
		}
	}
	h.check()
	h.readAll()
}

// readAll reads everything back, through Read.
func (h *history) readAll() {
	offset := h.p.LogStart()
	for offset < h.p.HighWatermark() {
		out, err := h.p.Read(Read{Offset: offset, MaxBytes: 200, AtLeastOne: true, LeaderEpoch: -1, LastFetchedEpoch: -1})
		if err != nil || out.Chunk == nil {
			h.fatal("read at %d: %v, %v", offset, out, err)
		}
		b, err := out.Chunk.Bytes(nil)
		if err != nil || log.CheckBatch(b[:log.Header(b).Size()]) != nil {
			h.fatal("read at %d: %v", offset, err)
		}
		if next := out.Chunk.NextOffset(); next <= offset {
			h.fatal("read at %d goes on at %d", offset, next)
		} else {
			offset = next
		}
		out.Chunk.Release()
	}
}

// The power is cut at every sync; what was acknowledged before is there afterwards, and comes from the same producers.
func TestAcknowledgedSurvivesACutAtEverySync(t *testing.T) {
	r := newReplica(t, Config{DeletePolicy: true, CheckpointEachBytes: 500, Log: log.Config{SegmentBytes: 700}})
	random := rand.New(rand.NewPCG(1, 1))
	var acked []*request // in order
	type cut struct {
		name  string
		clone *replica
		acked int
		start log.Offset
	}
	var cuts []cut
	r.files.OnSync(func(file string, done bool) {
		cuts = append(cuts, cut{
			name:  fmt.Sprintf("%s, done %t", file, done),
			clone: &replica{t: t, files: r.files.CrashClone(random), config: r.config, clock: r.clock},
			acked: len(acked), start: r.p.LogStart(),
		})
	})
	r.elect(1)
	next := int32(0)
	for i := range 60 {
		req := &request{first: next, n: 1 + random.Int32N(3)}
		next += req.n
		d, err := r.p.Append(batchOf(storyStart, 7, 0, req.first, int(req.n)), AcksAll)
		if err != nil {
			t.Fatal(err)
		}
		if i%20 == 19 {
			if _, err := r.p.proposeCommand(encodeTrim(r.p.HighWatermark() - 5)); err != nil {
				t.Fatal(err)
			}
		}
		r.run()
		r.p.background.Wait() // the hook is not made for two goroutines
		result, err := d.Wait(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		req.base = result.BaseOffset
		acked = append(acked, req)
	}
	r.files.OnSync(nil)
	t.Logf("%d cuts", len(cuts))
	for i, c := range cuts {
		c.clone.open()
		c.clone.elect(2)
		last := acked[:c.acked]
		if len(last) > 0 && c.clone.p.HighWatermark() < last[len(last)-1].base+log.Offset(last[len(last)-1].n) {
			t.Fatalf("cut %d (%s): %d are acknowledged, the log ends at %d", i, c.name, c.acked, c.clone.p.HighWatermark())
		}
		if c.clone.p.LogStart() < c.start {
			t.Fatalf("cut %d (%s): the log start went from %d to %d", i, c.name, c.start, c.clone.p.LogStart())
		}
		for _, req := range last[max(0, len(last)-rememberedBatches+1):] { // one more may have been stored
			d, err := c.clone.p.Append(batchOf(storyStart, 7, 0, req.first, int(req.n)), AcksAll)
			if err != nil {
				t.Fatalf("cut %d (%s): %v again: %v", i, c.name, req, err)
			}
			if result, err := d.Wait(t.Context()); err != nil || result.BaseOffset != req.base {
				t.Fatalf("cut %d (%s): %v again: at %d, was at %d, %v", i, c.name, req, result.BaseOffset, req.base, err)
			}
		}
		if err := c.clone.p.Close(); err != nil {
			t.Fatalf("cut %d (%s): %v", i, c.name, err)
		}
	}
}

func waitFor(t testing.TB, d *Pending) AppendResult {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	result, err := d.Wait(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return result
}
