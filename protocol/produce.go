package protocol

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/barnabas-log/barnabas/internal/metadata"
	"github.com/barnabas-log/barnabas/log"
	"github.com/barnabas-log/barnabas/partition"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Produce (0), versions 0 to 13, of which 0 to 2 are advertised but refused with UNSUPPORTED_VERSION, as in Kafka: old librdkafka takes a raised
// minimum for a broker that cannot compress (KAFKA-18659). v7 allows zstd, v8 adds error messages and which record was wrong, v10 says who leads now
// (KIP-951), v13 names topics by id.
//
// Records are written to the log from where they lie in the frame. The frame is free when the last of its batches is resolved.
const minProduceServed = 3

// produceReply is a produce that was proposed and is to be answered.
type produceReply struct {
	correlation int32
	acks        partition.Acks
	deadline    time.Time // zero: as long as it takes
	response    kmsg.ProduceResponse
	partitions  []kmsg.ProduceResponseTopicPartition // of all topics, which share the array
	appends     []appending
	frame       *frame
	received    time.Time
	metrics     *apiMetrics
}

// appending is one partition's append under way.
type appending struct {
	pending *partition.Pending
	at      *kmsg.ProduceResponseTopicPartition
	topic   metadata.TopicID
}

var produceReplies = sync.Pool{New: func() any { return new(produceReply) }}

// produce validates and proposes every batch of a request, and queues the reply.
func (s *Server) produce(_ context.Context, c *call, f *frame) error {
	req := c.request.(*kmsg.ProduceRequest)
	r := produceReplies.Get().(*produceReply)
	r.begin(c, req, f)
	image := s.backend.Image()
	refusal := refuseProduce(req)
	next := 0
	for i := range req.Topics {
		in := &req.Topics[i]
		out := kmsg.NewProduceResponseTopic()
		out.Topic, out.TopicID = in.Topic, in.TopicID
		topic, code := topicFor(image, req.Version >= produceByID, in.Topic, in.TopicID)
		if topic != nil {
			out.Topic = topic.Name
		} else {
			out.Topic = strings.Clone(in.Topic) // the frame may be gone when the reply is encoded
		}
		out.Partitions = r.partitions[next : next+len(in.Partitions)]
		for j := range in.Partitions {
			at := &out.Partitions[j]
			*at = kmsg.NewProduceResponseTopicPartition()
			at.Partition, at.BaseOffset, at.LogStartOffset = in.Partitions[j].Partition, -1, -1
			if at.ErrorCode = cmp.Or(refusal, code); at.ErrorCode == codeNone {
				s.append(r, topic, at, next+j, in.Partitions[j].Records)
			}
		}
		next += len(in.Partitions)
		r.response.Topics = append(r.response.Topics, out)
	}
	c.conn.queue(r)
	return nil
}

// begin readies r for a request. Nothing of what it held before is left.
func (r *produceReply) begin(c *call, req *kmsg.ProduceRequest, f *frame) {
	total := 0
	for i := range req.Topics {
		total += len(req.Topics[i].Partitions)
	}
	r.partitions = slices.Grow(r.partitions[:0], total)[:total]
	r.response = kmsg.ProduceResponse{Version: req.Version, Topics: r.response.Topics[:0]}
	r.appends = r.appends[:0]
	r.correlation, r.acks, r.frame = c.correlation, partition.Acks(req.Acks), f
	r.received, r.metrics = c.received, c.metrics
	r.deadline = time.Time{}
	if r.acks == partition.AcksAll {
		r.deadline = c.received.Add(time.Duration(req.TimeoutMillis) * time.Millisecond)
	}
}

// refuseProduce is the code that refuses a request as a whole, on each of its partitions.
func refuseProduce(req *kmsg.ProduceRequest) int16 {
	switch {
	case req.Version < minProduceServed:
		return codeUnsupportedVersion
	case req.Acks < -1 || req.Acks > 1:
		return codeInvalidRequiredAcks
	}
	return codeNone
}

// append proposes one batch, that of the request's partition of this number, or writes down why not.
func (s *Server) append(r *produceReply, t *metadata.Topic, at *kmsg.ProduceResponseTopicPartition, number int, records []byte) {
	p, code := s.partitionOf(t, at.Partition)
	if code == codeNone {
		records, sum, summed := r.frame.records(number, records)
		err := checkRecords(records, r.response.Version)
		var pending *partition.Pending
		switch {
		case err != nil:
		case summed:
			pending, err = p.AppendSummed(records, sum, r.acks)
		default:
			pending, err = p.Append(records, r.acks)
		}
		if err == nil {
			r.appends = append(r.appends, appending{pending: pending, at: at, topic: t.ID})
			return
		}
		s.refuse(at, err)
		code = at.ErrorCode
	}
	at.ErrorCode = code
	s.hint(r, t.ID, at)
}

