package record

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/barnabas-log/barnabas/cmd/barnabas/cli/clitest"
)

// minutes writes n records "0".."n-1" to partition 0, one a minute, the last at clitest.Now.
func minutes(b *clitest.Bench, topic string, n int) {
	var out []*kgo.Record
	for i := range n {
		out = append(out, &kgo.Record{Topic: topic, Value: []byte(strconv.Itoa(i)), Timestamp: clitest.Now.Add(time.Duration(i-n+1) * time.Minute)})
	}
	b.Produce(out...)
}

func TestConsumeFromAndTo(t *testing.T) {
	b := newBench(t)
	b.Create("n", 1)
	minutes(b, "n", 10) // 0 is at 11:51, 9 at 12:00
	if err := b.Cluster.DeleteRecords("n", 0, 1); err != nil {
		t.Fatal(err)
	}
	at := func(i int) string {
		return strconv.FormatInt(clitest.Now.Add(time.Duration(i-9)*time.Minute).UnixMilli(), 10)
	}
	for _, c := range []struct {
		args, want string
	}{
		{"", "123456789"},
		{"--from start", "123456789"},
		{"--from 0", "123456789"}, // what is gone is skipped
		{"--from 7", "789"},
		{"--from end", ""},
		{"--from 99", ""},
		{"--from -3", "789"},
		{"--from -100", "123456789"},
		{"--from -2m", "789"},
		{"--from -90s", "89"},
		{"--from -7d", "123456789"},
		{"--from 2026-03-01T11:58:30Z", "89"},
		{"--from 2026-03-01T12:58:00+01:00", "789"},
		{"--from 2026-03-02", ""},
		{"--from @" + at(5), "56789"},
		{"--from 2 --to 5", "234"},
		{"--from @" + at(2) + " --to @" + at(4), "23"},
		{"--to -8", "1"},
		{"--to end -n 2", "12"},
		{"-n 3 --from 5", "567"},
		{"--from 5 --to 5", ""},
		{"--from 6 --to 3", ""},
	} {
		t.Run(c.args, func(t *testing.T) {
			args := append([]string{"consume", "n", "--format", "%v"}, strings.Fields(c.args)...)
			r := b.Run(args...).Want(t, 0).WantOut(t, c.want)
			if c.want == "" {
				r.Says(t, "0 records")
			}
		})
	}
}

func TestConsumePartitionsOfSeveralTopics(t *testing.T) {
	b := newBench(t)
	b.Create("a", 3)
	b.Create("b", 3)
	for p := range int32(3) {
		b.Produce(&kgo.Record{Topic: "a", Partition: p, Value: fmt.Appendf(nil, "a%d", p)}, &kgo.Record{Topic: "b", Partition: p, Value: fmt.Appendf(nil, "b%d", p)})
	}
	r := b.Run("consume", "a", "b", "-p", "0,2").Want(t, 0)
	if got := strings.Fields(r.Out); len(got) != 4 {
		t.Fatalf("%v", got)
	}
	r.Contains(t, "a0\n", "a2\n", "b0\n", "b2\n")
	b.Run("consume", "a", "-p", "0-1").Want(t, 0).Contains(t, "a0\n", "a1\n")
	b.Run("consume", "a", "-p", "5").Want(t, 4).Says(t, "partition 5")
	b.Run("consume", "a", "nope").Want(t, 4).Says(t, `topic "nope" does not exist`)
}

func TestConsumeAsJSON(t *testing.T) {
	b := newBench(t)
	b.Create("j", 1)
	b.Produce(
		&kgo.Record{Topic: "j", Key: []byte("k"), Value: []byte(`{"a":"<b>"}`), Timestamp: clitest.Now, Headers: []kgo.RecordHeader{{Key: "h", Value: []byte("v")}, {Key: "n"}}},
		&kgo.Record{Topic: "j", Value: []byte{0xff, 0x00}, Timestamp: clitest.Now},
		&kgo.Record{Topic: "j", Key: []byte{}, Timestamp: clitest.Now},
	)
	r := b.Run("consume", "j", "--json").Want(t, 0)
	lines := strings.Split(strings.TrimSpace(r.Out), "\n")
	want := `{"topic":"j","partition":0,"offset":0,"leaderEpoch":0,"timestamp":1772366400000,"time":"2026-03-01T12:00:00.000Z","timestampType":"CreateTime",` +
		`"key":"k","value":"{\"a\":\"<b>\"}","headers":[{"key":"h","value":"v"},{"key":"n","value":null}]}`
	if len(lines) != 3 || lines[0] != want {
		t.Fatalf("got:\n%s\nwant first:\n%s", r.Out, want)
	}
	var second, third recordJSON
	if err := json.Unmarshal([]byte(lines[1]), &second); err != nil {
		t.Fatal(err)
	}
	if second.Key != nil || second.Value != nil || second.ValueBase64 != "/wA=" {
		t.Fatalf("%s", lines[1])
	}
	if err := json.Unmarshal([]byte(lines[2]), &third); err != nil {
		t.Fatal(err)
	}
	if third.Key == nil || *third.Key != "" || third.Value != nil || third.ValueBase64 != "" {
		t.Fatalf("%s", lines[2])
	}
}

