package replication

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"reflect"
	"runtime"
	"testing"
	"time"

	"github.com/barnabas-log/barnabas/log"
	"github.com/hashicorp/raft"
)

func exampleAppend() []byte {
	a := &raft.AppendEntriesRequest{Term: 5, PrevLogEntry: 3, PrevLogTerm: 1, LeaderCommitIndex: 4}
	b := encodeAppend(nil, a, 3)
	for _, e := range []log.Entry{
		{Term: 2, Kind: log.KindNoop}, {Term: 2, Kind: log.KindBatch, Data: stamped(70, 9, 2)},
		{Term: 5, Kind: log.KindConfiguration, Data: raft.EncodeConfiguration(configurationOf(three))},
	} {
		at := len(b)
		b = append(beginEntry(b, uint64(e.Term), e.Kind), e.Data...)
		endEntry(b, at, 0)
	}
	return b
}

func TestPaddingIsNotData(t *testing.T) {
	b := encodeAppend(nil, &raft.AppendEntriesRequest{Term: 5, PrevLogEntry: 3, PrevLogTerm: 2}, 2)
	for _, padding := range []int{page - 1, 3} {
		at := len(b)
		b = append(padEntry(beginEntry(b, 5, log.KindBatch), at, padding), stamped(70, 9, 5)...)
		endEntry(b, at, 0)
	}
	a, err := decodeAppend(b, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range a.Entries {
		if !bytes.Equal(l.Data, stamped(70, 9, 5)) {
			t.Errorf("%d bytes of data", len(l.Data))
		}
	}
}

func TestAppendRoundTrip(t *testing.T) {
	a, err := decodeAppend(exampleAppend(), 2)
	if err != nil {
		t.Fatal(err)
	}
	if a.Term != 5 || a.PrevLogEntry != 3 || a.PrevLogTerm != 1 || a.LeaderCommitIndex != 4 || string(a.ID) != "2" || len(a.Entries) != 3 {
		t.Errorf("%+v", a)
	}
	for i, want := range []raft.LogType{raft.LogNoop, raft.LogCommand, raft.LogConfiguration} {
		if l := a.Entries[i]; l.Type != want || l.Index != uint64(4+i) || !l.AppendedAt.IsZero() || l.Extensions != nil {
			t.Errorf("entry %d: %+v", i, l)
		}
	}
	if !bytes.Equal(a.Entries[1].Data, stamped(70, 9, 2)) {
		t.Error("the batch changed")
	}
}

// What raft would panic at never gets to it (STYLE.md's facts, and DecodeConfiguration).
func TestHostileEntriesAreRefused(t *testing.T) {
	whole := func(term uint64, entry func(b []byte) []byte) []byte {
		return entry(encodeAppend(nil, &raft.AppendEntriesRequest{Term: term, PrevLogEntry: 3, PrevLogTerm: 2}, 1))
	}
	cases := map[string][]byte{
		"unknown kind": whole(5, func(b []byte) []byte { return beginEntry(b, 2, 77) }),
		"configuration that is none": whole(5, func(b []byte) []byte {
			at := len(b)
			b = append(beginEntry(b, 2, log.KindConfiguration), 0xc1, 0xff, 0)
			endEntry(b, at, 0)
			return b
		}),
		"empty configuration":  whole(5, func(b []byte) []byte { return beginEntry(b, 2, log.KindConfiguration) }),
		"empty batch":          whole(5, func(b []byte) []byte { return beginEntry(b, 2, log.KindBatch) }),
		"term falls":           whole(5, func(b []byte) []byte { return beginEntry(b, 1, log.KindNoop) }),
		"term after request's": whole(5, func(b []byte) []byte { return beginEntry(b, 6, log.KindNoop) }),
		"more to come":         whole(5, func(b []byte) []byte { return append(beginEntry(b, 5, log.KindNoop), 1) }),
		"padding, then nothing": whole(5, func(b []byte) []byte {
			at := len(b)
			return padEntry(beginEntry(b, 5, log.KindNoop), at, 9)[:len(b)+entryHeader]
		}),
		"too many announced": binary.BigEndian.AppendUint32(appendNumbers(nil, 1, 0, 0, 0), 1<<31),
	}
	for name, b := range cases {
		if a, err := decodeAppend(b, 1); err == nil {
			t.Errorf("%s: taken as %+v", name, a.Entries)
		}
	}
}

func FuzzDecodeAppend(f *testing.F) {
	f.Add(exampleAppend())
	// Properties: no panic; entries are consecutive, of known types, with terms that do not fall, and alias the input; the commit index lies within the request.
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := decodeAppend(b, 1)
		if err != nil {
			return
		}
		size, term := 0, a.PrevLogTerm
		for i, l := range a.Entries {
			if l.Index != a.PrevLogEntry+1+uint64(i) || l.Term < term || l.Term > a.Term {
				t.Errorf("entry %d: %+v", i, l)
			}
			if _, err := kindOf(l); err != nil && l.Type != raft.LogNoop {
				t.Error(err)
			}
			term = l.Term
			size += entryHeader + len(l.Data)
		}
		if size > len(b) || a.LeaderCommitIndex > a.PrevLogEntry+uint64(len(a.Entries)) {
			t.Errorf("%d bytes of entries in %d, commit %d", size, len(b), a.LeaderCommitIndex)
		}
	})
}

