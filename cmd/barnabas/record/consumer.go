package record

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/barnabas-log/barnabas/cmd/barnabas/cli"
)

// never is the stop of a partition that is followed.
const never = math.MaxInt64

// pollTime is how long one poll waits for records.
const pollTime = 500 * time.Millisecond

// place is a partition of a topic.
type place struct {
	topic     string
	partition int32
}

// cursor is how far a partition was read: next is the offset to come, stop the first that is not wanted.
type cursor struct{ next, stop int64 }

func (c *cursor) done() bool { return c.next >= c.stop }

type cursors map[place]*cursor

// offsets is where to start, for the client; partitions with nothing to read are left out.
func offsets(all cursors) map[string]map[int32]kgo.Offset {
	out := map[string]map[int32]kgo.Offset{}
	for at, c := range all {
		if c.done() {
			continue
		}
		if out[at.topic] == nil {
			out[at.topic] = map[int32]kgo.Offset{}
		}
		out[at.topic][at.partition] = kgo.NewOffset().At(c.next)
	}
	return out
}

// consumer is one run of `barnabas consume`. One goroutine uses it.
type consumer struct {
	app     *cli.App
	flags   consumeFlags
	request request
	session *cli.Session // for questions
	client  *kgo.Client  // for records
	out     *bufio.Writer

	cursors  cursors
	member   *member // nil without a group
	answers  *answers
	progress *cli.Progress
	printed  int64
	bytes    int64
}

func newConsumer(app *cli.App, f consumeFlags, req request, session *cli.Session, all cursors) *consumer {
	return &consumer{app: app, flags: f, request: req, session: session, cursors: all,
		out: bufio.NewWriterSize(app.Out, 64<<10), answers: &answers{}, progress: app.NewProgress()}
}

