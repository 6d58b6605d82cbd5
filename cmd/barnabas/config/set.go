package config

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/barnabas-log/barnabas/cmd/barnabas/cli"
)

func newSet(app *cli.App) *cobra.Command {
	return &cobra.Command{
		Use:   "set topic NAME | broker ID  CONFIG=VALUE...",
		Short: "Set configurations",
		Long:  "Set configurations; others stay as they are.\n\n" + targetHelp,
		Example: `  barnabas config set topic orders retention.ms=604800000
  barnabas config set broker all log.retention.ms=86400000`,
		Args: cli.Args(3, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			changes, err := Changes(args[2:], nil)
			if err != nil {
				return err
			}
			return apply(cmd.Context(), app, args, changes)
		},
	}
}

func newDelete(app *cli.App) *cobra.Command {
	return &cobra.Command{
		Use:   "delete topic NAME | broker ID  CONFIG...",
		Short: "Return configurations to their defaults",
		Long:  "Take back what was set, so that the default applies again.\n\n" + targetHelp,
		Example: `  barnabas config delete topic orders retention.ms
  barnabas config delete broker 1 log.retention.ms`,
		Args: cli.Args(3, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			changes, err := Changes(nil, args[2:])
			if err != nil {
				return err
			}
			return apply(cmd.Context(), app, args, changes)
		},
	}
}

// Changes reads name=value entries to set and names to return to their defaults.
func Changes(set, unset []string) ([]kadm.AlterConfig, error) {
	var changes []kadm.AlterConfig
	seen := map[string]bool{}
	add := func(name string, op kadm.IncrementalOp, value *string) error {
		if seen[name] {
			return cli.Usagef("configuration %s is given twice", name)
		}
		seen[name] = true
		changes = append(changes, kadm.AlterConfig{Op: op, Name: name, Value: value})
		return nil
	}
	for _, entry := range set {
		name, value, err := cli.Pair(entry)
		if err != nil {
			return nil, err
		}
		if err := add(name, kadm.SetConfig, &value); err != nil {
			return nil, err
		}
	}
	for _, name := range unset {
		if err := add(name, kadm.DeleteConfig, nil); err != nil {
			return nil, err
		}
	}
	return changes, nil
}

func apply(ctx context.Context, app *cli.App, args []string, changes []kadm.AlterConfig) error {
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
	return t.alter(ctx, app, session, changes)
}

// AlterTopic applies changes to a topic.
func AlterTopic(ctx context.Context, app *cli.App, session *cli.Session, topic string, changes []kadm.AlterConfig) error {
	return target{topic: topic}.alter(ctx, app, session, changes)
}

func (t target) alter(ctx context.Context, app *cli.App, session *cli.Session, changes []kadm.AlterConfig) error {
	var responses kadm.AlterConfigsResponses
	var err error
	switch {
	case t.topic != "":
		responses, err = session.Admin.AlterTopicConfigs(ctx, changes, t.topic)
	case t.broker < 0:
		responses, err = session.Admin.AlterBrokerConfigs(ctx, changes)
	default:
		responses, err = session.Admin.AlterBrokerConfigs(ctx, changes, t.broker)
	}
	if err != nil {
		return fmt.Errorf("change configurations of %s: %w", t, err)
	}
	for _, r := range responses {
		if r.Err != nil {
			err := fmt.Errorf("change configurations of %s: %w", t, cli.Refused(r.Err, r.ErrMessage))
			return t.suggest(ctx, session, changes, err)
		}
	}
	for _, c := range changes {
		if c.Op == kadm.DeleteConfig {
			app.Notef("%s: %s is back to its default", t, c.Name)
		} else {
			app.Notef("%s: %s=%s", t, c.Name, *c.Value)
		}
	}
	return nil
}

// suggest names configurations that are near, if the broker does not know one of those that were asked for.
func (t target) suggest(ctx context.Context, session *cli.Session, changes []kadm.AlterConfig, refused error) error {
	if !errors.Is(refused, kerr.InvalidConfig) && !errors.Is(refused, kerr.InvalidRequest) {
		return refused
	}
	var asked []string
	for _, c := range changes {
		asked = append(asked, c.Name)
	}
	list, err := t.list(ctx, session, true)
	if err != nil {
		return refused
	}
	return withSuggestion(asked, list, refused)
}

// SuggestForTopic adds a hint to refused if one of the names is no topic configuration. What is one is read from a topic that exists.
func SuggestForTopic(ctx context.Context, session *cli.Session, asked []string, refused error) error {
	topics, err := session.Admin.ListTopicsWithInternal(ctx)
	if err != nil || len(topics) == 0 {
		return refused
	}
	list, err := OfTopic(ctx, session, topics.Names()[0], true)
	if err != nil {
		return refused
	}
	return withSuggestion(asked, list, refused)
}

func withSuggestion(asked []string, list []Entry, refused error) error {
	var names []string
	exists := map[string]bool{}
	for _, e := range list {
		names = append(names, e.Name)
		exists[e.Name] = true
	}
	for _, name := range asked {
		if !exists[name] {
			return cli.WithHint(refused, "%s", cli.DidYouMean(name, names, name+" is not a configuration here: barnabas config describe ... --all shows what is"))
		}
	}
	return refused
}
