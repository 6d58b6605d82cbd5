package log

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/barnabas-log/barnabas/internal/vfs"
	"github.com/barnabas-log/barnabas/log/journal"
	"github.com/barnabas-log/barnabas/log/record"
)

// model is a log as a slice: what the real one must agree with.
type model struct {
	floor      Floor
	entries    []modelEntry // entries[0] has index floor.Index+1
	end        Offset
	term       Term
	checkpoint Checkpoint
	compacted  Index  // up to here compaction may have merged batches
	merged     Offset // the offset that goes with it
}

type modelEntry struct {
	Entry // Data is stamped
	base  Offset
	next  Offset
}

func (m *model) last() Index { return m.floor.Index + Index(len(m.entries)) }

func (m *model) clone() *model {
	c := *m
	c.entries = slices.Clone(m.entries)
	return &c
}

func (m *model) append(entries []Entry) {
	for _, e := range entries {
		e.Data = bytes.Clone(e.Data)
		x := modelEntry{Entry: e, base: m.end, next: m.end}
		if e.Kind == KindBatch {
			stamp(x.Data, m.end, e.Term)
			m.end = Header(x.Data).next()
			x.next = m.end
		}
		m.entries = append(m.entries, x)
		m.term = e.Term
	}
}

func (m *model) truncate(i Index) {
	m.entries = m.entries[:i-m.floor.Index-1]
	m.end, m.term = m.floor.Offset, m.floor.Term
	if n := len(m.entries); n > 0 {
		m.end, m.term = m.entries[n-1].next, m.entries[n-1].Term
	}
}

// follow makes the floor the one that the log chose in a trim, after checking that it could.
func (m *model) follow(t *testing.T, floor Floor, start Offset, keep Index) {
	t.Helper()
	if floor.Start != start || floor.Index < m.floor.Index || floor.Index > max(keep, m.floor.Index) || floor.Offset > max(start, m.floor.Offset) {
		t.Fatalf("trim to %d keeping from %d gave floor %+v after %+v", start, keep, floor, m.floor)
	}
	drop := int(floor.Index - m.floor.Index)
	if drop > 0 {
		gone := m.entries[drop-1]
		if gone.next != floor.Offset || gone.Term != floor.Term {
			t.Fatalf("floor %+v, but the entry there is %d term %d next %d", floor, gone.Index, gone.Term, gone.next)
		}
		for _, e := range m.entries[:drop] {
			if e.Kind == KindConfiguration && (floor.ConfigurationIndex < e.Index || floor.ConfigurationIndex == e.Index &&
				!bytes.Equal(floor.Configuration, e.Data)) {
				t.Fatalf("floor has configuration %d, the log had one at %d", floor.ConfigurationIndex, e.Index)
			}
		}
	}
	m.entries = slices.Clone(m.entries[drop:])
	m.floor = floor
}

// generator makes random entries and operations.
type generator struct {
	r    *rand.Rand
	time int64
}

func newGenerator(seed uint64) *generator {
	return &generator{r: rand.New(rand.NewPCG(seed, 7)), time: 1000}
}

func (g *generator) batch() []byte {
	b := record.New()
	for range 1 + g.r.IntN(4) {
		g.time += int64(g.r.IntN(20)) - 5
		value := make([]byte, g.r.IntN(120))
		for i := range value {
			value[i] = byte(g.r.Uint32())
		}
		r := record.Record{Timestamp: g.time, Key: fmt.Append(nil, "k", g.r.IntN(12)), Value: value}
		switch g.r.IntN(20) {
		case 0:
			r.Key = nil
		case 1, 2:
			r.Value = nil
		}
		b.Add(r)
	}
	if g.r.IntN(4) == 0 {
		b.ProducerID, b.ProducerEpoch, b.BaseSequence = g.r.Int64N(3), 1, int32(g.r.IntN(1000))
	}
	data := bytes.Clone(b.Batch())
	if codec := record.Codec(g.r.IntN(8)); codec <= record.Zstd && codec != record.None {
		data = recompressed(data, codec)
	}
	if g.r.IntN(8) == 0 {
		SetLogAppendTime(data, g.time)
	}
	return data
}

