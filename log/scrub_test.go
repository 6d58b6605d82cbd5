package log

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/barnabas-log/barnabas/internal/vfs"
)

func unthrottled(int) error { return nil }

// wholeLog is every entry of a log, as bytes.
func wholeLog(l *Log) (string, error) {
	var out bytes.Buffer
	for i := l.FirstIndex(); i <= l.LastIndex(); i++ {
		m, err := l.Meta(i)
		if err != nil {
			return "", fmt.Errorf("meta %d: %w", i, err)
		}
		b, err := l.Data(nil, m)
		if err != nil {
			return "", fmt.Errorf("data %d: %w", i, err)
		}
		fmt.Fprintf(&out, "%+v %x\n", m, b)
	}
	return out.String(), nil
}

// readAll reads from every offset on.
func readAll(l *Log) (string, error) {
	var out bytes.Buffer
	for o := l.StartOffset(); o < l.EndOffset(); o++ {
		c, err := l.Read(o, l.EndOffset(), 700, true)
		if err != nil || c == nil {
			return "", fmt.Errorf("read %d: %w", o, err)
		}
		b, err := c.Bytes(nil)
		fmt.Fprintf(&out, "%d %d %x\n", o, c.NextOffset(), b)
		c.Release()
		if err != nil {
			return "", err
		}
	}
	return out.String(), nil
}

func scrubAll(l *Log) (rebuilt int, err error) {
	for _, s := range l.Segments() {
		done, err := l.Scrub(s.BaseOffset, unthrottled)
		if err != nil {
			return rebuilt, err
		}
		if done.Rebuilt {
			rebuilt++
		}
	}
	return rebuilt, nil
}

// damaged is a log of several segments, to be damaged.
func damaged(t *testing.T) (dir string, o Options, whole, read string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "p")
	o = Options{Config: Config{SegmentBytes: 1500, SyncOnAppend: true, IndexIntervalBytes: 300}}
	l := open(t, dir, o)
	appendBatches(t, l, 12)
	if err := l.WriteCheckpoint(Checkpoint{Index: 3, Term: 1, State: []byte("abc")}); err != nil {
		t.Fatal(err)
	}
	whole, read = everything(t, l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, o, whole, read
}

func everything(t *testing.T, l *Log) (whole, read string) {
	t.Helper()
	whole, err := wholeLog(l)
	if err == nil {
		read, err = readAll(l)
	}
	if err != nil {
		t.Fatal(err)
	}
	return whole, read
}

// One bit of each file is flipped in turn, and the log opened. Whatever happens, nothing wrong is taken for right: either everything is served, after a scrub at the latest, or the file
// that is damaged is named.
func TestEveryFlippedByteIsHarmlessOrFound(t *testing.T) {
	dir, o, whole, read := damaged(t)
	names, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	outcomes := map[string]map[string]int{}
	for _, entry := range names {
		content, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		kind := strings.TrimLeft(entry.Name(), "0123456789")
		if outcomes[kind] == nil {
			outcomes[kind] = map[string]int{}
		}
		step := max(1, len(content)/40)
		if os.Getenv("BARNABAS_LONG") != "" {
			step = 1
		}
		for at := 0; at < len(content); at += step {
			outcome := flipAndOpen(t, dir, entry.Name(), at, o, whole, read)
			outcomes[kind][outcome]++
		}
	}
	for kind, counts := range outcomes {
		t.Logf("%-12s %v", kind, counts)
	}
}

func flipAndOpen(t *testing.T, from, name string, at int, o Options, whole, read string) string {
	t.Helper()
	files, dir := memoryFS(), "/d/p"
	copyInto(t, files, dir, from)
	o.FS = files
	damage(t, files, path.Join(dir, name), int64(at))
	where := fmt.Sprintf("%s at %d", name, at)
	named := func(err error) {
		t.Helper()
		var corrupt *CorruptError
		if !errors.As(err, &corrupt) && !errors.Is(err, ErrUnsupported) {
			t.Fatalf("%s: %v", where, err)
		}
		if corrupt != nil && path.Base(corrupt.File) != name && path.Ext(name) == ".log" {
			t.Fatalf("%s: another file is blamed: %v", where, err)
		}
	}
	l, err := Open(dir, o)
	if err != nil {
		named(err)
		return "refused"
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}()
	rebuilt, err := scrubAll(l)
	if err != nil {
		named(err)
		return "scrubbed"
	}
	gotWhole, gotRead := everything(t, l)
	if gotWhole != whole || gotRead != read {
		t.Fatalf("%s: the log serves something else, or less", where)
	}
	if rebuilt > 0 {
		return "rebuilt"
	}
	return "whole"
}

