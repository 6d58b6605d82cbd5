package replication

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	"go.uber.org/zap"
)

// greetingTimeout is how long a connection may take to say who it is.
const greetingTimeout = 5 * time.Second

// maxConcurrent bounds the requests of one connection that are being worked on.
const maxConcurrent = 1024

// network is a node's end of the wire: it listens for the others and connects to them.
type network struct {
	node     *Node
	listener net.Listener // nil: nobody may connect
	ctx      context.Context
	cancel   context.CancelFunc
	process  uint64    // a number that is another one each time a node is opened
	begun    time.Time // network time counts from here; no clock that somebody sets

	mu     sync.Mutex // guards following
	peers  map[int32]*peer
	conns  map[net.Conn]struct{}
	closed bool

	workers sync.WaitGroup
}

func openNetwork(n *Node) (*network, error) {
	w := &network{node: n, peers: map[int32]*peer{}, conns: map[net.Conn]struct{}{}, process: rand.Uint64() | 1, begun: time.Now()}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	w.listener = n.opts.Listener
	if w.listener == nil && n.opts.Listen != "" {
		var err error
		if w.listener, err = net.Listen("tcp", n.opts.Listen); err != nil {
			w.cancel()
			return nil, fmt.Errorf("listen for other nodes: %w", err)
		}
	}
	if w.listener == nil {
		return w, nil
	}
	if n.opts.ServerTLS != nil {
		w.listener = tls.NewListener(w.listener, n.opts.ServerTLS)
	}
	return w, nil
}

// open lets others in, and begins to watch them. Before, the node is not complete.
func (w *network) open() {
	if w.listener != nil {
		w.spawn(w.accept)
	}
	w.spawn(w.node.detector.run)
}

// now is network time in nanoseconds, never 0.
func (w *network) now() int64 { return int64(time.Since(w.begun)) + 1 }

// all are the nodes that this one has had to do with.
func (w *network) all() []*peer {
	w.mu.Lock()
	defer w.mu.Unlock()
	peers := make([]*peer, 0, len(w.peers))
	for _, p := range w.peers {
		peers = append(peers, p)
	}
	return peers
}

// spawn runs f in a goroutine that close waits for. It reports false, and does nothing, when the network is closed.
func (w *network) spawn(f func()) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return false
	}
	w.workers.Go(f)
	return true
}

// address is where the node listens, nil if it does not.
func (w *network) address() net.Addr {
	if w.listener == nil {
		return nil
	}
	return w.listener.Addr()
}

// peer is the way to node id.
func (w *network) peer(id int32) *peer {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.peers[id]
	if p == nil {
		p = newPeer(w, id)
		w.peers[id] = p
		if !w.closed {
			w.workers.Go(p.ping)
		}
	}
	return p
}

// known is the way to a node that has greeted, nil when nobody knows such a node.
func (w *network) known(id int32) *peer {
	if peers := w.node.opts.Peers; peers != nil {
		if _, ok := peers(id); ok {
			return w.peer(id)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.peers[id]
}

// dial connects to node id. The connection is closed with the network.
func (w *network) dial(id int32) (net.Conn, error) {
	opts := &w.node.opts
	if opts.Peers == nil {
		return nil, errors.New("no addresses of other nodes known")
	}
	address, ok := opts.Peers(id)
	if !ok {
		return nil, errors.New("address unknown")
	}
	conn, err := opts.Dial(w.ctx, address)
	if err != nil {
		return nil, err
	}
	if !w.keep(conn) {
		_ = conn.Close()
		return nil, ErrClosed
	}
	return conn, nil
}

func (w *network) keep(c net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return false
	}
	w.conns[c] = struct{}{}
	return true
}

func (w *network) drop(c net.Conn) {
	_ = c.Close()
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.conns, c)
}

// close breaks every connection and waits for all goroutines.
func (w *network) close() {
	w.mu.Lock()
	w.closed = true
	w.cancel()
	if w.listener != nil {
		_ = w.listener.Close()
	}
	for c := range w.conns {
		_ = c.Close()
	}
	peers := maps.Clone(w.peers) // the detector may still ask for others
	w.mu.Unlock()
	for _, p := range peers {
		p.close()
	}
	w.workers.Wait()
}

func (w *network) accept() {
	for {
		conn, err := w.listener.Accept()
		if err != nil {
			if w.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			w.node.logger.Warn("accept a node's connection", zap.Error(err))
			select {
			case <-w.ctx.Done():
				return
			case <-time.After(50 * time.Millisecond):
			}
			continue
		}
		if !w.keep(conn) {
			_ = conn.Close()
			return
		}
		w.spawn(func() {
			defer w.drop(conn)
			if err := w.serve(conn); err != nil && w.ctx.Err() == nil && !errors.Is(err, io.EOF) {
				w.node.logger.Debug("a node's connection ended", zap.Stringer("remote", conn.RemoteAddr()), zap.Error(err))
			}
		})
	}
}

// serve answers a connection's requests until it breaks.
func (w *network) serve(conn net.Conn) error {
	_ = conn.SetReadDeadline(time.Now().Add(greetingTimeout))
	h, err := readHello(conn)
	if err != nil {
		return err
	}
	if h.to != w.node.opts.NodeID {
		w.node.logger.Warn("a node took this one for another", zap.Int32("from", h.from), zap.Int32("for", h.to), zap.Stringer("remote", conn.RemoteAddr()))
		return fmt.Errorf("greeted as node %d", h.to)
	}
	_ = conn.SetReadDeadline(time.Time{})
	p := w.known(h.from)
	if p != nil {
		p.greeted(h.process)
	}
	s := &session{network: w, from: h.from, conn: conn, slots: make(chan struct{}, maxConcurrent)}
	defer s.workers.Wait()
	r := bufio.NewReaderSize(conn, 64<<10)
	for {
		frame, err := readFrame(r, spaceFor(r))
		if err != nil {
			return err
		}
		if p != nil {
			p.received.Store(w.now())
		}
		m, err := decodeFrame(frame, false)
		if err != nil {
			return err
		}
		if h.lane == laneSnapshot {
			return s.snapshot(m, r)
		}
		if err := s.handle(m, frame); err != nil {
			return err
		}
	}
}

