package e2e

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

// restartRecords is what each client writes, in four parts. The broker is killed in the second and stopped in the third.
const restartRecords = 800

// All clients write and read while the broker is killed and restarted, then stopped and restarted. What was acknowledged is there;
// what an idempotent producer wrote is there once and in order.
func TestClientsLiveThroughRestarts(t *testing.T) {
	broker := startServer(t, sharedSettings...)
	runs := startRestartRuns(t, broker)
	phase := func(first, count int) {
		var writers sync.WaitGroup
		for _, run := range runs {
			writers.Go(func() {
				for _, r := range numbered(run.client.name, first, count) {
					run.producer.send(t, r)
					time.Sleep(time.Millisecond)
				}
			})
		}
		writers.Wait()
	}
	restart := func(end func(), first int) {
		var during sync.WaitGroup
		during.Go(func() { phase(first, restartRecords/4) })
		time.Sleep(restartRecords / 4 * time.Millisecond / 2)
		end()
		broker.start(t)
		during.Wait()
	}
	phase(0, restartRecords/4)
	for _, run := range runs {
		run.consumer.awaitRecords(t, 1) // so that none is still starting when the broker dies
	}
	restart(broker.kill, restartRecords/4)
	restart(func() { broker.stop(t) }, restartRecords/2)
	phase(restartRecords*3/4, restartRecords/4)

	for _, run := range runs {
		t.Run(run.client.name, func(t *testing.T) { run.check(t, broker) })
	}
}

type restartRun struct {
	client             *client
	topic              string
	producer, consumer *process
}

func startRestartRuns(t *testing.T, broker *server) []*restartRun {
	var runs []*restartRun
	for _, c := range clients {
		if !c.installed(t) {
			continue
		}
		run := &restartRun{client: c, topic: "restart." + c.name}
		createTopic(t, broker.address, run.topic, 1)
		run.producer = c.start(t, broker.address, "produce", run.topic, fmt.Sprintf("idempotent=%t", c.idempotent))
		run.consumer = c.start(t, broker.address, "group", run.topic, "group="+run.topic)
		runs = append(runs, run)
	}
	if len(runs) == 0 {
		unavailable(t, "every client", "run `make clients`")
	}
	return runs
}

func (r *restartRun) check(t *testing.T, broker *server) {
	r.producer.finish(t)
	want := numbered(r.client.name, 0, restartRecords)
	got := readReference(t, broker.address, r.topic)
	if r.client.idempotent {
		expectRecords(t, "what "+r.client.name+" wrote", want, got)
	}
	expectAll(t, "the topic", want, got)
	awaitValues(t, r.client.name, restartRecords, r.consumer)
	r.consumer.leave(t)
}

// expectAll checks that nothing is missing; something may be there twice.
func expectAll(t testing.TB, who string, want, got []record) {
	t.Helper()
	seen := map[string]bool{}
	for _, r := range got {
		seen[string(r.Value)] = true
	}
	missing := 0
	for _, r := range want {
		if !seen[string(r.Value)] {
			missing++
		}
	}
	if missing > 0 {
		t.Errorf("%s lacks %d of %d records", who, missing, len(want))
	}
}
