package e2e

import (
	"context"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The program of the kafkajs tutorials, against a broker that was never used and has no topic.
func TestKafkajsTutorialRunsUnchanged(t *testing.T) {
	requireProgram(t, "node", "install Node 18 or newer with npm, then run `make clients`")
	requireFile(t, clientsDir("kafkajs", "node_modules", "kafkajs"), "run `make clients`")
	broker := startServer(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tutorial := exec.CommandContext(ctx, "node", clientsDir("kafkajs", "tutorial.js"), strconv.Itoa(portOf(broker.address)))
	output, err := tutorial.CombinedOutput()
	if err != nil {
		t.Fatalf("the tutorial ended with %v:\n%s", err, output)
	}
	for _, line := range []string{
		"offset 0 key user-1: send an email to k@castle.example", "key user-2: send an email to frieda@castle.example",
	} {
		if !strings.Contains(string(output), line) {
			t.Errorf("the tutorial did not print %q:\n%s", line, output)
		}
	}
}
