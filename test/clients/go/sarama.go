package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/IBM/sarama"
)

// saramaClient drives IBM's (once Shopify's) sarama.
type saramaClient struct{ settings }

func (c *saramaClient) errorCode(err error) (int, bool) {
	var code sarama.KError
	if errors.As(err, &code) {
		return int(code), true
	}
	return 0, false
}

func (c *saramaClient) config() *sarama.Config {
	config := sarama.NewConfig()
	config.ClientID = "e2e-sarama"
	config.Metadata.Retry.Backoff = 100 * time.Millisecond
	config.Metadata.Retry.Max = 50
	config.Metadata.RefreshFrequency = time.Second
	return config
}

func (c *saramaClient) produce(_ context.Context, records <-chan record) error {
	config := c.config()
	// Unknown topics are asked for again by the same setting as dead brokers: keep the wait short where the test says so.
	config.Metadata.Retry.Max = int(c.timeout() / config.Metadata.Retry.Backoff)
	config.Producer.RequiredAcks = sarama.RequiredAcks(c.number("acks", -1))
	config.Producer.Compression = map[string]sarama.CompressionCodec{
		"none": sarama.CompressionNone, "gzip": sarama.CompressionGZIP, "snappy": sarama.CompressionSnappy,
		"lz4": sarama.CompressionLZ4, "zstd": sarama.CompressionZSTD,
	}[c.text("codec", "none")]
	config.Producer.MaxMessageBytes = 20_000_000
	config.Producer.Idempotent = c.idempotent()
	config.Producer.Retry.Max = 100
	config.Producer.Partitioner = pinnedOrHashed
	config.Producer.Return.Successes = true
	config.Net.MaxOpenRequests = 1
	producer, err := sarama.NewAsyncProducer(c.brokers, config)
	if err != nil {
		return err
	}
	var failure error
	var done sync.WaitGroup
	done.Go(func() {
		acked := 0
		for range producer.Successes() {
			acked++
			emit(ackLine{acked})
		}
	})
	done.Go(func() {
		for failed := range producer.Errors() {
			failure = failed.Err
		}
	})
	for next := range records {
		producer.Input() <- c.message(next)
	}
	producer.AsyncClose()
	done.Wait()
	return failure
}

func (c *saramaClient) message(from record) *sarama.ProducerMessage {
	to := &sarama.ProducerMessage{Topic: c.topic, Timestamp: from.time(), Partition: -1}
	if from.Key != nil {
		to.Key = sarama.ByteEncoder(from.Key)
	}
	if from.Value != nil {
		to.Value = sarama.ByteEncoder(from.Value)
	}
	if from.Partition != nil {
		to.Metadata = int32(*from.Partition)
	}
	for _, pair := range from.Headers {
		to.Headers = append(to.Headers, sarama.RecordHeader{Key: []byte(pair.Key), Value: pair.Value})
	}
	return to
}

// pinnedPartitioner hashes keys, but a record that names its partition goes there.
type pinnedPartitioner struct{ sarama.Partitioner }

func pinnedOrHashed(topic string) sarama.Partitioner {
	return pinnedPartitioner{sarama.NewHashPartitioner(topic)}
}

func (p pinnedPartitioner) Partition(message *sarama.ProducerMessage, count int32) (int32, error) {
	if pinned, given := message.Metadata.(int32); given {
		return pinned, nil
	}
	return p.Partitioner.Partition(message, count)
}

func (c *saramaClient) consume(_ context.Context, from position, partition, count int) error {
	client, err := sarama.NewClient(c.brokers, c.config())
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	partitions := []int32{int32(partition)}
	if partition < 0 {
		if partitions, err = client.Partitions(c.topic); err != nil {
			return err
		}
	}
	consumer, err := sarama.NewConsumerFromClient(client)
	if err != nil {
		return err
	}
	messages := make(chan *sarama.ConsumerMessage)
	for _, partition := range partitions {
		offset, err := c.offset(client, partition, from)
		if err != nil {
			return err
		}
		reader, err := consumer.ConsumePartition(c.topic, partition, offset)
		if err != nil {
			return err
		}
		go func() {
			for message := range reader.Messages() {
				messages <- message
			}
		}()
	}
	for range count {
		emitSarama(<-messages)
	}
	return nil
}

func (c *saramaClient) offset(client sarama.Client, partition int32, from position) (int64, error) {
	switch from.kind {
	case "start":
		return sarama.OffsetOldest, nil
	case "offset":
		return from.number, nil
	case "time":
		offset, err := client.GetOffset(c.topic, partition, from.number)
		if err == nil && offset < 0 {
			offset = sarama.OffsetNewest
		}
		return offset, err
	}
	return sarama.OffsetNewest, nil
}

func emitSarama(message *sarama.ConsumerMessage) {
	var headers []header
	for _, pair := range message.Headers {
		headers = append(headers, header{string(pair.Key), pair.Value})
	}
	emitRecord(int(message.Partition), message.Offset, message.Timestamp, message.Key, message.Value, headers)
}

func (c *saramaClient) group(ctx context.Context, name string, leave <-chan struct{}) error {
	config := c.config()
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Offsets.AutoCommit.Interval = 500 * time.Millisecond
	config.Consumer.Group.Session.Timeout = time.Duration(c.number("session", 10000)) * time.Millisecond
	config.Consumer.Group.Heartbeat.Interval = 500 * time.Millisecond
	member, err := sarama.NewConsumerGroup(c.brokers, name, config)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { <-leave; cancel() }()
	for ctx.Err() == nil {
		if err := member.Consume(ctx, []string{c.topic}, saramaHandler{c.topic}); err != nil && ctx.Err() == nil {
			time.Sleep(100 * time.Millisecond)
		}
	}
	return member.Close()
}

type saramaHandler struct{ topic string }

func (h saramaHandler) Setup(session sarama.ConsumerGroupSession) error {
	emit(assignedLine{append([]int32{}, session.Claims()[h.topic]...)})
	return nil
}

func (saramaHandler) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (saramaHandler) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for message := range claim.Messages() {
		emitSarama(message)
		session.MarkMessage(message, "")
	}
	return nil
}
