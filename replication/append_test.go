package replication

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"unsafe"

	"github.com/barnabas-log/barnabas/log"
	"github.com/hashicorp/raft"
)

// plenty owns a group of which it has every entry, each of half a request's bytes.
type plenty struct {
	endpointOwner
	missing uint64 // from this entry on there is nothing
	deposed bool
	log     *log.Log // where the entries are, nil: nowhere
	read    int      // how many were read and not attached
}

func (o *plenty) role() raft.RaftState { return raft.Leader }
func (o *plenty) stalled() bool        { return false }

func (o *plenty) leads(uint64, int32) bool { return !o.deposed }

func (o *plenty) hydrate(b []byte, l *raft.Log, attach bool) (log.Kind, []byte, *log.Chunk, error) {
	if o.log != nil {
		m, err := o.log.Meta(log.Index(l.Index))
		var chunk *log.Chunk
		if err == nil && attach {
			chunk, err = o.log.ChunkOf(m)
		} else if err == nil {
			o.read++
			b, err = o.log.Data(b, m)
		}
		return m.Kind, b, chunk, err
	}
	if o.missing > 0 && l.Index >= o.missing {
		return 0, b, nil, log.ErrNotFound
	}
	return log.KindBatch, append(b, batch(maxAppend/2)...), nil, nil
}

// played is the other end of a leader's data connection, played by the test.
type played struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
}

// take is the next request, and the id to answer.
func (f *played) take() (uint64, *raft.AppendEntriesRequest) {
	frame, err := readFrame(f.r, nil)
	if err != nil {
		f.t.Error(err)
		return 0, &raft.AppendEntriesRequest{}
	}
	m, err := decodeFrame(frame, false)
	if err != nil {
		f.t.Error(err)
		return 0, &raft.AppendEntriesRequest{}
	}
	a, err := decodeAppend(m.body, 1)
	if err != nil {
		f.t.Error(err)
		a = &raft.AppendEntriesRequest{}
	}
	return m.id, a
}

func (f *played) answer(id uint64, success bool) {
	body := encodeTaken(nil, &raft.AppendEntriesResponse{Term: 3, Success: success})
	if _, err := f.conn.Write(endFrame(append(beginAnswer(nil, kindAppend, id, statusOK), body...))); err != nil {
		f.t.Error(err)
	}
}

func (f *played) fail(id uint64) {
	if _, err := f.conn.Write(endFrame(append(beginAnswer(nil, kindAppend, id, statusFailed), "no"...))); err != nil {
		f.t.Error(err)
	}
}

// lead is a leader's endpoint, and its follower's end of the connection.
func lead(t *testing.T, owner *plenty) (*endpoint, *played) {
	here, there := net.Pipe()
	return leadOver(t, owner, here, there)
}

func leadOver(t *testing.T, owner *plenty, here, there net.Conn) (*endpoint, *played) {
	n, err := OpenNode(NodeOptions{NodeID: 1, Dir: t.TempDir(), Logger: testLogger(t),
		Peers: func(int32) (string, bool) { return "there", true },
		Dial:  func(context.Context, string) (net.Conn, error) { return nil, errors.New("one connection is enough") }})
	if err != nil {
		t.Fatal(err)
	}
	p := n.network.peer(2)
	c := &wireConn{Conn: here, network: n.network, peer: p, waiting: map[uint64]chan message{}}
	if tcp, ok := here.(*net.TCPConn); ok {
		c.raw, _ = tcp.SyscallConn()
	}
	n.network.keep(here)
	n.network.spawn(c.read)
	data := p.lines[laneData]
	data.mu.Lock()
	data.conn = c
	data.mu.Unlock()
	t.Cleanup(func() {
		if err := errors.Join(n.Close(), there.Close()); err != nil {
			t.Error(err)
		}
	})
	return newEndpoint(n, "g", owner), &played{t: t, conn: there, r: bufio.NewReader(there)}
}

