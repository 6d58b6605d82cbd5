package record

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/barnabas-log/barnabas/cmd/barnabas/cli/clitest"
)

func newBench(t *testing.T, opts ...kfake.Opt) *clitest.Bench {
	return clitest.NewCluster(t, opts, ProduceCommand, ConsumeCommand)
}

func in(s string) io.Reader { return strings.NewReader(s) }

func TestLinesComeBackByteForByte(t *testing.T) {
	b := newBench(t)
	b.Create("orders", 1)
	text := "first\n\n  spaces \t kept \r\nno line end"
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		b.RunWith(in(text), "produce", "orders", "--compression", codec).Want(t, 0).WantOut(t, "").
			Says(t, "produced 4 records (33 B) to 1 partition of orders")
	}
	b.Run("consume", "orders").Want(t, 0).WantOut(t, strings.Repeat(text+"\n", 5))
}

func TestProduceKeysHeadersTombstones(t *testing.T) {
	b := newBench(t)
	b.Create("users", 4)
	b.RunWith(in("a:1\nb:2:3\na:\n:x\n"), "produce", "users", "-k", ":", "-Z", "-H", "type=text", "-H", "v=a=b").Want(t, 0).
		Says(t, "produced 4 records (8 B)")
	r := b.Run("consume", "users", "--format", `%k|%K|%v|%S|%h\n`, "--null", "NULL").Want(t, 0)
	for _, line := range []string{"a|1|1|1|type=text,v=a=b\n", "b|1|2:3|3|", "a|1|NULL|-1|", "NULL|-1|x|1|"} {
		r.Contains(t, line)
	}
	if at, del := strings.Index(r.Out, "a|1|1"), strings.Index(r.Out, "a|1|NULL"); at > del {
		t.Fatalf("records of one key are out of order:\n%s", r.Out)
	}
}

func TestProduceWithoutTombstoneFlagWritesEmptyValue(t *testing.T) {
	b := newBench(t)
	b.Create("users", 1)
	b.RunWith(in("a\\t1\tx\n\t\n"), "produce", "users", "-k", `\t`).Want(t, 0)
	b.Run("consume", "users", "--format", `[%k %K][%v %S]\n`, "--null", "NULL").WantOut(t, "[a\\t1 4][x 1]\n[ 0][ 0]\n")
}

func TestProduceLineWithoutKeySeparatorFails(t *testing.T) {
	b := newBench(t)
	b.Create("users", 1)
	b.RunWith(in("a:1\nnothing\nb:2\n"), "produce", "users", "-k", ":").Want(t, 1).
		Says(t, `standard input line 2: no key separator ":"`, "produced 2 records", "error: 1 of 3 records not written")
}

func TestProduceToPartitionAndSummaryAsJSON(t *testing.T) {
	b := newBench(t)
	b.Create("orders", 3)
	b.RunWith(in("x\n"), "produce", "orders", "-p", "2", "-q").Want(t, 0).WantOut(t, "")
	r := b.RunWith(in("a\nb\nc\n"), "produce", "orders", "-p", "2", "--json").Want(t, 0)
	var s summary
	if err := json.Unmarshal([]byte(r.Out), &s); err != nil {
		t.Fatal(err)
	}
	if s.Produced != 3 || s.Failed != 0 || s.Bytes != 3 || len(s.Partitions) != 1 || *s.Partitions[0] != (written{2, 3, 1, 3}) {
		t.Fatalf("%s", r.Out)
	}
	b.RunWith(in("a\n"), "produce", "orders", "-p", "3").Want(t, 4).Says(t, "partition 3", "0 to 2")
}

func TestProduceAcksAndFixedKey(t *testing.T) {
	b := newBench(t)
	b.Create("orders", 1)
	for _, acks := range []string{"0", "1", "all"} {
		b.RunWith(in("v\n"), "produce", "orders", "--acks", acks, "--key", "k"+acks).Want(t, 0).Says(t, "produced 1 record ")
	}
	b.Run("consume", "orders", "--keys", "--separator", "%").WantOut(t, "k0%v\nk1%v\nkall%v\n")
}

func TestProduceFilesAndWholeFiles(t *testing.T) {
	b := newBench(t)
	b.Create("files", 1)
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")
	big := strings.Repeat("x", 900<<10)
	if err := errors.Join(os.WriteFile(one, []byte("a\nb\n"), 0o600), os.WriteFile(two, []byte(big), 0o600)); err != nil {
		t.Fatal(err)
	}
	b.RunWith(in("c\n"), "produce", "files", "-f", one, "-f", "-").Want(t, 0).Says(t, "3 records")
	b.Run("produce", "files", "--whole", "-f", one, "-f", two).Want(t, 0).Says(t, "2 records (900.0 KiB)")
	b.Run("consume", "files", "--format", `%S,`).WantOut(t, "1,1,1,4,921600,")
	b.Run("produce", "files", "-f", filepath.Join(dir, "three")).Want(t, 2).Says(t, "three")
}

