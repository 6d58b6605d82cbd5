package group

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/barnabas-log/barnabas/cmd/barnabas/cli/clitest"
)

// newBench has topic "orders" with two partitions of ten records, one a minute, the last at clitest.Now, and a group "billing" that committed 3
// and 10 there.
func newBench(t *testing.T) *clitest.Bench {
	t.Helper()
	b := clitest.New(t, Command)
	b.Create("orders", 2)
	var records []*kgo.Record
	for i := range 10 {
		for p := range int32(2) {
			records = append(records, &kgo.Record{Topic: "orders", Partition: p, Value: []byte(strconv.Itoa(i)), Timestamp: clitest.Now.Add(time.Duration(i-9) * time.Minute)})
		}
	}
	b.Produce(records...)
	commit(t, b, "billing", map[int32]int64{0: 3, 1: 10})
	return b
}

func commit(t *testing.T, b *clitest.Bench, group string, at map[int32]int64) {
	t.Helper()
	admin, err := kadm.NewOptClient(kgo.SeedBrokers(b.Cluster.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	offsets := kadm.Offsets{}
	for p, o := range at {
		offsets.AddOffset("orders", p, o, -1)
	}
	if err := admin.CommitAllOffsets(t.Context(), group, offsets); err != nil {
		t.Fatal(err)
	}
}

// join has a member of a group consume orders until stop is called.
func join(t *testing.T, b *clitest.Bench, group string, opts ...kgo.Opt) (stop func()) {
	t.Helper()
	assigned := make(chan struct{}, 1)
	client, err := kgo.NewClient(append(opts, kgo.SeedBrokers(b.Cluster.ListenAddrs()...), kgo.ConsumerGroup(group), kgo.ConsumeTopics("orders"), kgo.ClientID("worker"),
		kgo.DisableAutoCommit(), kgo.OnPartitionsAssigned(func(context.Context, *kgo.Client, map[string][]int32) { assigned <- struct{}{} }))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	<-assigned
	if _, err := b.Cluster.WaitGroupStable(t.Context(), group, 1); err != nil {
		t.Fatal(err)
	}
	return client.Close
}

func TestList(t *testing.T) {
	b := newBench(t)
	commit(t, b, "audit", map[int32]int64{0: 1})
	r := b.Run("group", "list").Want(t, 0).Contains(t, "GROUP    STATE  TYPE", "audit    Empty", "billing  Empty")
	if strings.Index(r.Out, "audit") > strings.Index(r.Out, "billing") {
		t.Fatalf("not sorted:\n%s", r.Out)
	}
	b.Run("group", "list", "bill*", "--json").Want(t, 0).Contains(t, `{"group":"billing","state":"Empty"`)
	b.Run("group", "list", "--state", "Stable").Want(t, 0).WantOut(t, "").Says(t, "no group matches")
}

func TestDescribeShowsLag(t *testing.T) {
	b := newBench(t)
	b.Run("group", "describe", "billing").Want(t, 0).Contains(t,
		"Group:        billing\n", "State:        Empty\n", "Members:      0\n", "Lag:          7\n",
		"TOPIC   PARTITION  COMMITTED  START  END  LAG  MEMBER\n"+
			"orders          0          3      0   10    7  -\n"+
			"orders          1         10      0   10    0  -\n")
}

func TestDescribeAsJSON(t *testing.T) {
	b := newBench(t)
	r := b.Run("group", "describe", "billing", "--json").Want(t, 0)
	var d described
	if err := json.Unmarshal([]byte(r.Out), &d); err != nil {
		t.Fatal(err)
	}
	if d.Group != "billing" || d.Lag != 7 || len(d.Partitions) != 2 || d.Partitions[0].Committed != 3 || d.Partitions[0].End != 10 {
		t.Fatalf("%s", r.Out)
	}
}

func TestDescribeShowsMembersOfEitherProtocol(t *testing.T) {
	for name, ctx := range map[string]context.Context{
		"classic": context.Background(),
		//lint:ignore SA1029 the key is the client library's
		"consumer": context.WithValue(context.Background(), "opt_in_kafka_next_gen_balancer_beta", true),
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			stop := join(t, b, "live", kgo.WithContext(ctx))
			b.Run("group", "describe", "live").Want(t, 0).Contains(t, "State:        Stable\n", "Protocol:     "+name+"\n", "Members:      1\n", "worker")
			if name == "classic" { // the fake cluster leaves topic names out of the other protocol's assignments
				b.Run("group", "describe", "live").Contains(t, "Lag:          20\n", "orders:0,1")
			}
			b.Run("group", "delete", "live").Want(t, 1).Says(t, `group "live" has members`, "hint: stop them first")
			b.Run("group", "seek", "live", "--to", "end", "-t", "orders").Want(t, 0).Says(t, "has 1 member that must be stopped")
			b.Run("group", "seek", "live", "--to", "end", "-t", "orders", "--execute").Want(t, 1).Says(t, `group "live" has 1 member`, "stop them first")
			stop()
			b.Run("group", "seek", "live", "--to", "end", "-t", "orders", "--execute").Want(t, 0)
			b.Run("group", "describe", "live").Want(t, 0).Contains(t, "Lag:          0\n")
			b.Run("group", "delete", "live").Want(t, 0).Says(t, `deleted group "live"`)
			b.Run("group", "describe", "live").Want(t, 4)
		})
	}
}

func TestSeekPlansThenExecutes(t *testing.T) {
	b := newBench(t)
	plan := "" +
		"TOPIC   PARTITION  COMMITTED  TO  END  LAG\n" +
		"orders          0          3   0   10   10\n" +
		"orders          1         10   0   10   10\n"
	b.Run("group", "seek", "billing", "--to", "start").Want(t, 0).WantOut(t, plan).Says(t, "--execute carries it out")
	if got := b.Cluster.GroupInfo("billing").Commits["orders"][1].Offset; got != 10 {
		t.Fatalf("a dry run committed %d", got)
	}
	b.Run("group", "seek", "billing", "--to", "start", "--execute").Want(t, 0).WantOut(t, plan).Says(t, `moved group "billing" in 2 partitions`)
	for p := range int32(2) {
		if got := b.Cluster.GroupInfo("billing").Commits["orders"][p].Offset; got != 0 {
			t.Fatalf("partition %d: committed %d, want 0", p, got)
		}
	}
}

func TestSeekPositions(t *testing.T) {
	b := newBench(t)
	for to, want := range map[string]int64{"end": 10, "start": 0, "7": 7, "99": 10, "-4": 6, "-2m": 7, "@0": 0, "2026-03-01T11:55:00Z": 4, "2027-01-01": 10} {
		b.Run("group", "seek", "billing", "--to", to, "--topic", "orders:1", "--execute", "--json").Want(t, 0).Contains(t, `"partition":1`, `"executed":true`)
		if got := b.Cluster.GroupInfo("billing").Commits["orders"][1].Offset; got != want {
			t.Errorf("--to %s: committed %d, want %d", to, got, want)
		}
		if got := b.Cluster.GroupInfo("billing").Commits["orders"][0].Offset; got != 3 {
			t.Errorf("--to %s: the other partition moved to %d", to, got)
		}
	}
}

func TestSeekMakesAGroupWhenTopicsAreNamed(t *testing.T) {
	b := newBench(t)
	b.Run("group", "seek", "fresh", "--to", "end").Want(t, 4).Says(t, `group "fresh" does not exist`)
	b.Run("group", "seek", "fresh", "--to", "end", "--topic", "orders", "--execute").Want(t, 0).Contains(t, "orders          0          -  10   10    0")
	b.Run("group", "describe", "fresh").Want(t, 0).Contains(t, "Lag:          0\n")
}

func TestDeleteGroupAndOffsets(t *testing.T) {
	b := newBench(t)
	b.Run("group", "delete", "billing", "--topic", "orders:0").Want(t, 0).Says(t, "in 1 partition")
	if commits := b.Cluster.GroupInfo("billing").Commits["orders"]; len(commits) != 1 {
		t.Fatalf("%+v", commits)
	}
	b.Run("group", "delete", "billing", "--topic", "orders:0").Want(t, 0).Says(t, "committed nothing there")
	b.Run("group", "delete", "billing").Want(t, 0).WantOut(t, "").Says(t, `deleted group "billing"`)
	b.Run("group", "delete", "billing").Want(t, 4).Says(t, `group "billing" does not exist`)
}

func TestUnknownGroupSuggestsNearNames(t *testing.T) {
	b := newBench(t)
	for _, args := range [][]string{{"describe", "biling"}, {"delete", "biling"}, {"seek", "biling", "--to", "end"}, {"delete", "biling", "-t", "orders"}} {
		b.Run(append([]string{"group"}, args...)...).Want(t, 4).WantOut(t, "").Says(t, `group "biling" does not exist`, `did you mean "billing"?`)
	}
}

func TestGroupRefusesNonsense(t *testing.T) {
	b := newBench(t)
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"no group":        {[]string{"describe"}, 2, "needs more"},
		"no position":     {[]string{"seek", "billing"}, 2, "--to POSITION"},
		"position":        {[]string{"seek", "billing", "--to", "back"}, 2, "is not a position"},
		"both":            {[]string{"seek", "billing", "--to", "end", "--execute", "--dry-run"}, 2, "exclude each other"},
		"partitions":      {[]string{"seek", "billing", "--to", "end", "-t", "orders:x"}, 2, "list of partitions"},
		"topic twice":     {[]string{"seek", "billing", "--to", "end", "-t", "orders", "-t", "orders:1"}, 2, "twice"},
		"no partition":    {[]string{"seek", "billing", "--to", "end", "-t", "orders:7"}, 4, "partition 7"},
		"unknown topic":   {[]string{"seek", "billing", "--to", "end", "-t", "oders"}, 4, `did you mean "orders"?`},
		"unknown pattern": {[]string{"list", "["}, 2, "not a pattern"},
	} {
		t.Run(name, func(t *testing.T) {
			b.Run(append([]string{"group"}, c.args...)...).Want(t, c.code).WantOut(t, "").Says(t, c.says)
		})
	}
}

func TestCompletionOffersNames(t *testing.T) {
	b := newBench(t)
	b.Run("__complete", "group", "describe", "b").Want(t, 0).WantOut(t, "billing\n:4\n")
	b.Run("__complete", "group", "describe", "billing", "").Want(t, 0).WantOut(t, ":4\n")
	b.Run("__complete", "group", "seek", "x", "").Want(t, 0).WantOut(t, ":4\n")
}
