package main

import (
	"bufio"
	"context"
	"net"

	"github.com/barnabas-log/barnabas/bench/load"
)

// mostWaiting is how many prepared records may be under way on a connection.
const mostWaiting = 4096

// rawProducer sends prepared requests of one record, each to the next partition.
type rawProducer struct {
	links []*link
	ways  []way
	next  int
}

// way is how a record gets to a partition.
type way struct {
	link    *link
	request []byte
}

// link is a connection to a leader.
type link struct {
	net.Conn
	pending *load.Pending[struct{}]
}

// RawProducer connects to each leader. It is ready when each partition has taken a record.
func (d *kafkaDriver) RawProducer(ctx context.Context) (load.Producer, error) {
	r := raw{driver: d, order: d.order}
	r.order.Spec.Clients = 1
	shares, err := r.divide(ctx)
	if err != nil {
		return nil, err
	}
	p := &rawProducer{}
	for _, share := range shares {
		if err := p.connect(ctx, &r, share); err != nil {
			p.Close(ctx)
			return nil, err
		}
	}
	return p, nil
}

func (p *rawProducer) connect(ctx context.Context, r *raw, share share) error {
	c, err := net.Dial("tcp", share.address)
	if err != nil {
		return err
	}
	replies := bufio.NewReader(c)
	var failed error
	l := &link{c, load.NewPending(mostWaiting, func(struct{}) error {
		if failed == nil {
			failed = produced(replies)
		}
		return failed
	})}
	p.links = append(p.links, l)
	for _, partition := range share.partitions {
		request := r.produceRequest(partition, 1)
		if err := r.awaitLeader(ctx, c, replies, request); err != nil {
			return err
		}
		p.ways = append(p.ways, way{l, request})
	}
	return nil
}

// Send sends a record of its own, as large as value.
func (p *rawProducer) Send(_ context.Context, _ []byte, done func(error)) {
	to := p.ways[p.next%len(p.ways)]
	p.next++
	if _, err := to.link.Write(to.request); err != nil {
		_ = to.link.Close() // whoever waits for the reply hears of it
	}
	to.link.pending.Add(struct{}{}, done)
}

// Close waits for what is under way.
func (p *rawProducer) Close(ctx context.Context) {
	for _, l := range p.links {
		l.pending.Close(ctx)
		_ = l.Close()
	}
}
