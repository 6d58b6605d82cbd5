package log

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/barnabas-log/barnabas/internal/vfs"
)

// The log of damaged has 12 batches of 2 records, in segments of a few batches each.
func TestRepairKeepsEverythingSound(t *testing.T) {
	for _, c := range []struct {
		name  string
		harm  func(t *testing.T, dir string, first string, size int)
		holes []Hole
	}{
		{"nothing", func(*testing.T, string, string, int) {}, nil},
		{"manifest and ctl gone", func(t *testing.T, dir, _ string, _ int) {
			os.Remove(filepath.Join(dir, "manifest"))
			os.Remove(filepath.Join(dir, "ctl"))
		}, nil},
		{"checkpoint and indexes gone", func(t *testing.T, dir, _ string, _ int) {
			for _, pattern := range []string{"checkpoint", "recovery", "*index"} {
				found, _ := filepath.Glob(filepath.Join(dir, pattern))
				for _, name := range found {
					os.Remove(name)
				}
			}
		}, nil},
		{"records of the second batch", func(t *testing.T, dir, first string, size int) {
			damage(t, vfs.OS{}, first, int64(size+size/2))
		}, []Hole{{From: 2, To: 4}}},
		{"length of the second batch", func(t *testing.T, dir, first string, size int) {
			damage(t, vfs.OS{}, first, int64(size+9))
		}, []Hole{{From: 2, To: 4}}},
		{"base offset of the second batch", func(t *testing.T, dir, first string, size int) {
			damage(t, vfs.OS{}, first, int64(size+6))
		}, nil},
		{"epoch of the second batch", func(t *testing.T, dir, first string, size int) {
			damage(t, vfs.OS{}, first, int64(size+13))
		}, nil},
		{"half of the first segment", func(t *testing.T, dir, first string, size int) {
			os.Truncate(first, int64(size+size/2))
		}, []Hole{{From: 2, To: -1}}},
		{"records of the last batch", func(t *testing.T, dir, _ string, size int) { damageLast(t, dir, int64(size/2)) }, []Hole{{From: 22, To: 24}}},
		{"half of the last batch", func(t *testing.T, dir, _ string, size int) {
			last, end := lastSegment(t, dir)
			os.Truncate(last, end-int64(size/2))
		}, []Hole{{From: 22, To: 24}}},
		{"first segment gone", func(t *testing.T, dir, first string, size int) { os.Remove(first) }, []Hole{{From: 0, To: -1}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, o, _, _ := damaged(t)
			all, err := segmentBases(vfs.OS{}, dir)
			if err != nil || len(all) < 2 {
				t.Fatal(all, err)
			}
			before, err := PlanRepair(nil, dir)
			if err != nil || before.Batches != 12 || len(before.Holes) != 0 {
				t.Fatalf("%+v %v", before, err)
			}
			c.harm(t, dir, filepath.Join(dir, segmentName(0)+logSuffix), before.first.size)
			s, err := PlanRepair(nil, dir)
			if err != nil || len(s.Holes) != len(c.holes) {
				t.Fatalf("%+v %v", s, err)
			}
			lost := int64(0)
			for k, h := range c.holes {
				if h.To < 0 {
					h.To = all[1]
				}
				if s.Holes[k].From != h.From || s.Holes[k].To != h.To || s.Holes[k].Reason == "" {
					t.Fatalf("hole %+v, not %+v", s.Holes[k], h)
				}
				lost += int64(h.To - h.From)
			}
			if s.Lost() != lost || s.End != 24 || s.Records != 24-lost {
				t.Fatalf("lost %d, not %d; ends at %d with %d records", s.Lost(), lost, s.End, s.Records)
			}
			kept, err := s.Apply(dir, []byte("configuration"), nil)
			if err != nil || !strings.Contains(kept, beforeRepair) || !vfsExists(kept) {
				t.Fatalf("kept %s, %v", kept, err)
			}
			l := open(t, dir, o)
			defer l.Close()
			if l.EndOffset() != 24 {
				t.Fatalf("ends at %d", l.EndOffset())
			}
			if data, _, err := l.Configuration(l.LastIndex()); string(data) != "configuration" || err != nil {
				t.Fatalf("configuration %q, %v", data, err)
			}
			if _, err := scrubAll(l); err != nil {
				t.Fatal(err)
			}
			records := int64(0)
			if err := l.Scan(l.Floor().Offset, func(h Header) bool { records += int64(h.Count()); return true }); err != nil || records != 24-lost {
				t.Fatalf("%d records, %v", records, err)
			}
			for o := l.StartOffset(); o < 24; o++ {
				chunk, err := l.Read(o, 24, 1, true)
				if err != nil || chunk == nil {
					t.Fatalf("offset %d: %v", o, err)
				}
				chunk.Release()
			}
		})
	}
}

func lastSegment(t *testing.T, dir string) (name string, size int64) {
	t.Helper()
	all, err := segmentBases(vfs.OS{}, dir)
	if err != nil {
		t.Fatal(err)
	}
	name = filepath.Join(dir, segmentName(all[len(all)-1])+logSuffix)
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return name, info.Size()
}

func damageLast(t *testing.T, dir string, beforeEnd int64) {
	t.Helper()
	name, size := lastSegment(t, dir)
	damage(t, vfs.OS{}, name, size-beforeEnd)
}

// A last batch whose header contradicts itself says nothing of offsets.
func TestRepairDoesNotBelieveADamagedHeader(t *testing.T) {
	dir, _, _, _ := damaged(t)
	before, err := PlanRepair(nil, dir)
	if err != nil {
		t.Fatal(err)
	}
	damageLast(t, dir, int64(before.first.size-24)) // the last offset delta
	s, err := PlanRepair(nil, dir)
	if err != nil || len(s.Holes) != 1 || s.Holes[0].From != 22 || s.Holes[0].To != 22 || s.Lost() != 0 || s.End != 22 {
		t.Fatalf("%+v %v", s, err)
	}
}

func vfsExists(name string) bool { _, err := os.Stat(name); return err == nil }
