package group

import (
	"context"
	"fmt"
	"sort"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/barnabas-log/barnabas/cmd/barnabas/cli"
)

// described is one line of JSON output.
type described struct {
	Group       string      `json:"group"`
	Protocol    string      `json:"protocol"`
	State       string      `json:"state"`
	Assignor    string      `json:"assignor"`
	Coordinator int32       `json:"coordinator"`
	Lag         int64       `json:"lag"`
	Members     []member    `json:"members"`
	Partitions  []partition `json:"partitions"`
}

// partition is how far a group is in one partition. Committed is -1 where nothing is committed; the lag then counts from the start. Lag is -1
// when the end is not known.
type partition struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Committed int64  `json:"committed"`
	Start     int64  `json:"start"`
	End       int64  `json:"end"`
	Lag       int64  `json:"lag"`
	Member    string `json:"member,omitempty"`
	Metadata  string `json:"metadata,omitempty"`
}

func newDescribe(app *cli.App) *cobra.Command {
	return &cobra.Command{
		Use:   "describe GROUP...",
		Short: "Show state, members, committed offsets and lag of groups",
		Example: `  barnabas group describe billing
  barnabas group describe billing --json | jq .lag`,
		Args:              cli.Args(1, -1),
		ValidArgsFunction: cli.CompleteGroups(app, -1),
		RunE:              func(cmd *cobra.Command, groups []string) error { return describe(cmd.Context(), app, groups) },
	}
}

func describe(ctx context.Context, app *cli.App, names []string) error {
	ctx, session, end, err := app.Begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	for i, name := range names {
		d, err := gather(ctx, session, name)
		if err != nil {
			return err
		}
		if app.JSON() {
			if err := app.Object(d); err != nil {
				return err
			}
			continue
		}
		if i > 0 {
			fmt.Fprintln(app.Out)
		}
		if err := printDescribed(app, d); err != nil {
			return err
		}
	}
	return nil
}

func gather(ctx context.Context, session *cli.Session, name string) (described, error) {
	i, commits, ok, err := find(ctx, session, name)
	if err != nil {
		return described{}, err
	}
	if !ok {
		return described{}, session.NoGroup(ctx, name)
	}
	d := described{Group: name, Protocol: i.protocol, State: i.state, Assignor: i.assignor, Coordinator: i.coordinator, Members: i.members}
	if d.Members == nil {
		d.Members = []member{}
	}
	d.Partitions, err = lags(ctx, session, i, commits)
	for _, p := range d.Partitions {
		d.Lag += max(0, p.Lag)
	}
	return d, err
}

// lags compares what is committed or assigned with the ends of the partitions.
func lags(ctx context.Context, session *cli.Session, i info, commits kadm.OffsetResponses) ([]partition, error) {
	owners := map[string]map[int32]string{}
	note := func(topic string, p int32, owner string) {
		if owners[topic] == nil {
			owners[topic] = map[int32]string{}
		}
		if owner != "" || owners[topic][p] == "" {
			owners[topic][p] = owner
		}
	}
	commits.Each(func(o kadm.OffsetResponse) { note(o.Topic, o.Partition, "") })
	for _, m := range i.members {
		for topic, partitions := range m.Assignment {
			for _, p := range partitions {
				note(topic, p, m.ID)
			}
		}
	}
	if len(owners) == 0 {
		return []partition{}, nil
	}
	var topics []string
	for topic := range owners {
		topics = append(topics, topic)
	}
	// A topic that was deleted, or a partition without a leader, leaves its end unknown; that is no reason to show nothing.
	starts, err := session.Admin.ListStartOffsets(ctx, topics...)
	if err != nil {
		return nil, fmt.Errorf("list start offsets: %w", err)
	}
	ends, err := session.Admin.ListEndOffsets(ctx, topics...)
	if err != nil {
		return nil, fmt.Errorf("list end offsets: %w", err)
	}
	out := []partition{}
	for topic, partitions := range owners {
		for p, owner := range partitions {
			line := partition{Topic: topic, Partition: p, Committed: -1, Start: -1, End: -1, Lag: -1, Member: owner}
			if o, ok := commits.Lookup(topic, p); ok {
				line.Committed, line.Metadata = o.At, o.Metadata
			}
			start, startOK := starts.Lookup(topic, p)
			end, endOK := ends.Lookup(topic, p)
			if startOK && endOK && start.Err == nil && end.Err == nil {
				line.Start, line.End = start.Offset, end.Offset
				line.Lag = max(0, line.End-max(line.Committed, line.Start))
			}
			out = append(out, line)
		}
	}
	sort.Slice(out, func(i, j int) bool {
		if out[i].Topic != out[j].Topic {
			return out[i].Topic < out[j].Topic
		}
		return out[i].Partition < out[j].Partition
	})
	return out, nil
}

func printDescribed(app *cli.App, d described) error {
	state := d.State
	if state == "" {
		state = "Dead"
	}
	err := cli.Fields(app.Out, "Group", d.Group, "State", state, "Protocol", d.Protocol, "Assignor", d.Assignor,
		"Coordinator", d.Coordinator, "Members", len(d.Members), "Lag", cli.Count(d.Lag))
	if err != nil {
		return err
	}
	if len(d.Partitions) > 0 {
		fmt.Fprintln(app.Out)
		table := cli.NewTable("TOPIC", "PARTITION#", "COMMITTED#", "START#", "END#", "LAG#", "MEMBER")
		for _, p := range d.Partitions {
			table.Row(p.Topic, p.Partition, cli.Offset(p.Committed), cli.Offset(p.Start), cli.Offset(p.End), cli.Offset(p.Lag), p.Member)
		}
		if err := table.Write(app.Out); err != nil {
			return err
		}
	}
	if len(d.Members) == 0 {
		return nil
	}
	fmt.Fprintln(app.Out)
	table := cli.NewTable("MEMBER", "INSTANCE", "CLIENT", "HOST", "ASSIGNMENT")
	for _, m := range d.Members {
		table.Row(m.ID, m.InstanceID, m.ClientID, m.Host, assigned(m.Assignment))
	}
	return table.Write(app.Out)
}
