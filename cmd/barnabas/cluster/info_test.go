package cluster

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/barnabas-log/barnabas/cmd/barnabas/cli/clitest"
)

func TestAPINamesAreKafkas(t *testing.T) {
	for key := range int16(kmsg.MaxKey + 1) {
		want := kmsg.NameForKey(key)
		if want == "Unknown" {
			continue
		}
		if want == "AlterPartitionAssignments" {
			want = "AlterPartitionReassignments" // Kafka's name; the codec spells some differently
		}
		if got := apiName(key); !strings.EqualFold(got, want) {
			t.Errorf("key %d is %q, want %q", key, got, want)
		}
	}
	if got := apiName(999); got != "key 999" {
		t.Errorf("%q", got)
	}
}

func TestInfoShowsBrokersFeaturesAndAPIs(t *testing.T) {
	b := clitest.NewCluster(t, []kfake.Opt{kfake.NumBrokers(3)}, Command)
	b.Create("orders", 6)
	r := b.Run("cluster", "info").Want(t, 0).Contains(t,
		"Cluster ID:  castle\n", "Controller:  broker ", "Brokers:     3\n", "Topics:      1\n", "Partitions:  6\n",
		"BROKER  HOST       ", "LEADS  REPLICAS  STORED  NOTE\n", "FEATURE", "IN FORCE  SUPPORTED\n")
	if strings.Contains(r.Out, "Produce") {
		t.Fatalf("APIs are shown only on request:\n%s", r.Out)
	}
	b.Run("cluster", "info", "--apis").Want(t, 0).Contains(t, "KEY  API", "Produce", "OffsetForLeaderEpoch")
}

func TestInfoAsJSON(t *testing.T) {
	b := clitest.NewCluster(t, []kfake.Opt{kfake.NumBrokers(3)}, Command)
	b.Create("orders", 6)
	r := b.Run("cluster", "info", "--json").Want(t, 0)
	var d described
	if err := json.Unmarshal([]byte(r.Out), &d); err != nil {
		t.Fatal(err)
	}
	leads, controllers := 0, 0
	for _, b := range d.Brokers {
		leads += b.Leads
		if b.Controller {
			controllers++
		}
	}
	if d.ClusterID != "castle" || len(d.Brokers) != 3 || leads != 6 || controllers != 1 || len(d.APIs) == 0 || d.APIs[0].Name != "Produce" || len(d.Features) == 0 {
		t.Fatalf("%s", r.Out)
	}
}

func TestInfoWithoutSizes(t *testing.T) {
	b := clitest.New(t, Command)
	b.Cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.DescribeLogDirs}, Err: kerr.ClusterAuthorizationFailed, TopLevel: true, Count: -1})
	b.Run("cluster", "info").Want(t, 0).Contains(t, "Cluster ID:  castle\n")
}

func TestInfoRefusesArguments(t *testing.T) {
	b := clitest.New(t, Command)
	b.Run("cluster", "info", "x").Want(t, 2).Says(t, `does not take "x"`)
	b.Run("cluster", "infos").Want(t, 2).Says(t, `did you mean "barnabas cluster info"?`)
}
