package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
)

// segmentClient drives Segment's kafka-go.
type segmentClient struct{ settings }

func (c *segmentClient) errorCode(err error) (int, bool) {
	var code kafka.Error
	if errors.As(err, &code) {
		return int(code), true
	}
	var many kafka.WriteErrors
	if errors.As(err, &many) {
		for _, one := range many {
			if errors.As(one, &code) {
				return int(code), true
			}
		}
	}
	var large kafka.MessageTooLargeError
	if errors.As(err, &large) {
		return int(kafka.MessageSizeTooLarge), true
	}
	return 0, false
}

func (c *segmentClient) produce(ctx context.Context, records <-chan record) error {
	writer := &kafka.Writer{
		Addr:                   kafka.TCP(c.brokers...),
		Topic:                  c.topic,
		Balancer:               segmentBalancer{&kafka.Murmur2Balancer{Consistent: true}},
		RequiredAcks:           kafka.RequiredAcks(c.number("acks", -1)),
		Compression:            map[string]kafka.Compression{"gzip": kafka.Gzip, "snappy": kafka.Snappy, "lz4": kafka.Lz4, "zstd": kafka.Zstd}[c.text("codec", "none")],
		BatchBytes:             20_000_000,
		BatchTimeout:           5 * time.Millisecond,
		MaxAttempts:            max(1, int(c.timeout()/time.Second)),
		WriteBackoffMax:        time.Second,
		AllowAutoTopicCreation: true,
	}
	acked := 0
	for next := range records {
		batch := []kafka.Message{segmentMessage(next)}
		for more := true; more && len(batch) < 500; {
			select {
			case next, more = <-records:
				if more {
					batch = append(batch, segmentMessage(next))
				}
			default:
				more = false
			}
		}
		if err := c.write(ctx, writer, batch); err != nil {
			return err
		}
		acked += len(batch)
		emit(ackLine{acked})
	}
	return writer.Close()
}

// write asks again while a topic that is being created is not known yet, as kafka-go's documentation says to do.
func (c *segmentClient) write(ctx context.Context, writer *kafka.Writer, batch []kafka.Message) error {
	deadline := time.Now().Add(c.timeout())
	for {
		err := writer.WriteMessages(ctx, batch...)
		code, known := c.errorCode(err)
		if err == nil || !known || !kafka.Error(code).Temporary() || time.Now().After(deadline) {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// segmentBalancer hashes keys as the Java client does, but a record that names its partition goes there.
type segmentBalancer struct{ kafka.Balancer }

func (b segmentBalancer) Balance(message kafka.Message, partitions ...int) int {
	if pinned, given := message.WriterData.(int); given {
		return pinned
	}
	return b.Balancer.Balance(message, partitions...)
}

func segmentMessage(from record) kafka.Message {
	to := kafka.Message{Key: from.Key, Value: from.Value, Time: from.time()}
	if from.Partition != nil {
		to.WriterData = *from.Partition
	}
	for _, pair := range from.Headers {
		to.Headers = append(to.Headers, kafka.Header{Key: pair.Key, Value: pair.Value})
	}
	return to
}

func (c *segmentClient) consume(ctx context.Context, from position, partition, count int) error {
	connection, err := kafka.DialContext(ctx, "tcp", c.brokers[0])
	if err != nil {
		return err
	}
	found, err := connection.ReadPartitions(c.topic)
	_ = connection.Close()
	if err != nil {
		return err
	}
	messages := make(chan kafka.Message)
	failures := make(chan error)
	for _, place := range found {
		if partition >= 0 && partition != place.ID {
			continue
		}
		reader := kafka.NewReader(kafka.ReaderConfig{
			Brokers: c.brokers, Topic: c.topic, Partition: place.ID, MaxBytes: 10_000_000, MaxWait: 500 * time.Millisecond,
		})
		if err := c.seek(ctx, reader, from); err != nil {
			return err
		}
		go func() {
			for {
				message, err := reader.ReadMessage(ctx)
				if err != nil {
					failures <- err
					return
				}
				messages <- message
			}
		}()
	}
	for range count {
		select {
		case message := <-messages:
			emitSegment(message)
		case err := <-failures:
			return err
		}
	}
	return nil
}

func (c *segmentClient) seek(ctx context.Context, reader *kafka.Reader, from position) error {
	switch from.kind {
	case "start":
		return reader.SetOffset(kafka.FirstOffset)
	case "offset":
		return reader.SetOffset(from.number)
	case "time":
		return reader.SetOffsetAt(ctx, time.UnixMilli(from.number))
	}
	return reader.SetOffset(kafka.LastOffset)
}

func emitSegment(message kafka.Message) {
	var headers []header
	for _, pair := range message.Headers {
		headers = append(headers, header{pair.Key, pair.Value})
	}
	emitRecord(message.Partition, message.Offset, message.Time, message.Key, message.Value, headers)
}

// group uses the generations of kafka-go, because its Reader does not tell what it was assigned.
func (c *segmentClient) group(ctx context.Context, name string, leave <-chan struct{}) error {
	member, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID: name, Brokers: c.brokers, Topics: []string{c.topic}, StartOffset: kafka.FirstOffset,
		SessionTimeout:        time.Duration(c.number("session", 10000)) * time.Millisecond,
		HeartbeatInterval:     500 * time.Millisecond,
		JoinGroupBackoff:      200 * time.Millisecond,
		WatchPartitionChanges: true, PartitionWatchInterval: time.Second,
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { <-leave; cancel() }()
	for ctx.Err() == nil {
		generation, err := member.Next(ctx)
		if err != nil {
			continue // Next backs off by itself
		}
		line := assignedLine{Assigned: []int32{}}
		for _, place := range generation.Assignments[c.topic] {
			line.Assigned = append(line.Assigned, int32(place.ID))
		}
		emit(line)
		var readers sync.WaitGroup
		for _, place := range generation.Assignments[c.topic] {
			readers.Add(1)
			generation.Start(func(inner context.Context) {
				defer readers.Done()
				c.readPlace(ctx, inner, generation, place)
			})
		}
		if ctx.Err() != nil {
			readers.Wait()
		}
	}
	return member.Close()
}

// readPlace reads one partition until the generation or the program ends, and commits each record it has printed.
func (c *segmentClient) readPlace(ctx, inner context.Context, generation *kafka.Generation, place kafka.PartitionAssignment) {
	inner, cancel := context.WithCancel(inner)
	defer cancel()
	stop := context.AfterFunc(ctx, cancel)
	defer stop()
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers: c.brokers, Topic: c.topic, Partition: place.ID, MaxWait: 500 * time.Millisecond,
	})
	defer func() { _ = reader.Close() }()
	if err := reader.SetOffset(place.Offset); err != nil {
		return
	}
	for {
		message, err := reader.ReadMessage(inner)
		if inner.Err() != nil {
			return
		}
		if err != nil {
			continue
		}
		emitSegment(message)
		_ = generation.CommitOffsets(map[string]map[int]int64{c.topic: {place.ID: message.Offset + 1}})
	}
}
