package testcluster

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	flag.Parse()
	// The tests wait for timeouts of the cluster most of the time: all of them may run at once.
	_ = flag.Lookup("test.parallel").Value.Set("6")
	goleak.VerifyTestMain(m)
}
