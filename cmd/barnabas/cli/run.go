package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// Run executes root with args and gives the exit code. Every error is printed here, once. Output that nobody reads any more (a closed pipe, as
// in `barnabas consume orders | head`) is not an error.
func Run(ctx context.Context, app *App, root *cobra.Command, args []string) int {
	root.SetArgs(args)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return Usagef("%w", err) })
	root.CompletionOptions.HiddenDefaultCmd = false
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil || isBrokenPipe(err) {
		return ExitOK
	}
	f := app.explain(err)
	if f.Code == ExitInterrupted && errors.Is(err, context.Canceled) {
		return f.Code
	}
	fmt.Fprintf(app.Err, "error: %s\n", strings.TrimSpace(f.Error()))
	if f.Hint != "" {
		fmt.Fprintf(app.Err, "hint: %s\n", f.Hint)
	} else if f.Code == ExitUsage && cmd != nil {
		fmt.Fprintf(app.Err, "hint: see %s --help\n", cmd.CommandPath())
	}
	return f.Code
}

// Noun is a command that only groups verbs. A missing or unknown verb is a usage error.
func Noun(use, short string, verbs ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
		Args:  cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				cmd.SetOut(cmd.ErrOrStderr())
				if err := cmd.Help(); err != nil {
					return err
				}
				return Usagef("say which verb of %s", cmd.CommandPath())
			}
			var names []string
			for _, v := range cmd.Commands() {
				names = append(names, v.Name())
			}
			err := Usagef("%q is not a verb of %s: use one of %s", args[0], cmd.CommandPath(), strings.Join(names, ", "))
			if near := Nearest(args[0], names, 1); len(near) > 0 {
				return WithHint(err, "did you mean %q?", cmd.CommandPath()+" "+near[0])
			}
			return err
		},
	}
	cmd.AddCommand(verbs...)
	return cmd
}

// Args accepts between least and most arguments (most < 0: any number), and says what is expected otherwise.
func Args(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return Usagef("%s needs more: %s", cmd.CommandPath(), cmd.UseLine())
		case most >= 0 && len(args) > most:
			return Usagef("%s does not take %q: %s", cmd.CommandPath(), args[most], cmd.UseLine())
		}
		return nil
	}
}
