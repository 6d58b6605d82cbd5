package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// frames is the hostile workload's settings.
type frames struct {
	count       int64
	connections int
	seed        uint64
}

func newFrames(o *options) *cobra.Command {
	var f frames
	c := &cobra.Command{
		Use:   "frames",
		Short: "Send random and mutated frames to a live broker while an honest client produces and consumes beside them",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.run(cmd.Context(), o)
		},
	}
	c.Flags().Int64Var(&f.count, "count", 10_000_000, "frames to send")
	c.Flags().IntVar(&f.connections, "connections", 16, "connections that send them")
	c.Flags().Uint64Var(&f.seed, "seed", uint64(time.Now().UnixNano()), "seed of the mutations")
	return c
}

// tally counts what happened.
type tally struct {
	sent, dialled    atomic.Int64
	honest, slowest  atomic.Int64 // round trips of the honest client, and the longest in ns
	honestErr        atomic.Pointer[error]
	peak             int64
	keys             []int16 // that the broker serves
	consecutiveFails atomic.Int64
}

func (f *frames) run(ctx context.Context, o *options) (err error) {
	dir, remove, err := o.workdir()
	if err != nil {
		return err
	}
	defer remove()
	p, err := o.start(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop(syscall.SIGTERM)) }()
	if err := p.awaitPort(ctx); err != nil {
		return err
	}
	fmt.Printf("seed %d\n", f.seed)
	var t tally
	if t.keys, err = servedKeys(ctx, p); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var side, attack sync.WaitGroup
	side.Go(func() { t.honestClient(ctx, p) })
	side.Go(func() { t.watch(ctx, p) })
	begin := time.Now()
	for i := range f.connections {
		attack.Go(func() { f.attack(ctx, p, &t, rand.New(rand.NewPCG(f.seed, uint64(i)))) })
	}
	attack.Wait()
	cancel()
	side.Wait()
	rss, _, memErr := p.memory()
	if memErr != nil {
		return fmt.Errorf("the broker is gone: %w", memErr)
	}
	fmt.Printf("%d frames over %d connections in %v; broker alive, %.0f MiB resident, %.0f MiB at its peak\n", t.sent.Load(), t.dialled.Load(),
		time.Since(begin).Round(time.Second), mib(rss), mib(t.peak))
	fmt.Printf("honest client: %d produce-and-consume round trips, slowest %v\n", t.honest.Load(), time.Duration(t.slowest.Load()))
	if e := t.honestErr.Load(); e != nil {
		return fmt.Errorf("the honest client was disturbed: %w", *e)
	}
	if t.honest.Load() == 0 {
		return errors.New("the honest client did nothing")
	}
	return nil
}

// servedKeys asks the broker what it serves.
func servedKeys(ctx context.Context, p *process) (keys []int16, err error) {
	client, err := p.client()
	if err != nil {
		return nil, err
	}
	defer client.Close()
	resp, err := kmsg.NewPtrApiVersionsRequest().RequestWith(ctx, client)
	if err != nil {
		return nil, err
	}
	for _, k := range resp.ApiKeys {
		keys = append(keys, k.ApiKey)
	}
	return keys, nil
}

// honestClient produces a record and reads it back, again and again.
func (t *tally) honestClient(ctx context.Context, p *process) {
	fail := func(err error) {
		if ctx.Err() == nil {
			t.honestErr.CompareAndSwap(nil, &err)
		}
	}
	client, err := p.client(kgo.ConsumeTopics("honest"), kgo.DefaultProduceTopic("honest"), kgo.FetchMaxWait(50*time.Millisecond))
	if err != nil {
		fail(err)
		return
	}
	defer client.Close()
	for n := 0; ctx.Err() == nil; n++ {
		value, begin := fmt.Sprintf("record %d", n), time.Now()
		if err := client.ProduceSync(ctx, kgo.StringRecord(value)).FirstErr(); err != nil {
			fail(err)
			return
		}
		got := client.PollRecords(ctx, 1)
		if ctx.Err() != nil {
			return
		}
		if rs := got.Records(); len(rs) != 1 || string(rs[0].Value) != value {
			fail(fmt.Errorf("produced %q, read %v (%v)", value, rs, got.Err()))
			return
		}
		t.honest.Add(1)
		if took := int64(time.Since(begin)); took > t.slowest.Load() {
			t.slowest.Store(took)
		}
	}
}

