package protocol

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/barnabas-log/barnabas/log"
	"github.com/barnabas-log/barnabas/partition"
)

// A segment was cut under the running node. The first reply that needs the missing bytes cannot be finished, and its connection ends; afterwards clients get what is left, and then an
// error, instead of connections that end for ever.
func TestAFetchFromASegmentThatLostItsEnd(t *testing.T) {
	for _, records := range []int{100, 8000} { // the reply is copied, or sent from the file
		t.Run(fmt.Sprint(records), func(t *testing.T) {
			s := serve(t, Options{})
			s.create("t", 1, partition.Config{})
			c := dial(t, s)
			for range 3 {
				c.produced(produceTo("t", 0, 9, -1, batch(records)))
			}
			path := filepath.Join(s.fake.dir, "t-0", fmt.Sprintf("%020d.log", 0))
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(path, int64(len(content)/2)); err != nil {
				t.Fatal(err)
			}
			c.send(fetchFrom("t", 0, 11, 0))
			c.wantClosed()
			c = dial(t, s)
			left := c.ask(fetchFrom("t", 0, 11, 0)).(*kmsg.FetchResponse).Topics[0].Partitions[0]
			if want := log.Header(content).Size(); left.ErrorCode != codeNone || len(left.RecordBatches) != want {
				t.Errorf("code %d, %d bytes, wanted the first batch of %d", left.ErrorCode, len(left.RecordBatches), want)
			}
			if p := c.ask(fetchFrom("t", 0, 11, int64(records))).(*kmsg.FetchResponse).Topics[0].Partitions[0]; p.ErrorCode != codeKafkaStorageError {
				t.Errorf("behind it: code %d", p.ErrorCode)
			}
		})
	}
}
