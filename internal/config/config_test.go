package config

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func load(t *testing.T, in Input) (*Server, []Warning) {
	t.Helper()
	s, warnings, err := Load(in)
	if err != nil {
		t.Fatal(err)
	}
	return s, warnings
}
