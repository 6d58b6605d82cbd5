package config

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/barnabas-log/barnabas/cmd/barnabas/cli/clitest"
)

func TestTopicConfigsRoundTrip(t *testing.T) {
	b := clitest.New(t, Command)
	b.Create("orders", 1)
	b.Run("config", "describe", "topic", "orders").Want(t, 0).WantOut(t, "").Says(t, `topic "orders" has only defaults`)
	b.Run("config", "set", "topic", "orders", "retention.ms=7", "cleanup.policy=compact,delete").Want(t, 0).WantOut(t, "").
		Says(t, `topic "orders": retention.ms=7`, `topic "orders": cleanup.policy=compact,delete`)
	b.Run("config", "describe", "topic", "orders").Want(t, 0).WantOut(t, ""+
		"CONFIG          VALUE           SOURCE\n"+
		"cleanup.policy  compact,delete  topic\n"+
		"retention.ms    7               topic\n")
	b.Run("config", "delete", "topic", "orders", "cleanup.policy").Want(t, 0).Says(t, "cleanup.policy is back to its default")
	r := b.Run("config", "describe", "topic", "orders", "--json").Want(t, 0)
	var e Entry
	if err := json.Unmarshal([]byte(r.Out), &e); err != nil {
		t.Fatal(err)
	}
	if e.Name != "retention.ms" || *e.Value != "7" || e.Source != "topic" || e.Default {
		t.Fatalf("%s", r.Out)
	}
	all := b.Run("config", "describe", "topic", "orders", "--all").Want(t, 0).Contains(t, "segment.bytes", "default", "retention.ms")
	if strings.Count(all.Out, "\n") < 8 {
		t.Fatalf("few configurations:\n%s", all.Out)
	}
}

func TestBrokerConfigs(t *testing.T) {
	b := clitest.New(t, Command)
	b.Run("config", "describe", "broker", "0", "--all").Want(t, 0).Contains(t, "message.max.bytes")
	b.Run("config", "set", "broker", "0", "message.max.bytes=5000").Want(t, 0).Says(t, "broker 0: message.max.bytes=5000")
	b.Run("config", "describe", "broker", "0").Want(t, 0).Contains(t, "message.max.bytes", "5000")
	b.Run("config", "set", "broker", "all", "min.insync.replicas=2").Want(t, 0).Says(t, "all brokers: min.insync.replicas=2")
	b.Run("config", "delete", "broker", "0", "message.max.bytes").Want(t, 0)
	b.Run("config", "describe", "broker", "9").Want(t, 4).Says(t, "broker 9 does not exist", "the brokers are 0")
}

func TestUnknownConfigSuggestsNearNames(t *testing.T) {
	b := clitest.New(t, Command)
	b.Create("orders", 1)
	b.Cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.IncrementalAlterConfigs}, Err: kerr.InvalidConfig})
	b.Run("config", "set", "topic", "orders", "retention.m=1").Want(t, 1).Says(t, "INVALID_CONFIG", `did you mean "retention.ms"`)
}

func TestConfigRefusesNonsense(t *testing.T) {
	b := clitest.New(t, Command)
	b.Create("orders", 1)
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"no target":     {[]string{"describe"}, 2, "needs more"},
		"no name":       {[]string{"describe", "topic"}, 2, "needs more"},
		"what":          {[]string{"describe", "user", "x"}, 2, "write topic NAME or broker ID"},
		"broker name":   {[]string{"describe", "broker", "one"}, 2, "is not a broker"},
		"no value":      {[]string{"set", "topic", "orders", "retention.ms"}, 2, "name=value"},
		"nothing":       {[]string{"set", "topic", "orders"}, 2, "needs more"},
		"twice":         {[]string{"delete", "topic", "orders", "a", "a"}, 2, "twice"},
		"unknown topic": {[]string{"set", "topic", "order", "a=1"}, 4, `did you mean "orders"?`},
	} {
		t.Run(name, func(t *testing.T) {
			b.Run(append([]string{"config"}, c.args...)...).Want(t, c.code).WantOut(t, "").Says(t, c.says)
		})
	}
}
