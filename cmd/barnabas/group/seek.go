package group

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/barnabas-log/barnabas/cmd/barnabas/cli"
)

type seekFlags struct {
	to      string
	topics  []string
	execute bool
	dryRun  bool
}

// move is one line of JSON output: where a group is in a partition (-1: nothing committed) and where it is to be.
type move struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Committed int64  `json:"committed"`
	To        int64  `json:"to"`
	End       int64  `json:"end"`
	Lag       int64  `json:"lag"`
	Executed  bool   `json:"executed"`
}

func newSeek(app *cli.App) *cobra.Command {
	var f seekFlags
	cmd := &cobra.Command{
		Use:   "seek GROUP --to POSITION",
		Short: "Move a group to another position: replay, or skip",
		Long: `Change what a group has committed, so that its members continue from another position. The members must be stopped
first. Without --topic all topics move in which the group has committed; a group that does not exist is made when --topic says for which
topics. Without --execute the plan is printed and nothing changes.

` + cli.PositionHelp,
		Example: `  barnabas group seek billing --to start
  barnabas group seek billing --to 2026-01-31T08:30:00Z --execute
  barnabas group seek billing --to 1500 --topic orders:0,3 --execute
  barnabas group seek billing --to -1h --topic orders --topic payments --execute`,
		Args:              cli.Args(1, 1),
		ValidArgsFunction: cli.CompleteGroups(app, 1),
		RunE:              func(cmd *cobra.Command, args []string) error { return seek(cmd.Context(), app, f, args[0]) },
	}
	cmd.Flags().StringVar(&f.to, "to", "", "the `position` to move to")
	cmd.Flags().StringArrayVarP(&f.topics, "topic", "t", nil, "only this topic, or only some of its partitions: `NAME[:0,3,5-7]`; may be repeated")
	cmd.Flags().BoolVar(&f.execute, "execute", false, "do it")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "only print the plan (the default)")
	return cmd
}

// selection is what --topic says: partitions by topic, none for all of them.
type selection map[string][]int32

func parseSelection(entries []string) (selection, error) {
	out := selection{}
	for _, entry := range entries {
		topic, list, some := strings.Cut(entry, ":")
		if err := cli.CheckTopicName(topic); err != nil {
			return nil, err
		}
		if _, twice := out[topic]; twice {
			return nil, cli.Usagef("--topic %s is given twice", topic)
		}
		out[topic] = nil
		if some {
			partitions, err := cli.ParsePartitions(list)
			if err != nil {
				return nil, err
			}
			out[topic] = partitions
		}
	}
	return out, nil
}

func seek(ctx context.Context, app *cli.App, f seekFlags, name string) error {
	if f.execute && f.dryRun {
		return cli.Usagef("--execute and --dry-run exclude each other")
	}
	if f.to == "" {
		return cli.Usagef("say where to: --to POSITION")
	}
	position, err := cli.ParsePosition(f.to, app.Now())
	if err != nil {
		return err
	}
	chosen, err := parseSelection(f.topics)
	if err != nil {
		return err
	}
	ctx, session, end, err := app.Begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	i, commits, ok, err := find(ctx, session, name)
	if err != nil {
		return err
	}
	if !ok && len(chosen) == 0 {
		return session.NoGroup(ctx, name)
	}
	if i.active() && f.execute {
		return cli.WithHint(cli.Failedf("group %q has %s, whose commits would overwrite yours", name, cli.Plural(int64(len(i.members)), "member")),
			"stop them first: barnabas group describe %s shows where they run", name)
	}
	plan, err := planSeek(ctx, session, name, position, chosen, commits)
	if err != nil {
		return err
	}
	if f.execute {
		if err := executeSeek(ctx, session, name, plan); err != nil {
			return err
		}
	}
	if err := printSeek(app, plan); err != nil {
		return err
	}
	switch {
	case f.execute:
		app.Notef("moved group %q in %s", name, cli.Plural(int64(len(plan)), "partition"))
	case i.active():
		app.Notef("this is the plan; the group has %s that must be stopped before --execute", cli.Plural(int64(len(i.members)), "member"))
	default:
		app.Notef("this is the plan; --execute carries it out")
	}
	return nil
}

// planSeek works out the new offsets.
func planSeek(ctx context.Context, session *cli.Session, name string, position cli.Position, chosen selection, commits kadm.OffsetResponses) ([]move, error) {
	if len(chosen) == 0 {
		chosen = selection{}
		for topic, partitions := range commits {
			for p := range partitions {
				chosen[topic] = append(chosen[topic], p)
			}
		}
		if len(chosen) == 0 {
			return nil, cli.WithHint(cli.Failedf("group %q has committed nothing", name), "say which topics: --topic NAME")
		}
	}
	var topics []string
	for topic := range chosen {
		topics = append(topics, topic)
	}
	sort.Strings(topics)
	details, err := session.Topics(ctx, topics...)
	if err != nil {
		return nil, err
	}
	ranges, err := session.ListRanges(ctx, false, topics...)
	if err != nil {
		return nil, err
	}
	for _, topic := range topics {
		if len(chosen[topic]) == 0 {
			continue
		}
		only := cli.Ranges{topic: ranges[topic]}
		if err := cli.OnlyPartitions(cli.IDs(chosen[topic]), details, only); err != nil {
			return nil, err
		}
	}
	targets, err := position.Resolve(ctx, session, ranges)
	if err != nil {
		return nil, err
	}
	var plan []move
	for topic, partitions := range targets {
		for p, to := range partitions {
			m := move{Topic: topic, Partition: p, Committed: -1, To: to, End: ranges[topic][p].End, Lag: ranges[topic][p].End - to}
			if o, ok := commits.Lookup(topic, p); ok {
				m.Committed = o.At
			}
			plan = append(plan, m)
		}
	}
	sort.Slice(plan, func(i, j int) bool {
		if plan[i].Topic != plan[j].Topic {
			return plan[i].Topic < plan[j].Topic
		}
		return plan[i].Partition < plan[j].Partition
	})
	return plan, nil
}

func executeSeek(ctx context.Context, session *cli.Session, name string, plan []move) error {
	offsets := kadm.Offsets{}
	for _, m := range plan {
		offsets.AddOffset(m.Topic, m.Partition, m.To, -1)
	}
	responses, err := session.Admin.CommitOffsets(ctx, name, offsets)
	if err != nil {
		return fmt.Errorf("move group %q: %w", name, cli.Refused(err, ""))
	}
	var failures []error
	for i := range plan {
		r, _ := responses.Lookup(plan[i].Topic, plan[i].Partition)
		switch {
		case r.Err == nil:
			plan[i].Executed = true
		case errors.Is(r.Err, kerr.UnknownMemberID): // that is how a group with members answers a commit from outside
			return cli.WithHint(cli.Failedf("group %q has members", name), "stop them first: barnabas group describe %s shows where they run", name)
		default:
			failures = append(failures, fmt.Errorf("move group %q in %s/%d: %w", name, plan[i].Topic, plan[i].Partition, cli.Refused(r.Err, "")))
		}
	}
	return errors.Join(failures...)
}

func printSeek(app *cli.App, plan []move) error {
	table := cli.NewTable("TOPIC", "PARTITION#", "COMMITTED#", "TO#", "END#", "LAG#")
	for _, m := range plan {
		table.Row(m.Topic, m.Partition, cli.Offset(m.Committed), m.To, m.End, m.Lag)
		if app.JSON() {
			if err := app.Object(m); err != nil {
				return err
			}
		}
	}
	if app.JSON() {
		return nil
	}
	return table.Write(app.Out)
}
