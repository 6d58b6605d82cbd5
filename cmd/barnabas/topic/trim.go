package topic

import (
	"context"
	"errors"
	"fmt"
	"sort"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/barnabas-log/barnabas/cmd/barnabas/cli"
)

type trimFlags struct {
	before     string
	partitions string
	execute    bool
	dryRun     bool
}

// trimmed is one line of JSON output.
type trimmed struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Start     int64  `json:"start"`
	NewStart  int64  `json:"newStart"`
	End       int64  `json:"end"`
	Removed   int64  `json:"removed"`
	Executed  bool   `json:"executed"`
}

func newTrim(app *cli.App) *cobra.Command {
	var f trimFlags
	cmd := &cobra.Command{
		Use:   "trim TOPIC --before POSITION",
		Short: "Remove the oldest records of a topic",
		Long: `Remove the records before a position, in every partition or in some. The records are gone for every
consumer. Without --execute the plan is printed and nothing is removed.

` + cli.PositionHelp,
		Example: `  barnabas topic trim orders --before -7d
  barnabas topic trim orders --before 1500 --partition 3 --execute
  barnabas topic trim orders --before end --execute`,
		Args:              cli.Args(1, 1),
		ValidArgsFunction: cli.CompleteTopics(app, 1),
		RunE:              func(cmd *cobra.Command, args []string) error { return trim(cmd.Context(), app, f, args[0]) },
	}
	cmd.Flags().StringVar(&f.before, "before", "", "remove what comes before this `position`")
	cmd.Flags().StringVarP(&f.partitions, "partition", "p", "", "only these partitions: 0 or 0,3,5-7")
	cmd.Flags().BoolVar(&f.execute, "execute", false, "remove the records")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "only print the plan (the default)")
	return cmd
}

func trim(ctx context.Context, app *cli.App, f trimFlags, topic string) error {
	if f.execute && f.dryRun {
		return cli.Usagef("--execute and --dry-run exclude each other")
	}
	if f.before == "" {
		return cli.Usagef("say what to remove: --before POSITION")
	}
	position, err := cli.ParsePosition(f.before, app.Now())
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
	ranges, err := session.ListRanges(ctx, false, topic)
	if err != nil {
		return err
	}
	if err := cli.OnlyPartitions(f.partitions, details, ranges); err != nil {
		return err
	}
	targets, err := position.Resolve(ctx, session, ranges)
	if err != nil {
		return err
	}
	plan := trimPlan(topic, ranges[topic], targets[topic])
	if f.execute {
		if err := executeTrim(ctx, session, plan); err != nil {
			return err
		}
	}
	return printTrim(app, plan, f.execute)
}

func trimPlan(topic string, ranges map[int32]cli.Range, targets map[int32]int64) []trimmed {
	var plan []trimmed
	for partition, r := range ranges {
		to := targets[partition]
		plan = append(plan, trimmed{Topic: topic, Partition: partition, Start: r.Start, NewStart: to, End: r.End, Removed: to - r.Start})
	}
	sort.Slice(plan, func(i, j int) bool { return plan[i].Partition < plan[j].Partition })
	return plan
}

// executeTrim removes the records and puts into the plan what the broker answered.
func executeTrim(ctx context.Context, session *cli.Session, plan []trimmed) error {
	request := kadm.Offsets{}
	for _, p := range plan {
		if p.Removed > 0 {
			request.AddOffset(p.Topic, p.Partition, p.NewStart, -1)
		}
	}
	if len(request) == 0 {
		return nil
	}
	responses, err := session.Admin.DeleteRecords(ctx, request)
	if err != nil {
		return fmt.Errorf("delete records: %w", err)
	}
	var failures []error
	for i := range plan {
		r, asked := responses.Lookup(plan[i].Topic, plan[i].Partition)
		switch {
		case !asked:
		case r.Err != nil:
			failures = append(failures, fmt.Errorf("delete records of %s/%d: %w", plan[i].Topic, plan[i].Partition, cli.Refused(r.Err, "")))
		default:
			plan[i].NewStart, plan[i].Removed, plan[i].Executed = r.LowWatermark, r.LowWatermark-plan[i].Start, true
		}
	}
	return errors.Join(failures...)
}

func printTrim(app *cli.App, plan []trimmed, executed bool) error {
	table := cli.NewTable("PARTITION#", "START#", "NEW START#", "END#", "REMOVED#")
	total := int64(0)
	for _, p := range plan {
		total += p.Removed
		table.Row(p.Partition, p.Start, p.NewStart, p.End, p.Removed)
		if app.JSON() {
			if err := app.Object(p); err != nil {
				return err
			}
		}
	}
	if !app.JSON() {
		if err := table.Write(app.Out); err != nil {
			return err
		}
	}
	if executed {
		app.Notef("removed %s", cli.Plural(total, "offset"))
	} else {
		app.Notef("this is the plan; --execute removes %s", cli.Plural(total, "offset"))
	}
	return nil
}
