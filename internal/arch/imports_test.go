package arch

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"sort"
	"strings"
	"testing"
)

const module = "github.com/barnabas-log/barnabas"

// graph says which of our packages each package may import. A package that is missing here fails the test: say where it belongs first.
// Packages below a listed one (log/record) inherit its row, may import it, and may be imported by whoever may import it.
var graph = map[string][]string{
	"internal/hugepage":    {},
	"internal/vfs":         {"internal/hugepage"},
	"internal/metrics":     {},
	"internal/quota":       {},
	"log":                  {"internal/vfs", "internal/metrics"},
	"partition":            {"log", "internal/vfs", "internal/metrics"},
	"replication":          {"log", "internal/vfs", "internal/metrics"},
	"internal/metadata":    {},
	"internal/config":      {},
	"internal/coordinator": {"partition", "log", "internal/metrics"},
	"consumergroup":        {"internal/coordinator", "partition", "log", "internal/metrics"},
	"internal/transaction": {"internal/coordinator", "partition", "log", "internal/metrics"},
	"internal/security":    {"internal/metadata"},
	"protocol": {"partition", "consumergroup", "log", "internal/transaction", "internal/metadata", "internal/security", "internal/quota",
		"internal/metrics", "internal/hugepage"},
	"internal/admin": {"internal/metrics"},
	"internal/broker": {"protocol", "replication", "consumergroup", "partition", "log", "internal/coordinator", "internal/metadata",
		"internal/config", "internal/admin", "internal/metrics", "internal/vfs", "internal/quota", "internal/security", "internal/transaction"},
	"internal/freeport":    {},
	"internal/testcluster": {"internal/broker", "internal/config", "internal/freeport"},
	"internal/history":     {},
	"internal/arch":        {},
	"cmd":                  {"internal/broker", "internal/config", "internal/admin", "log"},
	"bench":                {"internal/history", "internal/freeport", "log"},
	"test":                 {},
	"examples":             {},
}

// libraries says who alone may import a library in code that ships (tests are free).
var libraries = map[string][]string{
	"github.com/hashicorp/raft":          {"replication"},
	"github.com/hashicorp/raft-boltdb":   {"replication"},
	"go.etcd.io/bbolt":                   {"replication"},
	"github.com/twmb/franz-go/pkg/kmsg":  {"protocol", "consumergroup", "internal/coordinator", "bench", "cmd", "test"},
	"github.com/twmb/franz-go/pkg/kgo":   {"bench", "cmd", "test", "internal/testcluster", "internal/history", "examples"},
	"github.com/twmb/franz-go/pkg/kadm":  {"bench", "cmd", "test", "examples"},
	"github.com/twmb/franz-go/pkg/kfake": {"cmd/barnabas/cli/clitest"}, // a test helper that several packages share
	"github.com/spf13/cobra":             {"cmd", "bench"},
	"github.com/prometheus":              {"internal/metrics"},
	"log":                                {}, // our package of that name is meant
	"log/slog":                           {},
}

// pkg is what `go list -json` prints of a package.
type pkg struct {
	ImportPath string
	Doc        string
	Imports    []string
	GoFiles    []string
}

func list(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Doc,Imports,GoFiles", module+"/...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var pkgs []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}

// row finds the row of the graph that a package belongs to: its own or that of the nearest folder above it.
func row(path string) (string, bool) {
	for p := path; p != ""; {
		if _, ok := graph[p]; ok {
			return p, true
		}
		i := strings.LastIndexByte(p, '/')
		if i < 0 {
			break
		}
		p = p[:i]
	}
	return "", false
}

func allowed(list []string, path string) bool {
	for _, a := range list {
		if path == a || strings.HasPrefix(path, a+"/") {
			return true
		}
	}
	return false
}

func TestImportsGoOneWay(t *testing.T) {
	for _, p := range list(t) {
		from := strings.TrimPrefix(p.ImportPath, module+"/")
		home, ok := row(from)
		if !ok {
			t.Errorf("%s is not in the graph of internal/arch: say what it may import", from)
			continue
		}
		for _, imp := range p.Imports {
			to, ours := strings.CutPrefix(imp, module+"/")
			if ours && !allowed(append([]string{home}, graph[home]...), to) {
				t.Errorf("%s imports %s, which the graph of internal/arch does not allow", from, to)
			}
		}
	}
}

func TestLibrariesStayWhereTheyBelong(t *testing.T) {
	for _, p := range list(t) {
		from := strings.TrimPrefix(p.ImportPath, module+"/")
		for _, imp := range p.Imports {
			for lib, owners := range libraries {
				std := !strings.Contains(lib, ".")
				if imp != lib && (std || !strings.HasPrefix(imp, lib+"/")) {
					continue
				}
				if !allowed(owners, from) {
					t.Errorf("%s imports %s, which belongs to %v alone", from, imp, owners)
				}
			}
		}
	}
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	var bare []string
	for _, p := range list(t) {
		if len(p.GoFiles) > 0 && p.Doc == "" {
			bare = append(bare, p.ImportPath)
		}
	}
	sort.Strings(bare)
	for _, p := range bare {
		t.Errorf("%s has no package comment", p)
	}
}
