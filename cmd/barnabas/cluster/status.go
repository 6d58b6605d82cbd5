package cluster

import (
	"context"
	"fmt"
	"sort"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/barnabas-log/barnabas/cmd/barnabas/cli"
)

// health is the JSON output of status.
type health struct {
	Controller      int32     `json:"controller"`
	Brokers         int       `json:"brokers"`
	Partitions      int       `json:"partitions"`
	Leaderless      []trouble `json:"leaderless"`
	UnderReplicated []trouble `json:"underReplicated"`
	NotPreferred    int       `json:"notPreferred"` // led by another replica than the preferred one
	Moving          []trouble `json:"moving"`
}

// trouble is a partition that is not as it should be.
type trouble struct {
	Topic     string  `json:"topic"`
	Partition int32   `json:"partition"`
	Leader    int32   `json:"leader"`
	Replicas  []int32 `json:"replicas"`
	InSync    []int32 `json:"inSync"`
}

func newStatus(app *cli.App) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show what is not as it should be: leaders, replicas, moves under way",
		Long: `Show partitions without a leader, with replicas that lag or are gone, and on their way to other brokers. The exit
code is 1 when there is a partition without a leader.`,
		Example: `  barnabas cluster status
  barnabas cluster status --json`,
		Args: cli.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return status(cmd.Context(), app) },
	}
}

func status(ctx context.Context, app *cli.App) error {
	session, m, err := look(ctx, app)
	if err != nil {
		return err
	}
	defer session.Close()
	moving, err := reassignments(ctx, app, session, m)
	if err != nil {
		return err
	}
	h := diagnose(m, moving)
	if app.JSON() {
		err = app.Object(h)
	} else {
		err = printHealth(app, h)
	}
	if err == nil && len(h.Leaderless) > 0 {
		err = cli.Failedf("%s without a leader", cli.Plural(int64(len(h.Leaderless)), "partition"))
	}
	return err
}

func diagnose(m kadm.Metadata, moving kadm.ListPartitionReassignmentsResponses) health {
	h := health{Controller: m.Controller, Brokers: len(m.Brokers), Leaderless: []trouble{}, UnderReplicated: []trouble{}, Moving: []trouble{}}
	for _, t := range m.Topics.Sorted() {
		for _, p := range t.Partitions.Sorted() {
			h.Partitions++
			state := trouble{p.Topic, p.Partition, p.Leader, p.Replicas, p.ISR}
			_, moves := moving[p.Topic][p.Partition]
			switch {
			case p.Leader < 0:
				h.Leaderless = append(h.Leaderless, state)
			case moves:
				h.Moving = append(h.Moving, state)
			case len(p.ISR) < len(p.Replicas):
				h.UnderReplicated = append(h.UnderReplicated, state)
			}
			if p.Leader >= 0 && len(p.Replicas) > 0 && p.Leader != p.Replicas[0] {
				h.NotPreferred++
			}
		}
	}
	return h
}

func printHealth(app *cli.App, h health) error {
	controller := "none"
	if h.Controller >= 0 {
		controller = fmt.Sprintf("broker %d", h.Controller)
	}
	err := cli.Fields(app.Out, "Controller", controller, "Brokers", h.Brokers, "Partitions", h.Partitions, "Without a leader", len(h.Leaderless),
		"Under-replicated", len(h.UnderReplicated), "Moving", len(h.Moving), "Not led by the preferred replica", h.NotPreferred)
	if err != nil {
		return err
	}
	t := cli.NewTable("TOPIC", "PARTITION#", "LEADER#", "REPLICAS", "IN SYNC", "STATE")
	for _, group := range []struct {
		state string
		list  []trouble
	}{{"no leader", h.Leaderless}, {"under-replicated", h.UnderReplicated}, {"moving", h.Moving}} {
		sort.SliceStable(group.list, func(i, j int) bool { return group.list[i].Topic < group.list[j].Topic })
		for _, p := range group.list {
			t.Row(p.Topic, p.Partition, p.Leader, cli.IDs(p.Replicas), cli.IDs(p.InSync), group.state)
		}
	}
	if t.Len() == 0 {
		return nil
	}
	fmt.Fprintln(app.Out)
	return t.Write(app.Out)
}
