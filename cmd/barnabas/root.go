package main

import (
	"github.com/spf13/cobra"

	"github.com/barnabas-log/barnabas/cmd/barnabas/cli"
	"github.com/barnabas-log/barnabas/cmd/barnabas/cluster"
	"github.com/barnabas-log/barnabas/cmd/barnabas/config"
	"github.com/barnabas-log/barnabas/cmd/barnabas/group"
	"github.com/barnabas-log/barnabas/cmd/barnabas/log"
	"github.com/barnabas-log/barnabas/cmd/barnabas/record"
	"github.com/barnabas-log/barnabas/cmd/barnabas/topic"
)

// newRootCommand puts the verbs together. With no verb the command is the server: its flags are accepted in both places.
func newRootCommand(app *cli.App) *cobra.Command {
	root := cli.NewRoot(app)
	root.Short = "An event log server that speaks Kafka's protocol, and its tools"
	root.Long = `Barnabas is an event log server that speaks Kafka's wire protocol.

Without a verb it starts a node on 127.0.0.1:9092 with its data in ./data.
The other verbs are tools for a running cluster, this one's or any other that speaks the protocol.

Data goes to standard output, everything else to standard error. Exit codes: 0 done, 1 failed, 2 wrong
flags or arguments, 3 no broker answered, 4 does not exist, 130 interrupted.`
	root.Example = `  barnabas
  barnabas topic create orders --partitions 12
  echo 'hello' | barnabas produce orders
  barnabas consume orders --from start
  barnabas group describe billing`

	root.Version = version()

	server := newServerCommand()
	root.Args = cobra.ArbitraryArgs
	root.Flags().AddFlagSet(server.Flags())
	root.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return unknownVerb(cmd, args[0])
		}
		return server.RunE(cmd, args)
	}
	root.AddCommand(server, topic.Command(app), record.ProduceCommand(app), record.ConsumeCommand(app),
		group.Command(app), cluster.Command(app), config.Command(app), log.Command(app), newHealthCommand(app))
	return root
}

func unknownVerb(root *cobra.Command, typed string) error {
	var names []string
	for _, c := range root.Commands() {
		names = append(names, c.Name())
	}
	err := cli.Usagef("%q is not a command of barnabas", typed)
	return cli.WithHint(err, "%s", cli.DidYouMean(typed, names, "see barnabas --help"))
}
