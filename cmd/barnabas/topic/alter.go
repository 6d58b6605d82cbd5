package topic

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/barnabas-log/barnabas/cmd/barnabas/cli"
	"github.com/barnabas-log/barnabas/cmd/barnabas/config"
)

type alterFlags struct {
	set        []string
	unset      []string
	partitions int
}

func newAlter(app *cli.App) *cobra.Command {
	var f alterFlags
	cmd := &cobra.Command{
		Use:   "alter TOPIC",
		Short: "Change a topic's configuration, or add partitions",
		Long: `Change a topic's configuration, or add partitions. Partitions cannot be taken away again, and keys that
hashed to one partition before may hash to another afterwards.`,
		Example: `  barnabas topic alter orders --set retention.ms=604800000 --set max.message.bytes=2000000
  barnabas topic alter orders --delete retention.ms
  barnabas topic alter orders --partitions 24`,
		Args:              cli.Args(1, 1),
		ValidArgsFunction: cli.CompleteTopics(app, 1),
		RunE:              func(cmd *cobra.Command, args []string) error { return alter(cmd.Context(), app, f, args[0]) },
	}
	cmd.Flags().StringArrayVar(&f.set, "set", nil, "set a configuration, `name=value`; may be repeated")
	cmd.Flags().StringArrayVar(&f.unset, "delete", nil, "return a configuration to the broker's default, by `name`; may be repeated")
	cmd.Flags().IntVarP(&f.partitions, "partitions", "p", 0, "have so many partitions from now on")
	return cmd
}

func alter(ctx context.Context, app *cli.App, f alterFlags, topic string) error {
	if len(f.set)+len(f.unset) == 0 && f.partitions == 0 {
		return cli.Usagef("say what to change: --set name=value, --delete name or --partitions N")
	}
	changes, err := config.Changes(f.set, f.unset)
	if err != nil {
		return err
	}
	ctx, session, end, err := app.Begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	details, err := session.Topics(ctx, topic)
	if err != nil {
		return err
	}
	if f.partitions != 0 {
		if err := addPartitions(ctx, app, session, details[topic], f.partitions); err != nil {
			return err
		}
	}
	if len(changes) == 0 {
		return nil
	}
	return config.AlterTopic(ctx, app, session, topic, changes)
}

func addPartitions(ctx context.Context, app *cli.App, session *cli.Session, topic kadm.TopicDetail, want int) error {
	have := len(topic.Partitions)
	switch {
	case want == have:
		app.Notef("topic %q has %s already", topic.Topic, cli.Plural(int64(have), "partition"))
		return nil
	case want < have:
		return cli.Usagef("topic %q has %s; partitions cannot be taken away", topic.Topic, cli.Plural(int64(have), "partition"))
	}
	responses, err := session.Admin.UpdatePartitions(ctx, want, topic.Topic)
	if err != nil {
		return fmt.Errorf("add partitions to topic %q: %w", topic.Topic, err)
	}
	if r := responses[topic.Topic]; r.Err != nil {
		return fmt.Errorf("add partitions to topic %q: %w", topic.Topic, cli.Refused(r.Err, r.ErrMessage))
	}
	app.Notef("topic %q has %d partitions, %d before", topic.Topic, want, have)
	return nil
}