// watch samples the broker's memory.
func (t *tally) watch(ctx context.Context, p *process) {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if rss, _, err := p.memory(); err == nil {
				t.peak = max(t.peak, rss)
			}
		}
	}
}

// attack sends its share of frames, connecting again whenever the broker hangs up.
func (f *frames) attack(ctx context.Context, p *process, t *tally, r *rand.Rand) {
	forge := &forge{Rand: r, keys: t.keys}
	share := f.count / int64(f.connections)
	for sent := int64(0); sent < share && ctx.Err() == nil; {
		c, err := net.DialTimeout("tcp", p.addr, 5*time.Second)
		if err != nil {
			if t.consecutiveFails.Add(1) > 1000 {
				err = fmt.Errorf("the broker no longer accepts connections: %w", err)
				t.honestErr.CompareAndSwap(nil, &err)
				return
			}
			time.Sleep(10 * time.Millisecond)
			continue
		}
		t.consecutiveFails.Store(0)
		t.dialled.Add(1)
		n := forge.sendUntilClosed(c)
		sent += n
		t.sent.Add(n)
	}
}

// sendUntilClosed sends frames in groups until the broker closes the connection. Behind each group goes an honest request: its reply proves that the broker has
// dealt with every frame of the group. Of a group in which the broker hung up, one frame is counted.
func (f *forge) sendUntilClosed(c net.Conn) (sent int64) {
	_ = c.(*net.TCPConn).SetLinger(0) // thousands of connections a second: leave no TIME_WAIT behind
	defer c.Close()
	replies := bufio.NewReaderSize(c, 64<<10)
	for sent < 1000 {
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		group := int64(1 + f.IntN(8))
		f.buf = f.buf[:0]
		for range group {
			f.frame()
		}
		f.buf = append(f.buf, sentinel...)
		if _, err := c.Write(f.buf); err != nil || awaitSentinel(replies) != nil {
			return sent + 1
		}
		sent += group
	}
	return sent
}

// sentinel is an ApiVersions request, version 0, with a correlation id that no forged frame is given.
var sentinel = []byte{0, 0, 0, 11, 0, 18, 0, 0, 0x7e, 'E', 'N', 'D', 0, 1, 's'}

// awaitSentinel drops replies until that of the sentinel.
func awaitSentinel(r *bufio.Reader) error {
	for {
		var head [8]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return err
		}
		size := int(int32(binary.BigEndian.Uint32(head[:])))
		if _, err := r.Discard(size - 4); err != nil {
			return err
		}
		if bytes.Equal(head[4:], sentinel[8:12]) {
			return nil
		}
	}
}

const joinGroup int16 = 11

// forge makes frames: requests of a random key and version, with contents that make little sense, one in five of them damaged besides; and some noise.
type forge struct {
	*rand.Rand
	keys []int16 // that the broker serves
	buf  []byte
}

func (f *forge) frame() {
	start := len(f.buf)
	f.buf = append(f.buf, 0, 0, 0, 0)
	if f.IntN(50) == 0 {
		for range f.IntN(200) {
			f.buf = append(f.buf, byte(f.Uint32()))
		}
	} else {
		f.request()
	}
	body := f.buf[start+4:]
	binary.BigEndian.PutUint32(f.buf[start:], uint32(len(body)))
	if f.IntN(5) == 0 {
		for range 1 + f.IntN(3) {
			f.damage(start)
		}
	}
}

