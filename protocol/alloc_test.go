package protocol

import (
	"testing"
	"time"

	"github.com/barnabas-log/barnabas/partition"
)

// allocations measures what one exchange of a frame for a reply allocates, in the whole process.
func allocations(t *testing.T, c *raw, frame []byte) float64 {
	t.Helper()
	buffer := make([]byte, 1<<20)
	c.SetDeadline(time.Time{})
	return testing.AllocsPerRun(300, func() {
		if _, err := c.Write(frame); err != nil {
			t.Fatal(err)
		}
		discard(t, c.r, 1, buffer)
	})
}

// The hot paths may not grow allocations unnoticed. The bounds are what was measured, and a little air for the runtime's own.
func TestHotPathsAllocateLittle(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	s := serve(t, Options{})
	s.create("t", 1, partition.Config{})
	c := dial(t, s)
	for range 20 {
		c.produced(produceTo("t", 0, 9, -1, filled(15<<10)))
	}
	small, large := fetchFrom("t", 0, 11, 0), fetchFrom("t", 0, 11, 0)
	small.MaxBytes = 17 << 10
	for name, tc := range map[string]struct {
		frame []byte
		most  float64
	}{
		"a produce":                  {c.frame(produceTo("t", 0, 9, -1, batch(1))), 18},
		"a fetch that is copied":     {c.frame(small), 12},
		"a fetch that sends a file":  {c.frame(large), 22},
		"an idle fetch":              {c.frame(fetchFrom("t", 0, 11, 1<<40)), 14},
		"a large produce in one run": {c.frame(produceTo("t", 0, 9, -1, filled(500<<10))), 20},
	} {
		if n := allocations(t, c, tc.frame); n > tc.most {
			t.Errorf("%s: %.0f allocations, at most %.0f are allowed", name, n, tc.most)
		}
	}
}