func TestConsumeKeysAndHeaders(t *testing.T) {
	b := newBench(t)
	b.Create("k", 1)
	b.Produce(&kgo.Record{Topic: "k", Key: []byte("key"), Value: []byte("value"), Headers: []kgo.RecordHeader{{Key: "a", Value: []byte("1")}}})
	b.Run("consume", "k", "-k").WantOut(t, "key\tvalue\n")
	b.Run("consume", "k", "-k", "-H", "--separator", " | ").WantOut(t, "a=1 | key | value\n")
	b.Run("consume", "k", "--format", `%t-%p@%o:%s%%\x21\n`).WantOut(t, "k-0@0:value%!\n")
}

func TestConsumeStopsBeforeAnOffsetThatCompactionRemoved(t *testing.T) {
	b := newBench(t)
	if err := b.Cluster.CreateTopic("c", 1, map[string]string{"cleanup.policy": "compact"}); err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{"first", "gone", "gone", "kept", "last"} {
		b.Produce(&kgo.Record{Topic: "c", Key: []byte(value), Value: []byte(value)})
	}
	b.Produce(&kgo.Record{Topic: "c", Key: []byte("gone"), Value: []byte("again")})
	b.Produce(&kgo.Record{Topic: "c", Key: []byte("x"), Value: []byte("x")})
	b.Cluster.Compact()
	b.Run("consume", "c", "--to", "2").Want(t, 0).WantOut(t, "first\n")
	b.Run("consume", "c", "--to", "4").Want(t, 0).WantOut(t, "first\nkept\n")
	b.Run("consume", "c", "--from", "1", "-n", "1").Want(t, 0).WantOut(t, "kept\n")
}

func TestConsumeStopsWhereTheLastOffsetsHoldNoRecord(t *testing.T) {
	b := newBench(t)
	b.Create("c", 1)
	b.Produce(&kgo.Record{Topic: "c", Value: []byte("only")})
	b.Cluster.ControlKey(int16(kmsg.ListOffsets), func(r kmsg.Request) (kmsg.Response, error, bool) {
		b.Cluster.KeepControl()
		if req := r.(*kmsg.ListOffsetsRequest); req.Topics[0].Partitions[0].Timestamp != -1 {
			return nil, nil, false
		}
		resp := r.ResponseKind().(*kmsg.ListOffsetsResponse)
		topic := kmsg.NewListOffsetsResponseTopic()
		topic.Topic = "c"
		partition := kmsg.NewListOffsetsResponseTopicPartition()
		partition.Offset = 7 // 1 to 6 hold nothing any more
		topic.Partitions = append(topic.Partitions, partition)
		resp.Topics = append(resp.Topics, topic)
		return resp, nil, true
	})
	b.Run("consume", "c").Want(t, 0).WantOut(t, "only\n")
}

func TestConsumeReadCommittedLeavesOutAborted(t *testing.T) {
	b := newBench(t)
	b.Create("x", 1)
	transact(t, b, "x", "aborted", kgo.TryAbort)
	transact(t, b, "x", "committed", kgo.TryCommit)
	b.Run("consume", "x", "--isolation", "read_committed").Want(t, 0).WantOut(t, "committed\n")
	b.Run("consume", "x").Want(t, 0).WantOut(t, "aborted\ncommitted\n")
}

func transact(t *testing.T, b *clitest.Bench, topic, value string, end kgo.TransactionEndTry) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Cluster.ListenAddrs()...), kgo.TransactionalID("t"), kgo.DefaultProduceTopic(topic))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := client.ProduceSync(t.Context(), kgo.StringRecord(value)).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := client.EndTransaction(t.Context(), end); err != nil {
		t.Fatal(err)
	}
}

// until is a writer that calls f once what was written contains text.
type until struct {
	strings.Builder
	text string
	f    func()
}

func (u *until) Write(p []byte) (int, error) {
	n, err := u.Builder.Write(p)
	if u.f != nil && strings.Contains(u.String(), u.text) {
		u.f()
		u.f = nil
	}
	return n, err
}

func TestConsumeFollowWaitsForMoreUntilInterrupted(t *testing.T) {
	b := newBench(t)
	b.Create("n", 1)
	minutes(b, "n", 3)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &until{text: "2\n", f: func() { go b.Produce(&kgo.Record{Topic: "n", Value: []byte("later")}) }}
	last := &until{text: "later\n", f: cancel}
	var errs strings.Builder
	if code := b.RunTo(ctx, in(""), io.MultiWriter(out, last), &errs, "consume", "n", "--follow", "--from", "-2"); code != 0 {
		t.Fatalf("exit code %d: %s", code, errs.String())
	}
	if out.String() != "1\n2\nlater\n" {
		t.Fatalf("%q", out.String())
	}
}