// hint adds who leads instead to the answer of a node that does not (v10).
func (s *Server) hint(r *produceReply, topic metadata.TopicID, at *kmsg.ProduceResponseTopicPartition) {
	if at.ErrorCode == codeNotLeaderOrFollower && r.response.Version >= 10 {
		at.CurrentLeader.LeaderID, at.CurrentLeader.LeaderEpoch = s.backend.Leader(topic, at.Partition)
	}
}

// checkRecords holds what a produce of a version may not carry, whatever the partition thinks of the batch.
func checkRecords(records []byte, version int16) error {
	if len(records) == 0 {
		return &partition.InvalidRecordError{BatchIndex: -1, Reason: "the request must carry exactly one batch for each partition"}
	}
	if len(records) < log.HeaderSize {
		return fmt.Errorf("%w: %d bytes are too few for a batch", partition.ErrCorrupt, len(records))
	}
	size := int64(12) + int64(int32(binary.BigEndian.Uint32(records[8:])))
	if size >= log.HeaderSize && size < int64(len(records)) {
		return &partition.InvalidRecordError{BatchIndex: -1, Reason: "the request must carry exactly one batch for each partition"}
	}
	if codec := records[22] & 7; codec == 4 && version < 7 {
		return fmt.Errorf("%w: zstd needs Produce version 7", partition.ErrUnsupportedCodec)
	}
	return nil
}

// refuse writes down why a batch was not appended.
func (s *Server) refuse(at *kmsg.ProduceResponseTopicPartition, err error) {
	at.ErrorCode = s.code(err)
	switch at.ErrorCode {
	case codeNotLeaderOrFollower, codeRequestTimedOut, codeUnknownServerError:
		return // what more there is to say concerns the operator, not the client
	}
	at.ErrorMessage = message(err)
	var invalid *partition.InvalidRecordError
	if errors.As(err, &invalid) && invalid.BatchIndex >= 0 {
		record := kmsg.NewProduceResponseTopicPartitionErrorRecord()
		record.RelativeOffset, record.ErrorMessage = invalid.BatchIndex, &invalid.Reason
		at.ErrorRecords = append(at.ErrorRecords, record)
	}
}

// settle writes down the outcome of an append that is resolved, or that nobody waits for any more.
func (s *Server) settle(r *produceReply, a *appending) {
	result, err := a.pending.Wait(ended)
	if err == nil {
		a.at.BaseOffset, a.at.LogAppendTime, a.at.LogStartOffset = int64(result.BaseOffset), result.AppendTime, int64(result.LogStart)
		return
	}
	s.refuse(a.at, err)
	s.hint(r, a.topic, a.at)
}

// settled says whether no partition refers to the frame any more.
func (r *produceReply) settled() bool {
	for i := range r.appends {
		select {
		case <-r.appends[i].pending.Done():
		default:
			return false
		}
	}
	return true
}

// errRefusedUnheard ends a connection whose produce with acks=0 was refused: closing it is the only way to tell the client.
var errRefusedUnheard = errors.New("a produce with acks=0 was refused")

// finishProduce completes the response and appends it to dst. With acks=0 there is none.
func (s *Server) finishProduce(dst []byte, r *produceReply, listener string) ([]byte, error) {
	for i := range r.appends {
		s.settle(r, &r.appends[i])
	}
	var brokers []kmsg.ProduceResponseBroker
	image := s.backend.Image()
	for i := range r.partitions {
		at := &r.partitions[i]
		if at.ErrorCode == codeNone {
			continue
		}
		if r.acks == partition.AcksNone {
			return dst, fmt.Errorf("%w: partition %d: code %d", errRefusedUnheard, at.Partition, at.ErrorCode)
		}
		leader := at.CurrentLeader.LeaderID
		known := slices.ContainsFunc(brokers, func(b kmsg.ProduceResponseBroker) bool { return b.NodeID == leader })
		if b := image.Brokers[leader]; b != nil && leader >= 0 && !known {
			if host, port, ok := address(b, listener); ok {
				n := kmsg.NewProduceResponseBroker()
				n.NodeID, n.Host, n.Port, n.Rack = leader, host, port, rack(b)
				brokers = append(brokers, n)
			}
		}
	}
	if r.acks == partition.AcksNone {
		return dst, nil
	}
	r.response.Brokers = brokers
	return appendResponse(dst, r.correlation, &r.response), nil
}