// request appends an honest request with some content.
func (f *forge) request() {
	key := f.keys[f.IntN(len(f.keys))]
	if key == joinGroup && f.IntN(100) > 0 {
		key = 18 // a join holds its connection for seconds
	}
	if f.IntN(100) == 0 {
		key = int16(f.IntN(95))
	}
	req := kmsg.RequestForKey(key)
	if req == nil {
		req = kmsg.NewPtrMetadataRequest()
	}
	req.SetVersion(int16(f.IntN(int(req.MaxVersion()) + 1)))
	switch r := req.(type) {
	case *kmsg.ProduceRequest:
		f.produce(r)
	case *kmsg.FetchRequest:
		f.fetch(r)
	case *kmsg.JoinGroupRequest:
		r.Group, r.ProtocolType, r.SessionTimeoutMillis = "hostile", "consumer", 6000
	case *kmsg.MetadataRequest:
		name := fmt.Sprintf("hostile-%d", f.IntN(20))
		r.AllowAutoTopicCreation = true
		r.Topics = []kmsg.MetadataRequestTopic{{Topic: &name}}
	}
	f.buf = binary.BigEndian.AppendUint16(f.buf, uint16(req.Key()))
	f.buf = binary.BigEndian.AppendUint16(f.buf, uint16(req.GetVersion()))
	f.buf = binary.BigEndian.AppendUint32(f.buf, f.Uint32()>>2)
	f.buf = append(f.buf, 0, 1, 'x')
	if req.IsFlexible() {
		f.buf = append(f.buf, 0)
	}
	f.buf = req.AppendTo(f.buf)
}

func (f *forge) produce(r *kmsg.ProduceRequest) {
	r.Acks, r.TimeoutMillis = int16(f.IntN(4)-1), 1000
	records := make([]byte, f.IntN(400))
	for i := range records {
		records[i] = byte(f.Uint32())
	}
	if len(records) > 61 {
		binary.BigEndian.PutUint64(records, 0)
		binary.BigEndian.PutUint32(records[8:], uint32(len(records)-12))
		records[16] = 2
	}
	t := kmsg.NewProduceRequestTopic()
	t.Topic = fmt.Sprintf("hostile-%d", f.IntN(20))
	p := kmsg.NewProduceRequestTopicPartition()
	p.Records = records
	t.Partitions = append(t.Partitions, p)
	r.Topics = append(r.Topics, t)
}

func (f *forge) fetch(r *kmsg.FetchRequest) {
	r.MaxWaitMillis, r.MinBytes, r.MaxBytes = int32(f.IntN(10)), 1, int32(f.Uint32())
	t := kmsg.NewFetchRequestTopic()
	t.Topic = fmt.Sprintf("hostile-%d", f.IntN(20))
	p := kmsg.NewFetchRequestTopicPartition()
	p.FetchOffset, p.PartitionMaxBytes = int64(f.IntN(5)), int32(f.Uint32())
	t.Partitions = append(t.Partitions, p)
	r.Topics = append(r.Topics, t)
}

// damage changes the frame that begins at start: a byte, a run of bytes, a length, the end cut off; now and then its size.
func (f *forge) damage(start int) {
	n := len(f.buf) - start - 4
	if n < 8 {
		return
	}
	at := start + 4 + f.IntN(n)
	switch f.IntN(6) {
	case 0:
		f.buf[at] ^= 1 << f.IntN(8)
	case 1:
		f.buf[at] = byte(f.Uint32())
	case 2:
		for i := at; i < min(at+4, len(f.buf)); i++ {
			f.buf[i] = 0xff
		}
	case 3:
		for i := at; i < min(at+4, len(f.buf)); i++ {
			f.buf[i] = 0x7f
		}
	case 4:
		f.buf = f.buf[:at]
		binary.BigEndian.PutUint32(f.buf[start:], uint32(len(f.buf)-start-4))
	case 5:
		if f.IntN(50) == 0 {
			binary.BigEndian.PutUint32(f.buf[start:], f.Uint32())
		}
	}
}
