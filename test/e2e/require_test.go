package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// unavailable ends the test: skipped with a line that says what to install, failed in CI, where nothing may be missing.
func unavailable(t testing.TB, what, install string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is missing, and in CI nothing is skipped: %s", what, install)
	}
	noteMissing(what + " is missing: " + install)
	t.Skipf("%s is missing: %s", what, install)
}

var (
	missingMu sync.Mutex
	// missing is what the run had to do without, a line each.
	missing []string
)

func noteMissing(line string) {
	missingMu.Lock()
	defer missingMu.Unlock()
	if !slices.Contains(missing, line) {
		missing = append(missing, line)
	}
}

func requireProgram(t testing.TB, name, install string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		unavailable(t, name, install)
	}
}

func requireFile(t testing.TB, path, install string) {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		unavailable(t, filepath.Base(path), install)
	}
}

// clientsDir holds the foreign clients and what test/clients/install put beside them.
func clientsDir(elements ...string) string {
	return filepath.Join(append([]string{root, "test", "clients"}, elements...)...)
}

// goBuild builds a program of this repository into scratch. What it cannot fetch its modules for is unavailable, not broken.
func goBuild(t testing.TB, dir, name, target string) string {
	t.Helper()
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil && dir != root {
		download := exec.Command("go", "mod", "download")
		download.Dir = dir
		if output, err := download.CombinedOutput(); err != nil {
			unavailable(t, "Go modules of "+dir, "the network that `go mod download` needs: "+strings.TrimSpace(string(output)))
		}
	}
	binary := filepath.Join(scratch, name)
	build := exec.Command("go", "build", "-o", binary, target)
	build.Dir = dir
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", target, err, output)
	}
	return binary
}

var (
	buildMu sync.Mutex
	built   = map[string]string{}
)

// builtOnce is goBuild, once for the whole run.
func builtOnce(t testing.TB, dir, name, target string) string {
	t.Helper()
	buildMu.Lock()
	defer buildMu.Unlock()
	if built[name] == "" {
		built[name] = goBuild(t, dir, name, target)
	}
	return built[name]
}
