package broker

import "testing"

func TestMemoryIsGivenBackWhenItIsQuiet(t *testing.T) {
	for _, c := range []struct {
		name        string
		before, now memoryUse
		want        bool
	}{
		{"the first look", memoryUse{}, memoryUse{1 << 20, 100 << 20}, false},
		{"quiet, much to give", memoryUse{1 << 30, 0}, memoryUse{1<<30 + 1<<20, 100 << 20}, true},
		{"quiet, nothing to give", memoryUse{1 << 30, 0}, memoryUse{1<<30 + 1<<20, 1 << 20}, false},
		{"busy", memoryUse{1 << 30, 0}, memoryUse{2 << 30, 100 << 20}, false},
	} {
		if got := worthGivingBack(c.before, c.now); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
	}
	if now := readMemory(); now.allocated == 0 {
		t.Error("the runtime does not say what was allocated")
	}
}
