package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/barnabas-log/barnabas/bench/load"
)

// pipeline is how many requests are under way on a raw connection, as many as clients allow themselves.
const pipeline = 5

// raw is a run with prepared requests.
type raw struct {
	driver *kafkaDriver
	order  load.Order
	meter  load.Meter
	shares []share
}

// share is what one connection does: partitions of one leader.
type share struct {
	address    string
	partitions []int32
}

// runRaw measures a server without a client's cost: requests are made once, and of the replies no more is read than proves that they are good.
func runRaw(ctx context.Context, driver *kafkaDriver, order load.Order) (o *load.Outcome, err error) {
	before, err := load.UsageOf(order.Target.Processes)
	if err != nil {
		return nil, err
	}
	load.ResetPeak(order.Target.Processes)
	if err := driver.Prepare(ctx); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, driver.Remove(context.WithoutCancel(ctx))) }()
	r := raw{driver: driver, order: order}
	if r.shares, err = r.divide(ctx); err != nil {
		return nil, err
	}
	work := r.produce
	if order.Spec.Kind == load.RawFetch {
		if err := r.fill(ctx); err != nil {
			return nil, err
		}
		work = r.fetch
	}
	if o, err = r.all(ctx, work, &r.meter, nil); o != nil {
		o.Before = before.RSS
	}
	return o, err
}

// all lets every connection work, and counts.
func (r *raw) all(ctx context.Context, work func(context.Context, net.Conn, []int32, *load.Meter) error, count *load.Meter, done <-chan struct{}) (*load.Outcome, error) {
	working, stop := context.WithCancel(ctx)
	defer stop()
	var group sync.WaitGroup
	for _, share := range r.shares {
		c, err := net.Dial("tcp", share.address)
		if err != nil {
			return nil, err
		}
		closed := context.AfterFunc(working, func() { _ = c.SetDeadline(time.Now()) })
		group.Go(func() {
			defer closed()
			defer c.Close()
			if err := work(working, c, share.partitions, count); err != nil && working.Err() == nil {
				count.Fail(err)
			}
		})
	}
	o, err := count.Window(ctx, r.order, done)
	stop()
	group.Wait()
	return o, err
}

// divide asks who leads what. Each leader has as many connections as the order says, and its partitions are dealt to them in turn.
func (r *raw) divide(ctx context.Context) ([]share, error) {
	found, err := r.driver.admin.Metadata(ctx, r.driver.topic)
	if err != nil {
		return nil, err
	}
	led := map[int32][]int32{}
	for _, p := range found.Topics[r.driver.topic].Partitions.Sorted() {
		led[p.Leader] = append(led[p.Leader], p.Partition)
	}
	var shares []share
	for _, b := range found.Brokers {
		for client := range r.order.Spec.Clients {
			one := share{address: net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))}
			for k := client % max(1, len(led[b.NodeID])); k < len(led[b.NodeID]); k += r.order.Spec.Clients {
				one.partitions = append(one.partitions, led[b.NodeID][k])
			}
			if len(one.partitions) > 0 {
				shares = append(shares, one)
			}
		}
	}
	if len(shares) == 0 {
		return nil, fmt.Errorf("topic %s: nobody leads", r.driver.topic)
	}
	return shares, nil
}

// batchRecords is how many records are in a prepared batch: about 1 MB, as large as clients make them, or one.
func (r *raw) batchRecords() int {
	if r.order.Spec.Single {
		return 1
	}
	return max(1, 960_000/r.order.Spec.Size)
}

