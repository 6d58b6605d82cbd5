package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// completionTime is how long the shell waits for names: a slow answer is worse than none.
const completionTime = 2 * time.Second

// Completion offers words for the arguments of a verb.
type Completion = func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective)

// CompleteTopics offers the topics of the cluster, for up to most arguments (most < 0: any number).
func CompleteTopics(app *App, most int) Completion {
	return complete(app, most, func(ctx context.Context, s *Session) ([]string, error) {
		topics, err := s.Admin.ListTopics(ctx)
		return topics.Names(), err
	})
}

// CompleteGroups offers the consumer groups of the cluster.
func CompleteGroups(app *App, most int) Completion {
	return complete(app, most, func(ctx context.Context, s *Session) ([]string, error) {
		groups, err := s.Admin.ListGroups(ctx)
		return groups.Groups(), err
	})
}

func complete(app *App, most int, list func(context.Context, *Session) ([]string, error)) Completion {
	return func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		if most >= 0 && len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx := cmd.Context()
		if ctx == nil {
			ctx = context.Background()
		}
		ctx, cancel := context.WithTimeout(ctx, completionTime)
		defer cancel()
		session, err := app.Connect(ctx)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer session.Close()
		names, err := list(ctx, session)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var fitting []string
		for _, name := range names {
			if strings.HasPrefix(name, typed) && !contains(args, name) {
				fitting = append(fitting, name)
			}
		}
		return fitting, cobra.ShellCompDirectiveNoFileComp
	}
}