func FuzzFrames(f *testing.F) {
	f.Add(endFrame(encodeVote(beginRequest(nil, kindVote, 1, "group"), &raft.RequestVoteRequest{Term: 1})))
	f.Add(endFrame(encodeBeat(encodeBeat(beginRequest(nil, kindBeats, 1, ""), beat{"a", 1}), beat{"b", 2})))
	f.Add(endFrame(append(beginRequest(nil, kindAppend, 1, "g"), exampleAppend()...)))
	f.Add(endFrame(encodeSnapshot(beginRequest(nil, kindSnapshot, 1, "g"), &raft.InstallSnapshotRequest{Size: 3, Configuration: raft.EncodeConfiguration(configurationOf(three))})))
	f.Add(endFrame(ballot{3, true}.encode(beginAnswer(nil, kindVote, 1, statusOK))))
	// Properties: no panic, and no more memory than a constant times the input, whatever is announced.
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		for {
			frame, err := readFrame(r, nil)
			if err != nil {
				break
			}
			if len(frame) > len(b) {
				t.Errorf("frame of %d bytes from %d", len(frame), len(b))
			}
			if m, err := decodeFrame(frame, false); err == nil {
				s := &session{}
				_, _ = s.decode(m)
				_ = eachBeat(m.body, func(beat) {})
				_, _ = decodeSnapshot(m.body, 1)
			}
			if m, err := decodeFrame(frame, true); err == nil {
				_, _ = decodeBallot(m.body)
			}
		}
		_, _ = readHello(bytes.NewReader(b))
	})
}

func TestVotesRoundTrip(t *testing.T) {
	v := &raft.RequestVoteRequest{RPCHeader: headerOf(2), Term: 7, LastLogIndex: 8, LastLogTerm: 6, LeadershipTransfer: true}
	if got, err := decodeVoteRequest(encodeVote(nil, v), 2); err != nil || !reflect.DeepEqual(got, v) {
		t.Errorf("%+v, %v", got, err)
	}
	p := &raft.RequestPreVoteRequest{RPCHeader: headerOf(2), Term: 7, LastLogIndex: 8, LastLogTerm: 6}
	if got, err := decodePreVote(encodePreVote(nil, p), 2); err != nil || !reflect.DeepEqual(got, p) {
		t.Errorf("%+v, %v", got, err)
	}
	s := &raft.InstallSnapshotRequest{RPCHeader: headerOf(2), SnapshotVersion: 1, Term: 7, LastLogIndex: 8, LastLogTerm: 6, ConfigurationIndex: 2,
		Size: 99, Configuration: raft.EncodeConfiguration(configurationOf(three))}
	if got, err := decodeSnapshot(encodeSnapshot(nil, s), 2); err != nil || !reflect.DeepEqual(got, s) {
		t.Errorf("%+v, %v", got, err)
	}
	h := hello{laneData, 5, 6, 7}
	if got, err := readHello(bytes.NewReader(h.encode())); err != nil || got != h {
		t.Errorf("%+v, %v", got, err)
	}
}

