package main

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if playClock() {
		return
	}
	goleak.VerifyTestMain(m)
}

func TestResultsNameNoDirectoryOfTheMachine(t *testing.T) {
	if got := command([]string{"run", "--dir", "/a", "produce", "--dir=/b", "--for", "8s"}); got != "go run ./bench run produce --for 8s" {
		t.Error(got)
	}
}
