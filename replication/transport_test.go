package replication

import (
	"fmt"
	"testing"
	"time"
)

// A node that was away for long and is back is asked for its groups soon, and less and less often.
func TestPaceOfAttempts(t *testing.T) {
	p := pace{minBackoff}
	for range 20 {
		if pause := p.after(fmt.Errorf("node 3: %w", ErrUnreachable)); pause != time.Second {
			t.Fatalf("%v until the next look at a node that is away", pause)
		}
	}
	want := minBackoff
	for k := range 10 {
		if pause := p.after(ErrUnknownGroup); pause != min(want, time.Second) {
			t.Fatalf("attempt %d waits %v, not %v", k, pause, want)
		}
		want *= 2
	}
}
