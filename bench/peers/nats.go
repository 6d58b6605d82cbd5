package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/barnabas-log/barnabas/bench/load"
)

// natsDriver uses JetStream. A partition is a stream with one subject, on file storage.
type natsDriver struct {
	order load.Order
	name  string
	conn  *nats.Conn
	js    jetstream.JetStream
}

func newNATS(order load.Order) (load.Driver, error) {
	d := &natsDriver{order: order, name: fmt.Sprintf("bench-%08x", rand.Uint32())}
	var err error
	if d.conn, err = d.connect(); err != nil {
		return nil, err
	}
	d.js, err = jetstream.New(d.conn)
	return d, err
}

func (d *natsDriver) connect() (*nats.Conn, error) {
	return nats.Connect("nats://"+strings.Join(d.order.Target.Addresses, ",nats://"), nats.MaxReconnects(-1), nats.RetryOnFailedConnect(true),
		nats.ReconnectWait(50*time.Millisecond))
}

func (d *natsDriver) subject(partition int) string { return fmt.Sprintf("%s-%d", d.name, partition) }

// Prepare makes the streams. A server that was paused may take a while to answer.
func (d *natsDriver) Prepare(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for p := range d.order.Spec.Partitions {
		config := jetstream.StreamConfig{Name: d.subject(p), Subjects: []string{d.subject(p)}, Storage: jetstream.FileStorage, Replicas: d.order.Target.Replicas}
		for {
			one, end := context.WithTimeout(ctx, 5*time.Second)
			_, err := d.js.CreateOrUpdateStream(one, config)
			end()
			if err == nil {
				break
			}
			if ctx.Err() != nil {
				return errors.Join(err, ctx.Err())
			}
			time.Sleep(200 * time.Millisecond)
		}
	}
	return nil
}

// Remove deletes the streams.
func (d *natsDriver) Remove(ctx context.Context) error {
	var failed error
	for p := range d.order.Spec.Partitions {
		failed = errors.Join(failed, d.js.DeleteStream(ctx, d.subject(p)))
	}
	return failed
}

// Repeatable is true: a stream can be read again.
func (d *natsDriver) Repeatable() bool { return true }

// Close ends the connection.
func (d *natsDriver) Close() { d.conn.Close() }

// Producer publishes asynchronously.
func (d *natsDriver) Producer(context.Context) (load.Producer, error) {
	conn, err := d.connect()
	if err != nil {
		return nil, err
	}
	size := window(d.order.Spec.Size)
	js, err := jetstream.New(conn, jetstream.WithPublishAsyncMaxPending(size))
	if err != nil {
		return nil, err
	}
	wait := func(f jetstream.PubAckFuture) error {
		select {
		case <-f.Ok():
			return nil
		case err := <-f.Err():
			return err
		}
	}
	return &natsProducer{driver: d, conn: conn, js: js, pending: load.NewPending(size, wait), next: rand.IntN(d.order.Spec.Partitions)}, nil
}

type natsProducer struct {
	driver  *natsDriver
	conn    *nats.Conn
	js      jetstream.JetStream
	pending *load.Pending[jetstream.PubAckFuture]
	next    int
}

// Send publishes to the next stream.
func (p *natsProducer) Send(ctx context.Context, value []byte, done func(error)) {
	p.next = (p.next + 1) % p.driver.order.Spec.Partitions
	future, err := p.js.PublishAsync(p.driver.subject(p.next), value)
	if err != nil {
		done(err)
		return
	}
	p.pending.Add(future, done)
}

// Close waits for what is under way.
func (p *natsProducer) Close(ctx context.Context) {
	p.pending.Close(ctx)
	p.conn.Close()
}

// Consume reads each stream with an ordered consumer, on one connection.
func (d *natsDriver) Consume(ctx context.Context, each func([]byte)) error {
	conn, err := d.connect()
	if err != nil {
		return err
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	var running []jetstream.ConsumeContext
	var once sync.Once
	failed := make(chan error, 1)
	for p := range d.order.Spec.Partitions {
		consumer, err := js.OrderedConsumer(ctx, d.subject(p), jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverAllPolicy})
		if err != nil {
			return err
		}
		c, err := consumer.Consume(func(m jetstream.Msg) { each(m.Data()) }, jetstream.PullMaxMessages(window(d.order.Spec.Size)),
			jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
				if !errors.Is(err, nats.ErrNoHeartbeat) {
					once.Do(func() { failed <- err })
				}
			}))
		if err != nil {
			return err
		}
		running = append(running, c)
	}
	defer func() {
		for _, c := range running {
			c.Stop()
		}
	}()
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		return err
	}
}
