package metadata

import (
	"os"
	"strings"
	"testing"
)

// The files in testdata/v0 were written by the first version. They are never edited: every later version must read them.
func TestReadsWhatVersion0Wrote(t *testing.T) {
	lines, err := os.ReadFile("testdata/v0/commands.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	s := NewState(nil)
	for i, line := range strings.Split(strings.TrimSpace(string(lines)), "\n") {
		c, err := DecodeCommand([]byte(line))
		if err != nil {
			t.Fatal(err)
		}
		if got := string(mustEncode(t, c)); got != line {
			t.Errorf("read differently:\n%s\n%s", line, got)
		}
		if err := errorOf(s.Apply(uint64(i+1), []byte(line))); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
	want, err := os.ReadFile("testdata/v0/snapshot.json")
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Snapshot()
	if err != nil || string(got) != strings.TrimSpace(string(want)) {
		t.Errorf("the commands lead elsewhere (%v):\n%s\n%s", err, want, got)
	}
	if _, err := DecodeImage(want); err != nil {
		t.Error(err)
	}
}
