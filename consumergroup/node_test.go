package consumergroup

import (
	"sync"
	"testing"

	"github.com/barnabas-log/barnabas/internal/vfs"
	"github.com/barnabas-log/barnabas/log"
	"github.com/barnabas-log/barnabas/partition"
)

// node is one partition of __consumer_offsets on a file system, with a consensus group of one voter that the test plays in one goroutine.
type node struct {
	t    testing.TB
	fs   vfs.FS
	dir  string
	log  *log.Log
	p    *partition.Partition
	term log.Term

	applied log.Index
	tokens  map[log.Index]uint64

	queue chan proposal
	quit  chan struct{}
	ended sync.WaitGroup
}

type proposal struct {
	data  []byte
	token uint64
}

func openNode(t testing.TB, fs vfs.FS, dir string) *node {
	n := &node{t: t, fs: fs, dir: dir}
	n.open()
	return n
}

func (n *node) open() {
	n.t.Helper()
	config := partition.Config{Compacted: true, Log: log.Config{SyncOnAppend: true}}
	l, err := log.Open(n.dir, log.Options{Config: config.Log, FS: n.fs})
	if err != nil {
		n.t.Fatal(err)
	}
	p, err := partition.Open(partition.Options{Topic: "__consumer_offsets", NodeID: 1, Log: l, Config: config})
	if err != nil {
		n.t.Fatal(err)
	}
	n.log, n.p, n.tokens = l, p, map[log.Index]uint64{}
	n.queue, n.quit = make(chan proposal, 64), make(chan struct{})
	p.Bind(n)
	n.term++
	n.applied = l.Checkpoint().Index
	n.store(log.KindNoop, proposal{})
	n.commit()
	p.Lead(n.term)
	n.ended.Go(n.run)
}

// stop resigns and closes; open starts again.
func (n *node) stop() {
	n.t.Helper()
	close(n.quit)
	n.ended.Wait()
	n.p.Resign(n.term, -1)
	if err := n.p.Close(); err != nil {
		n.t.Fatal(err)
	}
}

// Propose implements partition.Proposer.
func (n *node) Propose(data []byte, token uint64) error {
	select {
	case n.queue <- proposal{data, token}:
		return nil
	case <-n.quit:
		return partition.ErrNotLeader
	}
}

func (n *node) run() {
	for {
		select {
		case p := <-n.queue:
			kind := log.KindNoop
			if n.p.Admit(p.token, n.term) {
				kind = log.KindBatch
			}
			n.store(kind, p)
			n.commit()
		case <-n.quit:
			return
		}
	}
}

// store appends one entry to the log.
func (n *node) store(kind log.Kind, p proposal) {
	e := log.Entry{Index: n.log.LastIndex() + 1, Term: n.term, Kind: kind}
	if kind == log.KindBatch {
		e.Data = p.data
	}
	metas, err := n.log.Append([]log.Entry{e})
	if err != nil {
		n.p.Failed(err)
		return
	}
	n.tokens[e.Index] = p.token
	n.p.Stored([]partition.Entry{{Meta: metas[0], Data: e.Data, Token: p.token}})
}

// commit applies everything that is in the log.
func (n *node) commit() {
	for n.applied < n.log.LastIndex() {
		n.applied++
		m, err := n.log.Meta(n.applied)
		if err != nil {
			n.p.Failed(err)
			return
		}
		if m.Kind == log.KindBatch {
			n.p.Apply([]partition.Entry{{Meta: m, Token: n.tokens[n.applied]}})
		}
		delete(n.tokens, n.applied)
	}
}
