package vfs

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func both(t *testing.T, f func(t *testing.T, files FS, dir string)) {
	t.Run("os", func(t *testing.T) { f(t, OS{}, t.TempDir()) })
	t.Run("memory", func(t *testing.T) {
		m := NewMemory()
		if err := m.MkdirAll("/data"); err != nil {
			t.Fatal(err)
		}
		f(t, m, "/data")
	})
	t.Run("failing", func(t *testing.T) { f(t, NewFailing(OS{}), t.TempDir()) })
}

func write(t *testing.T, files FS, name, content string) File {
	t.Helper()
	f, err := files.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte(content), 0); err != nil {
		t.Fatal(err)
	}
	return f
}

func read(t *testing.T, files FS, name string) string {
	t.Helper()
	f, err := files.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, size)
	if n, err := f.ReadAt(b, 0); n != len(b) {
		t.Fatal(n, err)
	}
	return string(b)
}

func TestFilesBehaveAlikeOnEveryFileSystem(t *testing.T) {
	both(t, func(t *testing.T, files FS, dir string) {
		name := path.Join(dir, "a")
		f := write(t, files, name, "hello")
		buffers := [][]byte{[]byte(" wide"), nil, []byte(" world")}
		if n, err := f.WritevAt(buffers, 5); n != 11 || err != nil {
			t.Fatal(n, err)
		}
		if got := read(t, files, name); got != "hello wide world" {
			t.Fatalf("%q", got)
		}
		if err := f.Truncate(5); err != nil {
			t.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
		if err := f.Truncate(7); err != nil {
			t.Fatal(err)
		}
		if got := read(t, files, name); got != "hello\x00\x00" {
			t.Fatalf("%q", got)
		}
		if err := files.Rename(name, path.Join(dir, "b")); err != nil {
			t.Fatal(err)
		}
		if _, err := files.Stat(name); !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		if _, err := files.OpenFile(path.Join(dir, "b"), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644); !errors.Is(err, fs.ErrExist) {
			t.Fatal(err)
		}
		if err := files.SyncDir(dir); err != nil {
			t.Fatal(err)
		}
		if err := files.MkdirAll(path.Join(dir, "x/y")); err != nil {
			t.Fatal(err)
		}
		infos, err := files.ReadDir(dir)
		if err != nil || len(infos) != 2 || infos[0] != (Info{Name: "b", Bytes: 7}) || infos[1] != (Info{Name: "x", Dir: true}) {
			t.Fatal(infos, err)
		}
		if err := files.Remove(path.Join(dir, "b")); err != nil {
			t.Fatal(err)
		}
		if got := make([]byte, 5); true {
			if _, err := f.ReadAt(got, 0); err != nil || string(got) != "hello" {
				t.Fatal("a removed file that is open must stay readable:", err)
			}
		}
		if err := files.RemoveAll(path.Join(dir, "x")); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if infos, _ := files.ReadDir(dir); len(infos) != 0 {
			t.Fatal(infos)
		}
	})
}

func TestManyVectorsAreWrittenWhole(t *testing.T) {
	both(t, func(t *testing.T, files FS, dir string) {
		var buffers [][]byte
		var want string
		for i := range 3000 {
			b := make([]byte, i%7)
			for j := range b {
				b[j] = byte('a' + i%26)
			}
			want += string(b)
			buffers = append(buffers, b)
		}
		f := write(t, files, path.Join(dir, "a"), "")
		defer f.Close()
		if n, err := f.WritevAt(buffers, 0); n != int64(len(want)) || err != nil {
			t.Fatal(n, err)
		}
		if read(t, files, path.Join(dir, "a")) != want {
			t.Fatal("content differs")
		}
	})
}

// What is written cold is there for readers wherever it begins and ends, beside what is written as usual.
func TestColdWritesAreWrittenWhole(t *testing.T) {
	both(t, func(t *testing.T, files FS, dir string) {
		name := path.Join(dir, "a")
		f := write(t, files, name, "")
		defer f.Close()
		r := rand.New(rand.NewPCG(1, 2))
		var want []byte
		for k, size := range []int{3, 8192, 1, 20000, 1<<20 - 20001, 4096, 3<<20 + 5, 8191, 0, 300000, 8192 - 1, 1 << 20} {
			b := make([]byte, size)
			for j := range b {
				b[j] = byte(r.Uint32())
			}
			buffers := [][]byte{b[:size/3], nil, b[size/3 : size/2], b[size/2:]}
			write := f.WriteColdAt
			if k%4 == 3 {
				write = f.WritevAt
			}
			if n, err := write(buffers, int64(len(want))); n != int64(size) || err != nil {
				t.Fatal(size, n, err)
			}
			want = append(want, b...)
			if k == 7 {
				want = want[:len(want)-5000] // a log that was truncated goes on with other bytes
				if err := f.Truncate(int64(len(want))); err != nil {
					t.Fatal(err)
				}
			}
			if read(t, files, name) != string(want) {
				t.Fatalf("after %d bytes more the content differs", size)
			}
		}
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestCrashKeepsWhatWasSyncedAndMayLoseTheRest(t *testing.T) {
	m := NewMemory()
	if err := m.MkdirAll("/d"); err != nil {
		t.Fatal(err)
	}
	if err := m.SyncDir("/"); err != nil {
		t.Fatal(err)
	}
	f := write(t, m, "/d/kept", "durable")
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := m.SyncDir("/d"); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("-perhaps"), 7); err != nil {
		t.Fatal(err)
	}
	write(t, m, "/d/unnamed", "x")
	lost, whole, torn, unnamed := 0, 0, 0, 0
	for seed := range uint64(500) {
		clone := m.CrashClone(rand.New(rand.NewPCG(seed, 0)))
		got := read(t, clone, "/d/kept")
		if got[:7] != "durable" {
			t.Fatalf("seed %d: %q", seed, got)
		}
		switch {
		case got == "durable":
			lost++
		case got == "durable-perhaps":
			whole++
		default:
			torn++
		}
		if _, err := clone.Stat("/d/unnamed"); err != nil {
			unnamed++
		}
	}
	if lost == 0 || whole == 0 || torn == 0 || unnamed == 0 || unnamed == 500 {
		t.Fatal("some outcome never happens:", lost, whole, torn, unnamed)
	}
	if got := read(t, m.Clone(), "/d/kept"); got != "durable-perhaps" {
		t.Fatalf("a killed process keeps everything written: %q", got)
	}
}

func TestRenameIsAtomicInACrash(t *testing.T) {
	m := NewMemory()
	write(t, m, "/old", "1").Sync()
	m.SyncDir("/")
	write(t, m, "/new", "2").Sync()
	m.SyncDir("/")
	if err := m.Rename("/new", "/old"); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for seed := range uint64(100) {
		seen[read(t, m.CrashClone(rand.New(rand.NewPCG(seed, 1))), "/old")] = true
	}
	if !seen["1"] || !seen["2"] || len(seen) != 2 {
		t.Fatal(seen)
	}
}

func TestFailNthFailsExactlyThatCall(t *testing.T) {
	f := NewFailing(NewMemory())
	f.FailNth(Write|Sync, 2)
	file := write(t, f, "/a", "abcd")
	if err := file.Sync(); !errors.Is(err, ErrInjected) {
		t.Fatal(err)
	}
	if err := file.Sync(); err != nil || !f.Tripped() {
		t.Fatal(err)
	}
	f.FailNth(Write, 1)
	if n, err := file.WriteAt([]byte("12345678"), 0); n != 4 || !errors.Is(err, ErrInjected) {
		t.Fatal("a failed write leaves its first half:", n, err)
	}
	if got := read(t, f, "/a"); got != "1234" {
		t.Fatal(got)
	}
}

func TestSyncHookIsCalledAroundEverySync(t *testing.T) {
	m := NewMemory()
	var calls []bool
	m.OnSync(func(_ string, done bool) {
		calls = append(calls, done)
		m.CrashClone(rand.New(rand.NewPCG(1, 1)))
	})
	write(t, m, "/a", "x").Sync()
	m.SyncDir("/")
	if len(calls) != 4 || calls[0] || !calls[1] {
		t.Fatal(calls)
	}
}
