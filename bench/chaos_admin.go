package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// refused counts what administrators were told when something did not work out: that is not judged.
type refused struct {
	mu     sync.Mutex // guards following
	counts map[string]int
}

func (r *refused) add(what string, err error) {
	if err == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.counts == nil {
		r.counts = map[string]int{}
	}
	r.counts[what+": "+err.Error()]++
}

func (r *refused) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var lines []string
	for what, times := range r.counts {
		lines = append(lines, fmt.Sprintf("administrator: %d × %s", times, what))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// adminLimit is how long an administrator waits for an answer while the cluster suffers. What becomes of the request is not judged then; what becomes of the records is.
const adminLimit = 3 * time.Second

// administer does something as an administrator.
func (c *cluster) administer(ctx context.Context, limit time.Duration, do func(context.Context, *kadm.Client) error) error {
	client, err := c.kafka(kgo.RetryTimeout(limit))
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return do(ctx, kadm.NewClient(client))
}

// electPreferred asks for the preferred leaders of everything.
func (c *cluster) electPreferred(ctx context.Context) {
	err := c.administer(ctx, adminLimit, func(ctx context.Context, admin *kadm.Client) error {
		_, err := admin.ElectLeaders(ctx, kadm.ElectPreferredReplica, nil)
		return err
	})
	c.done.refused.add("elect", err)
}

// somePartition of those that can be moved about: also one of the topic in which the groups' commits are.
func (c *cluster) somePartition(f fault) (topic string, partition int32) {
	topics := append([]string{"__consumer_offsets"}, c.moving...)
	return topics[f.draw%uint64(len(topics))], int32(f.draw >> 16 % uint64(c.partitions))
}

// replicasFrom are all nodes, beginning with the n-th.
func (c *cluster) replicasFrom(n int) (replicas []int32) {
	for i := range c.nodes {
		replicas = append(replicas, int32((n-1+i)%len(c.nodes)+1))
	}
	return replicas
}

// transfer makes a node the preferred leader of some partition, and asks for its election until it leads.
func (c *cluster) transfer(ctx context.Context, f fault) {
	topic, partition := c.somePartition(f)
	wanted := int32(f.nodes[0])
	var set kadm.TopicsSet
	set.Add(topic, partition)
	err := c.administer(ctx, adminLimit, func(ctx context.Context, admin *kadm.Client) error {
		before, err := leaderOf(ctx, admin, topic, partition)
		if err != nil || before == wanted {
			return err
		}
		last := c.assign(ctx, admin, topic, partition, c.replicasFrom(f.nodes[0]))
		for ctx.Err() == nil {
			if leader, err := leaderOf(ctx, admin, topic, partition); err == nil && leader == wanted {
				c.done.transfers.Add(1)
				return nil
			}
			elected, err := admin.ElectLeaders(ctx, kadm.ElectPreferredReplica, set)
			last = cmp.Or(err, elected[topic][partition].Err)
			sleep(ctx, 100*time.Millisecond)
		}
		return last
	})
	c.done.refused.add("transfer", err)
}

func leaderOf(ctx context.Context, admin *kadm.Client, topic string, partition int32) (int32, error) {
	found, err := admin.Metadata(ctx, topic)
	if err != nil {
		return -1, err
	}
	return found.Topics[topic].Partitions[partition].Leader, found.Topics[topic].Partitions[partition].Err
}

// moveAway takes a replica of some partition away from a node.
func (c *cluster) moveAway(ctx context.Context, f fault) {
	topic, partition := c.somePartition(f)
	err := c.administer(ctx, adminLimit, func(ctx context.Context, admin *kadm.Client) error {
		err := c.assign(ctx, admin, topic, partition, c.replicasFrom(f.nodes[0])[1:])
		if err == nil {
			c.done.moves.Add(1)
		}
		return err
	})
	c.done.refused.add("move", err)
}

// moveBack gives every node a replica again.
func (c *cluster) moveBack(ctx context.Context, f fault) {
	topic, partition := c.somePartition(f)
	err := c.administer(ctx, adminLimit, func(ctx context.Context, admin *kadm.Client) error {
		return c.assign(ctx, admin, topic, partition, c.replicasFrom(f.nodes[0]))
	})
	c.done.refused.add("move back", err)
}

func (c *cluster) assign(ctx context.Context, admin *kadm.Client, topic string, partition int32, replicas []int32) error {
	var request kadm.AlterPartitionAssignmentsReq
	request.Assign(topic, partition, replicas)
	answer, err := admin.AlterPartitionAssignments(ctx, request)
	if err != nil {
		return err
	}
	return answer.Error()
}

// makeWhole brings all replicas back, now that nothing suffers, and waits until they are in sync.
func (c *cluster) makeWhole(ctx context.Context) error {
	last := errors.New("nobody answered")
	err := c.administer(ctx, settleLimit, func(ctx context.Context, admin *kadm.Client) error {
		for ctx.Err() == nil {
			if last = c.wholeOnce(ctx, admin); last == nil {
				return nil
			}
			sleep(ctx, 100*time.Millisecond)
		}
		return ctx.Err()
	})
	if err != nil {
		return fmt.Errorf("replicas do not come back: %w: %w", err, last)
	}
	return nil
}

func (c *cluster) wholeOnce(ctx context.Context, admin *kadm.Client) error {
	ctx, cancel := context.WithTimeout(ctx, adminLimit)
	defer cancel()
	found, err := admin.Metadata(ctx, append([]string{"__consumer_offsets"}, c.moving...)...)
	if err != nil {
		return err
	}
	var missing error
	found.Topics.EachPartition(func(p kadm.PartitionDetail) {
		replicas := slices.Sorted(slices.Values(p.Replicas))
		switch {
		case len(replicas) < len(c.nodes):
			missing = fmt.Errorf("%s-%d is on %v", p.Topic, p.Partition, p.Replicas)
			_ = c.assign(ctx, admin, p.Topic, p.Partition, c.replicasFrom(int(p.Partition)%len(c.nodes)+1))
		case len(replicas) > len(c.nodes) || len(p.ISR) < len(c.nodes):
			missing = fmt.Errorf("%s-%d is on %v, in sync are %v", p.Topic, p.Partition, p.Replicas, p.ISR)
		}
	})
	if missing != nil {
		return missing
	}
	ongoing, err := admin.ListPartitionReassignments(ctx, nil)
	if err != nil {
		return err
	}
	if n := len(ongoing.Sorted()); n > 0 {
		return fmt.Errorf("%d partitions are still being moved", n)
	}
	return nil
}
