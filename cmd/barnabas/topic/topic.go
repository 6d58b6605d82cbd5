package topic

import (
	"github.com/spf13/cobra"

	"github.com/barnabas-log/barnabas/cmd/barnabas/cli"
)

// Command is the noun with its verbs.
func Command(app *cli.App) *cobra.Command {
	return cli.Noun("topic", "Create, inspect, change and delete topics",
		newCreate(app), newList(app), newDescribe(app), newAlter(app), newTrim(app), newDelete(app))
}
