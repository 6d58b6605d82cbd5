package group

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/barnabas-log/barnabas/cmd/barnabas/cli"
)

// listed is one line of JSON output.
type listed struct {
	Group        string `json:"group"`
	State        string `json:"state"`
	ProtocolType string `json:"protocolType"`
	Coordinator  int32  `json:"coordinator"`
}

func newList(app *cli.App) *cobra.Command {
	var states []string
	cmd := &cobra.Command{
		Use:   "list [PATTERN...]",
		Short: "List consumer groups",
		Long:  "List consumer groups, all of them or those that match a pattern (* and ? as in file names).",
		Example: `  barnabas group list
  barnabas group list 'billing-*' --state Stable
  barnabas group list --json`,
		RunE: func(cmd *cobra.Command, patterns []string) error { return list(cmd.Context(), app, states, patterns) },
	}
	cmd.Flags().StringSliceVar(&states, "state", nil, "only groups in these `states`: Stable, Empty, PreparingRebalance, ...")
	return cmd
}

func list(ctx context.Context, app *cli.App, states []string, patterns cli.Patterns) error {
	if err := patterns.Check(); err != nil {
		return err
	}
	ctx, session, end, err := app.Begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	groups, err := session.Admin.ListGroups(ctx, states...)
	if err != nil {
		return fmt.Errorf("list groups: %w", err)
	}
	table := cli.NewTable("GROUP", "STATE", "TYPE", "COORDINATOR#")
	for _, g := range groups.Sorted() {
		if !patterns.Match(g.Group) {
			continue
		}
		table.Row(g.Group, g.State, g.ProtocolType, g.Coordinator)
		if app.JSON() {
			if err := app.Object(listed{g.Group, g.State, g.ProtocolType, g.Coordinator}); err != nil {
				return err
			}
		}
	}
	switch {
	case app.JSON():
		return nil
	case table.Len() == 0:
		app.Notef("no group matches, or there are none")
		return nil
	}
	return table.Write(app.Out)
}
