package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
)

// DefaultBrokers is where a node that was started without flags listens.
const DefaultBrokers = "127.0.0.1:9092"

// App is one invocation of the command: its streams, its environment and the values of the global flags. The zero value is not usable; fill in
// the exported fields that differ from the process's own and hand it to NewRoot. An App serves one invocation.
type App struct {
	In  io.Reader
	Out io.Writer // data, and only data
	Err io.Writer // messages, progress and errors
	// Env looks an environment variable up; os.Getenv in production.
	Env func(string) string
	// Now is the clock behind relative positions and ages.
	Now func() time.Time
	// Terminal says whether Err is a terminal, where progress may be drawn; OutTerminal the same of Out.
	Terminal, OutTerminal bool

	flags struct {
		brokers string
		output  string
		json    bool
		timeout time.Duration
		config  string
		debug   bool
	}
	timeoutSet bool
	running    bool // flags and arguments were accepted: what fails from here on is not a usage error

	mu         sync.Mutex // mu guards following
	dialErrors map[string]error
	seeds      []string
}

// NewApp is the App of this process.
func NewApp() *App {
	return &App{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		Env: os.Getenv, Now: time.Now, Terminal: isTerminal(os.Stderr), OutTerminal: isTerminal(os.Stdout),
	}
}

// NewRoot is the root command with the global flags and no verbs.
func NewRoot(app *App) *cobra.Command {
	root := &cobra.Command{
		Use:           "barnabas",
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			return app.accept(cmd)
		},
	}
	root.SetIn(app.In)
	root.SetOut(app.Out)
	root.SetErr(app.Err)
	f := root.PersistentFlags()
	f.StringVarP(&app.flags.brokers, "brokers", "b", "", "comma-separated host:port of brokers (default $BARNABAS_BROKERS or "+DefaultBrokers+")")
	f.StringVarP(&app.flags.output, "output", "o", "table", "output format: table or json")
	f.BoolVar(&app.flags.json, "json", false, "short for --output json: one JSON object a line")
	f.DurationVar(&app.flags.timeout, "timeout", 15*time.Second, "how long to wait for an answer from the cluster")
	f.StringVar(&app.flags.config, "config", "", "properties `file` with client settings (bootstrap.servers, client.id, security.protocol, ...)")
	f.BoolVar(&app.flags.debug, "debug", false, "print what the client does to standard error")
	f.SortFlags = false
	return root
}

// accept checks the global flags once the command line has been parsed.
func (a *App) accept(cmd *cobra.Command) error {
	switch a.flags.output {
	case "json":
		a.flags.json = true
	case "table":
	default:
		return Usagef("--output %q is not a format: use table or json", a.flags.output)
	}
	if a.flags.timeout <= 0 {
		return Usagef("--timeout %s: must be more than zero", a.flags.timeout)
	}
	if f := cmd.Flags().Lookup("timeout"); f != nil {
		a.timeoutSet = f.Changed
	}
	a.running = true
	return nil
}

// JSON says whether output is one JSON object a line instead of tables.
func (a *App) JSON() bool { return a.flags.json }

// Timeout is how long one request may take; set says whether the user chose it.
func (a *App) Timeout() (d time.Duration, set bool) { return a.flags.timeout, a.timeoutSet }

// Deadline bounds ctx by the --timeout flag.
func (a *App) Deadline(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, a.flags.timeout)
}

// Notef prints a line for the human to standard error.
func (a *App) Notef(format string, args ...any) {
	fmt.Fprintf(a.Err, strings.TrimSuffix(format, "\n")+"\n", args...)
}

// isTerminal says whether f is a character device that is not /dev/null.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}