func (g *generator) entries(m *model) []Entry {
	term := max(m.term, 1)
	var entries []Entry
	index := m.last()
	for range 1 + g.r.IntN(6) {
		index++
		if g.r.IntN(12) == 0 {
			term += Term(1 + g.r.IntN(2))
		}
		e := Entry{Index: index, Term: term, Kind: KindBatch}
		if g.r.IntN(6) == 0 {
			e.Kind = Kind(1 + g.r.IntN(4))
			e.Data = []byte(fmt.Sprintf("control %d", index))
		} else {
			e.Data = g.batch()
		}
		entries = append(entries, e)
	}
	return entries
}

func (g *generator) config() Config {
	return Config{
		SegmentBytes:       int64(300 + g.r.IntN(4000)),
		IndexIntervalBytes: int64(1 + g.r.IntN(600)),
		SegmentIndexBytes:  int64(60 + g.r.IntN(1000)),
		SyncOnAppend:       g.r.IntN(3) > 0,
		FlushMessages:      int64(g.r.IntN(30)),
		SegmentAge:         time.Duration(1+g.r.IntN(1000)) * time.Millisecond,
		DeleteDelay:        time.Duration(g.r.IntN(3)) * time.Millisecond,
	}
}

// verify compares the log with the model through everything that reads.
func verify(t *testing.T, l *Log, m *model, g *generator) {
	t.Helper()
	f := l.Floor()
	if f.Index != m.floor.Index || f.Term != m.floor.Term || f.Offset != m.floor.Offset || f.Start != m.floor.Start ||
		!bytes.Equal(f.State, m.floor.State) || !bytes.Equal(f.Configuration, m.floor.Configuration) {
		t.Fatalf("floor %+v, not %+v", f, m.floor)
	}
	if l.FirstIndex() != m.floor.Index+1 || l.LastIndex() != m.last() || l.EndOffset() != m.end || l.StartOffset() != m.floor.Start {
		t.Fatalf("log has indexes %d to %d, offsets %d to %d; model %d to %d, %d to %d", l.FirstIndex(), l.LastIndex(), l.StartOffset(), l.EndOffset(),
			m.floor.Index+1, m.last(), m.floor.Start, m.end)
	}
	c := l.Checkpoint()
	if c.Index != m.checkpoint.Index || c.Term != m.checkpoint.Term || !bytes.Equal(c.State, m.checkpoint.State) {
		t.Fatalf("checkpoint %+v, not %+v", c, m.checkpoint)
	}
	verifyEntries(t, l, m)
	verifyReads(t, l, m, g)
	verifyTimes(t, l, m, g)
	verifyEpochs(t, l, m)
}

func verifyEntries(t *testing.T, l *Log, m *model) {
	t.Helper()
	for _, e := range m.entries {
		meta, err := l.Meta(e.Index)
		want := Meta{Index: e.Index, Term: e.Term, Kind: e.Kind, BaseOffset: e.base, NextOffset: e.next, Size: len(e.Data)}
		if err != nil || meta != want {
			t.Fatalf("entry %d: %+v, %v, not %+v", e.Index, meta, err, want)
		}
		data, err := l.Data(nil, meta)
		if err != nil || !bytes.Equal(data, e.Data) {
			t.Fatalf("entry %d: data differs: %v", e.Index, err)
		}
	}
	for _, i := range []Index{m.floor.Index, m.last() + 1} {
		if _, err := l.Meta(i); !errors.Is(err, ErrNotFound) {
			t.Fatalf("entry %d: %v", i, err)
		}
	}
}

