package log

import (
	"strconv"

	"github.com/spf13/cobra"

	"github.com/barnabas-log/barnabas/cmd/barnabas/cli"
	segments "github.com/barnabas-log/barnabas/log"
)

type importFlags struct {
	repairFlags
	topic     string
	partition int32
}

func newImport(app *cli.App) *cobra.Command {
	var f importFlags
	cmd := &cobra.Command{
		Use:   "import DIRECTORY --topic TOPIC --partition N",
		Short: "Take over the partition of a stopped Kafka broker",
		Long: `Copy the segments in a partition's directory of a stopped Kafka broker into a partition of a topic that was created here with one
replica and is still empty. Offsets, timestamps, keys, headers, compression and leader epochs stay as they are; offsets that compaction or retention has taken away
stay empty, and the log start is that of Kafka's log-start-offset-checkpoint, if that lies beside the directory. Which producers wrote the
batches is forgotten: their ids belong to others here. Refused, with file and position: what is damaged, message formats older than v2, and
transactions. Nothing is changed without --write.

The node must be stopped.`,
		Example: `  barnabas topic create orders --partitions 3 --replication-factor 1     # then stop the node
  barnabas log import /var/kafka/orders-0 --topic orders --partition 0 --write`,
		Args: cli.Args(1, 1),
		RunE: func(_ *cobra.Command, args []string) error { return importKafka(app, f, args[0]) },
	}
	cmd.Flags().StringVar(&f.topic, "topic", "", "`name` of the topic here")
	cmd.Flags().Int32Var(&f.partition, "partition", 0, "`number` of the partition here")
	cmd.Flags().BoolVar(&f.write, "write", false, "write the partition")
	cmd.Flags().StringVar(&f.data, "data", "data", "`directory` of the node's data")
	return cmd
}

func importKafka(app *cli.App, f importFlags, from string) error {
	if f.topic == "" {
		return cli.Usagef("--topic is missing")
	}
	dir, err := hostedDir(f.data, f.topic, strconv.Itoa(int(f.partition)))
	if err != nil {
		return err
	}
	unlock, err := stopped(dir, false)
	if err != nil {
		return err
	}
	defer unlock()
	here, err := segments.PlanRepair(nil, dir)
	if err != nil {
		return err
	}
	if here.End > 0 || here.Start > 0 || len(here.Configuration) == 0 {
		return cli.Failedf("%s is not empty: it goes from offset %d to %d", dir, here.Start, here.End)
	}
	s, err := segments.PlanImport(nil, from)
	if err != nil {
		return err
	}
	kept := ""
	if f.write {
		if kept, err = s.Apply(dir, here.Configuration, nil); err != nil {
			return err
		}
	}
	return salvaged(app, s, dir, kept, f.write)
}
