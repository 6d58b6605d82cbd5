package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/barnabas-log/barnabas/internal/history"
)

const (
	killPartitions = 4
	// serveLimit is how long a node may take to serve after a start.
	serveLimit = time.Minute
)

// killOften kills a node again and again, at random moments: usually 20 to 400 ms after it has acknowledged something, every tenth time sooner, while it still starts.
func (o *faultsOptions) killOften(ctx context.Context, dir string) error {
	t, err := o.begin(ctx, dir, killPartitions)
	if err != nil {
		return err
	}
	defer t.close()
	k := &killer{trial: t, random: rand.New(rand.NewPCG(o.seed, 4)), number: t.people.producers.Add(1)}
	if k.client, err = t.cluster.kafka(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0), kgo.ClientID("prober"),
		kgo.RetryBackoffFn(func(int) time.Duration { return 2 * time.Millisecond }), kgo.MetadataMinAge(10*time.Millisecond)); err != nil {
		return err
	}
	defer k.client.Close()
	begun := time.Now()
	for k.kills < o.kills && ctx.Err() == nil {
		if err := k.once(ctx); err != nil {
			return fmt.Errorf("kill %d: %w", k.kills, err)
		}
		if k.kills%100 == 0 {
			fmt.Printf("%d kills in %v, %d acknowledged, worst start %v\n", k.kills, time.Since(begun).Round(time.Second), t.people.acked.Load(), k.worst.Round(time.Millisecond))
		}
	}
	if err := k.probe(ctx); err != nil {
		return err
	}
	problems := t.finish(ctx)
	for _, m := range t.cluster.nodes {
		problems = append(problems, complaints(m.log())...)
	}
	verdict, err := t.verdict()
	if err != nil {
		return err
	}
	t.people.report()
	fmt.Println(verdict)
	fmt.Printf("%d kills of %d nodes in %v (%d of them while the node started), %d records acknowledged; from a start to the first acknowledged produce: median %v, 99%% %v, worst %v\n",
		k.kills, o.nodes, time.Since(begun).Round(time.Second), k.early, verdict.Counts.Acknowledged, k.starts.at(0.5), k.starts.at(0.99), k.worst.Round(time.Millisecond))
	if !verdict.Sound() {
		return errors.Join(errBroken, failed(problems))
	}
	return failed(problems)
}

// killer kills nodes and looks when they serve again.
type killer struct {
	*trial
	random *rand.Rand
	client *kgo.Client // waits for nothing
	number int32       // as a producer in the history
	sent   int64

	kills, early int
	starts       waits
	worst        time.Duration
}

// once waits until a record is acknowledged, kills one node a little later, and starts it.
func (k *killer) once(ctx context.Context) error {
	m := k.cluster.nodes[k.random.IntN(len(k.cluster.nodes))]
	if k.kills > 0 && k.random.IntN(10) == 0 {
		k.early++
		pause(ctx, time.Duration(k.random.Int64N(int64(120*time.Millisecond))))
	} else {
		if err := k.probe(ctx); err != nil {
			return err
		}
		pause(ctx, 20*time.Millisecond+time.Duration(k.random.Int64N(int64(380*time.Millisecond))))
	}
	m.end(syscall.SIGKILL)
	k.kills++
	return m.start()
}

// probe produces a record to some partition, and notes how long after the last start of a node it was acknowledged.
func (k *killer) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, serveLimit)
	defer cancel()
	p := history.Partition{Topic: faultsTopic, Number: k.random.Int32N(killPartitions)}
	id := history.ID{Producer: k.number, Number: k.sent}
	k.sent++
	k.people.recorder.Record(history.Event{Kind: history.Invoked, Partition: p, ID: id})
	record, err := k.client.ProduceSync(ctx, &kgo.Record{Topic: p.Topic, Partition: p.Number, Value: history.NewPayload(id, 100)}).First()
	if err != nil {
		return fmt.Errorf("the first produce after a start: %w", err)
	}
	k.people.recorder.Record(history.Event{Kind: history.Acknowledged, Partition: p, ID: id, Offset: record.Offset})
	k.people.acked.Add(1)
	var last time.Time
	for _, m := range k.cluster.nodes {
		if process := m.running(); process != nil && process.started.After(last) {
			last = process.started
		}
	}
	if k.kills > 0 {
		took := time.Since(last)
		k.starts.add(took)
		k.worst = max(k.worst, took)
	}
	return nil
}

// pause waits, unless ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