func verifyReads(t *testing.T, l *Log, m *model, g *generator) {
	t.Helper()
	var want []byte
	var boundaries []Offset
	for _, e := range m.entries {
		if e.Kind == KindBatch && e.next > m.floor.Start {
			want = append(want, e.Data...)
			boundaries = append(boundaries, e.next)
		}
	}
	var got []byte
	limit := m.end
	for from := m.floor.Start; from < limit; {
		max := g.r.IntN(1500)
		chunk, err := l.Read(from, limit, max, true)
		if err != nil || chunk == nil {
			t.Fatalf("read from %d: %v", from, err)
		}
		b, err := chunk.Bytes(nil)
		if err != nil || len(b) != chunk.Size() {
			t.Fatalf("read from %d: %d bytes, %v", from, len(b), err)
		}
		if len(b) > max && Header(b).Size() != len(b) {
			t.Fatalf("read from %d: %d bytes of at most %d", from, len(b), max)
		}
		if base := Header(b).BaseOffset(); base > from || Header(b).LastOffset() < from {
			t.Fatalf("read from %d: batch of %d", from, base)
		}
		got = append(got, b...)
		if chunk.NextOffset() <= from || !slices.Contains(boundaries, chunk.NextOffset()) {
			t.Fatalf("read from %d: next %d", from, chunk.NextOffset())
		}
		from = chunk.NextOffset()
		chunk.Release()
	}
	if got = m.unmerge(t, got); !bytes.Equal(got, want) {
		t.Fatalf("read %d bytes that differ from the %d wanted", len(got), len(want))
	}
	// From anywhere, up to any boundary.
	for range min(len(boundaries), 10) {
		limit := boundaries[g.r.IntN(len(boundaries))]
		if limit < m.merged {
			continue // may lie in the middle of a merged batch, where nobody's limit is
		}
		from := m.floor.Start + Offset(g.r.Int64N(int64(limit-m.floor.Start)))
		chunk, err := l.Read(from, limit, 1<<20, false)
		if err != nil || chunk == nil {
			t.Fatalf("read %d to %d: %v", from, limit, err)
		}
		if chunk.NextOffset() > limit || chunk.NextOffset() <= from {
			t.Fatalf("read %d to %d: next %d", from, limit, chunk.NextOffset())
		}
		chunk.Release()
	}
	var scanned []Offset
	if err := l.Scan(m.floor.Start, func(h Header) bool { scanned = append(scanned, h.next()); return true }); err != nil {
		t.Fatal(err)
	}
	if inner := slices.DeleteFunc(slices.Clone(boundaries), func(o Offset) bool { return o < m.merged && !slices.Contains(scanned, o) }); !slices.Equal(scanned, inner) {
		t.Fatalf("scan gave %v, not %v", scanned, boundaries)
	}
	if _, err := l.Read(m.floor.Start-1, m.end, 1, true); !errors.Is(err, ErrOutOfRange) {
		t.Fatal(err)
	}
	if _, err := l.Read(m.end+1, m.end+1, 1, true); !errors.Is(err, ErrOutOfRange) {
		t.Fatal(err)
	}
}

func verifyTimes(t *testing.T, l *Log, m *model, g *generator) {
	t.Helper()
	var records []record.Record
	var limits []Offset
	for _, e := range m.entries {
		if e.Kind == KindBatch {
			if e.next > m.floor.Start {
				limits = append(limits, e.next)
			}
			record.Each(e.Data, 1<<20, func(r record.Record) error {
				if Offset(r.Offset) >= m.floor.Start {
					records = append(records, r)
				}
				return nil
			})
		}
	}
	for range min(10, len(limits)) {
		limit := limits[g.r.IntN(len(limits))]
		ms := records[g.r.IntN(len(records))].Timestamp + int64(g.r.IntN(3)) - 1
		var first, largest *record.Record
		for k := range records {
			r := &records[k]
			if Offset(r.Offset) >= limit {
				break
			}
			if first == nil && r.Timestamp >= ms {
				first = r
			}
			if largest == nil || r.Timestamp > largest.Timestamp {
				largest = r
			}
		}
		compare := func(what string, got Timed, ok bool, err error, want *record.Record) {
			if err != nil || ok != (want != nil) || ok && (got.Offset != Offset(want.Offset) || got.Timestamp != want.Timestamp) {
				t.Fatalf("%s below %d: %+v %v %v, not %+v", what, limit, got, ok, err, want)
			}
		}
		got, ok, err := l.OffsetForTime(ms, limit)
		compare(fmt.Sprint("offset for ", ms), got, ok, err, first)
		got, ok, err = l.MaxTimestamp(limit)
		compare("largest timestamp", got, ok, err, largest)
	}
}