func TestProduceRefusesRecordsThatTheTopicWouldRefuse(t *testing.T) {
	b := newBench(t)
	if err := b.Cluster.CreateTopic("small", 1, map[string]string{"max.message.bytes": "2000"}); err != nil {
		t.Fatal(err)
	}
	b.RunWith(in("ok\n"+strings.Repeat("x", 300_000)+"\n"+strings.Repeat("y", 1999)+"\nlast"), "produce", "small").Want(t, 1).
		Says(t, "standard input line 2: larger than the topic's max.message.bytes", "line 3: larger", "produced 2 records", "2 of 4 records not written")
	b.Run("consume", "small").WantOut(t, "ok\nlast\n")
}

func TestProduceReportsWhatTheBrokerRefuses(t *testing.T) {
	b := newBench(t)
	b.Create("orders", 1)
	b.Cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.TopicAuthorizationFailed, Count: -1})
	r := b.RunWith(in(strings.Repeat("v\n", 15)), "produce", "orders").Want(t, 1).
		Says(t, "standard input line 1: TOPIC_AUTHORIZATION_FAILED", "... and 5 more", "produced 0 records", "15 of 15 records not written")
	if strings.Contains(r.Err, "line 11:") {
		t.Fatalf("too many errors are named:\n%s", r.Err)
	}
}

func TestProduceRetriesWithoutDuplicates(t *testing.T) {
	b := newBench(t)
	b.Create("orders", 1)
	b.Cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.RequestTimedOut})
	b.RunWith(in("v\n"), "produce", "orders").Want(t, 0).Says(t, "produced 1 record ")
	b.Run("consume", "orders").WantOut(t, "v\n")
}

func TestProduceGivesUpWhenNothingIsAcknowledged(t *testing.T) {
	b := newBench(t)
	b.Create("orders", 1)
	b.Cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		b.Cluster.KeepControl()
		return nil, nil, true // never answered
	})
	b.RunWith(in("v\n"), "produce", "orders", "--timeout", "300ms").Want(t, 1).
		Says(t, "no acknowledgement for too long", "1 of 1 record not written")
}

func TestProduceToUnknownTopic(t *testing.T) {
	b := newBench(t, kfake.AllowAutoTopicCreation())
	b.Create("orders", 1)
	b.RunWith(in("v\n"), "produce", "order").Want(t, 4).WantOut(t, "").Says(t, `did you mean "orders"?`)
	b.RunWith(in("v\n"), "produce", "fresh", "--create").Want(t, 0)
	b.Run("consume", "fresh").WantOut(t, "v\n")
}

func TestProduceTimestamp(t *testing.T) {
	b := newBench(t)
	b.Create("orders", 1)
	b.RunWith(in("v\n"), "produce", "orders", "--timestamp", "2020-02-03T04:05:06.789Z").Want(t, 0)
	b.Run("consume", "orders", "--format", `%T %D\n`).WantOut(t, "1580702706789 2020-02-03T04:05:06.789Z\n")
}

func TestProduceInterruptedKeepsWhatWasAcknowledged(t *testing.T) {
	b := newBench(t)
	b.Create("orders", 1)
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	go func() {
		_, _ = io.WriteString(w, "one\ntwo\n") // the pipe's reader is below
		cancel()
		<-ctx.Done()
		_ = w.Close() // never fails
	}()
	var errs strings.Builder
	if code := b.RunTo(ctx, r, io.Discard, &errs, "produce", "orders"); code != 130 {
		t.Fatalf("exit code %d\n%s", code, errs.String())
	}
	if strings.Contains(errs.String(), "error:") {
		t.Fatalf("an interruption is no error to print:\n%s", errs.String())
	}
}

func TestProduceRefusesNonsense(t *testing.T) {
	b := newBench(t)
	b.Create("a", 1)
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"no topic":         {nil, "needs more"},
		"two topics":       {[]string{"a", "b"}, `does not take "b"`},
		"acks":             {[]string{"a", "--acks", "2"}, "none of all, 1, 0"},
		"idempotent":       {[]string{"a", "--acks", "1", "--idempotent"}, "needs --acks all"},
		"compression":      {[]string{"a", "--compression", "zip"}, "none of none, gzip"},
		"partition":        {[]string{"a", "-p", "-2"}, "count from 0"},
		"header":           {[]string{"a", "-H", "x"}, "name=value"},
		"two keys":         {[]string{"a", "--key", "x", "-k", ":"}, "exclude each other"},
		"whole stdin":      {[]string{"a", "--whole"}, "--whole needs --file"},
		"escape":           {[]string{"a", "-k", `\q`}, "not an escape"},
		"timestamp":        {[]string{"a", "--timestamp", "end"}, "not a time"},
		"illegal name":     {[]string{"a/b"}, "not a topic name"},
		"negative timeout": {[]string{"a", "--timeout", "-1s"}, "more than zero"},
	} {
		t.Run(name, func(t *testing.T) {
			b.Run(append([]string{"produce"}, c.args...)...).Want(t, 2).WantOut(t, "").Says(t, c.says, "error: ")
		})
	}
}
