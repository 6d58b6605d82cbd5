package log

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/barnabas-log/barnabas/internal/vfs"
	"github.com/barnabas-log/barnabas/log/record"
)

// recompressed gives a plain batch in another codec.
func recompressed(b []byte, codec record.Codec) []byte {
	out, err := record.Compress(bytes.Clone(b[:HeaderSize]), codec, b[HeaderSize:])
	if err != nil {
		panic(err)
	}
	binary.BigEndian.PutUint32(out[8:], uint32(len(out)-prefixSize))
	binary.BigEndian.PutUint16(out[21:], Header(b).u16(21)|uint16(codec))
	sumBatch(out)
	return out
}

// unmerge replaces merged batches by what the model has for their members, from the log's start on.
func (m *model) unmerge(t *testing.T, b []byte) []byte {
	t.Helper()
	var out []byte
	for len(b) > 0 {
		h := Header(b)
		one := b[:h.Size()]
		b = b[h.Size():]
		if h.members() == 1 {
			out = append(out, one...)
			continue
		}
		if err := CheckBatch(one); err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, e := range m.entries {
			if e.Kind == KindBatch && e.base >= h.BaseOffset() && e.next <= h.next() {
				n++
				if e.next > m.floor.Start {
					out = append(out, e.Data...)
				}
			}
		}
		if n != h.members() {
			t.Fatalf("merged batch of %d at offset %d stands for %d", h.members(), h.BaseOffset(), n)
		}
	}
	return out
}

func recordsOf(t testing.TB, b []byte) []record.Record {
	t.Helper()
	var all []record.Record
	if err := record.Each(b, 1<<24, func(r record.Record) error { all = append(all, r); return nil }); err != nil {
		t.Fatal(err)
	}
	return all
}

// lastBatches is where each producer's last batch is.
func (m *model) lastBatches() map[int64]Offset {
	last := map[int64]Offset{}
	for _, e := range m.entries {
		if e.Kind == KindBatch && Header(e.Data).ProducerID() >= 0 {
			last[Header(e.Data).ProducerID()] = e.base
		}
	}
	return last
}

// compact compacts a copy of the log, checks what became of it, record by record, and then the log itself, which must come to the same.
func (h *history) compact() {
	h.t.Helper()
	segments := (&compaction{log: h.log, o: CompactOptions{To: h.model.end}}).candidates()
	if len(segments) == 0 {
		return
	}
	segments = segments[:1+h.g.r.IntN(len(segments))]
	last := segments[len(segments)-1]
	_, end := last.extent.get()
	o := CompactOptions{From: h.log.FirstOffsetToCompact(), To: end, Now: time.UnixMilli(h.g.time), DeleteRetention: time.Duration(h.g.r.IntN(400)) * time.Millisecond,
		KeepTombstones: end - Offset(h.g.r.IntN(10)), LastBatches: h.model.lastBatches()}
	if o.From >= o.To {
		return // nothing is dirty
	}
	what := fmt.Sprintf("compact %d to %d", o.From, o.To)
	options := h.options
	options.FS, options.Journal = h.fs.Clone(), nil
	l, err := Open(modelDir, options)
	if err != nil {
		h.t.Fatal(err)
	}
	if _, err := l.Compact(o); err != nil {
		h.t.Fatalf("%s: %v", what, err)
	}
	after := h.model.compact(h.t, l, o)
	after.compacted, after.merged = max(h.model.compacted, Index(last.lastIndex.Load())), max(h.model.merged, end)
	if err := l.Close(); err != nil {
		h.t.Fatal(err)
	}
	h.do(what, after, func() error { _, err := h.log.Compact(o); return err })
}

// FirstOffsetToCompact is where the first segment begins that was not compacted.
func (l *Log) FirstOffsetToCompact() Offset {
	return PlanCompaction(l.Segments(), l.EndOffset(), CompactPolicy{}, time.Time{}).From
}