func verifyEpochs(t *testing.T, l *Log, m *model) {
	t.Helper()
	for k, e := range m.entries {
		if e.Kind != KindBatch || e.next <= m.floor.Start {
			continue
		}
		if epoch, ok := l.EpochOf(max(e.base, m.floor.Start)); !ok || epoch != int32(e.Term) {
			t.Fatalf("epoch of %d: %d %v, not %d: %v", e.base, epoch, ok, e.Term, l.Epochs())
		}
		end := m.end
		for _, later := range m.entries[k:] {
			if later.Term > e.Term {
				end = later.base
				break
			}
		}
		if epoch, got, ok := l.EpochEnd(int32(e.Term)); !ok || epoch != int32(e.Term) || got != end {
			t.Fatalf("end of epoch %d: %d %d %v, not %d: %v", e.Term, epoch, got, ok, end, l.Epochs())
		}
	}
	table := l.Epochs()
	for k := 1; k < len(table); k++ {
		if table[k].Epoch <= table[k-1].Epoch || table[k].Offset <= table[k-1].Offset {
			t.Fatal(table)
		}
	}
}

// history runs random operations on a log and a model side by side.
type history struct {
	t       *testing.T
	g       *generator
	fs      *vfs.Memory
	options Options
	log     *Log
	model   *model
	// before and after frame the operation in flight, for whoever looks at the disk in the middle of it.
	before, after *model
	removing      bool   // files are removed in the background
	journaled     bool   // there is a journal
	trimming      bool   // after is not known yet: what is dropped is the log's choice
	synced        Offset // below this nothing may be lost
	durable       Index  // up to this nothing may be lost
	steps         []string
}

const modelDir = "/data/topic-0"

func newHistory(t *testing.T, seed uint64) *history {
	h := &history{t: t, g: newGenerator(seed), fs: vfs.NewMemory(), model: &model{}}
	h.fs.MkdirAll("/data")
	h.fs.SyncDir("/")
	h.options = Options{FS: h.fs, Config: h.g.config(), noFlusher: seed%2 == 0}
	h.removing = seed%3 == 0
	h.journaled = seed%5 > 1
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("seed %d, config %+v", seed, h.options.Config)
			for _, s := range h.steps[max(0, len(h.steps)-30):] {
				t.Log(s)
			}
		}
	})
	h.open()
	return h
}

func (h *history) open() {
	h.t.Helper()
	if h.removing {
		h.options.Remover = NewRemover(h.fs, nil)
		h.t.Cleanup(h.options.Remover.Close)
	}
	if h.journaled && h.options.Journal == nil {
		h.options.Journal = openTestJournal(h.t, h.fs)
	}
	l, err := Open(modelDir, h.options)
	if err != nil {
		h.t.Fatal(err)
	}
	h.log = l
}

// openTestJournal opens a small journal that does everything on the goroutine at hand.
func openTestJournal(t *testing.T, files vfs.FS) *journal.Journal {
	t.Helper()
	j, err := journal.Open("/data", journal.Options{FS: files, Smallest: 32 << 10, Largest: 64 << 10, Inline: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() }) // of a disk that is long gone
	return j
}