func TestConsumeToClosedPipeIsQuiet(t *testing.T) {
	b := newBench(t)
	b.Create("n", 1)
	minutes(b, "n", 3)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Close() // the point of the test
	defer w.Close()
	if _, err := w.Write([]byte("x")); !strings.Contains(err.Error(), syscall.EPIPE.Error()) {
		t.Fatalf("the pipe is not broken: %v", err)
	}
	var errs strings.Builder
	if code := b.RunTo(t.Context(), in(""), w, &errs, "consume", "n"); code != 0 || errs.Len() != 0 {
		t.Fatalf("exit code %d, standard error %q", code, errs.String())
	}
}

func TestConsumeInGroupCommitsWhatWasPrinted(t *testing.T) {
	b := newBench(t)
	b.Create("n", 1)
	minutes(b, "n", 10)
	b.Run("consume", "n", "-g", "readers", "-n", "4", "--format", "%v").Want(t, 0).WantOut(t, "0123")
	b.Run("consume", "n", "-g", "readers", "-n", "3", "--format", "%v").Want(t, 0).WantOut(t, "456")
	b.Run("consume", "n", "-g", "readers", "--format", "%v").Want(t, 0).WantOut(t, "789")
	b.Run("consume", "n", "-g", "readers").Want(t, 0).WantOut(t, "").Says(t, "0 records")
	if at := b.Cluster.GroupInfo("readers").Commits["n"][0].Offset; at != 10 {
		t.Fatalf("committed %d, want 10", at)
	}
	b.Run("consume", "n", "-g", "late", "--from", "end").Want(t, 0).WantOut(t, "")
	b.Run("consume", "n", "-g", "timed", "--from", "-1m", "--format", "%v").Want(t, 0).WantOut(t, "89")
}

func TestConsumeInGroupDoesNotCommitWhatCouldNotBePrinted(t *testing.T) {
	b := newBench(t)
	b.Create("n", 1)
	minutes(b, "n", 3)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Close() // the point of the test
	defer w.Close()
	if code := b.RunTo(t.Context(), in(""), w, io.Discard, "consume", "n", "-g", "readers"); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	if g := b.Cluster.GroupInfo("readers"); g != nil && len(g.Commits["n"]) > 0 {
		t.Fatalf("committed %+v", g.Commits)
	}
}

func TestConsumeReportsWhatTheBrokerRefuses(t *testing.T) {
	b := newBench(t)
	b.Create("n", 1)
	minutes(b, "n", 1)
	b.Cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Err: kerr.TopicAuthorizationFailed, Count: -1})
	b.Run("consume", "n").Want(t, 1).Says(t, "error: read n/0: TOPIC_AUTHORIZATION_FAILED")
}

func TestConsumeGivesUpOnASilentBroker(t *testing.T) {
	b := newBench(t)
	b.Create("n", 1)
	minutes(b, "n", 1)
	b.Cluster.ControlKey(int16(kmsg.Fetch), func(kmsg.Request) (kmsg.Response, error, bool) {
		b.Cluster.KeepControl()
		return nil, nil, true // never answered
	})
	b.Run("consume", "n", "--timeout", "400ms").Want(t, 1).WantOut(t, "").Says(t, "no record and no answer to a fetch for")
}

func TestConsumeAsAMemberWithoutPartitionsEnds(t *testing.T) {
	b := newBench(t)
	b.Create("n", 1)
	minutes(b, "n", 1)
	out := &until{text: "0\n"}
	ended := make(chan clitest.Result, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out.f = func() {
		go func() {
			ended <- b.Run("consume", "n", "-g", "readers", "--timeout", "1s")
			cancel()
		}()
	}
	if code := b.RunTo(ctx, in(""), out, io.Discard, "consume", "n", "-g", "readers", "--follow"); code != 0 {
		t.Fatalf("the first member ended with %d", code)
	}
	// Whichever of the two the group chose: the second ends by itself, with nothing left to read or nothing assigned.
	(<-ended).Want(t, 0).WantOut(t, "")
}

func TestConsumeRefusesNonsense(t *testing.T) {
	b := newBench(t)
	b.Create("a", 1)
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"no topic":        {nil, "needs more"},
		"from":            {[]string{"a", "--from", "yesterday"}, "is not a position"},
		"ago":             {[]string{"a", "--from", "-1y"}, "90m, 1h, 7d"},
		"milliseconds":    {[]string{"a", "--from", "@now"}, "after the @"},
		"to and follow":   {[]string{"a", "--to", "end", "--follow"}, "exclude each other"},
		"group partition": {[]string{"a", "-g", "x", "-p", "0"}, "exclude each other"},
		"group offset":    {[]string{"a", "-g", "x", "--from", "7"}, "barnabas group seek"},
		"format":          {[]string{"a", "--format", "%x"}, "%x means nothing"},
		"lone percent":    {[]string{"a", "--format", "100%"}, "lone %"},
		"format and json": {[]string{"a", "--format", "%v", "--json"}, "exclude each other"},
		"isolation":       {[]string{"a", "--isolation", "none"}, "read_committed"},
		"partitions":      {[]string{"a", "-p", "x"}, "list of partitions"},
		"count":           {[]string{"a", "-n", "-1"}, "negative"},
	} {
		t.Run(name, func(t *testing.T) {
			b.Run(append([]string{"consume"}, c.args...)...).Want(t, 2).WantOut(t, "").Says(t, c.says)
		})
	}
}