// ten are entries 6 to 15, of which a request takes two.
func ten() *raft.AppendEntriesRequest {
	a := &raft.AppendEntriesRequest{RPCHeader: headerOf(1), Term: 3, PrevLogEntry: 5, PrevLogTerm: 2, LeaderCommitIndex: 9}
	for i := uint64(6); i <= 15; i++ {
		a.Entries = append(a.Entries, &raft.Log{Index: i, Term: 3})
	}
	return a
}

func TestTheNextRequestIsSentBeforeTheOneBeforeItIsAnswered(t *testing.T) {
	e, f := lead(t, &plenty{})
	go func() {
		id, a := f.take()
		for prev := uint64(5); prev < 13; prev += 2 {
			after, b := f.take() // and only then the answer to the one before
			if a.PrevLogEntry != prev || len(a.Entries) != 2 || b.PrevLogEntry != prev+2 || b.PrevLogTerm != 3 || a.LeaderCommitIndex != min(9, prev+2) {
				t.Errorf("%d entries behind %d, commit %d; then behind %d of term %d", len(a.Entries), a.PrevLogEntry, a.LeaderCommitIndex, b.PrevLogEntry, b.PrevLogTerm)
			}
			f.answer(id, true)
			id, a = after, b
		}
		f.answer(id, true)
	}()
	a, resp := ten(), raft.AppendEntriesResponse{}
	if err := e.append(2, a, &resp); err != nil || !resp.Success || len(a.Entries) != 10 {
		t.Fatalf("%d entries, success %v, %v", len(a.Entries), resp.Success, err)
	}
	if index, _ := e.matches.get(2); index != 15 {
		t.Errorf("match at %d", index)
	}
	if n := len(e.node.network.peer(2).ahead); n != 0 {
		t.Errorf("%d places are still taken", n)
	}
}

// What the follower took before something went wrong counts; the rest is left to raft.
func TestAppendCountsWhatWasTakenBeforeAFailure(t *testing.T) {
	for name, tc := range map[string]struct {
		owner   plenty
		play    func(*played)
		taken   int
		success bool
		fails   bool
	}{
		"second refused": {play: func(f *played) {
			one, _ := f.take()
			two, _ := f.take()
			f.answer(one, true)
			_, _ = f.take()
			f.answer(two, false)
		}, taken: 2, success: true},
		"second failed": {play: func(f *played) {
			one, _ := f.take()
			two, _ := f.take()
			f.answer(one, true)
			_, _ = f.take()
			f.fail(two)
		}, taken: 2, success: true},
		"first refused": {play: func(f *played) {
			one, _ := f.take()
			_, _ = f.take()
			f.answer(one, false)
		}},
		"first failed": {play: func(f *played) {
			one, _ := f.take()
			_, _ = f.take()
			f.fail(one)
		}, taken: 10, fails: true},
		"entries gone meanwhile": {owner: plenty{missing: 9}, play: func(f *played) {
			one, _ := f.take()
			two, _ := f.take()
			f.answer(one, true)
			f.answer(two, true)
		}, taken: 3, success: true},
		"no longer a leader": {owner: plenty{deposed: true}, play: func(f *played) {
			one, _ := f.take()
			f.answer(one, true)
		}, taken: 2, success: true},
	} {
		t.Run(name, func(t *testing.T) {
			e, f := lead(t, &tc.owner)
			go tc.play(f)
			a, resp := ten(), raft.AppendEntriesResponse{}
			err := e.append(2, a, &resp)
			if (err != nil) != tc.fails || resp.Success != tc.success || !tc.fails && len(a.Entries) != tc.taken {
				t.Errorf("%d entries, success %v, %v", len(a.Entries), resp.Success, err)
			}
			if tc.fails && len(a.Entries) != 10 {
				t.Errorf("%d entries are left to try again", len(a.Entries))
			}
			if n := len(e.node.network.peer(2).ahead); n != 0 {
				t.Errorf("%d places are still taken", n)
			}
		})
	}
}

