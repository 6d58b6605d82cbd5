package topic

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/barnabas-log/barnabas/cmd/barnabas/cli/clitest"
)

func TestCreateListDeleteRoundTrip(t *testing.T) {
	b := clitest.NewCluster(t, []kfake.Opt{kfake.NumBrokers(3)}, Command)
	b.Run("topic", "list").Want(t, 0).WantOut(t, "").Says(t, "there are no topics")
	b.Run("topic", "create", "orders", "-p", "12", "-r", "3", "-c", "retention.ms=1000").Want(t, 0).WantOut(t, "").
		Says(t, `created topic "orders" with 12 partitions, replication factor 3`)
	b.Run("topic", "create", "payments").Want(t, 0).Says(t, `with 1 partition,`)
	b.Run("topic", "list").Want(t, 0).WantOut(t, ""+
		"TOPIC     PARTITIONS  REPLICAS\n"+
		"orders            12         3\n"+
		"payments           1         3\n")
	b.Run("topic", "list", "pay*").Want(t, 0).Contains(t, "payments")
	b.Run("topic", "list", "zzz*").Want(t, 0).WantOut(t, "").Says(t, "no topic matches")
	b.Run("topic", "delete", "orders", "payments").Want(t, 0).Says(t, `deleted topic "orders"`, `deleted topic "payments"`)
	b.Run("topic", "list").Want(t, 0).WantOut(t, "")
}

func TestListAsJSON(t *testing.T) {
	b := clitest.New(t, Command)
	b.Create("orders", 3)
	for _, flag := range []string{"--json", "--output=json", "-ojson"} {
		r := b.Run("topic", "list", flag).Want(t, 0)
		var line listed
		if err := json.Unmarshal([]byte(r.Out), &line); err != nil {
			t.Fatalf("%s: %v in %q", flag, err, r.Out)
		}
		if line.Topic != "orders" || line.Partitions != 3 || line.ReplicationFactor != 1 || len(line.ID) != 22 {
			t.Fatalf("%s: %+v", flag, line)
		}
	}
}

func TestCreateExistingTopic(t *testing.T) {
	b := clitest.New(t, Command)
	b.Create("orders", 2)
	b.Run("topic", "create", "orders").Want(t, 1).WantOut(t, "").
		Says(t, `error: create topic "orders": TOPIC_ALREADY_EXISTS`, "hint: --if-not-exists")
	b.Run("topic", "create", "orders", "--if-not-exists").Want(t, 0).Says(t, "exists already")
	b.Run("topic", "create", "orders", "new", "--if-not-exists").Want(t, 0).Says(t, `created topic "new"`)
}

func TestCreateWithUnknownConfigSuggestsNearNames(t *testing.T) {
	b := clitest.New(t, Command)
	b.Create("other", 1)
	b.Cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.CreateTopics}, Err: kerr.InvalidConfig})
	b.Run("topic", "create", "orders", "-c", "retention.m=1").Want(t, 1).Says(t, `create topic "orders": INVALID_CONFIG`, `did you mean "retention.ms"`)
}

func TestCreateValidateOnlyCreatesNothing(t *testing.T) {
	b := clitest.New(t, Command)
	b.Run("topic", "create", "orders", "--validate-only").Want(t, 0).Says(t, "could be created")
	if b.Cluster.TopicInfo("orders") != nil {
		t.Fatal("the topic was created")
	}
}

