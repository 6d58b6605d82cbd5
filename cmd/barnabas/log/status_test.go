package log

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/barnabas-log/barnabas/cmd/barnabas/cli/clitest"
	"github.com/barnabas-log/barnabas/internal/admin"
)

// told is what the node of these tests has.
func told(id int32) admin.Node {
	since, last := clitest.Now.Add(-time.Hour), clitest.Now.Add(-90*time.Second)
	return admin.Node{ID: id, Partitions: []admin.Replica{
		{Topic: "orders", State: admin.Leading, Leader: id, Segments: 3, Bytes: 3 << 20, Start: 10, End: 400, HighWatermark: 400,
			Scrub: &admin.Scrub{To: 250, Last: last}},
		{Topic: "orders", Partition: 1, State: admin.Damaged, Problem: "segment 10: checksum mismatch", Since: &since, Leader: -1},
		{Topic: "prices", State: admin.Following, Leader: 2, Segments: 2, Bytes: 4 << 20, End: 100,
			Compaction: &admin.Compaction{To: 60, CleanBytes: 3 << 20, DirtyBytes: 1 << 20, DirtyRatio: 0.25, Last: &last, Problem: "bad batch", Refused: true}},
	}}
}

// serve answers /partitions as a node with an id; it gives the address and what was asked last.
func serve(t *testing.T, id int32) (address string, query func() string) {
	t.Helper()
	var last atomic.Value
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/partitions" {
			http.NotFound(w, r)
			return
		}
		last.Store(r.URL.RawQuery)
		_ = json.NewEncoder(w).Encode(told(id))
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://"), func() string { return last.Load().(string) }
}

func TestStatusShowsWhatANodeTells(t *testing.T) {
	address, query := serve(t, 3)
	r := run(t, "status", "--http", address).Want(t, 1).Says(t, "1 replica damaged or failed")
	r.Contains(t, "TOPIC   PARTITION  NODE  STATE      SEGMENTS", "orders          0     3  leading           3",
		"orders-1 on node 3: damaged since 2026-03-01T11:00:00Z: segment 10: checksum mismatch\n",
		"1.0 MiB 25%", "1m30s ago", "prices-0 on node 3: not compacted any more until it is opened anew: bad batch\n")
	r = run(t, "status", "orders:0", "--http", address, "--json").Want(t, 0)
	var h held
	if err := json.Unmarshal([]byte(r.Out), &h); err != nil || *h.Node != 3 || h.End != 400 || h.Scrub.To != 250 || h.Compaction != nil {
		t.Fatalf("%s: %v", r.Out, err)
	}
	if query() != "topic=orders" {
		t.Errorf("asked for %q", query())
	}
	if r := run(t, "status", "p*", "--http", address).Want(t, 0); strings.Contains(r.Out, "orders") || query() != "" {
		t.Errorf("asked for %q, printed\n%s", query(), r.Out)
	}
	run(t, "status", "none", "--http", address).Want(t, 4)
	run(t, "status", "orders:x", "--http", address).Want(t, 2)
	run(t, "status", "--http", "127.0.0.1:1").Want(t, 1).Says(t, "the node at 127.0.0.1:1", "1 node could not be asked")
}

func TestStatusFindsTheNodesByTheirBrokers(t *testing.T) {
	address, _ := serve(t, 1)
	b := clitest.NewCluster(t, []kfake.Opt{kfake.NumBrokers(2), kfake.BrokerConfigs(map[string]string{"barnabas.http.listener": address})}, Command)
	r := b.Run("log", "status", "prices")
	r.Want(t, 1).Contains(t, "prices          0     1  following").Says(t, "node 0 cannot be asked from here", "node 1 answers", "1 node could not be asked")
}

func TestListenersOnAllInterfacesAreReachedByTheBrokersHost(t *testing.T) {
	for listener, want := range map[string]string{":9644": "b1:9644", "0.0.0.0:9644": "b1:9644", "[::]:9644": "b1:9644", "127.0.0.1:9644": "127.0.0.1:9644", "": ""} {
		if got := reachable(listener, "b1"); got != want {
			t.Errorf("%s: %s, not %s", listener, got, want)
		}
	}
}

func TestStatusOfFiles(t *testing.T) {
	data, partition := withConfiguration(t, 3)
	run(t, "status", data).Want(t, 0).Contains(t, "orders          0     -  on disk         1", "     0    6 ")
	run(t, "status", data, "--json").Want(t, 0).Contains(t, `"state":"on disk"`, `"end":6`)
	copied := partition + ".corrupt-20260301T000000Z"
	if err := os.CopyFS(copied, os.DirFS(partition)); err != nil {
		t.Fatal(err)
	}
	change(t, filepath.Join(partition, "manifest"), func(b []byte) []byte { b[len(b)-1] ^= 1; return b })
	run(t, "status", data).Want(t, 1).Contains(t, "set aside", "orders-0: damaged: ", "manifest").Says(t, "1 replica damaged")
	if err := os.Remove(filepath.Join(partition, "manifest")); err != nil {
		t.Fatal(err)
	}
	run(t, "status", partition).Want(t, 1).Contains(t, "orders          0     -  damaged         1", "missing")
	run(t, "status", t.TempDir()).Want(t, 4)
}