// compact says what a log holds that was compacted, after comparing it with what a map makes of it.
func (m *model) compact(t *testing.T, l *Log, o CompactOptions) *model {
	t.Helper()
	newest := map[string]int64{}
	for _, e := range m.entries {
		if e.Kind == KindBatch && e.next <= o.To {
			for _, r := range recordsOf(t, e.Data) {
				if r.Key != nil {
					newest[string(r.Key)] = r.Offset
				}
			}
		}
	}
	after := m.clone()
	for k := range after.entries {
		e := &after.entries[k]
		meta, err := l.Meta(e.Index)
		if err != nil || meta.BaseOffset != e.base || meta.NextOffset != e.next || meta.Term != e.Term || meta.Kind != e.Kind {
			t.Fatalf("entry %d at %d..%d: %+v %v", e.Index, e.base, e.next, meta, err)
		}
		data, err := l.Data(nil, meta)
		if err != nil {
			t.Fatal(err)
		}
		if e.Kind != KindBatch || e.next > o.To {
			if !bytes.Equal(data, e.Data) {
				t.Fatalf("entry %d was not to be compacted", e.Index)
			}
			continue
		}
		if err := CheckBatch(data); err != nil {
			t.Fatal(err)
		}
		checkCompacted(t, Header(data), Header(e.Data), newest, o)
		e.Data = data
	}
	return after
}

// checkCompacted says whether a batch has become what it should.
func checkCompacted(t *testing.T, got, was Header, newest map[string]int64, o CompactOptions) {
	t.Helper()
	horizon, aged := was.DeleteHorizon()
	var want []record.Record
	tombstones := false
	for _, r := range recordsOf(t, was) {
		expired := r.Value == nil && r.Key != nil && aged && horizon <= o.Now.UnixMilli() && Offset(r.Offset) < o.KeepTombstones
		if r.Key == nil || newest[string(r.Key)] == r.Offset && !expired {
			want = append(want, r)
			tombstones = tombstones || r.Key != nil && r.Value == nil
		}
	}
	have := recordsOf(t, got)
	if !slices.EqualFunc(have, want, func(a, b record.Record) bool {
		return a.Offset == b.Offset && a.Timestamp == b.Timestamp && bytes.Equal(a.Key, b.Key) && (a.Key == nil) == (b.Key == nil) &&
			bytes.Equal(a.Value, b.Value) && (a.Value == nil) == (b.Value == nil)
	}) {
		t.Fatalf("batch at %d has %v, not %v", was.BaseOffset(), have, want)
	}
	if len(want) == 0 {
		if len(got) != HeaderSize || got.members() != 1 {
			t.Fatalf("empty batch %x", []byte(got))
		}
		if base, known := o.LastBatches[was.ProducerID()]; known && base == was.BaseOffset() &&
			(got.ProducerID() != was.ProducerID() || got.ProducerEpoch() != was.ProducerEpoch() || got.BaseSequence() != was.BaseSequence()) {
			t.Fatal("the last batch of a producer is gone")
		}
		return
	}
	set, has := got.DeleteHorizon()
	if has != (aged || tombstones) || aged && set != horizon || has && !aged && set != o.Now.UnixMilli()+o.DeleteRetention.Milliseconds() {
		t.Fatalf("delete horizon %d %v, was %d %v, tombstones %v", set, has, horizon, aged, tombstones)
	}
	if got.Codec() != was.Codec() || got.LogAppendTime() != was.LogAppendTime() || !bytes.Equal(got[43:57], was[43:57]) {
		t.Fatal("the header changed")
	}
}

