package arch

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/barnabas-log/barnabas/internal/config"
	"github.com/barnabas-log/barnabas/protocol"
)

var update = flag.Bool("update", false, "write docs/compat.md")

// TestCompatIsCurrent holds docs/compat.md to the table of APIs and the table of topic configurations: go test ./internal/arch -update writes it.
func TestCompatIsCurrent(t *testing.T) {
	const path = "../../docs/compat.md"
	want := compat(t)
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("docs/compat.md is out of date: go test ./internal/arch -update")
	}
}

func compat(t *testing.T) string {
	t.Helper()
	head, err := os.ReadFile("testdata/compat_head.md")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.Write(head)
	b.WriteString("\n## APIs\n\nExactly what ApiVersions lists.\n\n| key | API | versions |\n|---|---|---|\n")
	for _, a := range protocol.APIs() {
		fmt.Fprintf(&b, "| %d | %s | %d to %d |\n", a.Key, a.Name, a.Min, a.Max)
	}
	b.WriteString("\n## Topic configurations\n\nAll of Kafka's are accepted, checked and described. Not all of them have an effect.\n\n" +
		"| configuration | default | acted on | |\n|---|---|---|---|\n")
	for _, d := range config.Topics() {
		if d.Hidden {
			continue
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", d.Name, d.Default, d.Effect, d.Note)
	}
	return b.String()
}

// TestEveryAPIHasItsFileAndItsTest reads protocol/: each row of the table has a file whose head comment names the API and its key, and the API's request appears in a test.
func TestEveryAPIHasItsFileAndItsTest(t *testing.T) {
	var sources, tests strings.Builder
	files, err := os.ReadDir("../../protocol")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") {
			continue
		}
		text, err := os.ReadFile("../../protocol/" + f.Name())
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(f.Name(), "_test.go") {
			tests.Write(text)
		} else {
			sources.Write(text)
		}
	}
	for _, a := range protocol.APIs() {
		head := fmt.Sprintf("// %s (%d), version", a.Name, a.Key)
		if !strings.Contains(sources.String(), head) {
			t.Errorf("no file in protocol/ starts its handler's comment with %q", head)
		}
		if message := strings.ReplaceAll(a.Name, "Id", "ID") + "Request"; !strings.Contains(tests.String(), message) { // Go's way with initials
			t.Errorf("no test in protocol/ sends a %s", message)
		}
	}
}