// step does one random operation. crash tells it to cut the power now and then.
func (h *history) step(crash bool) {
	h.t.Helper()
	h.before = h.model.clone()
	h.synced, h.durable = h.log.SyncedOffset(), 0
	if h.options.Config.SyncOnAppend {
		h.durable = h.model.last()
	}
	switch n := h.g.r.IntN(100); {
	case n < 57:
		h.append()
	case n < 63:
		h.compact()
	case n < 66:
		h.do("roll", h.model.clone(), h.log.Roll)
	case n < 74:
		h.trim()
	case n < 82:
		h.truncate()
	case n < 84:
		h.reset()
	case n < 88:
		after := h.model.clone()
		after.checkpoint = Checkpoint{Index: h.model.last(), Term: h.model.term, HighWatermark: h.model.end, State: []byte(fmt.Sprint("state ", h.g.time))}
		h.do("checkpoint", after, func() error { return h.log.WriteCheckpoint(after.checkpoint) })
	case n < 90:
		h.do("sync", h.model.clone(), h.log.Sync)
	case n < 93:
		h.do("reopen", h.model.clone(), func() error {
			err := h.log.Close()
			if err == nil && h.journaled && h.g.r.IntN(2) == 0 {
				err = h.options.Journal.Close()
				h.options.Journal = nil
			}
			h.options.Config = h.g.config()
			h.open()
			return err
		})
	case n < 96:
		h.steps = append(h.steps, "killed")
		h.durable = h.model.last()
		h.crash(h.fs.Clone())
	case crash:
		h.steps = append(h.steps, "power cut")
		h.crash(h.fs.CrashClone(h.g.r))
	}
}

// do runs an operation that takes the log from the model of before to the one of after.
func (h *history) do(what string, after *model, f func() error) {
	h.t.Helper()
	h.steps = append(h.steps, what)
	h.after = after
	if err := f(); err != nil {
		h.t.Fatalf("%s: %v", what, err)
	}
	h.model = after
}

func (h *history) append() {
	entries := h.g.entries(h.model)
	after := h.model.clone()
	after.append(entries)
	h.do(fmt.Sprintf("append %d entries from %d", len(entries), entries[0].Index), after, func() error {
		metas, err := h.log.Append(entries)
		if err == nil && metas[len(metas)-1].NextOffset != after.end {
			return fmt.Errorf("next offset %d, not %d", metas[len(metas)-1].NextOffset, after.end)
		}
		return err
	})
}

func (h *history) trim() {
	start := max(h.model.floor.Start, min(h.model.end, h.model.floor.Start+Offset(h.g.r.IntN(40))))
	keep := h.model.floor.Index + Index(h.g.r.IntN(len(h.model.entries)+1))
	state := []byte(fmt.Sprint("trimmed ", start))
	h.trimming = true
	defer func() { h.trimming = false }()
	h.do(fmt.Sprintf("trim to %d keeping from %d", start, keep), h.model.clone(), func() error { return h.log.Trim(start, keep, state) })
	h.model.follow(h.t, h.log.Floor(), start, keep)
}

func (h *history) truncate() {
	if len(h.model.entries) == 0 {
		return
	}
	i := h.model.last() - Index(h.g.r.IntN(min(len(h.model.entries), 20)))
	if i <= h.model.compacted {
		return // never done: what was compacted is committed
	}
	after := h.model.clone()
	after.truncate(i)
	if after.end < after.floor.Start {
		return // never done: what is before the start is committed
	}
	h.do(fmt.Sprintf("truncate from %d", i), after, func() error { return h.log.TruncateSuffix(i) })
}

func (h *history) reset() {
	floor := Floor{Index: h.model.last() + Index(h.g.r.IntN(10)), Term: h.model.term + 1, Offset: h.model.end + Offset(h.g.r.IntN(10)),
		Configuration: []byte("members"), ConfigurationIndex: 3, State: []byte("snapshot")}
	if h.g.r.IntN(2) == 0 { // the snapshot is older than what this follower has
		floor.Index, floor.Offset = max(1, floor.Index/2), floor.Offset/2
	}
	floor.Index = max(floor.Index, 1)
	floor.Start = floor.Offset
	after := &model{floor: floor, end: floor.Offset, term: floor.Term}
	after.checkpoint = Checkpoint{Index: floor.Index, Term: floor.Term, HighWatermark: floor.Offset, State: floor.State}
	h.do(fmt.Sprintf("reset to %d", floor.Index), after, func() error { return h.log.Reset(floor) })
}