// largeFrame is from how many bytes on a request is read into memory that was used before.
const largeFrame = 64 << 10

// spaces are what large requests lay in, as *[]byte. None is kept that an append does not need.
var spaces sync.Pool

// spaceFor gives memory for the next frame if it is large.
func spaceFor(r *bufio.Reader) []byte {
	head, err := r.Peek(4)
	if err != nil || binary.BigEndian.Uint32(head) < largeFrame {
		return nil // an error comes back at the next read
	}
	if space, ok := spaces.Get().(*[]byte); ok {
		return *space
	}
	return nil
}

// session is an incoming connection.
type session struct {
	network *network
	from    int32
	conn    net.Conn
	slots   chan struct{}
	workers sync.WaitGroup

	writeMu sync.Mutex // held while a frame is written
}

// handle begins to work on a request. It never waits for a single group (trap 10): heartbeats take raft's fast path, everything else a goroutine. An error
// means that the peer does not speak our language. The frame, in which the message lies, is used again once raft has stored what it brought.
func (s *session) handle(m message, frame []byte) error {
	switch m.kind {
	case kindBeats:
		return s.beats(m)
	case kindCall:
		return s.called(m)
	case kindProbe:
		return s.probed(m)
	case kindPing:
		s.answer(m, statusOK, nil)
		return nil
	}
	command, err := s.decode(m)
	if err != nil {
		return fmt.Errorf("request of kind %d for group %q: %w", m.kind, m.group, err)
	}
	e := s.network.node.endpoint(m.group)
	if e == nil {
		s.answer(m, statusUnknown, nil)
		return nil
	}
	select {
	case s.slots <- struct{}{}:
	default:
		s.answer(m, statusBusy, nil)
		return nil
	}
	var place *turn
	if m.kind == kindAppend {
		place = e.arrivals.next()
	}
	s.workers.Go(func() {
		defer func() { <-s.slots }()
		response, err := e.deliver(command, nil, place)
		if err != nil {
			s.answer(m, statusFailed, []byte(err.Error()))
			return
		}
		s.answer(m, statusOK, encodeResponse(nil, response))
		if taken, ok := response.(*raft.AppendEntriesResponse); ok && taken.Success && len(frame) >= largeFrame && cap(frame) <= 2*maxAppend {
			spaces.Put(&frame)
		}
	})
	return nil
}

func (s *session) decode(m message) (any, error) {
	switch m.kind {
	case kindVote:
		return decodeVoteRequest(m.body, s.from)
	case kindPreVote:
		return decodePreVote(m.body, s.from)
	case kindAppend:
		return decodeAppend(m.body, s.from)
	case kindStand:
		if len(m.body) > 0 {
			return nil, errWire
		}
		return &raft.TimeoutNowRequest{RPCHeader: headerOf(s.from)}, nil
	}
	return nil, fmt.Errorf("%w: unknown kind", errWire)
}

func encodeResponse(b []byte, response any) []byte {
	switch r := response.(type) {
	case *raft.RequestVoteResponse:
		return ballot{r.Term, r.Granted}.encode(b)
	case *raft.RequestPreVoteResponse:
		return ballot{r.Term, r.Granted}.encode(b)
	case *raft.InstallSnapshotResponse:
		return ballot{r.Term, r.Success}.encode(b)
	case *raft.AppendEntriesResponse:
		return encodeTaken(b, r)
	}
	return b
}

func (s *session) answer(m message, st status, body []byte) {
	frame := endFrame(append(beginAnswer(make([]byte, 0, frameHeader+1+len(body)), m.kind, m.id, st), body...))
	s.writeMu.Lock()
	defer s.writeMu.Unlock()
	_ = s.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := s.conn.Write(frame); err != nil {
		_ = s.conn.Close() // the reader ends the session
	}
}

// snapshot takes the one snapshot of a connection.
func (s *session) snapshot(m message, r io.Reader) error {
	if m.kind != kindSnapshot {
		return fmt.Errorf("%w: kind %d on the snapshot lane", errWire, m.kind)
	}
	request, err := decodeSnapshot(m.body, s.from)
	if err != nil {
		return err
	}
	e := s.network.node.endpoint(m.group)
	if e == nil {
		s.answer(m, statusUnknown, nil)
		return nil
	}
	// It is read before raft sees it, whose main goroutine must not wait for the wire.
	_ = s.conn.SetReadDeadline(time.Now().Add(snapshotTimeout))
	data, err := io.ReadAll(io.LimitReader(r, request.Size))
	if err != nil {
		return fmt.Errorf("read snapshot: %w", err)
	}
	if int64(len(data)) != request.Size {
		return fmt.Errorf("read snapshot: %w", io.ErrUnexpectedEOF)
	}
	response, err := e.deliver(request, bytes.NewReader(data), nil)
	if err != nil {
		s.answer(m, statusFailed, []byte(err.Error()))
		return nil
	}
	s.answer(m, statusOK, encodeResponse(nil, response))
	return nil
}
