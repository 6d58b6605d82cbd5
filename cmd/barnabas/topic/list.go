package topic

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/barnabas-log/barnabas/cmd/barnabas/cli"
)

// listed is one line of JSON output.
type listed struct {
	Topic             string `json:"topic"`
	ID                string `json:"id,omitempty"`
	Partitions        int    `json:"partitions"`
	ReplicationFactor int    `json:"replicationFactor"`
	Internal          bool   `json:"internal,omitempty"`
}

func newList(app *cli.App) *cobra.Command {
	var internal bool
	cmd := &cobra.Command{
		Use:   "list [PATTERN...]",
		Short: "List topics",
		Long:  "List topics, all of them or those that match a pattern (* and ? as in file names).",
		Example: `  barnabas topic list
  barnabas topic list 'orders-*'
  barnabas topic list --internal --json`,
		RunE: func(cmd *cobra.Command, patterns []string) error { return list(cmd.Context(), app, internal, patterns) },
	}
	cmd.Flags().BoolVar(&internal, "internal", false, "also list topics that the cluster keeps for itself")
	return cmd
}

func list(ctx context.Context, app *cli.App, internal bool, patterns cli.Patterns) error {
	if err := patterns.Check(); err != nil {
		return err
	}
	ctx, session, end, err := app.Begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	topics, err := session.Admin.ListTopicsWithInternal(ctx)
	if err != nil {
		return fmt.Errorf("list topics: %w", err)
	}
	table := cli.NewTable("TOPIC", "PARTITIONS#", "REPLICAS#")
	for _, t := range topics.Sorted() {
		if (t.IsInternal && !internal) || !patterns.Match(t.Topic) {
			continue
		}
		line := listed{Topic: t.Topic, ID: cli.TopicID(t.ID), Partitions: len(t.Partitions), ReplicationFactor: t.Partitions.NumReplicas(), Internal: t.IsInternal}
		table.Row(line.Topic, line.Partitions, line.ReplicationFactor)
		if app.JSON() {
			if err := app.Object(line); err != nil {
				return err
			}
		}
	}
	switch {
	case app.JSON():
		return nil
	case table.Len() == 0 && len(patterns) > 0:
		app.Notef("no topic matches")
		return nil
	case table.Len() == 0:
		app.Notef("there are no topics: barnabas topic create NAME makes one")
		return nil
	}
	return table.Write(app.Out)
}