// request is a frame: size, header, body.
func request(req kmsg.Request, correlation int32) []byte {
	b := make([]byte, 4, 1<<10)
	b = binary.BigEndian.AppendUint16(b, uint16(req.Key()))
	b = binary.BigEndian.AppendUint16(b, uint16(req.GetVersion()))
	b = binary.BigEndian.AppendUint32(b, uint32(correlation))
	b = append(b, 0, 3, 'r', 'a', 'w')
	if req.IsFlexible() {
		b = append(b, 0)
	}
	b = req.AppendTo(b)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

// The version of both requests that all servers of the last years know and that name topics, not ids.
const rawProduceVersion, rawFetchVersion = 8, 11

// produceRequest is a request with one batch of records for a partition.
func (r *raw) produceRequest(partition int32, records int) []byte {
	spec := r.order.Spec
	acks := int16(-1)
	if spec.Acks == "1" {
		acks = 1
	}
	req := kmsg.NewPtrProduceRequest()
	req.SetVersion(rawProduceVersion)
	req.Acks, req.TimeoutMillis = acks, 20_000
	req.Topics = []kmsg.ProduceRequestTopic{{Topic: r.driver.topic,
		Partitions: []kmsg.ProduceRequestTopicPartition{{Partition: partition, Records: batch(records, spec.Size)}}}}
	return request(req, partition)
}

// batch is a record batch of equal records.
func batch(records, size int) []byte {
	now := time.Now().UnixMilli()
	value := make([]byte, size)
	for i := range value {
		value[i] = byte('!' + (i*7919+i/90)%90)
	}
	var body []byte
	for i := range records {
		var one kmsg.Record
		one.OffsetDelta, one.Value = int32(i), value
		one.Length = int32(len(one.AppendTo(nil)) - 1) // behind the length, which takes one byte while it is 0
		body = one.AppendTo(body)
	}
	b := kmsg.RecordBatch{PartitionLeaderEpoch: -1, Magic: 2, LastOffsetDelta: int32(records - 1), FirstTimestamp: now, MaxTimestamp: now,
		ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1, NumRecords: int32(records), Records: body}
	b.Length = int32(49 + len(body))
	out := b.AppendTo(nil)
	binary.BigEndian.PutUint32(out[17:], crc32.Checksum(out[21:], crc32.MakeTable(crc32.Castagnoli)))
	return out
}

// produce sends requests, pipelined, and checks every reply.
func (r *raw) produce(ctx context.Context, c net.Conn, partitions []int32, count *load.Meter) error {
	n := r.batchRecords()
	requests := make([][]byte, len(partitions))
	for i, p := range partitions {
		requests[i] = r.produceRequest(p, n)
	}
	replies := bufio.NewReader(c)
	for _, one := range requests {
		if err := r.awaitLeader(ctx, c, replies, one); err != nil {
			return err
		}
	}
	send := func(i int) error {
		_, err := c.Write(requests[i%len(requests)])
		return err
	}
	receive := func(int) error {
		if err := produced(replies); err != nil {
			return err
		}
		count.Count(int64(n), int64(n*r.order.Spec.Size))
		return nil
	}
	if r.order.Spec.Single {
		return oneByOne(ctx, send, receive)
	}
	return pipelined(ctx, send, receive)
}

// produced reads the reply to a produce request.
func produced(replies *bufio.Reader) error {
	var size [4]byte
	if _, err := io.ReadFull(replies, size[:]); err != nil {
		return err
	}
	reply := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(replies, reply); err != nil {
		return err
	}
	resp := kmsg.NewPtrProduceResponse()
	resp.SetVersion(rawProduceVersion)
	if err := resp.ReadFrom(reply[4:]); err != nil {
		return err
	}
	answer := resp.Topics[0].Partitions[0]
	err := kerr.ErrorForCode(answer.ErrorCode)
	if err != nil && answer.ErrorMessage != nil {
		err = fmt.Errorf("%w: %s", err, *answer.ErrorMessage)
	}
	return err
}

// awaitLeader sends one request until it is accepted: a broker may name a leader before that leader knows.
func (r *raw) awaitLeader(ctx context.Context, c net.Conn, replies *bufio.Reader, request []byte) error {
	for limit := time.Now().Add(10 * time.Second); ; {
		if _, err := c.Write(request); err != nil {
			return err
		}
		err := produced(replies)
		if err == nil || !kerr.IsRetriable(err) || time.Now().After(limit) || ctx.Err() != nil {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// pipelined calls send and receive for the requests 0, 1, 2, ..., each in order, with no more than pipeline of them under way.
func pipelined(ctx context.Context, send, receive func(i int) error) error {
	slots := make(chan struct{}, pipeline)
	ctx, stop := context.WithCancel(ctx)
	var failed error
	var sender sync.WaitGroup
	sender.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return
			case slots <- struct{}{}:
			}
			if failed = send(i); failed != nil {
				return
			}
		}
	})
	var err error
	for i := 0; ctx.Err() == nil && err == nil; i++ {
		if err = receive(i); err == nil {
			<-slots
		}
	}
	stop()
	sender.Wait()
	return errors.Join(err, failed)
}