func testLog(t *testing.T, files vfs.FS, config Config) *Log {
	t.Helper()
	config.SyncOnAppend = true
	l, err := Open(modelDir, Options{FS: files, Config: config})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func emptyDisk() *vfs.Memory {
	m := vfs.NewMemory()
	m.MkdirAll("/data")
	m.SyncDir("/")
	return m
}

// putKeys appends batches of records: one for each key, the value is the round.
func putKeys(t *testing.T, l *Log, perBatch int, round string, keys ...string) {
	t.Helper()
	for len(keys) > 0 {
		b := record.New()
		for _, k := range keys[:min(perBatch, len(keys))] {
			b.Add(record.Record{Timestamp: 1000, Key: []byte(k), Value: []byte(round)})
		}
		keys = keys[min(perBatch, len(keys)):]
		if _, err := l.Append([]Entry{{Index: l.LastIndex() + 1, Term: 1, Kind: KindBatch, Data: b.Batch()}}); err != nil {
			t.Fatal(err)
		}
	}
}

// contents are all records, as key=value@offset.
func contents(t *testing.T, l *Log) []string {
	t.Helper()
	var all []string
	for from := l.StartOffset(); from < l.EndOffset(); {
		c, err := l.Read(from, l.EndOffset(), 1<<20, true)
		if err != nil {
			t.Fatal(err)
		}
		b, err := c.Bytes(nil)
		if err != nil {
			t.Fatal(err)
		}
		from = c.NextOffset()
		c.Release()
		for len(b) > 0 {
			n := Header(b).Size()
			for _, r := range recordsOf(t, b[:n]) {
				all = append(all, fmt.Sprintf("%s=%s@%d", r.Key, r.Value, r.Offset))
			}
			b = b[n:]
		}
	}
	return all
}

func TestKeysThatDoNotFitTakeSeveralPasses(t *testing.T) {
	l := testLog(t, emptyDisk(), Config{SegmentBytes: 200 << 10})
	var keys []string
	for k := range 30000 {
		keys = append(keys, fmt.Sprint("key ", k))
	}
	putKeys(t, l, 100, "first", keys...)
	putKeys(t, l, 100, "second", keys...)
	if err := l.Roll(); err != nil {
		t.Fatal(err)
	}
	done, err := l.Compact(CompactOptions{To: l.EndOffset(), BufferBytes: 1})
	if err != nil {
		t.Fatal(err)
	}
	if done.Passes < 3 || done.LargestMemory > smallestKeyMap {
		t.Fatalf("%+v", done)
	}
	got := contents(t, l)
	if len(got) != len(keys) || got[0] != "key 0=second@30000" || got[29999] != "key 29999=second@59999" {
		t.Fatal(len(got), got[0])
	}
	for _, s := range l.Segments() {
		if s.Compacted == s.Active {
			t.Fatalf("%+v", s)
		}
	}
	if plan := PlanCompaction(l.Segments(), l.EndOffset(), CompactPolicy{}, time.Time{}); plan.Due || plan.From != 60000 {
		t.Fatalf("%+v", plan)
	}
}

// What is left of many small batches does not grow with their number: one empty batch, and a list of sizes only where they differ.
func TestRemovedBatchesCostNextToNothing(t *testing.T) {
	for _, perBatch := range []int{1, 3} {
		disk := emptyDisk()
		l := testLog(t, disk, Config{SegmentBytes: 50 << 10})
		keys := []string{"a", "b", "c", "d", "e", "f", "g"} // seven in batches of three: the sizes differ
		for round := range 1000 {
			putKeys(t, l, perBatch, fmt.Sprint(round), keys...)
		}
		l.Roll()
		before := l.Size()
		if _, err := l.Compact(CompactOptions{To: l.EndOffset()}); err != nil {
			t.Fatal(err)
		}
		if got := contents(t, l); !slices.Equal(got, []string{"a=999@6993", "b=999@6994", "c=999@6995", "d=999@6996", "e=999@6997", "f=999@6998", "g=999@6999"}) {
			t.Fatal(got)
		}
		for i := l.FirstIndex(); i <= l.LastIndex(); i++ {
			m, err := l.Meta(i)
			if err != nil {
				t.Fatal(err)
			}
			begin := Offset(i-1) / 3 * 7
			begin, end := begin+min(7, 3*(Offset(i-1)%3)), begin+min(7, 3*(Offset(i-1)%3+1))
			if perBatch == 1 {
				begin, end = Offset(i-1), Offset(i)
			}
			if m.BaseOffset != begin || m.NextOffset != end {
				t.Fatalf("entry %d: %+v, not %d to %d", i, m, begin, end)
			}
		}
		side := int64(0)
		infos, _ := disk.ReadDir(modelDir)
		for _, info := range infos {
			if base, ok := parseSegmentName(info.Name, mergedSuffix); ok && base >= 0 {
				side += info.Bytes
			}
		}
		if size := l.Size() + side; size > 2000+4*1000*int64(perBatch-1) || (perBatch == 1) != (side == 0) {
			t.Fatalf("%d bytes of %d, %d of them for sizes", size, before, side)
		}
	}
}

func TestReadersGoOnWhileSegmentsAreReplaced(t *testing.T) {
	l := testLog(t, emptyDisk(), Config{SegmentBytes: 2000, IndexIntervalBytes: 100})
	var keys []string
	for k := range 40 {
		keys = append(keys, fmt.Sprint("key ", k))
	}
	for range 5 {
		putKeys(t, l, 2, "value", keys...)
	}
	l.Roll()
	end, last := l.EndOffset(), l.LastIndex()
	stop := make(chan struct{})
	problems := make(chan error, 3)
	go func() {
		problems <- func() error {
			for o := Offset(0); ; o = (o + 7) % end {
				select {
				case <-stop:
					return nil
				default:
				}
				c, err := l.Read(o, l.EndOffset(), 300, true)
				if err != nil {
					return fmt.Errorf("read %d: %w", o, err)
				}
				if c == nil {
					continue // merged meanwhile into a batch that reaches beyond what was the end
				}
				b, err := c.Bytes(nil)
				if err != nil || Header(b).BaseOffset() > o || Header(b).LastOffset() < o {
					return fmt.Errorf("read %d: batch at %d, %w", o, Header(b).BaseOffset(), err)
				}
				c.Release()
			}
		}()
	}()
	go func() {
		problems <- func() error {
			for i := Index(1); ; i = i%last + 1 {
				select {
				case <-stop:
					return nil
				default:
				}
				m, err := l.Meta(i)
				if err == nil && m.BaseOffset != 2*Offset(i-1) {
					err = fmt.Errorf("%+v", m)
				}
				if err != nil {
					return fmt.Errorf("entry %d: %w", i, err)
				}
				if b, err := l.Data(nil, m); err == nil && (Header(b).BaseOffset() != m.BaseOffset || Header(b).next() != m.NextOffset) {
					return fmt.Errorf("data of %+v: %x", m, b[:HeaderSize])
				} else if err != nil && !errors.Is(err, ErrNotFound) { // its size may have changed
					return err
				}
			}
		}()
	}()
	go func() {
		problems <- func() error {
			for {
				select {
				case <-stop:
					return nil
				default:
				}
				if _, _, err := l.OffsetForTime(1000, end); err != nil {
					return err
				}
				next := Offset(0)
				err := l.Scan(0, func(h Header) bool {
					ok := h.BaseOffset() == next
					next = h.next()
					return ok
				})
				if err != nil || next < end {
					return fmt.Errorf("scan ended at %d: %w", next, err)
				}
			}
		}()
	}()
	for range 30 {
		putKeys(t, l, 2, "other", keys...)
		l.Roll()
		end := l.EndOffset()
		if _, err := l.Compact(CompactOptions{From: l.FirstOffsetToCompact(), To: end}); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	for range 3 {
		if err := <-problems; err != nil {
			t.Fatal(err)
		}
	}
}

func TestPlanCompaction(t *testing.T) {
	now := time.UnixMilli(1_000_000)
	segment := func(base, next Offset, bytes int64, first, last int64, compacted bool) SegmentInfo {
		return SegmentInfo{BaseOffset: base, NextOffset: next, Bytes: bytes, FirstTimestamp: first, MaxTimestamp: last, Compacted: compacted}
	}
	active := segment(40, 50, 10, 999_000, 999_500, false)
	active.Active = true
	segments := []SegmentInfo{segment(0, 10, 100, 1, 2, true), segment(10, 20, 50, 900_000, 910_000, false), segment(20, 40, 50, 920_000, 990_000, false), active}
	for _, c := range []struct {
		name   string
		limit  Offset
		policy CompactPolicy
		want   CompactPlan
	}{
		{"half is dirty", 50, CompactPolicy{MinDirtyRatio: 0.5}, CompactPlan{From: 10, To: 40, Clean: 100, Dirty: 100, Due: true}},
		{"not dirty enough", 50, CompactPolicy{MinDirtyRatio: 0.6}, CompactPlan{From: 10, To: 40, Clean: 100, Dirty: 100}},
		{"not committed", 39, CompactPolicy{MinDirtyRatio: 0.3}, CompactPlan{From: 10, To: 20, Clean: 100, Dirty: 50, Due: true}},
		{"too young", 50, CompactPolicy{MinLag: 20 * time.Second}, CompactPlan{From: 10, To: 20, Clean: 100, Dirty: 50, Due: true}},
		{"overdue", 50, CompactPolicy{MinDirtyRatio: 1, MaxLag: 50 * time.Second}, CompactPlan{From: 10, To: 40, Clean: 100, Dirty: 100, Overdue: true, Due: true}},
		{"nothing", 5, CompactPolicy{}, CompactPlan{From: 10, To: 10, Clean: 100}},
	} {
		if got := PlanCompaction(segments, c.limit, c.policy, now); got != c.want {
			t.Errorf("%s: %+v, not %+v", c.name, got, c.want)
		}
	}
	active.FirstTimestamp = 1
	if got := PlanCompaction([]SegmentInfo{active}, 50, CompactPolicy{MaxLag: time.Second}, now); !got.Roll || !got.Overdue || got.Due {
		t.Errorf("%+v", got)
	}
}

func TestThrottleEndsACompactionAndLeavesTheLogAsItWas(t *testing.T) {
	disk := emptyDisk()
	l := testLog(t, disk, Config{SegmentBytes: 2000})
	for range 20 {
		putKeys(t, l, 2, "value", "a", "b", "c", "d")
	}
	l.Roll()
	before := contents(t, l)
	enough := errors.New("enough")
	for n := 1; ; n++ {
		calls := 0
		_, err := l.Compact(CompactOptions{To: l.EndOffset(), Throttle: func(int) error {
			if calls++; calls == n {
				return enough
			}
			return nil
		}})
		if err == nil {
			break
		}
		if !errors.Is(err, enough) || l.Err() != nil {
			t.Fatal(err)
		}
		if got := contents(t, l); !slices.Equal(got, before) && len(got) != 4 && got[len(got)-1] != before[len(before)-1] {
			t.Fatal(got)
		}
		infos, _ := disk.ReadDir(modelDir)
		for _, info := range infos {
			if bytes.HasSuffix([]byte(info.Name), []byte(vfs.TemporarySuffix)) {
				t.Fatal(info.Name)
			}
		}
	}
	if got := contents(t, l); len(got) != 4 {
		t.Fatal(got)
	}
}

// TestEveryFailingCallOfACompaction fails the Nth call to the file system, for every N, while a log is compacted. Either nothing has happened and the log is usable, or it
// has stopped; in both cases it can be read, and opening it again finds every index, every offset and the last value of every key.
func TestEveryFailingCallOfACompaction(t *testing.T) {
	for n := 1; ; n++ {
		memory := emptyDisk()
		failing := vfs.NewFailing(memory)
		l, err := Open(modelDir, Options{FS: failing, Config: Config{SegmentBytes: 600, SyncOnAppend: true}})
		if err != nil {
			t.Fatal(err)
		}
		for round := range 3 {
			putKeys(t, l, 2, fmt.Sprint(round), "a", "b", "c", "d", "e")
			putKeys(t, l, 1, fmt.Sprint(round), "f", "g")
		}
		l.Roll()
		end, last := l.EndOffset(), l.LastIndex()
		want := []string{"a=2@14", "b=2@15", "c=2@16", "d=2@17", "e=2@18", "f=2@19", "g=2@20"}
		failing.FailNth(vfs.Changes|vfs.Open, n)
		_, err = l.Compact(CompactOptions{To: end})
		tripped := failing.Tripped()
		failing.FailWhen(nil)
		if tripped && !errors.Is(err, vfs.ErrInjected) || !tripped && err != nil {
			t.Fatalf("call %d: %v", n, err)
		}
		check := func(l *Log) {
			t.Helper()
			got := contents(t, l)
			if len(got) < len(want) || !slices.Equal(got[len(got)-len(want):], want) || !tripped && len(got) > len(want) {
				t.Fatalf("call %d: %v", n, got)
			}
			next := Offset(0)
			for i := Index(1); i <= last; i++ {
				m, err := l.Meta(i)
				if err != nil || m.BaseOffset != next {
					t.Fatalf("call %d: entry %d: %+v %v", n, i, m, err)
				}
				if b, err := l.Data(nil, m); err != nil || CheckBatch(b) != nil {
					t.Fatalf("call %d: entry %d: %v", n, i, err)
				}
				next = m.NextOffset
			}
			if next != end {
				t.Fatal(next)
			}
		}
		check(l)
		if l.Err() == nil {
			putKeys(t, l, 1, "more", "x")
		}
		l.Close()
		for _, left := range []*vfs.Memory{memory.Clone(), memory.CrashClone(newGenerator(uint64(n)).r)} {
			again, err := Open(modelDir, Options{FS: left, Config: Config{SegmentBytes: 600, SyncOnAppend: true}})
			if err != nil {
				t.Fatalf("call %d: %v", n, err)
			}
			if l.Err() == nil {
				want = append(want, "x=more@21")
			}
			check(again)
			want = want[:7]
			if _, err := again.Compact(CompactOptions{To: end}); err != nil {
				t.Fatal(err)
			}
			if err := again.Close(); err != nil {
				t.Fatal(err)
			}
			if report, err := Inspect(modelDir, InspectOptions{FS: left, Records: true}); err != nil || len(report.Findings) > 0 {
				t.Fatalf("call %d: %+v %v", n, report.Findings, err)
			}
		}
		if !tripped {
			if n < 50 {
				t.Fatal("too few calls:", n)
			}
			return
		}
	}
}

func TestListsOfSizesAreBounded(t *testing.T) {
	var r removedRun
	offset, index := Offset(0), Index(1)
	merged := 0
	for k := range 3 * largestSizes {
		list := sizes{{1, int64(1 + k%2)}}
		next := offset + Offset(1+k%2)
		if !r.takes(index, next, 1, 1, list) {
			b, table := r.batch(0)
			if k > 0 {
				merged++
				got, err := decodeSizes(table[mergedHeaderSize:], int64(Header(b).members()), int64(Header(b).LastOffsetDelta())+1)
				if err != nil || len(got) != largestSizes {
					t.Fatal(len(got), err)
				}
				begin, end, ok := got.at(largestSizes - 1)
				if !ok || Header(b).BaseOffset()+Offset(end) != offset || end-begin != int64(2) {
					t.Fatal(begin, end, ok)
				}
			}
			r.batches = 0
		}
		r.add(index, offset, next, 1, list)
		offset, index = next, index+1
	}
	if merged != 2 {
		t.Fatal(merged)
	}
}

// Whatever the bytes are: an error, or sizes that come to what the batch has and that can be written and read again.
func FuzzSizes(f *testing.F) {
	f.Add([]byte{3, 1, 2, 5}, int64(5), int64(13))
	f.Add([]byte{0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 1}, int64(1<<31-1), int64(1<<31-1))
	f.Fuzz(func(t *testing.T, b []byte, batches, offsets int64) {
		if batches < 0 || batches > 1<<31 || offsets < 0 || offsets > 1<<31 {
			return
		}
		list, err := decodeSizes(b, batches, offsets)
		if err != nil || batches == 0 {
			return
		}
		if _, end, ok := list.at(batches - 1); !ok || end != offsets {
			t.Fatal(end, ok)
		}
		if _, _, ok := list.at(batches); ok {
			t.Fatal("one more")
		}
		if again, err := decodeSizes(list.encode()[mergedHeaderSize:], batches, offsets); err != nil || !slices.Equal(again, list) {
			t.Fatal(again, err)
		}
	})
}