// Large batches go from their file to the socket where both are of the kind that allows it, and through memory elsewhere. A file that has become shorter is found.
func TestLargeBatchesAreSentFromTheirFile(t *testing.T) {
	for name, tc := range map[string]struct {
		over func() (here, there net.Conn)
		cut  bool
		read int
	}{
		"a socket":               {over: func() (here, there net.Conn) { return sockets(t) }},
		"a socket, a file cut":   {over: func() (here, there net.Conn) { return sockets(t) }, cut: true, read: 3},
		"what cannot send files": {over: net.Pipe, read: 3},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "log")
			l := testLog(t, nil, dir)
			defer l.Close()
			a := &raft.AppendEntriesRequest{RPCHeader: headerOf(1), Term: 1}
			var want [][]byte
			for i := uint64(1); i <= 3; i++ {
				b := recordBatch(bytes.Repeat([]byte{byte(i)}, 100_000*int(i)))
				if _, err := l.Append([]log.Entry{{Index: log.Index(i), Term: 1, Kind: log.KindBatch, Data: b}}); err != nil {
					t.Fatal(err)
				}
				want = append(want, b)
				a.Entries = append(a.Entries, &raft.Log{Index: i, Term: 1})
			}
			owner := &plenty{log: l}
			here, there := tc.over()
			e, f := leadOver(t, owner, here, there)
			var resp raft.AppendEntriesResponse
			if tc.cut {
				if err := os.Truncate(filepath.Join(dir, "00000000000000000002.log"), 1000); err != nil {
					t.Fatal(err)
				}
				go io.Copy(io.Discard, there)
				if err := e.append(2, a, &resp); err == nil || owner.read != tc.read {
					t.Errorf("%v, %d entries were read", err, owner.read)
				}
				return
			}
			go func() {
				id, got := f.take()
				for i, entry := range got.Entries {
					if !bytes.Equal(entry.Data, want[i]) {
						t.Errorf("entry %d has %d bytes, which differ", i, len(entry.Data))
					}
					if on, lies := placeInPage(t, l, entry); tc.read == 0 && on != lies {
						t.Errorf("entry %d lies at %d of a page on the disk, and at %d in memory", i, on, lies)
					}
				}
				f.answer(id, true)
			}()
			if err := e.append(2, a, &resp); err != nil || !resp.Success || len(a.Entries) != 3 || owner.read != tc.read {
				t.Errorf("%d entries, %d were read, success %v, %v", len(a.Entries), owner.read, resp.Success, err)
			}
		})
	}
}

// placeInPage is where an entry's batch begins, within a page: on the disk, and in memory.
func placeInPage(t *testing.T, l *log.Log, entry *raft.Log) (disk, memory int64) {
	m, err := l.Meta(log.Index(entry.Index))
	if err != nil {
		t.Error(err)
		return 0, 0
	}
	c, err := l.ChunkOf(m)
	if err != nil {
		t.Error(err)
		return 0, 0
	}
	defer c.Release()
	_, position, _ := c.File()
	return position % page, int64(uintptr(unsafe.Pointer(&entry.Data[0])) % page)
}

// sockets are the ends of a TCP connection.
func sockets(t *testing.T) (here, there net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	here, err = net.Dial("tcp", l.Addr().String())
	if err == nil {
		there, err = l.Accept()
	}
	if err != nil {
		t.Fatal(err)
	}
	return here, there
}

func TestAppendsReachRaftInTheOrderInWhichTheyCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a arrivals
		first, second, third := a.next(), a.next(), a.next()
		done, through := make(chan struct{}), ""
		pass := func(name string, place *turn) {
			if place.await(done) {
				through += name
				place.over()
			}
		}
		go pass("3", third)
		go pass("2", second)
		synctest.Wait()
		if through != "" {
			t.Errorf("%s went through before the first", through)
		}
		pass("1", first)
		synctest.Wait()
		if through != "123" {
			t.Errorf("they went through as %s", through)
		}
		if held := a.next(); true {
			go pass("5", a.next())
			synctest.Wait()
			close(done)
			synctest.Wait()
			held.over()
			if through != "123" {
				t.Errorf("they went through as %s after the end", through)
			}
		}
		pass("0", nil)
	})
}