// copyInto copies a directory of the machine.
func copyInto(t *testing.T, files vfs.FS, dir, from string) {
	t.Helper()
	names, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := files.MkdirAll(dir); err != nil {
		t.Fatal(err)
	}
	for _, entry := range names {
		content, err := os.ReadFile(filepath.Join(from, entry.Name()))
		if err == nil {
			err = vfs.WriteSynced(files, path.Join(dir, entry.Name()), content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Index files are damaged and removed while the log is open: what is read stays right, and a scrub makes them anew.
func TestDamagedIndexesOfAnOpenLog(t *testing.T) {
	for _, suffix := range []string{".index", ".timeindex", ".raftindex"} {
		for _, harm := range []string{"removed", "emptied", "garbage"} {
			t.Run(suffix[1:]+" "+harm, func(t *testing.T) {
				dir, o, _, read := damaged(t)
				l := open(t, dir, o)
				t.Cleanup(func() { l.Close() })
				for _, s := range l.Segments() {
					name := filepath.Join(dir, segmentName(s.BaseOffset)+suffix)
					content, err := os.ReadFile(name)
					if err != nil {
						t.Fatal(err)
					}
					switch harm {
					case "removed":
						err = os.Remove(name)
					case "emptied":
						err = os.Truncate(name, 0)
					default:
						err = os.WriteFile(name, bytes.Repeat([]byte{0x5a}, len(content)), 0o644)
					}
					if err != nil {
						t.Fatal(err)
					}
				}
				if suffix != ".raftindex" || harm != "garbage" {
					if got, err := readAll(l); err != nil || got != read {
						t.Fatalf("before the scrub: %v", err)
					}
				}
				rebuilt, err := scrubAll(l)
				if want := len(l.Segments()) - 1; err != nil || rebuilt != want {
					t.Fatalf("%d of %d rebuilt, %v", rebuilt, want, err)
				}
				if rebuilt, err := scrubAll(l); rebuilt != 0 || err != nil || len(l.Doubted()) != 0 {
					t.Fatalf("again %d rebuilt, %v", rebuilt, err)
				}
				if got, err := readAll(l); err != nil || got != read {
					t.Fatal(err)
				}
				if _, err := wholeLog(l); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
}

// After kill -9 the end of the active segment lies behind the recovery point. Damage in the middle of it is no torn write as long as the machine went on.
func TestDamageBehindTheRecoveryPoint(t *testing.T) {
	for _, c := range []struct {
		name     string
		change   func(b []byte, size int) []byte
		refused  bool // when the machine went on
		expected Offset
	}{
		{"a bit of the second last batch", func(b []byte, size int) []byte { b[len(b)-size-3] ^= 1; return b }, true, 3},
		{"the length of the second last batch", func(b []byte, size int) []byte { b[len(b)-2*size+8] ^= 1; return b }, true, 3},
		{"a bit of the last batch", func(b []byte, size int) []byte { b[len(b)-3] ^= 1; return b }, true, 4},
		{"half of the last batch", func(b []byte, size int) []byte { return b[:len(b)-size/2] }, false, 4},
		{"half a header", func(b []byte, size int) []byte { return append(b, b[:30]...) }, false, 5},
		{"nothing", func(b []byte, size int) []byte { return b }, false, 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "p")
			o := Options{Config: Config{SyncOnAppend: true}}
			l := open(t, dir, o)
			one := batchOf(1, 200, 1)
			for i := range 5 {
				if _, err := l.Append([]Entry{{Index: Index(i + 1), Term: 1, Data: bytes.Clone(one)}}); err != nil {
					t.Fatal(err)
				}
			}
			killed := filepath.Join(t.TempDir(), "p")
			if err := os.CopyFS(killed, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			l.Close()
			name := filepath.Join(killed, segmentName(0)+".log")
			b, err := os.ReadFile(name)
			if err == nil {
				err = os.WriteFile(name, c.change(b, len(one)), 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
			o.SameBoot = true
			l, err = Open(killed, o)
			if c.refused != errors.Is(err, ErrCorrupt) || !c.refused && err != nil {
				t.Fatalf("refused %v: %v", c.refused, err)
			}
			if err != nil { // after a power cut it is a torn tail
				o.SameBoot = false
				l = open(t, killed, o)
			}
			if end := l.EndOffset(); end != c.expected {
				t.Errorf("ends at %d, not %d", end, c.expected)
			}
			l.Close()
		})
	}
}

func TestVerifyNamesTheDamagedBatch(t *testing.T) {
	dir, o, _, _ := damaged(t)
	l := open(t, dir, o)
	t.Cleanup(func() { l.Close() })
	m, err := l.Meta(l.FirstIndex() + 1)
	if err != nil || l.Verify(m.Index) != nil {
		t.Fatal(err, l.Verify(m.Index))
	}
	damage(t, vfs.OS{}, filepath.Join(dir, segmentName(0)+".log"), int64(m.Size)-1+firstBatchEnd(t, l))
	var corrupt *CorruptError
	if err := l.Verify(m.Index); !errors.As(err, &corrupt) || corrupt.Position != firstBatchEnd(t, l) {
		t.Fatal(err)
	}
	if err := l.Verify(l.FirstIndex()); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Scrub(math.MaxInt64, unthrottled); !errors.Is(err, ErrNotFound) {
		t.Fatal(err)
	}
}

func firstBatchEnd(t *testing.T, l *Log) int64 {
	t.Helper()
	m, err := l.Meta(l.FirstIndex())
	if err != nil {
		t.Fatal(err)
	}
	return int64(m.Size)
}
