package e2e

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestBrokerJoinsWithNothingButTheVoters starts three voters and a fourth node that only hosts partitions, and restarts that one: it listens for the other nodes on whatever
// port is free, another one each time.
func TestBrokerJoinsWithNothingButTheVoters(t *testing.T) {
	for _, roles := range []string{"broker,controller", "controller"} {
		t.Run(roles, func(t *testing.T) { joins(t, roles) })
	}
}

func joins(t *testing.T, roles string) {
	brokers := 1
	var voters, nodeAddresses []string
	for id := range 3 {
		nodeAddresses = append(nodeAddresses, freeAddress(t))
		voters = append(voters, fmt.Sprintf("%d@%s", id, nodeAddresses[id]))
	}
	common := []string{"controller.listener.names=CONTROLLER", "controller.quorum.voters=" + strings.Join(voters, ",")}
	for id := range 3 {
		s := prepareNode(t, append(slices.Clone(common), fmt.Sprintf("node.id=%d", id), "process.roles="+roles)...)
		controller := "CONTROLLER://" + nodeAddresses[id]
		if roles == "controller" {
			s.settings = append(s.settings, "listeners="+controller)
		} else {
			s.settings = append(s.settings, "listeners=PLAINTEXT://"+s.address+","+controller)
			brokers++
		}
		s.launch(t)
	}
	fourth := prepareNode(t, append(slices.Clone(common), "node.id=7", "process.roles=broker")...)
	fourth.start(t)
	awaitBrokers(t, fourth, brokers)
	produceOn(t, fourth, 7)
	fourth.stop(t)
	fourth.start(t)
	awaitBrokers(t, fourth, brokers)
	produceOn(t, fourth, 7)
}

func prepareNode(t *testing.T, settings ...string) *server {
	t.Helper()
	if os.Getenv("BARNABAS_E2E_BROKERS") != "" || os.Getenv("BARNABAS_E2E_SERVER") == "kafka" {
		t.Skip("needs a cluster of its own")
	}
	s := newServer(t, settings...)
	t.Cleanup(func() {
		s.kill()
		s.explain(t)
	})
	return s
}

// awaitBrokers waits until s names as many brokers.
func awaitBrokers(t *testing.T, s *server, want int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	admin := adminOf(t, s)
	for {
		m, err := admin.BrokerMetadata(ctx)
		if err == nil && len(m.Brokers) == want {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%v, %v; want %d brokers", m.Brokers, err, want)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// produceOn makes a topic of which the node has a replica, and writes to each partition.
func produceOn(t *testing.T, s *server, node int32) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	admin := adminOf(t, s)
	topic := fmt.Sprintf("joined-%d", time.Now().UnixNano())
	m, err := admin.BrokerMetadata(ctx)
	if err != nil {
		t.Fatal(err)
	}
	replicas := int16(min(3, len(m.Brokers)))
	if _, err := admin.CreateTopic(ctx, 8, replicas, nil, topic); err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(s.address), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MetadataMinAge(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for p := range int32(8) {
		if err := client.ProduceSync(ctx, &kgo.Record{Topic: topic, Partition: p, Value: []byte("v")}).FirstErr(); err != nil {
			t.Fatalf("partition %d: %v", p, err)
		}
	}
	topics, err := admin.ListTopics(ctx, topic)
	if err != nil {
		t.Fatal(err)
	}
	hosted := 0
	topics.EachPartition(func(p kadm.PartitionDetail) {
		if slices.Contains(p.Replicas, node) {
			hosted++
		}
	})
	if hosted == 0 {
		t.Fatalf("node %d has no replica of %s", node, topic)
	}
}

func adminOf(t *testing.T, s *server) *kadm.Client {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(s.address))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return kadm.NewClient(client)
}
