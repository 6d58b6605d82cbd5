package log

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"

	segments "github.com/barnabas-log/barnabas/log"
	"github.com/barnabas-log/barnabas/replication"
)

// withConfiguration makes the data directory of a node with one partition of one replica, orders/0.id: the group's configuration, then n batches of two records.
func withConfiguration(t *testing.T, n int) (data, partition string) {
	t.Helper()
	data = t.TempDir()
	partition = filepath.Join(data, "topics", "orders", "0.id")
	l, err := segments.Open(partition, segments.Options{Config: segments.Config{SyncOnAppend: true}})
	if err != nil {
		t.Fatal(err)
	}
	entries := []segments.Entry{{Index: 1, Term: 1, Kind: segments.KindConfiguration, Data: []byte("who votes")}}
	for i := range n {
		entries = append(entries, segments.Entry{Index: segments.Index(i + 2), Term: 5, Kind: segments.KindBatch, Data: batch(2, int64(1000*(i+1)))})
	}
	if _, err := l.Append(entries); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return data, partition
}

func TestRepairSaysWhatItWouldDoAndDoesIt(t *testing.T) {
	data, partition := withConfiguration(t, 3)
	path := filepath.Join(partition, "00000000000000000000.log")
	size := len(batch(2, 1000))
	change(t, path, func(b []byte) []byte { b[size+70] ^= 0xff; return b })
	change(t, filepath.Join(partition, "recovery"), func(b []byte) []byte { return nil })
	before, _ := os.ReadFile(path)
	run(t, "repair", partition).Want(t, 0).Contains(t, "offsets 2 to 3 are lost", "checksum", "offsets 0 to 6: 4 records in 2 batches", "2 offsets lost", "nothing was changed")
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Fatal("a dry run has written")
	}
	run(t, "repair", "orders-0", "--data", data, "--write", "--json").Want(t, 0).Contains(t, `"lost_offsets":2`, `"written":true`, ".before-repair-")
	run(t, "check", partition).Want(t, 0).Contains(t, "sound")
	kept, err := filepath.Glob(partition + ".before-repair-*")
	if err != nil || len(kept) != 1 {
		t.Fatalf("kept %v, %v", kept, err)
	}
	if old, _ := os.ReadFile(filepath.Join(kept[0], filepath.Base(path))); !bytes.Equal(before, old) {
		t.Fatal("what was there before was not kept")
	}
	run(t, "repair", "orders-0", "--data", data).Want(t, 0).Contains(t, "0 offsets lost")
	run(t, "repair", "nothing-0", "--data", data).Want(t, 4)
}

