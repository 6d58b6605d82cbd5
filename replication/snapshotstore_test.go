package replication

import (
	"bytes"
	"io"
	"reflect"
	"testing"

	"github.com/barnabas-log/barnabas/log"
	"github.com/hashicorp/raft"
)

func testFloor(index log.Index, term log.Term) log.Floor {
	return log.Floor{
		Index: index, Term: term, Offset: log.Offset(index), Start: log.Offset(index) + 3, ConfigurationIndex: 1,
		Configuration: raft.EncodeConfiguration(configurationOf([]int32{1, 2, 3})), State: []byte("producers"),
	}
}

func TestFloorRoundTrip(t *testing.T) {
	f := testFloor(7, 3)
	got, err := decodeFloor(encodeFloor(f))
	if err != nil || !reflect.DeepEqual(got, f) {
		t.Errorf("%+v, %v", got, err)
	}
}

func FuzzDecodeFloor(f *testing.F) {
	f.Add(encodeFloor(testFloor(7, 3)))
	f.Add(encodeFloor(log.Floor{}))
	// Properties: no panic; what decodes encodes to the same bytes; memory bounded by the input.
	f.Fuzz(func(t *testing.T, b []byte) {
		floor, err := decodeFloor(b)
		if err == nil && !bytes.Equal(encodeFloor(floor), b) {
			t.Errorf("%x changed", b)
		}
	})
}

// install sends a snapshot as raft does.
func install(t *testing.T, g *Group, f log.Floor, term uint64, leader int32) error {
	t.Helper()
	answer := make(chan raft.RPCResponse, 1)
	data := encodeFloor(f)
	g.endpoint.incoming <- raft.RPC{
		Command: &raft.InstallSnapshotRequest{
			RPCHeader:       raft.RPCHeader{ProtocolVersion: 3, ID: []byte(serverID(leader)), Addr: []byte(serverAddress(leader))},
			SnapshotVersion: 1, Term: term, LastLogIndex: uint64(f.Index), LastLogTerm: uint64(f.Term),
			Configuration: f.Configuration, ConfigurationIndex: uint64(f.ConfigurationIndex), Size: int64(len(data)),
		},
		Reader: bytes.NewReader(data), RespChan: answer,
	}
	return (<-answer).Error
}

// send appends entries as raft does and says whether they were taken.
func send(g *Group, term uint64, prev log.Index, prevTerm uint64, commit uint64, entries ...*raft.Log) *raft.AppendEntriesResponse {
	answer := make(chan raft.RPCResponse, 1)
	g.endpoint.incoming <- raft.RPC{
		Command: &raft.AppendEntriesRequest{
			RPCHeader: raft.RPCHeader{ProtocolVersion: 3, ID: []byte("2"), Addr: []byte("2")},
			Term:      term, PrevLogEntry: uint64(prev), PrevLogTerm: prevTerm, Entries: entries, LeaderCommitIndex: commit,
		},
		RespChan: answer,
	}
	return (<-answer).Response.(*raft.AppendEntriesResponse)
}

// A follower whose uncommitted tail is longer than the snapshot that it is sent must come out of it (trap 1): raft goes on believing in the tail.
func TestSnapshotShorterThanTheTail(t *testing.T) {
	n, m, s := testNode(t), newToy(), &memory{}
	g, err := n.startGroup(GroupOptions{ID: "a", Machine: m, Voters: []int32{1, 2, 3}}, s)
	if err != nil {
		t.Fatal(err)
	}
	var tail []*raft.Log
	for i := uint64(2); i <= 20; i++ {
		tail = append(tail, &raft.Log{Index: i, Term: 2, Data: stamped(100, log.Offset(i-2), 2)})
	}
	if r := send(g, 2, 1, 1, 1, tail...); !r.Success {
		t.Fatalf("refused: %+v", r)
	}
	f := testFloor(10, 3)
	if err := install(t, g, f, 4, 2); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(m.restored, f.State) || s.LastIndex() != 10 || s.Floor().Start != f.Start {
		t.Fatalf("restored %q, last index %d, floor %+v", m.restored, s.LastIndex(), s.Floor())
	}
	for i := 0; ; i++ {
		r := send(g, 4, 10, 3, 12, &raft.Log{Index: 11, Term: 4, Type: raft.LogNoop}, &raft.Log{Index: 12, Term: 4, Data: stamped(100, f.Offset, 4)})
		if r.Success {
			break
		}
		if i == 3 {
			t.Fatalf("refused for ever: %+v", r)
		}
	}
	m.wait(t, "apply", func(m *toy) bool { return len(m.applied) == 1 && m.applied[0].Index == 12 })
	if m.applied[0].BaseOffset != f.Offset {
		t.Errorf("applied %+v", m.applied[0])
	}
	closeGroup(t, g)
}

func TestSnapshotStoreModes(t *testing.T) {
	s := &memory{floor: testFloor(10, 3)}
	if _, err := s.Append([]log.Entry{{Index: 11, Term: 3, Data: batch(0)}, {Index: 12, Term: 4, Kind: log.KindConfiguration,
		Data: raft.EncodeConfiguration(configurationOf([]int32{1, 2}))}, {Index: 13, Term: 4, Data: batch(0)}}); err != nil {
		t.Fatal(err)
	}
	s.checkpoint = log.Checkpoint{Index: 13, Term: 4}
	store := &snapshotStore{log: s}
	l, err := store.List()
	if err != nil || len(l) != 1 || l[0].Index != 13 || l[0].Term != 4 || l[0].ConfigurationIndex != 12 || len(l[0].Configuration.Servers) != 2 {
		t.Errorf("at start: %+v, %v", l[0], err)
	}
	s.checkpoint.Index, s.checkpoint.Term = 11, 3
	if l, err = store.List(); err != nil || l[0].Index != 11 || l[0].ConfigurationIndex != 1 || len(l[0].Configuration.Servers) != 3 {
		t.Errorf("at start, older: %+v, %v", l[0], err)
	}
	store.start()
	if l, err = store.List(); err != nil || l[0].Index != 10 || l[0].Term != 3 || l[0].ConfigurationIndex != 1 {
		t.Errorf("afterwards: %+v, %v", l[0], err)
	}
	meta, r, err := store.Open(l[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	data, _ := io.ReadAll(r)
	if f, err := decodeFloor(data); err != nil || f.Index != 10 || int64(len(data)) != meta.Size {
		t.Errorf("%+v, %v", f, err)
	}
	if err := s.Reset(testFloor(20, 4)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := store.Open(l[0].ID); err == nil {
		t.Error("a floor that has moved on was opened")
	}
}
