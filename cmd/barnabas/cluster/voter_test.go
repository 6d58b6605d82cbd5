package cluster

import (
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/barnabas-log/barnabas/cmd/barnabas/cli"
	"github.com/barnabas-log/barnabas/cmd/barnabas/cli/clitest"
)

func TestVoterNamesANode(t *testing.T) {
	b := clitest.NewCluster(t, nil, Command)
	for _, verb := range []string{"add", "remove"} {
		for _, wrong := range []string{"x", "-- -1", "99999999999"} {
			b.Run("cluster", "voter", verb, wrong).Want(t, cli.ExitUsage)
		}
		b.Run("cluster", "voter", verb).Want(t, cli.ExitUsage)
	}
}

func TestRefusedKeepsCodeAndText(t *testing.T) {
	if err := refused(0, nil); err != nil {
		t.Error(err)
	}
	text := "Node 3 is no voter."
	if err := refused(kerr.VoterNotFound.Code, &text); !errors.Is(err, kerr.VoterNotFound) || err.Error() == "" {
		t.Error(err)
	}
}
