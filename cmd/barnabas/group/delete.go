package group

import (
	"context"
	"errors"
	"fmt"
	"sort"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/barnabas-log/barnabas/cmd/barnabas/cli"
)

func newDelete(app *cli.App) *cobra.Command {
	var topics []string
	cmd := &cobra.Command{
		Use:   "delete GROUP...",
		Short: "Delete groups, or what they committed in some topics",
		Long: `Delete groups with everything they committed. A group with members cannot be deleted: stop them first. With --topic
only what was committed in those topics is deleted, and the group stays; that works as long as no member is subscribed to them.`,
		Example: `  barnabas group delete billing
  barnabas group delete billing --topic orders`,
		Args:              cli.Args(1, -1),
		ValidArgsFunction: cli.CompleteGroups(app, -1),
		RunE: func(cmd *cobra.Command, groups []string) error {
			if len(topics) > 0 {
				return forget(cmd.Context(), app, groups, topics)
			}
			return remove(cmd.Context(), app, groups)
		},
	}
	cmd.Flags().StringArrayVarP(&topics, "topic", "t", nil, "delete only the offsets of this topic, or of some of its partitions: `NAME[:0,3,5-7]`; may be repeated")
	return cmd
}

func remove(ctx context.Context, app *cli.App, names []string) error {
	ctx, session, end, err := app.Begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	responses, err := session.Admin.DeleteGroups(ctx, names...)
	if err != nil {
		return fmt.Errorf("delete groups: %w", err)
	}
	var failures []error
	for _, name := range names {
		r := responses[name]
		switch {
		case r.Err == nil:
			app.Notef("deleted group %q", name)
		case errors.Is(r.Err, kerr.GroupIDNotFound):
			failures = append(failures, session.NoGroup(ctx, name))
		case errors.Is(r.Err, kerr.NonEmptyGroup):
			failures = append(failures, cli.WithHint(cli.Failedf("group %q has members", name), "stop them first: barnabas group describe %s shows where they run", name))
		default:
			failures = append(failures, fmt.Errorf("delete group %q: %w", name, cli.Refused(r.Err, r.ErrMessage)))
		}
	}
	return errors.Join(failures...)
}

// forget deletes what groups committed in some topics.
func forget(ctx context.Context, app *cli.App, names, topics []string) error {
	chosen, err := parseSelection(topics)
	if err != nil {
		return err
	}
	ctx, session, end, err := app.Begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	var failures []error
	for _, name := range names {
		_, commits, ok, err := find(ctx, session, name)
		if err == nil && !ok {
			err = session.NoGroup(ctx, name)
		}
		if err == nil {
			err = forgetOne(ctx, app, session, name, committedIn(commits, chosen))
		}
		if err != nil {
			failures = append(failures, err)
		}
	}
	return errors.Join(failures...)
}

// committedIn is the part of a selection in which something is committed.
func committedIn(commits kadm.OffsetResponses, chosen selection) kadm.TopicsSet {
	var set kadm.TopicsSet
	for topic, partitions := range chosen {
		if len(partitions) == 0 {
			for p := range commits[topic] {
				set.Add(topic, p)
			}
		}
		for _, p := range partitions {
			if _, ok := commits.Lookup(topic, p); ok {
				set.Add(topic, p)
			}
		}
	}
	return set
}

func forgetOne(ctx context.Context, app *cli.App, session *cli.Session, name string, set kadm.TopicsSet) error {
	if len(set) == 0 {
		app.Notef("group %q has committed nothing there", name)
		return nil
	}
	responses, err := session.Admin.DeleteOffsets(ctx, name, set)
	if err != nil {
		return fmt.Errorf("delete offsets of group %q: %w", name, cli.Refused(err, ""))
	}
	var failures []error
	deleted := int64(0)
	responses.EachError(func(topic string, p int32, err error) {
		failures = append(failures, fmt.Errorf("delete offsets of group %q in %s/%d: %w", name, topic, p, cli.Refused(err, "")))
	})
	for _, partitions := range responses {
		for _, err := range partitions {
			if err == nil {
				deleted++
			}
		}
	}
	sort.Slice(failures, func(i, j int) bool { return failures[i].Error() < failures[j].Error() })
	app.Notef("deleted what group %q had committed in %s", name, cli.Plural(deleted, "partition"))
	return errors.Join(failures...)
}
