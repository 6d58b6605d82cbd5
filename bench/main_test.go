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
