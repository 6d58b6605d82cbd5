package config

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/barnabas-log/barnabas/cmd/barnabas/cli"
)

func newDescribe(app *cli.App) *cobra.Command {
	var everything bool
	cmd := &cobra.Command{
		Use:   "describe topic NAME | broker ID",
		Short: "Show configurations",
		Long:  "Show the configurations that were set, or with --all every one with its default.\n\n" + targetHelp,
		Example: `  barnabas config describe topic orders
  barnabas config describe topic orders --all
  barnabas config describe broker 1 --all --json`,
		Args: cli.Args(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error { return describe(cmd.Context(), app, everything, args) },
	}
	cmd.Flags().BoolVarP(&everything, "all", "a", false, "also show what has its default value")
	return cmd
}

func describe(ctx context.Context, app *cli.App, everything bool, args []string) error {
	t, err := parseTarget(args)
	if err != nil {
		return err
	}
	ctx, session, end, err := app.Begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	if err := t.check(ctx, session); err != nil {
		return err
	}
	list, err := t.list(ctx, session, everything)
	if err != nil {
		return err
	}
	if app.JSON() {
		for _, e := range list {
			if err := app.Object(e); err != nil {
				return err
			}
		}
		return nil
	}
	if len(list) == 0 {
		app.Notef("%s has only defaults: --all shows them", t)
		return nil
	}
	return Print(app.Out, list)
}
