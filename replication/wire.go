package replication

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/barnabas-log/barnabas/log"
	"github.com/hashicorp/raft"
)

// What goes over the wire between two nodes, big endian. A connection carries requests one way and answers the other. It begins with
//
//	"BREP" | version u8 | lane u8 | from i32 | to i32 | process u64
//
// and goes on with frames:
//
//	request  length u32 | kind u8 | id u64 | group (u8 length, bytes) | body
//	answer   length u32 | kind u8 | id u64 | status u8 | body, or the error's text
//
// length counts what follows it. A snapshot's request is followed by its bytes, unframed.
const (
	wireMagic   = "BREP"
	wireVersion = 3
	helloSize   = 4 + 1 + 1 + 4 + 4 + 8

	frameHeader = 4 + 1 + 8
	// maxFrame is the largest frame that is accepted, in bytes. Only a single batch makes one larger than maxAppend.
	maxFrame = 256 << 20
	// maxAppend is from how many bytes on an append takes no further entry (trap 9).
	maxAppend = 4 << 20
)

// lane says what a connection is for: a long append must not hold a heartbeat.
type lane uint8

const (
	laneControl  lane = iota // heartbeats, votes
	laneData                 // entries
	laneSnapshot             // one snapshot for each connection
	lanes
)

type kind uint8

const (
	kindVote kind = iota + 1
	kindPreVote
	kindStand
	kindBeats
	kindAppend
	kindSnapshot
	kindCall
	kindPing
	kindProbe
)

type status uint8

const (
	statusOK status = iota
	statusUnknown
	statusBusy
	statusFailed
)

var errWire = errors.New("malformed message")

// hello opens a connection.
type hello struct {
	lane     lane
	from, to int32
	process  uint64 // see network.process
}

func (h hello) encode() []byte {
	b := append(make([]byte, 0, helloSize), wireMagic...)
	b = append(b, wireVersion, byte(h.lane))
	b = binary.BigEndian.AppendUint32(b, uint32(h.from))
	b = binary.BigEndian.AppendUint32(b, uint32(h.to))
	return binary.BigEndian.AppendUint64(b, h.process)
}

func readHello(r io.Reader) (h hello, err error) {
	b := make([]byte, helloSize)
	if _, err := io.ReadFull(r, b); err != nil {
		return h, fmt.Errorf("read greeting: %w", err)
	}
	switch {
	case string(b[:4]) != wireMagic:
		return h, fmt.Errorf("%w: not a node of this kind", errWire)
	case b[4] != wireVersion:
		return h, fmt.Errorf("peer speaks version %d, this node %d", b[4], wireVersion)
	case lane(b[5]) >= lanes:
		return h, fmt.Errorf("%w: lane %d", errWire, b[5])
	}
	return hello{lane(b[5]), int32(binary.BigEndian.Uint32(b[6:])), int32(binary.BigEndian.Uint32(b[10:])), binary.BigEndian.Uint64(b[14:])}, nil
}

// readFrame reads one frame without its length, into space as far as that goes, which the caller owns and the frame then takes. Memory grows with what arrives, not with what is
// announced.
func readFrame(r io.Reader, space []byte) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(head[:])
	if size < frameHeader-4+1 || size > maxFrame {
		return nil, fmt.Errorf("%w: frame of %d bytes", errWire, size)
	}
	const step = 1 << 20
	b := space[:min(int(size), cap(space))]
	if len(b) < int(min(size, step)) {
		b = make([]byte, min(size, step))
	}
	for have := 0; ; {
		if _, err := io.ReadFull(r, b[have:]); err != nil {
			return nil, err
		}
		if have = len(b); have == int(size) {
			return b, nil
		}
		b = append(make([]byte, 0, min(int(size), have*4)), b...)
		b = b[:cap(b)]
	}
}

// beginFrame appends a header whose length endFrame fills in.
func beginFrame(b []byte, k kind, id uint64) []byte {
	b = append(b, 0, 0, 0, 0, byte(k))
	return binary.BigEndian.AppendUint64(b, id)
}

// setID writes the id of a frame that was begun without it.
func setID(frame []byte, id uint64) { binary.BigEndian.PutUint64(frame[5:], id) }

func beginRequest(b []byte, k kind, id uint64, group string) []byte {
	b = beginFrame(b, k, id)
	b = append(b, byte(len(group)))
	return append(b, group...)
}

func beginAnswer(b []byte, k kind, id uint64, s status) []byte {
	return append(beginFrame(b, k, id), byte(s))
}

