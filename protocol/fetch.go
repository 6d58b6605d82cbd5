package protocol

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/barnabas-log/barnabas/internal/metadata"
	"github.com/barnabas-log/barnabas/log"
	"github.com/barnabas-log/barnabas/partition"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Fetch (1), versions 4 to 18. v4 adds the isolation level, v5 the log start, v7 sessions (KIP-227), v9 leader epochs (KIP-320), v10 allows zstd,
// v11 adds racks (KIP-392, fetch_nearby.go), v12 diverging epochs (KIP-595), v13 topic ids, v16 the nodes that lead now
// (KIP-951). What v15, v17 and v18 add is said by replicas only, of which there are none that speak this protocol: it is ignored.
//
// The reply has an encoder of its own (fetch_encode.go), so that records go from the segment's file to the socket.

// fetchPart is one partition of a fetch: what is asked, and what the answer is.
type fetchPart struct {
	topic            string
	id               metadata.TopicID
	number           int32
	offset           int64
	maxBytes         int32
	leaderEpoch      int32
	lastFetchedEpoch int32

	partition *partition.Partition
	refusal   int16        // why there is no partition
	cached    *sessionPart // nil outside of a session

	code      int16
	chunk     log.Range // nil: no records
	high      int64
	stable    int64
	start     int64
	aborted   []partition.Aborted
	diverging *log.EpochStart
	leader    hint
	nearby    int32 // the replica to read from instead; -1: this one
}

// fetch answers a fetch, waiting for records if the client wants to.
func (s *Server) fetch(_ context.Context, c *call, f *frame) error {
	if err := c.conn.drain(); err != nil {
		f.release()
		return err
	}
	req := c.request.(*kmsg.FetchRequest)
	q := fetchRun{server: s, call: c, req: req, image: s.backend.Image()}
	q.budget = min(max(int(req.MaxBytes), 0), s.opts.FetchMaxBytes)
	if req.Version >= 11 {
		q.rack = strings.Clone(req.Rack)
	}
	code := q.open()
	f.release() // everything that is still needed has been copied
	c.conn.hand = nil
	defer q.close()
	if code == codeNone {
		q.run()
	}
	return q.reply(code)
}

// fetchRun is one fetch under way.
type fetchRun struct {
	server  *Server
	call    *call
	req     *kmsg.FetchRequest
	image   *metadata.Image
	rack    string // where the client is; "" when it does not say
	parts   []fetchPart
	session *session // nil: none
	id      int32    // what the reply says of the session
	full    bool     // the reply names every partition, whether or not anything changed
	budget  int      // bytes of records that the reply may hold
	unwatch func()   // ends the watch for a client that hangs up; nil: there is none
}

// open finds the partitions: those of the request, those of its session, or both.
func (q *fetchRun) open() int16 {
	q.parts = q.call.conn.fetchParts[:0]
	q.full = true
	if q.req.Version < 7 {
		q.addRequested()
		return codeNone
	}
	return q.openSession()
}

// addRequested takes the partitions of the request.
func (q *fetchRun) addRequested() {
	for i := range q.req.Topics {
		in := &q.req.Topics[i]
		topic, code := topicFor(q.image, q.byID(), in.Topic, in.TopicID)
		name := ""
		if topic != nil {
			name = topic.Name
		} else {
			name = strings.Clone(in.Topic)
		}
		for j := range in.Partitions {
			p := &in.Partitions[j]
			q.parts = append(q.parts, fetchPart{topic: name, id: in.TopicID, number: p.Partition, offset: p.FetchOffset, maxBytes: p.PartitionMaxBytes,
				leaderEpoch: p.CurrentLeaderEpoch, lastFetchedEpoch: p.LastFetchedEpoch})
			q.locate(&q.parts[len(q.parts)-1], topic, code)
		}
	}
}

func (q *fetchRun) byID() bool { return q.req.Version >= 13 }

// locate finds the partition, or writes down why there is none.
func (q *fetchRun) locate(part *fetchPart, t *metadata.Topic, code int16) {
	part.refusal = code
	if t == nil {
		return
	}
	part.id = t.ID
	if q.req.Version < 10 && t.Config["compression.type"] == "zstd" {
		part.refusal = codeUnsupportedCompressionType
		return
	}
	part.partition, part.refusal = q.server.partitionOf(t, part.number)
}

// unwatched is how long a fetch waits before it looks out for a client that hangs up, which takes a goroutine and several system calls. Most are answered sooner.
const unwatched = 100 * time.Millisecond

// run reads, and waits and reads again until there is enough, the time is up, the client is gone or the server closes.
func (q *fetchRun) run() {
	if q.read() || q.req.MaxWaitMillis <= 0 {
		return
	}
	c, until := q.call.conn, q.call.received.Add(time.Duration(q.req.MaxWaitMillis)*time.Millisecond)
	soon := time.Now().Add(unwatched)
	if soon.After(until) {
		soon = until
	}
	if q.waitUntil(c.ctx, soon) || soon.Equal(until) {
		return
	}
	var watched context.Context
	watched, q.unwatch = c.untilHangup(c.ctx)
	q.waitUntil(watched, until)
}

// waitUntil waits and reads until the reply is ready (true), or there is no more waiting: the time is up, ctx ends or the server closes.
func (q *fetchRun) waitUntil(ctx context.Context, until time.Time) (ready bool) {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	for {
		if ready, woken := q.wait(ctx, timer.C); ready || !woken {
			return ready
		}
	}
}

// wait watches all partitions, reads them once more and, if the reply is not ready then, waits for any of them.
func (q *fetchRun) wait(ctx context.Context, timeout <-chan time.Time) (ready, woken bool) {
	w := partition.NewWaiter()
	defer w.Close()
	for i := range q.parts {
		if p := q.parts[i].partition; p != nil {
			p.Watch(w)
		}
	}
	if q.read() {
		return true, false
	}
	select {
	case <-w.C():
		return false, true
	case <-timeout:
	case <-ctx.Done():
	case <-q.server.open.Done():
	}
	return false, false
}

