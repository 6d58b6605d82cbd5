package topic

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/barnabas-log/barnabas/cmd/barnabas/cli"
)

func newDelete(app *cli.App) *cobra.Command {
	var ifExists bool
	cmd := &cobra.Command{
		Use:   "delete TOPIC...",
		Short: "Delete topics with everything in them",
		Example: `  barnabas topic delete orders
  barnabas topic delete orders payments --if-exists`,
		Args:              cli.Args(1, -1),
		ValidArgsFunction: cli.CompleteTopics(app, -1),
		RunE:              func(cmd *cobra.Command, topics []string) error { return remove(cmd.Context(), app, ifExists, topics) },
	}
	cmd.Flags().BoolVar(&ifExists, "if-exists", false, "succeed when a topic does not exist")
	return cmd
}

func remove(ctx context.Context, app *cli.App, ifExists bool, topics []string) error {
	ctx, session, end, err := app.Begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	responses, err := session.Admin.DeleteTopics(ctx, topics...)
	if err != nil {
		return fmt.Errorf("delete topics: %w", err)
	}
	var failures []error
	for _, topic := range topics {
		err := responses[topic].Err
		switch {
		case err == nil:
			app.Notef("deleted topic %q", topic)
		case !errors.Is(err, kerr.UnknownTopicOrPartition):
			failures = append(failures, fmt.Errorf("delete topic %q: %w", topic, cli.Refused(err, responses[topic].ErrMessage)))
		case ifExists:
			app.Notef("topic %q does not exist", topic)
		default:
			failures = append(failures, session.NoTopic(ctx, topic))
		}
	}
	return errors.Join(failures...)
}