// oneByOne has one request under way.
func oneByOne(ctx context.Context, send, receive func(i int) error) error {
	for i := 0; ctx.Err() == nil; i++ {
		if err := send(i); err != nil {
			return err
		}
		if err := receive(i); err != nil {
			return err
		}
	}
	return nil
}

// fill writes what is fetched afterwards, the same batches to every partition.
func (r *raw) fill(ctx context.Context) error {
	for _, share := range r.shares {
		if err := r.fillShare(ctx, share); err != nil {
			return fmt.Errorf("fill the topic: %w", err)
		}
	}
	return nil
}

func (r *raw) fillShare(ctx context.Context, share share) error {
	c, err := net.Dial("tcp", share.address)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	replies := bufio.NewReader(c)
	for _, p := range share.partitions {
		one := r.produceRequest(p, r.batchRecords())
		for range r.batches() {
			if err := r.awaitLeader(ctx, c, replies, one); err != nil {
				return err
			}
		}
	}
	return nil
}

// batches is how many batches each partition has when there is something to fetch.
func (r *raw) batches() int {
	spec := r.order.Spec
	return max(1, int(spec.Preload)/spec.Partitions/(r.batchRecords()*spec.Size))
}

// fetch asks for one batch after another, and lets the kernel drop the replies.
func (r *raw) fetch(ctx context.Context, c net.Conn, partitions []int32, count *load.Meter) error {
	n, spec := r.batchRecords(), r.order.Spec
	size := int32(len(batch(n, spec.Size)))
	var requests [][]byte
	for b := range r.batches() {
		for _, p := range partitions {
			requests = append(requests, r.fetchRequest(p, int64(b*n), size))
		}
	}
	// What a batch takes on the wire is known; a smaller reply is an error or not all of it.
	least := n * spec.Size
	var head [4]byte
	return pipelined(ctx, func(i int) error {
		_, err := c.Write(requests[i%len(requests)])
		return err
	}, func(int) error {
		if _, err := io.ReadFull(c, head[:]); err != nil {
			return err
		}
		size := int(binary.BigEndian.Uint32(head[:]))
		if size < least {
			return fmt.Errorf("a reply of %d bytes instead of %d and more", size, least)
		}
		if err := discard(c.(*net.TCPConn), size); err != nil {
			return err
		}
		count.Count(int64(n), int64(least))
		return nil
	})
}

// fetchRequest asks for exactly one batch of so many bytes.
func (r *raw) fetchRequest(partition int32, offset int64, size int32) []byte {
	req := kmsg.NewPtrFetchRequest()
	req.SetVersion(rawFetchVersion)
	req.ReplicaID, req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.SessionEpoch = -1, 500, 1, 50<<20, -1
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes, p.CurrentLeaderEpoch = partition, offset, size, -1
	req.Topics = []kmsg.FetchRequestTopic{{Topic: r.driver.topic, Partitions: []kmsg.FetchRequestTopicPartition{p}}}
	return request(req, partition)
}
