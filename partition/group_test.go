package partition

import (
	"errors"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/barnabas-log/barnabas/internal/vfs"
	"github.com/barnabas-log/barnabas/log"
	"github.com/barnabas-log/barnabas/log/record"
)

// replica is a partition on a memory file system with a consensus group played by the test: it does what replication does, step by step and in one goroutine.
type replica struct {
	t      testing.TB
	files  *vfs.Memory
	config Config
	clock  *clock
	log    *log.Log
	p      *Partition

	mu      sync.Mutex
	term    log.Term
	queue   []proposal
	refuse  error
	tokens  map[log.Index]uint64
	applied log.Index
}

type proposal struct {
	data  []byte
	token uint64
}

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

var errRefused = errors.New("refused")

// storyStart is the time at which every test starts.
var storyStart = time.UnixMilli(1_700_000_000_000)

func newReplica(t testing.TB, config Config) *replica {
	t.Helper()
	config.Log.SyncOnAppend = true
	r := &replica{t: t, files: vfs.NewMemory(), config: config, clock: &clock{now: storyStart}}
	r.open()
	t.Cleanup(func() { _ = r.p.Close() })
	return r
}

func (r *replica) open() {
	r.t.Helper()
	if err := r.tryOpen(); err != nil {
		r.t.Fatal(err)
	}
}

func (r *replica) tryOpen() error {
	l, err := log.Open("data", log.Options{Config: r.config.Log, FS: r.files})
	if err != nil {
		return err
	}
	p, err := Open(Options{Topic: "t", NodeID: 1, Log: l, Config: r.config, Now: r.clock.Now})
	if err != nil {
		_ = l.Close()
		return err
	}
	r.log, r.p = l, p
	r.queue, r.tokens, r.refuse = nil, map[log.Index]uint64{}, nil
	r.applied = l.Checkpoint().Index
	p.Bind(r)
	return nil
}

// Propose implements Proposer.
func (r *replica) Propose(data []byte, token uint64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refuse != nil {
		return r.refuse
	}
	r.queue = append(r.queue, proposal{data, token})
	return nil
}

// elect makes this replica the only voter that leads in term: a no-op, everything committed, Lead.
func (r *replica) elect(term log.Term) {
	r.t.Helper()
	r.term = term
	r.append(log.Entry{Kind: log.KindNoop})
	r.commit(math.MaxInt)
	r.p.Lead(term)
}

// store takes up to n queued proposals into the log, as replication's log store does.
func (r *replica) store(n int) {
	r.t.Helper()
	r.mu.Lock()
	batch := r.queue[:min(n, len(r.queue))]
	r.queue = r.queue[len(batch):]
	r.mu.Unlock()
	var entries []log.Entry
	var tokens []uint64
	for _, each := range batch {
		e := log.Entry{Kind: log.KindNoop}
		if r.p.Admit(each.token, r.term) {
			e = log.Entry{Kind: log.KindBatch, Data: each.data}
			if each.data[0] == commandMark {
				e.Kind = log.KindCommand
			}
		}
		entries, tokens = append(entries, e), append(tokens, each.token)
	}
	r.appendAll(entries, tokens)
}

// append stores one entry in the present term that no proposal asked for.
func (r *replica) append(e log.Entry) { r.appendAll([]log.Entry{e}, []uint64{0}) }

func (r *replica) appendAll(entries []log.Entry, tokens []uint64) {
	r.t.Helper()
	if len(entries) == 0 {
		return
	}
	for i := range entries {
		entries[i].Index, entries[i].Term = r.log.LastIndex()+log.Index(i)+1, r.term
	}
	metas, err := r.log.Append(entries)
	if err != nil {
		r.p.Failed(err)
		return
	}
	stored := make([]Entry, len(entries))
	for i, m := range metas {
		stored[i] = Entry{Meta: m, Data: entries[i].Data}
		if m.Kind == log.KindBatch || m.Kind == log.KindCommand {
			stored[i].Token = tokens[i]
			r.tokens[m.Index] = tokens[i]
		}
	}
	r.p.Stored(stored)
}

// commit applies up to n more entries.
func (r *replica) commit(n int) {
	r.t.Helper()
	var entries []Entry
	for ; n > 0 && r.applied < r.log.LastIndex(); n-- {
		m, err := r.log.Meta(r.applied + 1)
		if err != nil {
			r.t.Fatal(err)
		}
		r.applied++
		e := Entry{Meta: m, Token: r.tokens[m.Index]}
		switch m.Kind {
		case log.KindCommand:
			if e.Data, err = r.log.Data(nil, m); err != nil {
				r.t.Fatal(err)
			}
		case log.KindBatch:
		default:
			continue
		}
		entries = append(entries, e)
	}
	r.p.Apply(entries)
}

// truncate removes everything from index on.
func (r *replica) truncate(index log.Index) {
	r.t.Helper()
	if err := r.log.TruncateSuffix(index); err != nil {
		r.t.Fatal(err)
	}
	r.p.Truncated(index, r.log.EndOffset())
}

// run stores and commits everything that is queued.
func (r *replica) run() {
	r.t.Helper()
	r.store(math.MaxInt)
	r.commit(math.MaxInt)
}

// reopen closes the partition and opens it again.
func (r *replica) reopen() {
	r.t.Helper()
	if err := r.p.Close(); err != nil {
		r.t.Fatal(err)
	}
	r.open()
}

// batchOf builds a batch of n records of a producer (-1: none). Timestamps are those of the clock.
func batchOf(now time.Time, id int64, epoch int16, first int32, n int) []byte {
	b := record.New()
	b.ProducerID, b.ProducerEpoch, b.BaseSequence = id, epoch, first
	for range n {
		b.Add(record.Record{Timestamp: now.UnixMilli(), Key: []byte("key"), Value: []byte("some value")})
	}
	return append([]byte(nil), b.Batch()...)
}

func plainBatch(n int) []byte { return batchOf(storyStart, -1, -1, -1, n) }
