package e2e

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// Two members share four partitions, one leaves, the last one leaves too, and a third resumes at what was committed.
func TestGroupRebalancesCommitsAndResumes(t *testing.T) {
	broker := sharedBroker(t)
	forEachClient(t, func(t *testing.T, c *client) {
		topic := topicName(t)
		group := "group=" + topic
		createTopic(t, broker.address, topic, 4)
		produce := func(wave string) {
			var records []record
			for i := range 80 {
				records = append(records, text("k", fmt.Sprintf("%s-%d", wave, i)).at(int32(i%4), time.Now().UnixMilli()))
			}
			produceReference(t, broker.address, topic, referenceCodecs()["none"], records)
		}

		produce("alone")
		first := c.start(t, broker.address, "group", topic, group)
		first.awaitHeld(t, "all partitions", func(held int) bool { return held == 4 })
		first.awaitRecords(t, 80)

		second := c.start(t, broker.address, "group", topic, group)
		second.awaitHeld(t, "half of the partitions", func(held int) bool { return held == 2 })
		first.awaitHeld(t, "half of the partitions", func(held int) bool { return held == 2 })
		produce("together")
		awaitValues(t, "together", 80, first, second)

		first.leave(t)
		second.awaitHeld(t, "all partitions again", func(held int) bool { return held == 4 })
		produce("left")
		awaitValues(t, "left", 80, second)
		second.leave(t)

		lag := groupLag(t, broker.address, topic)
		if lag != 0 {
			t.Errorf("lag is %d after both members committed and left", lag)
		}
		produce("resumed")
		third := c.start(t, broker.address, "group", topic, group)
		awaitValues(t, "resumed", 80, third)
		third.leave(t)
		if extra := len(third.recordsSoFar()) - 80; extra != 0 {
			t.Errorf("the member that resumed read %d records that were committed before", extra)
		}
	})
}

// A member that dies without a word is missed when its session ends, and its partitions go to the other.
func TestGroupSurvivesTheDeathOfAMember(t *testing.T) {
	broker := sharedBroker(t)
	for _, c := range clients {
		if c.name != "kafkajs" && c.name != "confluent-kafka" && c.name != "franz-go" {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.command(t)
			topic := topicName(t)
			createTopic(t, broker.address, topic, 4)
			options := []string{"group=" + topic, "session=6000"}
			first := c.start(t, broker.address, "group", topic, options...)
			first.awaitHeld(t, "all partitions", func(held int) bool { return held == 4 })
			second := c.start(t, broker.address, "group", topic, options...)
			second.awaitHeld(t, "half of the partitions", func(held int) bool { return held == 2 })
			_ = first.command.Process.Kill()
			second.awaitHeld(t, "the partitions of the dead member", func(held int) bool { return held == 4 })
			second.leave(t)
		})
	}
}

// awaitValues waits until the members together have read all values of a wave. Each may come twice: after a rebalance, what was not
// committed yet is read again.
func awaitValues(t testing.TB, wave string, count int, members ...*process) {
	t.Helper()
	deadline := time.Now().Add(clientTimeout)
	for {
		seen := map[string]bool{}
		for _, member := range members {
			for _, r := range member.recordsSoFar() {
				seen[string(r.Value)] = true
			}
		}
		missing := map[string]bool{}
		for i := range count {
			if value := fmt.Sprintf("%s-%d", wave, i); !seen[value] {
				missing[value] = true
			}
		}
		if len(missing) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d values never came: %v", len(missing), slices.Sorted(maps.Keys(missing)))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// groupLag is what the group named like the topic has not committed of the topic.
func groupLag(t testing.TB, brokers, topic string) int64 {
	t.Helper()
	admin := kadm.NewClient(referenceClient(t, brokers))
	lags, err := admin.Lag(testContext(t), topic)
	if err != nil {
		t.Fatalf("lag of %s: %v", topic, err)
	}
	lag, found := lags[topic]
	if !found || lag.Error() != nil {
		t.Fatalf("lag of %s: %v", topic, lag.Error())
	}
	return lag.Lag.Total()
}
