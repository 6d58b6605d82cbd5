package topic

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/barnabas-log/barnabas/cmd/barnabas/cli"
	"github.com/barnabas-log/barnabas/cmd/barnabas/config"
)

// described is one line of JSON output.
type described struct {
	Topic             string               `json:"topic"`
	ID                string               `json:"id,omitempty"`
	Internal          bool                 `json:"internal,omitempty"`
	ReplicationFactor int                  `json:"replicationFactor"`
	Records           int64                `json:"records"`
	Bytes             int64                `json:"bytes"`
	Partitions        []describedPartition `json:"partitions"`
	Configs           []config.Entry       `json:"configs"`
}

type describedPartition struct {
	Partition   int32   `json:"partition"`
	Leader      int32   `json:"leader"`
	LeaderEpoch int32   `json:"leaderEpoch"`
	Replicas    []int32 `json:"replicas"`
	InSync      []int32 `json:"inSync"`
	Offline     []int32 `json:"offline,omitempty"`
	Start       int64   `json:"start"`
	End         int64   `json:"end"`
	Bytes       int64   `json:"bytes"` // on the leader; -1 when it did not say
	Error       string  `json:"error,omitempty"`
}

func newDescribe(app *cli.App) *cobra.Command {
	return &cobra.Command{
		Use:   "describe TOPIC...",
		Short: "Show partitions, offsets, sizes and configuration of topics",
		Long: `Show where the partitions of a topic are, which offsets they hold, how large they are on disk (on the leader)
and which configurations differ from the defaults. barnabas config describe shows all of them.`,
		Example: `  barnabas topic describe orders
  barnabas topic describe orders payments --json`,
		Args:              cli.Args(1, -1),
		ValidArgsFunction: cli.CompleteTopics(app, -1),
		RunE:              func(cmd *cobra.Command, topics []string) error { return describe(cmd.Context(), app, topics) },
	}
}

func describe(ctx context.Context, app *cli.App, names []string) error {
	ctx, session, end, err := app.Begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	details, err := session.Topics(ctx, names...)
	if err != nil {
		return err
	}
	for i, name := range names {
		d, err := gather(ctx, app, session, details[name])
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

// gather asks for everything about one topic. A partition without a leader, or a broker that does not tell sizes, leaves gaps, not errors.
func gather(ctx context.Context, app *cli.App, session *cli.Session, t kadm.TopicDetail) (described, error) {
	d := described{Topic: t.Topic, ID: cli.TopicID(t.ID), Internal: t.IsInternal, ReplicationFactor: t.Partitions.NumReplicas()}
	starts, err := session.Admin.ListStartOffsets(ctx, t.Topic)
	if err != nil {
		return d, fmt.Errorf("list start offsets of %q: %w", t.Topic, err)
	}
	ends, err := session.Admin.ListEndOffsets(ctx, t.Topic)
	if err != nil {
		return d, fmt.Errorf("list end offsets of %q: %w", t.Topic, err)
	}
	var set kadm.TopicsSet
	set.Add(t.Topic, t.Partitions.Numbers()...)
	directories, err := session.Admin.DescribeAllLogDirs(ctx, set)
	if err != nil {
		app.Notef("sizes are not known: %v", err)
	}
	for _, p := range t.Partitions.Sorted() {
		line := describedPartition{Partition: p.Partition, Leader: p.Leader, LeaderEpoch: p.LeaderEpoch,
			Replicas: p.Replicas, InSync: p.ISR, Offline: p.OfflineReplicas, Start: -1, End: -1, Bytes: -1}
		if p.Err != nil {
			line.Error = cli.Refused(p.Err, "").Error()
		}
		if o, ok := starts.Lookup(t.Topic, p.Partition); ok && o.Err == nil {
			line.Start = o.Offset
		}
		if o, ok := ends.Lookup(t.Topic, p.Partition); ok && o.Err == nil {
			line.End = o.Offset
			d.Records += line.End - max(line.Start, 0)
		}
		if on, ok := directories[p.Leader].LookupPartition(t.Topic, p.Partition); ok {
			line.Bytes = on.Size
			d.Bytes += on.Size
		}
		d.Partitions = append(d.Partitions, line)
	}
	d.Configs, err = config.OfTopic(ctx, session, t.Topic, false)
	return d, err
}

func printDescribed(app *cli.App, d described) error {
	kind := d.Topic
	if d.Internal {
		kind += " (internal)"
	}
	err := cli.Fields(app.Out, "Topic", kind, "ID", d.ID, "Partitions", len(d.Partitions), "Replication factor", d.ReplicationFactor,
		"Offsets held", cli.Count(d.Records), "Size", cli.Bytes(d.Bytes))
	if err != nil {
		return err
	}
	fmt.Fprintln(app.Out)
	table := cli.NewTable("PARTITION#", "LEADER#", "EPOCH#", "REPLICAS", "IN SYNC", "START#", "END#", "SIZE#", "NOTE")
	for _, p := range d.Partitions {
		table.Row(p.Partition, leader(p.Leader), p.LeaderEpoch, cli.IDs(p.Replicas), cli.IDs(p.InSync), cli.Offset(p.Start), cli.Offset(p.End), cli.Bytes(p.Bytes), note(p))
	}
	if err := table.Write(app.Out); err != nil {
		return err
	}
	if len(d.Configs) == 0 {
		return nil
	}
	fmt.Fprintln(app.Out)
	return config.Print(app.Out, d.Configs)
}

func note(p describedPartition) string {
	switch {
	case p.Error != "":
		return p.Error
	case len(p.Offline) > 0:
		return "offline: " + cli.IDs(p.Offline)
	case len(p.InSync) < len(p.Replicas):
		return "under-replicated"
	}
	return ""
}

func leader(id int32) string {
	if id < 0 {
		return "none"
	}
	return fmt.Sprint(id)
}
