package partition

import (
	"errors"
	"math"
	"testing"

	"github.com/barnabas-log/barnabas/internal/metrics"
)

func TestLeadershipAndLagAreCounted(t *testing.T) {
	registry := metrics.New()
	r := newReplica(t, Config{DeletePolicy: true})
	r.p.metrics = NewMetrics(registry)
	check := func(when string, won, lost, trims, failures float64) {
		t.Helper()
		for name, want := range map[string]float64{"leaderships_won": won, "leaderships_lost": lost, "trims": trims, "failures": failures} {
			if got, _ := registry.Value("partition_" + name + "_total"); got != want {
				t.Errorf("%s: %s is %v, not %v", when, name, got, want)
			}
		}
	}
	r.p.Resign(1, 2)
	check("another leads", 0, 0, 0, 0)
	r.elect(2)
	r.p.Lead(2) // told twice
	check("elected", 1, 0, 0, 0)
	r.p.Resign(3, 2)
	r.p.Resign(3, 2)
	check("voted out", 1, 1, 0, 0)
	r.elect(4)
	r.elect(5) // without a word on the end of the one before
	check("elected twice", 3, 2, 0, 0)

	if _, err := r.p.Append(plainBatch(10), AcksAll); err != nil {
		t.Fatal(err)
	}
	if r.p.Lag() != 0 {
		t.Errorf("%d of what is not stored", r.p.Lag())
	}
	r.store(math.MaxInt)
	if r.p.Lag() != 10 {
		t.Errorf("lag is %d", r.p.Lag())
	}
	r.commit(math.MaxInt)
	if r.p.Lag() != 0 {
		t.Errorf("lag is %d after everything was applied", r.p.Lag())
	}
	if _, err := r.p.proposeCommand(encodeTrim(5)); err != nil {
		t.Fatal(err)
	}
	r.run()
	check("trimmed", 3, 2, 1, 0)
	r.p.Failed(errors.New("no disk"))
	r.p.Failed(errors.New("no disk"))
	check("stopped", 3, 3, 1, 1)
}
