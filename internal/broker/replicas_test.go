package broker

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	httpadmin "github.com/barnabas-log/barnabas/internal/admin"
	"github.com/twmb/franz-go/pkg/kgo"
)

// told asks the node over HTTP what it has of a topic of one partition.
func (n *node) told(topic string) httpadmin.Replica {
	n.Helper()
	code, body := get(n.T, n.broker, "/partitions?topic="+topic)
	var all httpadmin.Node
	if err := json.Unmarshal([]byte(body), &all); err != nil || code != 200 || all.ID != n.broker.nodeID || len(all.Partitions) != 1 {
		n.Fatalf("%d %s: %v", code, body, err)
	}
	return all.Partitions[0]
}

func TestNodeTellsOfItsReplicas(t *testing.T) {
	n := start(t, "barnabas.http.listener=127.0.0.1:0", "log.cleaner.backoff.ms=20", "barnabas.scrub.interval.ms=50", "barnabas.scrub.bytes.per.second=1000000000")
	n.create("plain", 1)
	n.create("keyed", 1, "cleanup.policy", "compact", "segment.ms", "1", "min.cleanable.dirty.ratio", "0.01")
	for i := range 5 {
		at := time.Now().Add(time.Duration(i) * time.Second) // so that segments are rolled, which follows the records' time
		for _, topic := range []string{"plain", "keyed"} {
			if err := n.client.ProduceSync(n.ctx(), &kgo.Record{Topic: topic, Key: []byte("key"), Value: []byte("value"), Timestamp: at}).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	n.awaitCompacted("keyed", 0)
	n.until("both were scrubbed", func() bool { return n.told("plain").Scrub != nil && n.told("keyed").Scrub != nil })
	n.until("the cleaner has noted what it did", func() bool { c := n.told("keyed").Compaction; return c != nil && c.Last != nil })
	p, k := n.told("plain"), n.told("keyed")
	if p.State != httpadmin.Leading || p.Leader != n.broker.nodeID || p.Segments != 1 || p.Bytes == 0 || p.End != 5 || p.HighWatermark != 5 || p.Compaction != nil || p.Scrub.Problem != "" || p.Problem != "" {
		t.Errorf("%+v", p)
	}
	if c := k.Compaction; c == nil || c.To == 0 || c.Last == nil || c.Problem != "" || c.CleanBytes == 0 || time.Since(k.Scrub.Last) > time.Minute {
		t.Errorf("%+v %+v", k, c)
	}

	n.stop()
	before := time.Now()
	manifest := filepath.Join(p.Directory, "manifest")
	if err := os.WriteFile(manifest, []byte("not one"), 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	if n.broker, err = tryOpen(settingsOf(n.dir, n.settings...)); err != nil {
		t.Fatal(err)
	}
	n.until("the damage is told", func() bool { return n.told("plain").State == httpadmin.Damaged })
	if p = n.told("plain"); !strings.Contains(p.Problem, "manifest") || p.Since == nil || p.Since.Before(before) || p.End != 0 || p.Directory == "" {
		t.Errorf("%+v", p)
	}
}