func TestRepairWithoutWhoVotesIsToldThatTheNodeIsAlone(t *testing.T) {
	data, partition := withConfiguration(t, 3)
	if err := os.WriteFile(filepath.Join(data, "meta.properties"), []byte("version=1\nnode.id=7\ndirectory.id=abc\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	change(t, filepath.Join(partition, "ctl"), func(b []byte) []byte { b[20] ^= 1; return b })
	run(t, "repair", partition, "--write").Want(t, 1)
	run(t, "repair", partition, "--write", "--alone").Want(t, 0).Contains(t, "0 offsets lost")
	l, err := segments.Open(partition, segments.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if who, _, err := l.Configuration(l.LastIndex()); err != nil || !bytes.Equal(who, replication.LoneConfiguration(7)) {
		t.Errorf("%q votes, %v", who, err)
	}
}

// kafkaDir makes the directory of a Kafka broker's partition: batches of two records at the offsets given.
func kafkaDir(t *testing.T, edit func([]byte), bases ...int64) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "orders-0")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	var file []byte
	for k, base := range bases {
		b := batch(2, 1000*int64(k+1))
		binary.BigEndian.PutUint64(b, uint64(base))
		binary.BigEndian.PutUint32(b[12:], uint32(k/2))
		if edit != nil {
			edit(b)
		}
		file = append(file, b...)
	}
	if err := os.WriteFile(filepath.Join(dir, "00000000000000000010.log"), file, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestImportKeepsOffsetsAndEpochs(t *testing.T) {
	data, partition := withConfiguration(t, 0)
	idempotent := func(b []byte) { copy(b[43:57], make([]byte, 14)); sum(b) }
	from := kafkaDir(t, idempotent, 10, 12, 20, 22) // trimmed up to 10, compacted between 14 and 20
	if err := os.WriteFile(filepath.Join(filepath.Dir(from), "log-start-offset-checkpoint"), []byte("0\n1\norders 0 11\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "import", from, "--topic", "orders", "--data", data).Want(t, 0).Contains(t, "offsets 11 to 24: 8 records in 4 batches", "nothing was changed")
	run(t, "import", from, "--topic", "orders", "--data", data, "--write").Want(t, 0).Contains(t, "written")
	run(t, "check", partition).Want(t, 0).Contains(t, "sound")
	r := run(t, "dump", partition, "--records").Want(t, 0)
	r.Contains(t, "baseOffset: 12 ", "partitionLeaderEpoch: 1 ", "baseOffset: 20 ", "baseOffset: 22 ", "offset: 23 ", "producerId: -1 ")
	if strings.Contains(r.Out, "producerId: 0 ") {
		t.Fatalf("a producer of the other cluster is taken for one of this:\n%s", r.Out)
	}
	run(t, "import", from, "--topic", "orders", "--data", data).Want(t, 1).Says(t, "not empty")
}

func TestImportRefusesWhatItCannotKeep(t *testing.T) {
	data, _ := withConfiguration(t, 0)
	for says, edit := range map[string]func([]byte){
		"magic 1":     func(b []byte) { b[16] = 1 },
		"checksum":    func(b []byte) { b[70] ^= 1 },
		"transaction": func(b []byte) { b[22] |= 0x10; sum(b) },
	} {
		run(t, "import", kafkaDir(t, edit, 10, 12), "--topic", "orders", "--data", data).Want(t, 1).Says(t, says, "00000000000000000010.log at 0")
	}
	// A batch that a crash has cut short at the end was never acknowledged; one whose length was changed is damage.
	short := func(b []byte) {
		if binary.BigEndian.Uint64(b) == 12 {
			binary.BigEndian.PutUint32(b[8:], 20)
		}
	}
	run(t, "import", kafkaDir(t, short, 10, 12), "--topic", "orders", "--data", data).Want(t, 1).Says(t, "batch of 32 bytes")
	torn := kafkaDir(t, nil, 10, 12)
	change(t, filepath.Join(torn, "00000000000000000010.log"), func(b []byte) []byte { return b[:len(b)-3] })
	run(t, "import", torn, "--topic", "orders", "--data", data).Want(t, 0).Contains(t, "2 records in 1 batches")
	run(t, "import", t.TempDir(), "--topic", "orders", "--data", data).Want(t, 1).Says(t, "no segment")
	run(t, "import", t.TempDir()).Want(t, 2).Says(t, "--topic")
}

// sum makes the checksum right again.
func sum(b []byte) {
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
}

// TestRepairPutsBackWhatTheJournalHolds: after a power cut a segment may lack what was acknowledged.
func TestRepairPutsBackWhatTheJournalHolds(t *testing.T) {
	data, partition := withConfiguration(t, 3)
	if err := os.WriteFile(filepath.Join(data, "node.lock"), []byte("1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	j, err := segments.OpenJournal(data, segments.JournalOptions{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := segments.Open(partition, segments.Options{Config: segments.Config{SyncOnAppend: true}, Journal: j})
	if err != nil {
		t.Fatal(err)
	}
	path, before := filepath.Join(partition, "00000000000000000000.log"), int64(0)
	for !j.Holds("topics/orders/0.id") { // its files are made in the background
		before = l.Size()
		if _, err := l.Append([]segments.Entry{{Index: l.LastIndex() + 1, Term: 5, Kind: segments.KindBatch, Data: batch(2, 9000)}}); err != nil {
			t.Fatal(err)
		}
	}
	end := l.EndOffset()
	if err := os.Truncate(path, before); err != nil { // and the node is gone
		t.Fatal(err)
	}
	run(t, "repair", partition, "--write").Want(t, 0).Contains(t, fmt.Sprintf("offsets 0 to %d:", end), "0 offsets lost")
}
