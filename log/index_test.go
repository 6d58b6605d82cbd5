package log

import (
	"testing"

	"github.com/barnabas-log/barnabas/internal/vfs"
)

// A follower applies what is committed while its uncommitted tail is truncated: a search that is under way must not stumble over the file that becomes shorter.
func TestSearchGoesOnWhileTheIndexIsCut(t *testing.T) {
	for _, left := range []int64{0, 1, 100, 1999} {
		files := vfs.NewMemory()
		if err := files.MkdirAll("/d"); err != nil {
			t.Fatal(err)
		}
		x := newIndex(files, offsetIndexKind, "/d/x")
		for k := range int64(2000) {
			x.add(k, 10*k)
		}
		if err := x.flush(); err != nil {
			t.Fatal(err)
		}
		cut := false
		key, value, ok, err := x.search(func(key, _ int64) bool {
			if !cut {
				cut = true
				if _, err := x.cut(func(key, _ int64) bool { return key < left }); err != nil {
					t.Fatal(err)
				}
			}
			return key <= 50
		})
		want := min(50, left-1)
		if err != nil || ok != (left > 0) || ok && (key != want || value != 10*want) {
			t.Errorf("cut to %d entries: %d, %d, %v, %v", left, key, value, ok, err)
		}
	}
}