func endFrame(b []byte) []byte {
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

// message is a decoded frame. For an answer, status counts, for a request group.
type message struct {
	kind   kind
	id     uint64
	group  string
	status status
	body   []byte
}

func decodeFrame(frame []byte, answer bool) (m message, err error) {
	r := reader{b: frame}
	m.kind, m.id = kind(r.u8()), r.u64()
	if answer {
		m.status = status(r.u8())
	} else {
		m.group = string(r.bytes(int(r.u8())))
	}
	m.body = r.b
	return m, r.err
}

// reader takes numbers off a slice. After the first that is missing every other is zero.
type reader struct {
	b   []byte
	err error
}

func (r *reader) bytes(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.err, r.b = errWire, nil
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) u8() byte {
	if b := r.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) u16() uint16 {
	if b := r.bytes(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (r *reader) u32() uint32 {
	if b := r.bytes(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if b := r.bytes(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// done says whether everything was there, and nothing more.
func (r *reader) done() error {
	if r.err == nil && len(r.b) > 0 {
		return fmt.Errorf("%w: %d bytes too many", errWire, len(r.b))
	}
	return r.err
}

func appendNumbers(b []byte, numbers ...uint64) []byte {
	for _, n := range numbers {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return b
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// headerOf is what raft expects of a message from node.
func headerOf(node int32) raft.RPCHeader {
	id := []byte(serverID(node))
	return raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: id, Addr: id}
}

func encodeVote(b []byte, v *raft.RequestVoteRequest) []byte {
	return append(appendNumbers(b, v.Term, v.LastLogIndex, v.LastLogTerm), flag(v.LeadershipTransfer))
}

func decodeVoteRequest(b []byte, from int32) (*raft.RequestVoteRequest, error) {
	r := reader{b: b}
	v := &raft.RequestVoteRequest{RPCHeader: headerOf(from),
		Term: r.u64(), LastLogIndex: r.u64(), LastLogTerm: r.u64(), LeadershipTransfer: r.u8() == 1}
	return v, r.done()
}

func encodePreVote(b []byte, v *raft.RequestPreVoteRequest) []byte {
	return appendNumbers(b, v.Term, v.LastLogIndex, v.LastLogTerm)
}

func decodePreVote(b []byte, from int32) (*raft.RequestPreVoteRequest, error) {
	r := reader{b: b}
	v := &raft.RequestPreVoteRequest{RPCHeader: headerOf(from), Term: r.u64(), LastLogIndex: r.u64(), LastLogTerm: r.u64()}
	return v, r.done()
}

// ballot answers votes, pre-votes and snapshots: a term, and yes or no.
type ballot struct {
	term    uint64
	granted bool
}

func (v ballot) encode(b []byte) []byte { return append(appendNumbers(b, v.term), flag(v.granted)) }

func decodeBallot(b []byte) (v ballot, err error) {
	r := reader{b: b}
	v.term, v.granted = r.u64(), r.u8() == 1
	return v, r.done()
}

func encodeTaken(b []byte, a *raft.AppendEntriesResponse) []byte {
	return append(appendNumbers(b, a.Term, a.LastLog), flag(a.Success)|flag(a.NoRetryBackoff)<<1)
}

func (r *reader) taken(a *raft.AppendEntriesResponse) {
	a.Term, a.LastLog = r.u64(), r.u64()
	flags := r.u8()
	a.Success, a.NoRetryBackoff = flags&1 != 0, flags&2 != 0
}

// beat is one group's heartbeat among those of all groups that one node leads on another.
type beat struct {
	group string
	term  uint64
}

func encodeBeat(b []byte, v beat) []byte {
	b = append(b, byte(len(v.group)))
	return appendNumbers(append(b, v.group...), v.term)
}

// eachBeat decodes heartbeats one after the other.
func eachBeat(b []byte, f func(beat)) error {
	r := reader{b: b}
	for len(r.b) > 0 {
		v := beat{group: string(r.bytes(int(r.u8()))), term: r.u64()}
		if r.err != nil {
			return r.err
		}
		f(v)
	}
	return nil
}

// An append: term, previous index, previous term, commit index, number of entries, and for each
//
//	term u64 | kind u8 | size u32 | data
//
// A batch carries base offset and leader epoch itself, and the receiver checks both.
const (
	appendHeader = 4*8 + 4
	entryHeader  = 8 + 1 + 2 + 4
	// page is what memory begins at, into which a large frame is read, and what a disk writes.
	page = 4096
)

func encodeAppend(b []byte, a *raft.AppendEntriesRequest, count int) []byte {
	last := a.PrevLogEntry + uint64(count)
	b = appendNumbers(b, a.Term, a.PrevLogEntry, a.PrevLogTerm, min(a.LeaderCommitIndex, last))
	return binary.BigEndian.AppendUint32(b, uint32(count))
}

// beginEntry appends an entry's header:
//
//	term u64 | kind u8 | padding u16 | size u32 | padding | data
//
// The data follows, or is attached, then endEntry.
func beginEntry(b []byte, term uint64, k log.Kind) []byte {
	return append(appendNumbers(b, term), byte(k), 0, 0, 0, 0, 0, 0)
}

// padEntry appends padding, less than a page, behind the header that begins at at.
func padEntry(b []byte, at, padding int) []byte {
	binary.BigEndian.PutUint16(b[at+9:], uint16(padding))
	return append(b, make([]byte, padding)...)
}

// endEntry fills in the size of the data: what follows the header and the padding, and what is attached.
func endEntry(b []byte, at, attached int) {
	padding := int(binary.BigEndian.Uint16(b[at+9:]))
	binary.BigEndian.PutUint32(b[at+11:], uint32(len(b)-at-entryHeader-padding+attached))
}

// decodeAppend checks all that can be checked without the log. Entries alias b.
func decodeAppend(b []byte, from int32) (*raft.AppendEntriesRequest, error) {
	r := reader{b: b}
	a := &raft.AppendEntriesRequest{RPCHeader: headerOf(from),
		Term: r.u64(), PrevLogEntry: r.u64(), PrevLogTerm: r.u64(), LeaderCommitIndex: r.u64()}
	count := r.u32()
	if uint64(count)*entryHeader > uint64(len(r.b)) {
		return nil, fmt.Errorf("%w: %d entries in %d bytes", errWire, count, len(r.b))
	}
	a.Entries = make([]*raft.Log, 0, count)
	term := a.PrevLogTerm
	for i := range uint64(count) {
		l, err := r.entry(a.PrevLogEntry + 1 + i)
		if err != nil {
			return nil, fmt.Errorf("entry %d: %w", a.PrevLogEntry+1+i, err)
		}
		if l.Term < term || l.Term > a.Term {
			return nil, fmt.Errorf("entry %d: %w: term %d between %d and %d", l.Index, errWire, l.Term, term, a.Term)
		}
		term = l.Term
		a.Entries = append(a.Entries, l)
	}
	// Raft would take the commit index for everything that it holds, also for a tail that this leader has not confirmed.
	a.LeaderCommitIndex = min(a.LeaderCommitIndex, a.PrevLogEntry+uint64(count))
	return a, r.done()
}

func (r *reader) entry(index uint64) (*raft.Log, error) {
	term, k, padding, size := r.u64(), log.Kind(r.u8()), r.u16(), r.u32()
	r.bytes(int(padding))
	data := r.bytes(int(size))
	if r.err != nil {
		return nil, r.err
	}
	if k > log.KindCommand || term == 0 {
		return nil, fmt.Errorf("%w: kind %d, term %d", errWire, k, term)
	}
	l := &raft.Log{Index: index, Term: term, Type: typeOf(k), Data: data}
	if k == log.KindNoop && size > 0 || (k == log.KindBatch || k == log.KindCommand) && size == 0 {
		return nil, fmt.Errorf("%w: kind %d of %d bytes", errWire, k, size)
	}
	if k == log.KindConfiguration {
		if _, err := decodeConfiguration(data); err != nil || size == 0 {
			return nil, fmt.Errorf("%w: %w", errWire, err)
		}
	}
	return l, nil
}

func encodeSnapshot(b []byte, s *raft.InstallSnapshotRequest) []byte {
	b = appendNumbers(b, s.Term, s.LastLogIndex, s.LastLogTerm, s.ConfigurationIndex, uint64(s.Size))
	return append(b, s.Configuration...)
}

func decodeSnapshot(b []byte, from int32) (*raft.InstallSnapshotRequest, error) {
	r := reader{b: b}
	s := &raft.InstallSnapshotRequest{RPCHeader: headerOf(from), SnapshotVersion: raft.SnapshotVersionMax,
		Term: r.u64(), LastLogIndex: r.u64(), LastLogTerm: r.u64(), ConfigurationIndex: r.u64(), Size: int64(r.u64())}
	s.Configuration = r.b
	if r.err != nil {
		return nil, r.err
	}
	if s.Size < 0 || s.Size > maxSnapshot {
		return nil, fmt.Errorf("%w: snapshot of %d bytes", errWire, s.Size)
	}
	if _, err := decodeConfiguration(s.Configuration); err != nil || len(s.Configuration) == 0 {
		return nil, fmt.Errorf("%w: configuration: %w", errWire, err)
	}
	return s, nil
}
