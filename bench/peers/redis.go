package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
	"unsafe"

	"github.com/redis/go-redis/v9"

	"github.com/barnabas-log/barnabas/bench/load"
)

// redisDriver uses streams. A partition is a key.
type redisDriver struct {
	order  load.Order
	name   string
	client *redis.Client
}

func newRedis(order load.Order) (load.Driver, error) {
	d := &redisDriver{order: order, name: fmt.Sprintf("bench-%08x", rand.Uint32())}
	d.client = d.connect()
	return d, nil
}

func (d *redisDriver) connect() *redis.Client {
	return redis.NewClient(&redis.Options{Addr: d.order.Target.Addresses[0], PoolSize: 2, ContextTimeoutEnabled: true, ReadTimeout: -1})
}

func (d *redisDriver) key(partition int) string { return fmt.Sprintf("%s-%d", d.name, partition) }

// Prepare only asks whether the server is there: a stream begins with its first record.
func (d *redisDriver) Prepare(ctx context.Context) error { return d.client.Ping(ctx).Err() }

// Remove deletes the keys.
func (d *redisDriver) Remove(ctx context.Context) error {
	for p := range d.order.Spec.Partitions {
		if err := d.client.Del(ctx, d.key(p)).Err(); err != nil {
			return err
		}
	}
	return nil
}

// Repeatable is true: a stream can be read again.
func (d *redisDriver) Repeatable() bool { return true }

// Close ends the connections.
func (d *redisDriver) Close() { _ = d.client.Close() }

// pipelineLength is how many commands go out together, when as many are waiting.
const pipelineLength = 256

// Producer sends what is waiting as one pipeline; while that is under way, the next one gathers.
func (d *redisDriver) Producer(context.Context) (load.Producer, error) {
	p := &redisProducer{driver: d, client: d.connect(), queue: make(chan command, 4*pipelineLength), ended: make(chan struct{})}
	go p.work()
	return p, nil
}

// command is a record to be added.
type command struct {
	value []byte
	done  func(error)
}

type redisProducer struct {
	driver *redisDriver
	client *redis.Client
	queue  chan command
	ended  chan struct{}
	next   int
}

// Send queues the record.
func (p *redisProducer) Send(_ context.Context, value []byte, done func(error)) {
	p.queue <- command{value, done}
}

func (p *redisProducer) work() {
	defer close(p.ended)
	var group []command
	for first := range p.queue {
		group = append(group[:0], first)
		for len(group) < pipelineLength {
			select {
			case a, ok := <-p.queue:
				if ok {
					group = append(group, a)
					continue
				}
			default:
			}
			break
		}
		p.send(group)
	}
}

func (p *redisProducer) send(group []command) {
	ctx := context.Background()
	pipe := p.client.Pipeline()
	for _, a := range group {
		p.next = (p.next + 1) % p.driver.order.Spec.Partitions
		pipe.XAdd(ctx, &redis.XAddArgs{Stream: p.driver.key(p.next), Values: []any{"v", a.value}})
	}
	results, err := pipe.Exec(ctx)
	for i, a := range group {
		if i < len(results) {
			a.done(results[i].Err())
		} else {
			a.done(err)
		}
	}
}

// Close waits for what is under way.
func (p *redisProducer) Close(ctx context.Context) {
	close(p.queue)
	select {
	case <-p.ended:
	case <-ctx.Done():
	}
	_ = p.client.Close()
}

// Consume reads all keys together, up to 500 records of each at a time. The library does not interrupt a call that blocks, so none blocks for long.
func (d *redisDriver) Consume(ctx context.Context, each func([]byte)) error {
	client := d.connect()
	defer client.Close()
	n := d.order.Spec.Partitions
	streams := make([]string, 2*n)
	place := map[string]int{}
	for p := range n {
		streams[p], streams[n+p] = d.key(p), "0"
		place[d.key(p)] = n + p
	}
	for ctx.Err() == nil {
		found, err := client.XRead(ctx, &redis.XReadArgs{Streams: streams, Count: 500, Block: 200 * time.Millisecond}).Result()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && !errors.Is(err, redis.Nil) {
			return err
		}
		for _, stream := range found {
			for _, m := range stream.Messages {
				text, _ := m.Values["v"].(string)
				each(unsafe.Slice(unsafe.StringData(text), len(text)))
			}
			if last := len(stream.Messages); last > 0 {
				streams[place[stream.Stream]] = stream.Messages[last-1].ID
			}
		}
	}
	return nil
}