// Whatever a stranger sends closes that connection, and the others go on.
func TestStrangersAreTurnedAway(t *testing.T) {
	c := newCluster(t, quick)
	replicas := c.startAll("p")
	c.propose(replicas, 1, []byte("x"))
	long := endFrame(beginRequest(nil, kindVote, 1, "p"))
	binary.BigEndian.PutUint32(long, maxFrame+1)
	greet := hello{laneControl, 2, 1, 3}.encode()
	for name, b := range map[string][]byte{
		"http":             []byte("GET / HTTP/1.1\r\nHost: example.org\r\n\r\n"),
		"wrong node":       hello{laneControl, 2, 9, 3}.encode(),
		"newer version":    append([]byte("BREP\x03"), make([]byte, 17)...),
		"unknown lane":     hello{lanes, 2, 1, 3}.encode(),
		"frame too long":   append(bytes.Clone(greet), long...),
		"unknown kind":     append(bytes.Clone(greet), endFrame(beginRequest(nil, 99, 1, "p"))...),
		"short vote":       append(bytes.Clone(greet), endFrame(beginRequest(nil, kindVote, 1, "p"))...),
		"beats cut short":  append(bytes.Clone(greet), endFrame(append(beginRequest(nil, kindBeats, 1, ""), 200, 1))...),
		"snapshot of 1 TB": append(hello{laneSnapshot, 2, 1, 3}.encode(), endFrame(appendNumbers(beginRequest(nil, kindSnapshot, 1, "p"), 1, 1, 1, 1, 1<<40))...),
	} {
		conn, err := net.Dial("tcp", c.addresses[1])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write(b); err != nil {
			t.Fatal(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		if n, err := conn.Read(make([]byte, 1)); n != 0 || isTimeout(err) {
			t.Errorf("%s: read %d bytes, %v", name, n, err)
		}
		_ = conn.Close()
	}
	c.propose(replicas, 2, []byte("y"))
	for _, r := range replicas {
		r.close(t)
	}
}

func isTimeout(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}

func TestFrameMemoryGrowsWithWhatArrives(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	head := binary.BigEndian.AppendUint32(nil, maxFrame)
	if _, err := readFrame(io.MultiReader(bytes.NewReader(head), bytes.NewReader(make([]byte, 100))), nil); err == nil {
		t.Error("a frame out of 100 bytes")
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 16<<20 {
		t.Errorf("%d bytes allocated for a frame of which 100 came", used)
	}
	b := make([]byte, 5<<20)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	if got, err := readFrame(bytes.NewReader(b), nil); err != nil || len(got) != len(b)-4 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestFrameTakesTheSpaceThatItIsGiven(t *testing.T) {
	for _, size := range []int{frameHeader, 1 << 20, 1<<20 + 1, 5 << 20} {
		b := binary.BigEndian.AppendUint32(nil, uint32(size))
		for i := range size {
			b = append(b, byte(i*31>>3))
		}
		for _, space := range []int{0, 1, size - 1, size, size + 100} {
			given := make([]byte, space)
			got, err := readFrame(bytes.NewReader(b), given)
			if err != nil || !bytes.Equal(got, b[4:]) {
				t.Fatalf("%d bytes into %d: %d bytes, %v", size, space, len(got), err)
			}
			if reused := space > 0 && &got[0] == &given[0]; reused != (space >= size) && size <= 1<<20 {
				t.Errorf("%d bytes into %d: reused %v", size, space, reused)
			}
		}
	}
}
