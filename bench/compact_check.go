package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"path/filepath"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/barnabas-log/barnabas/log"
	"github.com/barnabas-log/barnabas/log/record"
)

func (k *compaction) checkRecord(offset int64, key, value []byte) error {
	if len(key) != 8 || (value == nil) != (offset%20 == 19) || value != nil && (len(value) != 84 || int64(binary.BigEndian.Uint64(value)) != offset) {
		return fmt.Errorf("the record at offset %d is another one: key %x, value %x", offset, key, value)
	}
	return nil
}

// expected says whether a record is what must be left, and counts it.
func (k *compaction) expected(offset int64, key, value []byte, found *int) error {
	if err := k.checkRecord(offset, key, value); err != nil {
		return err
	}
	number := binary.BigEndian.Uint64(key)
	if last := k.last[number]; last != offset {
		return fmt.Errorf("key %d is still there at offset %d, its last record is at %d", number, offset, last)
	}
	*found++
	return nil
}

// wanted is how many keys were written.
func (k *compaction) wanted() (n int) {
	for key, last := range k.last {
		if last > 0 || key == 0 {
			n++
		}
	}
	return n
}

// checkOutside reads everything, as a client.
func (k *compaction) checkOutside(ctx context.Context) error {
	found := 0
	if err := k.read(ctx, k.end.Load(), func(r *kgo.Record) error { return k.expected(r.Offset, r.Key, r.Value, &found) }); err != nil {
		return err
	}
	if want := k.wanted(); found != want {
		return fmt.Errorf("a client finds %d keys of %d", found, want)
	}
	fmt.Printf("a client finds the last record of each of %d keys, tombstones included, and nothing else\n", found)
	return nil
}

// checkFiles looks at what a node has on disk.
func (k *compaction) checkFiles(m *member) error {
	dirs, err := filepath.Glob(filepath.Join(m.data(), "topics", k.topic, "0.*"))
	if err != nil || len(dirs) != 1 {
		return fmt.Errorf("node %d has %v: %v", m.number, dirs, err)
	}
	found := 0
	report, err := log.Inspect(dirs[0], log.InspectOptions{Records: true, OnBatch: func(b log.InspectedBatch) error {
		return record.Each(b.Data, 1<<26, func(r record.Record) error { return k.expected(r.Offset, r.Key, r.Value, &found) })
	}})
	if err != nil {
		return fmt.Errorf("node %d: %w", m.number, err)
	}
	if want := k.wanted(); found != want || len(report.Findings) > 0 || int64(report.EndOffset) != k.end.Load() {
		return fmt.Errorf("node %d has %d keys of %d, ends at %d of %d: %v", m.number, found, want, report.EndOffset, k.end.Load(), report.Findings)
	}
	return nil
}
