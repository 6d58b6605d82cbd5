package broker

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// A directory whose journal cannot be read is out of service, and no partition in it is opened, until it can.
func TestNothingIsOpenedBeforeTheJournalWasRead(t *testing.T) {
	n := startSeveralDirs(t)
	n.create("t", 2)
	for partition := range int32(2) {
		if err := n.produce("t", partition, "a", "b"); err != nil {
			t.Fatal(err)
		}
	}
	bad := n.broker.dirs.data[1]
	var in, elsewhere int32 = 0, 1
	if n.hosted("t", 1).home == bad {
		in, elsewhere = 1, 0
	}
	n.stop()
	header := append([]byte("BJNL"), make([]byte, 20)...) // of a version that nobody knows
	header[4], header[16] = 2, 1
	header = binary.LittleEndian.AppendUint32(header, crc32.Checksum(header, crc32.MakeTable(crc32.Castagnoli)))
	if err := os.MkdirAll(filepath.Join(bad.path, "journal"), 0o755); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(bad.path, "journal", "0")
	if err := os.WriteFile(name, header, 0o600); err != nil {
		t.Fatal(err)
	}
	n.tryAgain()
	if r := n.hosted("t", in); r.err == nil {
		t.Fatal("a partition was opened before the journal beside it was read")
	}
	if err := n.broker.dirs.data[1].err(); err == nil || errors.Is(err, errUnread) {
		t.Error(err)
	}
	if r := n.hosted("t", elsewhere); r.err != nil {
		t.Error(r.err)
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	n.until("the directory to be back", func() bool { r := n.hosted("t", in); return r != nil && r.err == nil })
	if err := n.broker.hosting.awaitLeaders(n.ctx(), n.broker.Image().Topics["t"]); err != nil {
		t.Fatal(err)
	}
	for partition := range int32(2) {
		if got := n.read("t", partition, 0); !slices.Equal(got, []string{"a", "b"}) {
			t.Error(partition, got)
		}
	}
}