// crash goes on with another file system, and with what the log found there.
func (h *history) crash(fs *vfs.Memory) {
	h.t.Helper()
	old := h.log
	h.fs = fs
	h.options.FS = fs
	h.options.Journal = nil
	h.options.Config = h.g.config()
	h.open()
	old.Close()
	checkSurvivor(h.t, h.log, h.model, h.model, h.synced, h.durable)
	h.adopt()
}

// adopt shortens the model to what survived.
func (h *history) adopt() {
	h.model.truncate(h.log.LastIndex() + 1)
	if h.log.StartOffset() > h.log.EndOffset() {
		h.t.Fatalf("start %d after end %d", h.log.StartOffset(), h.log.EndOffset())
	}
}

// checkSurvivor says whether what was found after a crash in the middle of an operation is what may be found: nothing that was acknowledged before is
// missing (or is below synced, if Append does not sync), unless the operation removes it, and nothing is there that was never written.
func checkSurvivor(t *testing.T, l *Log, before, after *model, synced Offset, durable Index) *model {
	t.Helper()
	if last := l.LastIndex(); last < min(durable, before.last(), after.last()) {
		t.Fatalf("entries up to %d survived, %d were acknowledged", last, durable)
	}
	survivor := &model{floor: l.Floor(), end: l.Floor().Offset, term: l.Floor().Term, checkpoint: l.Checkpoint()}
	survivor.merged, survivor.compacted = max(before.merged, after.merged), max(before.compacted, after.compacted)
	if l.EndOffset() < min(synced, before.end, after.end) {
		t.Fatalf("offsets up to %d survived, %d were synced", l.EndOffset(), synced)
	}
	find := func(i Index) []modelEntry {
		var found []modelEntry
		for _, m := range []*model{before, after} {
			if i > m.floor.Index && i <= m.last() {
				found = append(found, m.entries[i-m.floor.Index-1])
			}
		}
		return found
	}
	for i := l.FirstIndex(); i <= l.LastIndex(); i++ {
		meta, err := l.Meta(i)
		if err != nil {
			t.Fatalf("entry %d: %v", i, err)
		}
		data, err := l.Data(nil, meta)
		if err != nil {
			t.Fatalf("entry %d: %v", i, err)
		}
		candidates := find(i)
		k := slices.IndexFunc(candidates, func(e modelEntry) bool {
			return e.Term == meta.Term && e.Kind == meta.Kind && e.base == meta.BaseOffset && bytes.Equal(e.Data, data)
		})
		if k < 0 {
			t.Fatalf("entry %d %+v was never written", i, meta)
		}
		survivor.append([]Entry{candidates[k].Entry})
	}
	return survivor
}

func TestRandomHistoriesAgreeWithASlice(t *testing.T) {
	seeds := 60
	if n, err := strconv.Atoi(os.Getenv("BARNABAS_SEEDS")); err == nil {
		seeds = n
	}
	if long() {
		seeds = 10_000
	}
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			h := newHistory(t, seed)
			defer func() { h.log.Close() }()
			for n := range 80 {
				h.step(true)
				if n%8 == 0 {
					verify(t, h.log, h.model, h.g)
				}
			}
			verify(t, h.log, h.model, h.g)
			if err := h.log.Close(); err != nil {
				t.Fatal(err)
			}
			report, err := Inspect(modelDir, InspectOptions{FS: h.fs, Records: true})
			if err != nil || len(report.Findings) > 0 {
				t.Fatalf("inspection after a clean close: %+v %v", report.Findings, err)
			}
			if report.EndOffset != h.model.end || report.LastIndex != h.model.last() {
				t.Fatalf("inspection found %d, %d, not %d, %d", report.EndOffset, report.LastIndex, h.model.end, h.model.last())
			}
		})
	}
}
