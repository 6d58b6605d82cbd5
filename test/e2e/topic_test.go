package e2e

import (
	"bytes"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

func TestProducerCreatesTheTopic(t *testing.T) {
	broker := sharedBroker(t)
	forEachClient(t, func(t *testing.T, c *client) {
		topic := topicName(t)
		c.produce(t, broker.address, topic, numbered("auto", 0, 10))
		if got := readReference(t, broker.address, topic); len(got) != 10 {
			t.Errorf("%d of 10 records are in the topic", len(got))
		}
	})
}

func TestConsumerCreatesTheTopic(t *testing.T) {
	broker := sharedBroker(t)
	forEachClient(t, func(t *testing.T, c *client) {
		if !c.createsOnConsume {
			return // a consumer of this client reports an unknown topic and ends, or waits for somebody else to create it
		}
		topic := topicName(t)
		member := c.start(t, broker.address, "group", topic, "group="+topic)
		awaitTopic(t, broker.address, topic)
		first := text("k", "first")
		produceReference(t, broker.address, topic, referenceCodecs()["none"], []record{first.at(0, time.Now().UnixMilli())})
		member.awaitRecords(t, 1)
		member.leave(t)
	})
}

func awaitTopic(t testing.TB, brokers, topic string) {
	t.Helper()
	admin := kadm.NewClient(referenceClient(t, brokers))
	deadline := time.Now().Add(clientTimeout)
	for {
		details, err := admin.ListTopics(testContext(t))
		if err == nil && details.Has(topic) && details[topic].Err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s was not created: %v", topic, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func TestUnknownTopicIsReported(t *testing.T) {
	broker := strictBroker(t)
	forEachClient(t, func(t *testing.T, c *client) {
		producer := c.start(t, broker.address, "produce", "unknown", "timeout=8000", "retries=2")
		producer.send(t, text("k", "v"))
		c.expectError(t, producer, c.unknownTopic)

		consumer := c.start(t, broker.address, "consume", "unknown", "count=1", "retries=2")
		c.expectError(t, consumer, c.unknownTopic)
	})
}

// The limit is max.message.bytes of the topic. The clients are told to send more than their own limits would let them.
func TestOversizedMessageIsRefused(t *testing.T) {
	broker := sharedBroker(t)
	forEachClient(t, func(t *testing.T, c *client) {
		topic := topicName(t)
		createTopic(t, broker.address, topic, 1)
		producer := c.start(t, broker.address, "produce", topic, "timeout=10000", "retries=2")
		producer.send(t, record{Key: []byte("k"), Value: bytes.Repeat(big, 3)})
		c.expectError(t, producer, c.tooLarge)

		c.produce(t, broker.address, topic, []record{text("k", "small")})
		if got := readReference(t, broker.address, topic); len(got) != 1 || string(got[0].Value) != "small" {
			t.Errorf("after the refusal the topic holds %v, expected the small record alone", got)
		}
	})
}
