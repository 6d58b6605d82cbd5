package main

import (
	"bytes"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/goleak"

	"github.com/barnabas-log/barnabas/cmd/barnabas/cli"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func execute(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	app := &cli.App{In: strings.NewReader(""), Out: &o, Err: &e, Env: func(string) string { return "" }, Now: time.Now}
	code = cli.Run(t.Context(), app, newRootCommand(app), args)
	return code, o.String(), e.String()
}

func TestUnknownCommandSuggestsAndStartsNothing(t *testing.T) {
	code, out, errs := execute(t, "topics", "list")
	if code != 2 || out != "" || !strings.Contains(errs, `"topics" is not a command`) || !strings.Contains(errs, `did you mean "topic"?`) {
		t.Fatalf("%d %q %q", code, out, errs)
	}
	if code, _, errs = execute(t, "--no-such-flag"); code != 2 || !strings.Contains(errs, "unknown flag") {
		t.Fatalf("%d %q", code, errs)
	}
}

// TestEveryVerbExplainsItself keeps the promise that every verb has a description and an example that parses.
func TestEveryVerbExplainsItself(t *testing.T) {
	app := cli.NewApp()
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		if cmd.Short == "" {
			t.Errorf("%s has no description", cmd.CommandPath())
		}
		for _, line := range strings.Split(cmd.Example, "\n") {
			checkExample(t, cmd, line)
		}
		if len(cmd.Commands()) == 0 && cmd.Name() != "server" && cmd.Example == "" {
			t.Errorf("%s has no example", cmd.CommandPath())
		}
		for _, sub := range cmd.Commands() {
			visit(sub)
		}
	}
	root := newRootCommand(app)
	visit(root)
	for _, args := range [][]string{{"--help"}, {"topic", "--help"}, {"consume", "-h"}, {"help", "group", "seek"}} {
		code, out, errs := execute(t, args...)
		if code != 0 || errs != "" || !strings.Contains(out, "Usage:") {
			t.Errorf("%v: %d %q %q", args, code, out, errs)
		}
	}
}

// checkExample finds the command line of an example and parses its flags and arguments.
func checkExample(t *testing.T, from *cobra.Command, line string) {
	t.Helper()
	i := strings.Index(line, "barnabas ")
	if i < 0 {
		return
	}
	text, _, _ := strings.Cut(line[i:], "   #")
	text, _, _ = strings.Cut(text, " | ")
	args := strings.Fields(strings.ReplaceAll(text, "'", ""))
	cmd, rest, err := newRootCommand(cli.NewApp()).Find(args[1:])
	if err == nil {
		err = cmd.ParseFlags(rest)
	}
	if err == nil && cmd.Args != nil {
		err = cmd.Args(cmd, cmd.Flags().Args())
	}
	if err != nil {
		t.Errorf("example of %s does not parse: %s: %v", from.CommandPath(), line, err)
	}
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		code, out, errs := execute(t, "completion", shell)
		if code != 0 || errs != "" || !strings.Contains(out, "barnabas") {
			t.Errorf("%s: %d %q", shell, code, errs)
		}
	}
	if code, out, _ := execute(t, "__complete", "topic", "de"); code != 0 || !strings.Contains(out, "describe") || !strings.Contains(out, "delete") {
		t.Errorf("%d %q", code, out)
	}
}

func TestVersion(t *testing.T) {
	if code, out, errs := execute(t, "--version"); code != 0 || errs != "" || !strings.HasPrefix(out, "barnabas version ") || !strings.Contains(out, "go1.") {
		t.Fatalf("%d %q %q", code, out, errs)
	}
}

func TestANodeThatCannotStartFails(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	code, _, errs := execute(t, "--set", "log.dirs="+t.TempDir(), "--set", "barnabas.http.listener=", "--set", "listeners=PLAINTEXT://"+l.Addr().String())
	if code != 1 || !strings.Contains(errs, "address already in use") {
		t.Errorf("%d %q", code, errs)
	}
}

func TestAWrongConfigurationIsAMistakeInUsage(t *testing.T) {
	for _, args := range [][]string{
		{"--set", "listners=PLAINTEXT://:1"},
		{"server", "--set", "num.partitions=0"},
		{"server", "--config", "/does/not/exist"},
		{"--log-level", "loud"},
		{"--log-format", "xml"},
	} {
		if code, out, errs := execute(t, args...); code != 2 || out != "" || !strings.HasPrefix(errs, "error: ") {
			t.Errorf("%v: %d %q %q", args, code, out, errs)
		}
	}
}