// read reads every partition, and says whether the reply can leave.
func (q *fetchRun) read() bool {
	q.releaseChunks()
	got, left, ready := 0, q.budget, len(q.parts) == 0
	for i := range q.parts {
		part := &q.parts[i]
		n := q.readPart(part, left, got == 0)
		got += n
		left = max(left-n, 0)
		ready = ready || part.code != codeNone || part.diverging != nil || part.nearby >= 0
	}
	return ready || got >= int(q.req.MinBytes)
}

// readPart reads one partition and returns how many bytes of records it gave. first: nothing was read before, so one batch may exceed every limit.
func (q *fetchRun) readPart(part *fetchPart, left int, first bool) int {
	s, req := q.server, q.req
	part.high, part.stable, part.start, part.leader, part.nearby = -1, -1, -1, noHint, -1
	part.chunk, part.aborted, part.diverging = nil, nil, nil
	part.code = part.refusal
	follower := false
	if part.code == codeNone { // the epoch first, and whether this node leads: a follower would read, too
		var err error
		follower, err = part.checkReader(q.rack)
		part.code = s.code(err)
	}
	if part.code == codeNone {
		read := partition.Read{
			Offset: log.Offset(part.offset), MaxBytes: min(max(int(part.maxBytes), 0), left), AtLeastOne: first,
			Isolation: partition.Isolation(req.IsolationLevel), LeaderEpoch: part.leaderEpoch, LastFetchedEpoch: part.lastFetchedEpoch,
		}
		if follower {
			read.LastFetchedEpoch = -1 // its history may be shorter than the reader's, which does not make it another one
		} else if part.nearby = s.nearby(part, q.rack, q.call.listener); part.nearby >= 0 {
			read.MaxBytes, read.AtLeastOne = 0, false // no records from here
		}
		got, err := part.partition.Read(read)
		if part.code = s.code(err); part.code == codeNone {
			return part.take(&got, req)
		}
		if got.Chunk != nil {
			got.Chunk.Release()
		}
	}
	if part.code == codeNotLeaderOrFollower || part.code == codeFencedLeaderEpoch {
		part.leader.node, part.leader.epoch = s.backend.Leader(part.id, part.number)
	}
	return 0
}

// take writes down what was read.
func (part *fetchPart) take(got *partition.Records, req *kmsg.FetchRequest) int {
	part.high, part.stable, part.start = int64(got.HighWatermark), int64(got.LastStable), int64(got.LogStart)
	if req.IsolationLevel == int8(partition.ReadCommitted) {
		part.aborted = got.Aborted
		if part.aborted == nil {
			part.aborted = []partition.Aborted{}
		}
	}
	if got.Diverging != nil {
		part.diverging = got.Diverging
	}
	if got.Chunk == nil {
		return 0
	}
	part.chunk = got.Chunk
	return got.Chunk.Size()
}

func (q *fetchRun) releaseChunks() {
	for i := range q.parts {
		if chunk := q.parts[i].chunk; chunk != nil {
			chunk.Release()
			q.parts[i].chunk = nil
		}
	}
}

// close ends the watch, now that the reply is on its way, and releases what the reply was made of.
func (q *fetchRun) close() {
	if q.unwatch != nil {
		q.unwatch()
	}
	q.releaseChunks()
	if q.session != nil {
		q.server.sessions.done(q.session)
	}
	clear(q.parts)
	if cap(q.parts) <= 1024 {
		q.call.conn.fetchParts = q.parts[:0]
	}
}

// reply encodes and sends the answer.
func (q *fetchRun) reply(code int16) error {
	out := fetchReply{version: q.req.Version, correlation: q.call.correlation, code: code, session: q.id}
	pause := q.server.throttle(q.call)
	out.throttle = int32(pause.Milliseconds())
	if code == codeNone {
		if q.session != nil {
			q.settleSession()
		}
		out.parts = q.parts
		out.brokers = q.endpoints()
	}
	if err := out.send(q.call.conn); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			q.recheck()
		}
		return fmt.Errorf("%s version %d: %w", kmsg.NameForKey(keyFetch), q.req.Version, err)
	}
	q.count(code, out.size)
	q.call.conn.mute(pause)
	return nil
}

// recheck looks at what was to be sent and was not there.
func (q *fetchRun) recheck() {
	for i := range q.parts {
		if chunk, ok := q.parts[i].chunk.(*log.Chunk); ok {
			q.parts[i].partition.Recheck(chunk)
		}
	}
}

// count counts the answer, of size bytes.
func (q *fetchRun) count(code int16, size int) {
	m := q.call.metrics
	m.answered(q.call.received, size)
	m.failed(code)
	for i := range q.parts {
		m.failed(q.parts[i].code)
	}
}

// endpoints are the nodes that the partitions' leader hints name (v16).
func (q *fetchRun) endpoints() (brokers []kmsg.FetchResponseBroker) {
	if q.req.Version < 16 {
		return nil
	}
	for i := range q.parts {
		leader := q.parts[i].leader.node
		b := q.image.Brokers[leader]
		if leader < 0 || b == nil || slices.ContainsFunc(brokers, func(b kmsg.FetchResponseBroker) bool { return b.NodeID == leader }) {
			continue
		}
		if host, port, ok := address(b, q.call.listener); ok {
			n := kmsg.NewFetchResponseBroker()
			n.NodeID, n.Host, n.Port, n.Rack = leader, host, port, rack(b)
			brokers = append(brokers, n)
		}
	}
	return brokers
}