// ended is a context whose time is up: a wait with it returns what is there.
var ended = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// release gives the frame back, now or, when a partition still refers to it, as soon as that has let go. The buffer is used again only after
// every append succeeded: one that failed (leadership was lost, say) may still be on its way to the disk, where other bytes would do harm.
func (s *Server) release(r *produceReply) {
	if !r.settled() {
		s.park(r)
		return
	}
	if r.succeeded() {
		r.frame.release()
	} else {
		r.frame.discharge()
	}
	r.frame = nil
	clear(r.appends)
	clear(r.partitions)
	clear(r.response.Topics)
	produceReplies.Put(r)
}

// succeeded says whether every append of a settled reply did.
func (r *produceReply) succeeded() bool {
	for i := range r.appends {
		if _, err := r.appends[i].pending.Wait(ended); err != nil {
			return false
		}
	}
	return true
}

// queue hands a reply to the writer, which the first one starts. It blocks while too many are in flight.
func (c *conn) queue(r *produceReply) {
	if c.produces == nil {
		c.produces = make(chan *produceReply, maxInFlight)
		go c.answer()
	}
	c.hand = nil
	c.waiting.Add(1)
	c.produces <- r
}

// answer is the writer: it waits for produces in order and writes their replies, several at once when several are ready. It ends when the reader
// closes the channel, and always empties it.
func (c *conn) answer() {
	defer close(c.written)
	w := produceWriter{conn: c, timer: time.NewTimer(time.Hour)}
	defer w.timer.Stop()
	var err error
	for r := range c.produces {
		if err == nil {
			err = w.take(r)
		}
		c.server.release(r)
		w.held++
		if err == nil && (len(c.produces) == 0 || len(w.buffer) >= maxHeld) {
			err = w.flush()
		}
		if err != nil {
			c.fail(err)
			c.answered(w.held)
			w.held = 0
		}
	}
}

// maxHeld bounds the bytes of replies that are held back to be written together.
const maxHeld = 32 << 10

// answered counts n produces off, and tells the reader when none is left.
func (c *conn) answered(n int32) {
	if c.waiting.Add(-n) == 0 {
		select {
		case c.drained <- struct{}{}:
		default:
		}
	}
}

// produceWriter is the state of a connection's writer.
type produceWriter struct {
	conn   *conn
	timer  *time.Timer
	buffer []byte // replies that are ready but not written
	held   int32  // produces that were finished but not counted off
}

// take waits for r and encodes its reply.
func (w *produceWriter) take(r *produceReply) (err error) {
	defer w.conn.caught(&err)
	if err := w.wait(r); err != nil {
		return err
	}
	before := len(w.buffer)
	w.buffer, err = w.conn.server.finishProduce(w.buffer, r, w.conn.listener)
	r.count(len(w.buffer) - before)
	if err != nil { // the end of the connection; what was answered before it still leaves
		_ = w.flush()
	}
	return err
}

// count counts the answer, of size bytes.
func (r *produceReply) count(size int) {
	r.metrics.answered(r.received, size)
	for i := range r.partitions {
		r.metrics.failed(r.partitions[i].ErrorCode)
	}
}

// wait blocks until r is resolved or out of time, after flushing what is ready if it has to block.
func (w *produceWriter) wait(r *produceReply) error {
	armed := false
	for i := range r.appends {
		done := r.appends[i].pending.Done()
		select {
		case <-done:
			continue
		default:
		}
		if err := w.flush(); err != nil {
			return err
		}
		var timeout <-chan time.Time
		if !r.deadline.IsZero() {
			if !armed {
				w.timer.Reset(time.Until(r.deadline))
				armed = true
			}
			timeout = w.timer.C
		}
		select {
		case <-done:
		case <-timeout:
			return nil // settle finds out which appends are late
		case <-w.conn.ctx.Done():
			return fmt.Errorf("%w: %w", errQuit, w.conn.ctx.Err())
		}
	}
	return nil
}

// flush writes the replies that are ready.
func (w *produceWriter) flush() error {
	if len(w.buffer) > 0 {
		if err := w.conn.write(w.buffer); err != nil {
			return err
		}
		w.buffer = w.buffer[:0]
	}
	if w.held > 0 {
		w.conn.answered(w.held)
		w.held = 0
	}
	return nil
}
