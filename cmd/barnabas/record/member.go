package record

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/barnabas-log/barnabas/cmd/barnabas/cli"
)

// member is our part in a consumer group. The client's callbacks collect what changed; the consumer takes it over between polls.
type member struct {
	started bool // an assignment came; used by the consumer's goroutine only
	ranges  cli.Ranges
	resets  map[string]map[int32]int64 // where a partition without a commit begins

	mu      sync.Mutex // mu guards following
	gained  []place
	lost    []place
	changed bool
}

// consumeAsMember consumes in a group.
func consumeAsMember(ctx context.Context, app *cli.App, f consumeFlags, req request, topics []string) error {
	session, err := app.Connect(ctx)
	if err != nil {
		return err
	}
	defer session.Close()
	m, err := newMember(ctx, app, session, req, topics)
	if err != nil {
		return err
	}
	c := newConsumer(app, f, req, session, cursors{})
	c.member = m
	reset := kgo.NewOffset().AtStart()
	if req.from.IsEnd() {
		reset = kgo.NewOffset().AtEnd()
	} else if ms, ok := req.from.Milliseconds(); ok {
		reset = kgo.NewOffset().AfterMilli(ms)
	}
	reader, err := app.Connect(ctx, append(c.options(),
		kgo.ConsumerGroup(f.group), kgo.ConsumeTopics(topics...), kgo.ConsumeResetOffset(reset),
		kgo.AutoCommitMarks(), kgo.AutoCommitInterval(time.Second),
		kgo.OnPartitionsAssigned(m.assigned), kgo.OnPartitionsRevoked(m.removed), kgo.OnPartitionsLost(m.removed))...)
	if err != nil {
		return err
	}
	defer reader.Close()
	c.client = reader.Client
	return c.end(ctx, c.run(ctx))
}

// newMember notes the ends of all partitions, where a run without --follow stops.
func newMember(ctx context.Context, app *cli.App, session *cli.Session, req request, topics []string) (*member, error) {
	ctx, cancel := app.Deadline(ctx)
	defer cancel()
	if _, err := session.Topics(ctx, topics...); err != nil {
		return nil, err
	}
	ranges, err := session.ListRanges(ctx, req.committed, topics...)
	if err != nil {
		return nil, err
	}
	resets, err := req.from.Resolve(ctx, session, ranges)
	if err != nil {
		return nil, err
	}
	return &member{ranges: ranges, resets: resets}, nil
}

func (m *member) assigned(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.changed = true
	m.gained = append(m.gained, places(partitions)...)
}

func (m *member) removed(_ context.Context, cl *kgo.Client, partitions map[string][]int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.changed = true
	for _, at := range places(partitions) {
		m.lost = append(m.lost, at)
		for i, g := range m.gained {
			if g == at {
				m.gained = append(m.gained[:i], m.gained[i+1:]...)
				break
			}
		}
	}
}

func places(partitions map[string][]int32) []place {
	var out []place
	for topic, list := range partitions {
		for _, p := range list {
			out = append(out, place{topic, p})
		}
	}
	return out
}

// absorbAssignment makes cursors for partitions that came and forgets those that went.
func (c *consumer) absorbAssignment(ctx context.Context) error {
	m := c.member
	if m == nil {
		return nil
	}
	m.mu.Lock()
	gained, lost, changed := m.gained, m.lost, m.changed
	m.gained, m.lost, m.changed = nil, nil, false
	m.mu.Unlock()
	if !changed {
		return nil
	}
	for _, at := range lost {
		delete(c.cursors, at)
	}
	if len(gained) == 0 {
		return nil
	}
	m.started = true
	ctx, cancel := c.app.Deadline(ctx)
	defer cancel()
	committed, err := c.session.Admin.FetchOffsets(ctx, c.flags.group)
	if err != nil {
		return fmt.Errorf("read what group %q committed: %w", c.flags.group, err)
	}
	for _, at := range gained {
		r := m.ranges[at.topic][at.partition]
		next := m.resets[at.topic][at.partition]
		if o, ok := committed.Lookup(at.topic, at.partition); ok && o.Err == nil && o.At >= 0 {
			next = max(o.At, r.Start)
		}
		stop := r.End
		if c.flags.follow {
			next, stop = 0, never
		}
		c.cursors[at] = &cursor{next, stop}
	}
	// A partition that was paused when it was done here before may have come back.
	resume := map[string][]int32{}
	for _, at := range gained {
		resume[at.topic] = append(resume[at.topic], at.partition)
	}
	c.client.ResumeFetchPartitions(resume)
	return nil
}