func TestCreateRefusesNonsense(t *testing.T) {
	b := clitest.New(t, Command)
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"no name":           {[]string{"create"}, 2, "needs more"},
		"zero partitions":   {[]string{"create", "a", "-p", "0"}, 2, "at least one"},
		"zero replicas":     {[]string{"create", "a", "-r", "0"}, 2, "at least one replica"},
		"bad config":        {[]string{"create", "a", "-c", "retention"}, 2, "name=value"},
		"config twice":      {[]string{"create", "a", "-c", "x=1", "-c", "x=2"}, 2, "twice"},
		"bad name":          {[]string{"create", "a b"}, 2, "letters, digits"},
		"unknown flag":      {[]string{"create", "a", "--partitons", "3"}, 2, "unknown flag: --partitons"},
		"not a number":      {[]string{"create", "a", "-p", "x"}, 2, "invalid argument"},
		"too many replicas": {[]string{"create", "a", "-r", "9"}, 1, "INVALID_REPLICATION_FACTOR"},
		"unknown verb":      {[]string{"crate", "a"}, 2, `did you mean "barnabas topic create"`},
		"no verb":           {nil, 2, "Available Commands"},
		"bad output":        {[]string{"list", "-o", "xml"}, 2, "table or json"},
		"bad pattern":       {[]string{"list", "["}, 2, "not a pattern"},
	} {
		t.Run(name, func(t *testing.T) {
			b.Run(append([]string{"topic"}, c.args...)...).Want(t, c.code).WantOut(t, "").Says(t, c.says)
		})
	}
}

func TestUnknownTopicSuggestsNearNames(t *testing.T) {
	b := clitest.New(t, Command)
	b.Create("orders", 1)
	b.Create("payments", 1)
	for _, args := range [][]string{{"describe", "ordesr"}, {"delete", "Orders"}, {"alter", "oders", "--set", "a=b"}, {"trim", "order", "--before", "end"}} {
		b.Run(append([]string{"topic"}, args...)...).Want(t, 4).WantOut(t, "").Says(t, "does not exist", `did you mean "orders"?`)
	}
	b.Run("topic", "describe", "invoices").Want(t, 4).Says(t, "barnabas topic create invoices")
	b.Run("topic", "delete", "nope", "--if-exists").Want(t, 0).Says(t, "does not exist")
}

func TestDescribeShowsPartitionsOffsetsAndConfigs(t *testing.T) {
	b := clitest.New(t, Command)
	b.Run("topic", "create", "orders", "-p", "2", "-c", "retention.ms=5000").Want(t, 0)
	b.Produce(records("orders", 1, 5)...)
	if err := b.Cluster.DeleteRecords("orders", 1, 2); err != nil {
		t.Fatal(err)
	}
	r := b.Run("topic", "describe", "orders").Want(t, 0).Contains(t,
		"Topic:               orders\n", "Partitions:          2\n", "Offsets held:        3\n",
		"PARTITION  LEADER  EPOCH  REPLICAS  IN SYNC  START  END", "retention.ms  5000   topic")
	lines := strings.Split(r.Out, "\n")
	found := false
	for _, line := range lines {
		f := strings.Fields(line)
		if len(f) > 6 && f[0] == "1" && f[5] == "2" && f[6] == "5" {
			found = true
		}
	}
	if !found {
		t.Fatalf("no line for partition 1 with start 2 and end 5:\n%s", r.Out)
	}
}

func TestDescribeAsJSON(t *testing.T) {
	b := clitest.New(t, Command)
	b.Create("orders", 1)
	b.Produce(records("orders", 0, 3)...)
	r := b.Run("topic", "describe", "orders", "--json").Want(t, 0)
	var d described
	if err := json.Unmarshal([]byte(r.Out), &d); err != nil {
		t.Fatal(err)
	}
	p := d.Partitions[0]
	if d.Topic != "orders" || d.Records != 3 || p.End != 3 || p.Start != 0 || p.Bytes <= 0 || d.Bytes != p.Bytes || len(p.Replicas) != 1 {
		t.Fatalf("%+v", d)
	}
}