// options are those of the client that reads.
func (c *consumer) options() []kgo.Opt {
	opts := []kgo.Opt{
		kgo.FetchMaxWait(fetchWait(c.flags.follow)),
		kgo.KeepControlRecords(), // they move the position, they are not printed
		kgo.WithHooks(c.answers),
	}
	if c.request.committed {
		opts = append(opts, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	}
	return opts
}

// run reads until everything asked for was printed, the reader of our output is gone, or ctx ends.
func (c *consumer) run(ctx context.Context) error {
	idle, quiet, answered := 0, 0, 0
	for !c.finished() {
		poll, cancel := context.WithTimeout(ctx, pollTime)
		fetches := c.client.PollRecords(poll, 10_000)
		cancel()
		if err := c.absorbAssignment(ctx); err != nil {
			return err
		}
		if err := fetchError(fetches); err != nil {
			return err
		}
		if err := c.take(fetches); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if fetches.NumRecords() > 0 {
			idle, quiet, answered = 0, 0, 0
			c.answers.reset()
			continue
		}
		if idle++; idle >= 2 && !c.flags.follow {
			c.skipGaps(ctx)
		}
		quiet++
		if n := c.answers.total(); n != answered {
			quiet, answered = 0, n
		}
		if err := c.checkReachable(ctx, time.Duration(quiet)*pollTime); err != nil {
			return err
		}
	}
	return nil
}

// take prints the records of one poll, flushes, and only then marks them for the commit.
func (c *consumer) take(fetches kgo.Fetches) error {
	var taken []*kgo.Record
	for records := fetches.RecordIter(); !records.Done(); {
		r := records.Next()
		at := c.cursors[place{r.Topic, r.Partition}]
		if at == nil || r.Offset < at.next || at.done() || r.Offset >= at.stop || c.full() {
			if at != nil && r.Offset >= at.stop {
				at.next = at.stop
			}
			continue
		}
		at.next = r.Offset + 1
		taken = append(taken, r)
		if r.Attrs.IsControl() {
			continue
		}
		if err := c.request.print(c.out, r); err != nil {
			return err
		}
		c.printed++
		c.bytes += int64(len(r.Key) + len(r.Value))
	}
	if err := c.out.Flush(); err != nil {
		return fmt.Errorf("write records: %w", err)
	}
	if c.member != nil {
		c.client.MarkCommitRecords(taken...)
	}
	c.pauseDone()
	if c.app.OutTerminal {
		return nil // the records themselves show that it goes on
	}
	c.progress.Show(c.printed, c.bytes)
	return nil
}

func (c *consumer) full() bool { return c.flags.count > 0 && c.printed >= c.flags.count }

// finished says that nothing more is to be printed.
func (c *consumer) finished() bool {
	if c.full() {
		return true
	}
	if c.member != nil && !c.member.started {
		return false
	}
	for _, cursor := range c.cursors {
		if !cursor.done() {
			return false
		}
	}
	return c.member == nil || !c.flags.follow
}

// pauseDone stops fetching what is not wanted.
func (c *consumer) pauseDone() {
	done := map[string][]int32{}
	for at, cursor := range c.cursors {
		if cursor.done() {
			done[at.topic] = append(done[at.topic], at.partition)
		}
	}
	if len(done) > 0 {
		c.client.PauseFetchPartitions(done)
	}
}

// skipGaps finishes partitions whose last offsets hold no record any more, because compaction or a transaction left none there: the leader has
// answered several fetches since the last record came, and none of them had one.
func (c *consumer) skipGaps(ctx context.Context) {
	ctx, cancel := c.app.Deadline(ctx)
	defer cancel()
	var topics []string
	for at, cursor := range c.cursors {
		if !cursor.done() {
			topics = append(topics, at.topic)
		}
	}
	if len(topics) == 0 {
		return
	}
	m, err := c.session.Admin.Metadata(ctx, topics...)
	if err != nil {
		return // asked again after the next empty poll
	}
	for at, cursor := range c.cursors {
		if p, ok := m.Topics[at.topic].Partitions[at.partition]; ok && c.answers.since(p.Leader) >= 3 {
			cursor.next = cursor.stop
		}
	}
}

// checkReachable ends a run in which no broker has answered a fetch for the whole timeout. A run with --follow goes on, but says so.
func (c *consumer) checkReachable(ctx context.Context, quiet time.Duration) error {
	timeout, _ := c.app.Timeout()
	wait := max(timeout, 2*fetchWait(c.flags.follow))
	if quiet < wait || quiet >= wait+pollTime { // once for each silence
		return nil
	}
	ctx, cancel := c.app.Deadline(ctx)
	defer cancel()
	err := c.client.Ping(ctx)
	switch {
	case err != nil && c.flags.follow:
		c.app.Notef("no answer from the cluster for %s: waiting", cli.Elapsed(quiet))
		return nil
	case err != nil:
		return err
	case c.member != nil && len(c.cursors) == 0:
		c.app.Notef("no partition was assigned to this member")
		c.member.started = true
		return nil
	case c.flags.follow:
		return nil
	}
	return cli.Failedf("no record and no answer to a fetch for %s", cli.Elapsed(quiet))
}

// end commits, says what was done and decides about the error. Ctrl-C is how --follow ends, and no failure.
func (c *consumer) end(ctx context.Context, err error) error {
	c.progress.Clear()
	interrupted := errors.Is(err, context.Canceled)
	if c.member != nil && (err == nil || interrupted) {
		commit, cancel := c.app.Deadline(context.WithoutCancel(ctx))
		defer cancel()
		if commitErr := c.client.CommitMarkedOffsets(commit); commitErr != nil {
			return fmt.Errorf("commit offsets of group %q: %w", c.flags.group, commitErr)
		}
	}
	if interrupted && c.flags.follow {
		err = nil
	}
	if err == nil && !c.flags.quiet && (c.printed == 0 || c.app.Terminal) {
		c.app.Notef("%s", cli.Plural(c.printed, "record"))
	}
	return err
}

// fetchError is the first error of a poll that is not about the poll itself.
func fetchError(fetches kgo.Fetches) error {
	var found error
	fetches.EachError(func(topic string, partition int32, err error) {
		switch {
		case found != nil, errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		case errors.Is(err, kerr.OffsetOutOfRange):
			found = cli.WithHint(fmt.Errorf("read %s/%d: the records were deleted before they were read", topic, partition),
				"retention or `topic trim` removed them; start again from `start`")
		default:
			found = fmt.Errorf("read %s/%d: %w", topic, partition, cli.Refused(err, ""))
		}
	})
	return found
}

// answers counts the fetches that each broker answered since the last record.
type answers struct {
	mu     sync.Mutex // mu guards following
	counts map[int32]int
}

// OnBrokerRead is called by the client for every response.
func (a *answers) OnBrokerRead(broker kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, err error) {
	const fetch = 1
	if key != fetch || err != nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.counts == nil {
		a.counts = map[int32]int{}
	}
	a.counts[broker.NodeID]++
}

func (a *answers) reset() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.counts)
}

func (a *answers) since(broker int32) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.counts[broker]
}

// total counts the answers of all brokers.
func (a *answers) total() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := 0
	for _, count := range a.counts {
		n += count
	}
	return n
}
