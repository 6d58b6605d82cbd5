package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/barnabas-log/barnabas/bench/load"
)

// rabbitDriver uses quorum queues. A partition is a queue. Reading one empties it.
type rabbitDriver struct {
	order load.Order
	name  string
	conn  *amqp.Connection
}

func newRabbitMQ(order load.Order) (load.Driver, error) {
	d := &rabbitDriver{order: order, name: fmt.Sprintf("bench-%08x", rand.Uint32())}
	var err error
	d.conn, err = d.connect()
	return d, err
}

func (d *rabbitDriver) connect() (*amqp.Connection, error) {
	return amqp.Dial("amqp://guest:guest@" + d.order.Target.Addresses[0] + "/")
}

func (d *rabbitDriver) queue(partition int) string { return fmt.Sprintf("%s-%d", d.name, partition) }

// Prepare declares the queues.
func (d *rabbitDriver) Prepare(context.Context) error {
	ch, err := d.conn.Channel()
	if err != nil {
		return err
	}
	defer ch.Close()
	for p := range d.order.Spec.Partitions {
		if _, err := ch.QueueDeclare(d.queue(p), true, false, false, false, amqp.Table{amqp.QueueTypeArg: amqp.QueueTypeQuorum}); err != nil {
			return err
		}
	}
	return nil
}

// Remove deletes the queues.
func (d *rabbitDriver) Remove(context.Context) error {
	ch, err := d.conn.Channel()
	if err != nil {
		return err
	}
	defer ch.Close()
	for p := range d.order.Spec.Partitions {
		if _, err := ch.QueueDelete(d.queue(p), false, false, false); err != nil {
			return err
		}
	}
	return nil
}

// Repeatable is false: what was acknowledged is gone.
func (d *rabbitDriver) Repeatable() bool { return false }

// Close ends the connection.
func (d *rabbitDriver) Close() { _ = d.conn.Close() }

// Producer publishes persistent messages with publisher confirms.
func (d *rabbitDriver) Producer(context.Context) (load.Producer, error) {
	conn, err := d.connect()
	if err != nil {
		return nil, err
	}
	ch, err := conn.Channel()
	if err != nil {
		return nil, err
	}
	if err := ch.Confirm(false); err != nil {
		return nil, err
	}
	p := &rabbitProducer{driver: d, conn: conn, ch: ch, next: rand.IntN(d.order.Spec.Partitions)}
	p.pending = load.NewPending(window(d.order.Spec.Size), func(c *amqp.DeferredConfirmation) error {
		if !c.Wait() {
			return errors.New("not confirmed")
		}
		return nil
	})
	return p, nil
}

type rabbitProducer struct {
	driver  *rabbitDriver
	conn    *amqp.Connection
	ch      *amqp.Channel
	pending *load.Pending[*amqp.DeferredConfirmation]
	next    int
}

// Send publishes to the next queue.
func (p *rabbitProducer) Send(ctx context.Context, value []byte, done func(error)) {
	p.next = (p.next + 1) % p.driver.order.Spec.Partitions
	confirm, err := p.ch.PublishWithDeferredConfirmWithContext(ctx, "", p.driver.queue(p.next), false, false,
		amqp.Publishing{DeliveryMode: amqp.Persistent, Body: value})
	if err != nil {
		done(err)
		return
	}
	p.pending.Add(confirm, done)
}

// Close waits for what is under way.
func (p *rabbitProducer) Close(ctx context.Context) {
	p.pending.Close(ctx)
	_ = p.conn.Close()
}

// Consume reads all queues, 2000 messages ahead, and acknowledges every 200, or what there is when nothing more is waiting.
func (d *rabbitDriver) Consume(ctx context.Context, each func([]byte)) error {
	conn, err := d.connect()
	if err != nil {
		return err
	}
	defer conn.Close()
	var all sync.WaitGroup
	defer all.Wait()
	failed := make(chan error, d.order.Spec.Partitions)
	for p := range d.order.Spec.Partitions {
		ch, err := conn.Channel()
		if err != nil {
			return err
		}
		if err := ch.Qos(2000, 0, false); err != nil {
			return err
		}
		messages, err := ch.ConsumeWithContext(ctx, d.queue(p), "", false, false, false, false, nil)
		if err != nil {
			return err
		}
		all.Go(func() { failed <- drain(ctx, messages, each) })
	}
	for range d.order.Spec.Partitions {
		if err := <-failed; err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

func drain(ctx context.Context, messages <-chan amqp.Delivery, each func([]byte)) error {
	waiting := 0
	for {
		select {
		case <-ctx.Done():
			return nil
		case m, ok := <-messages:
			if !ok {
				return errors.New("the channel was closed")
			}
			each(m.Body)
			if waiting++; waiting >= 200 || len(messages) == 0 {
				if err := m.Ack(true); err != nil {
					return err
				}
				waiting = 0
			}
		}
	}
}