func TestAlterConfigsAndPartitions(t *testing.T) {
	b := clitest.New(t, Command)
	b.Create("orders", 1)
	b.Run("topic", "alter", "orders", "--set", "retention.ms=7", "--set", "max.message.bytes=9000", "--partitions", "4").Want(t, 0).
		Says(t, `topic "orders": retention.ms=7`, `has 4 partitions, 1 before`)
	if info := b.Cluster.TopicInfo("orders"); info == nil || len(b.Cluster.PartitionInfos("orders")) != 4 {
		t.Fatalf("partitions were not added: %+v", info)
	}
	b.Run("topic", "describe", "orders").Contains(t, "retention.ms       7", "max.message.bytes  9000")
	b.Run("topic", "alter", "orders", "--delete", "retention.ms").Want(t, 0).Says(t, "retention.ms is back to its default")
	if r := b.Run("topic", "describe", "orders").Want(t, 0); strings.Contains(r.Out, "retention.ms") {
		t.Fatalf("retention.ms is still set:\n%s", r.Out)
	}
	b.Run("topic", "alter", "orders", "--partitions", "4").Want(t, 0).Says(t, "has 4 partitions already")
	b.Run("topic", "alter", "orders", "--partitions", "3").Want(t, 2).Says(t, "cannot be taken away")
	b.Run("topic", "alter", "orders").Want(t, 2).Says(t, "say what to change")
	b.Run("topic", "alter", "orders", "--set", "a=1", "--delete", "a").Want(t, 2).Says(t, "twice")
	b.Cluster.Fault(kfake.Fault{Resource: "orders", Err: kerr.InvalidConfig})
	b.Run("topic", "alter", "orders", "--set", "retention.mss=1").Want(t, 1).Says(t, "INVALID_CONFIG", `did you mean "retention.ms"`)
}

func TestTrimPlansThenExecutes(t *testing.T) {
	b := clitest.New(t, Command)
	b.Create("orders", 2)
	b.Produce(records("orders", 0, 5)...)
	b.Produce(records("orders", 1, 3)...)
	plan := "" +
		"PARTITION  START  NEW START  END  REMOVED\n" +
		"        0      0          4    5        4\n" +
		"        1      0          3    3        3\n"
	b.Run("topic", "trim", "orders", "--before", "4").Want(t, 0).WantOut(t, plan).Says(t, "--execute removes 7 offsets")
	if got := b.Cluster.PartitionInfo("orders", 0).LogStartOffset; got != 0 {
		t.Fatalf("a dry run moved the start to %d", got)
	}
	b.Run("topic", "trim", "orders", "--before", "4", "--execute").Want(t, 0).WantOut(t, plan).Says(t, "removed 7 offsets")
	if got := b.Cluster.PartitionInfo("orders", 0).LogStartOffset; got != 4 {
		t.Fatalf("start is %d, want 4", got)
	}
	b.Run("topic", "trim", "orders", "--before", "end", "-p", "0", "--execute", "--json").Want(t, 0).
		WantOut(t, `{"topic":"orders","partition":0,"start":4,"newStart":5,"end":5,"removed":1,"executed":true}`+"\n")
	b.Run("topic", "trim", "orders").Want(t, 2).Says(t, "--before POSITION")
	b.Run("topic", "trim", "orders", "--before", "tomorrow").Want(t, 2).Says(t, "is not a position")
	b.Run("topic", "trim", "orders", "--before", "1", "-p", "7").Want(t, 4).Says(t, "partition 7", "0 to 1")
	b.Run("topic", "trim", "orders", "--before", "1", "--execute", "--dry-run").Want(t, 2)
}

func TestTrimByTime(t *testing.T) {
	b := clitest.New(t, Command)
	b.Create("orders", 1)
	b.Produce(records("orders", 0, 5)...) // one a minute, the last at clitest.Now
	b.Run("topic", "trim", "orders", "--before", "-2m", "--execute").Want(t, 0).Contains(t, "0      0          2    5        2")
}

// records are n records for a partition, one a minute, the last at clitest.Now.
func records(topic string, partition int32, n int) []*kgo.Record {
	var out []*kgo.Record
	for i := range n {
		out = append(out, &kgo.Record{Topic: topic, Partition: partition, Value: []byte("v"),
			Timestamp: clitest.Now.Add(time.Duration(i-n+1) * time.Minute)})
	}
	return out
}

func TestCompletionOffersNames(t *testing.T) {
	b := clitest.New(t, Command)
	b.Create("orders", 1)
	b.Create("payments", 1)
	b.Run("__complete", "topic", "describe", "").Want(t, 0).WantOut(t, "orders\npayments\n:4\n")
	b.Run("__complete", "topic", "alter", "p").Want(t, 0).WantOut(t, "payments\n:4\n")
	b.Run("__complete", "topic", "alter", "-b", "127.0.0.1:1", "p").Want(t, 0).WantOut(t, ":4\n")
}
