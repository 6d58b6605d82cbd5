package cluster

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/barnabas-log/barnabas/cmd/barnabas/cli"
)

func newDrain(app *cli.App) *cobra.Command {
	var e execution
	cmd := &cobra.Command{
		Use:   "drain BROKER",
		Short: "Move everything off a broker, before it is taken away",
		Long: `Move all replicas, and with them the leadership, off a broker. Clients go on; each partition keeps its
number of replicas. Without --execute the plan is only shown. When it is done, stop the broker; if it votes on the
metadata and does not come back, take its vote away first (cluster voter remove).`,
		Example: `  barnabas cluster drain 3
  barnabas cluster drain 3 --execute`,
		Args: cli.Args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := strconv.ParseInt(args[0], 10, 32)
			if err != nil {
				return cli.Usagef("%q is no broker's number", args[0])
			}
			err = planned(cmd.Context(), app, e, []int32{int32(id)}, func(_ kadm.Metadata, l *layout) error {
				if stuck := l.drain(int32(id)); len(stuck) > 0 {
					return cli.Failedf("%s cannot leave broker %d: every other broker has a replica already (the first is %s-%d); add a broker, or lower "+
						"the replication factor with cluster reassign --factor", cli.Plural(int64(len(stuck)), "partition"), id, stuck[0].topic, stuck[0].number)
				}
				return nil
			})
			if err == nil {
				noteVote(cmd.Context(), app, int32(id))
			}
			return err
		},
	}
	e.flags(cmd)
	return cmd
}

func newBalance(app *cli.App) *cobra.Command {
	var e execution
	cmd := &cobra.Command{
		Use:   "balance",
		Short: "Spread replicas and leadership evenly over the brokers",
		Long: `Spread replicas and leadership evenly over the brokers, by number, with as few moves as that takes and
without putting replicas into fewer racks. Without --execute the plan is only shown.`,
		Example: `  barnabas cluster balance
  barnabas cluster balance --execute`,
		Args: cli.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return planned(cmd.Context(), app, e, nil, func(_ kadm.Metadata, l *layout) error { l.balance(); return nil })
		},
	}
	e.flags(cmd)
	return cmd
}

type reassignFlags struct {
	execution
	partitions string
	to         []int
	factor     int
	cancel     bool
}

func newReassign(app *cli.App) *cobra.Command {
	var f reassignFlags
	cmd := &cobra.Command{
		Use:   "reassign TOPIC",
		Short: "Move partitions to other brokers, or change how many replicas they have",
		Long: `Move a topic's partitions to the brokers of --to (the first is preferred to lead), give them as many replicas
as --factor says, or --cancel what is under way. Without --execute the plan is only shown.`,
		Example: `  barnabas cluster reassign orders --partitions 0,4-7 --to 4,2,3 --execute
  barnabas cluster reassign orders --factor 3 --execute
  barnabas cluster reassign orders --cancel --execute`,
		Args:              cli.Args(1, 1),
		ValidArgsFunction: cli.CompleteTopics(app, 1),
		RunE:              func(cmd *cobra.Command, args []string) error { return reassign(cmd.Context(), app, f, args[0]) },
	}
	cmd.Flags().StringVarP(&f.partitions, "partitions", "p", "", "only these `partitions`, as 0,4-7")
	cmd.Flags().IntSliceVar(&f.to, "to", nil, "the `brokers` to have replicas, the preferred one first")
	cmd.Flags().IntVar(&f.factor, "factor", 0, "have so many replicas")
	cmd.Flags().BoolVar(&f.cancel, "cancel", false, "undo moves that are under way")
	f.flags(cmd)
	return cmd
}

func reassign(ctx context.Context, app *cli.App, f reassignFlags, topic string) error {
	asked := 0
	for _, is := range []bool{len(f.to) > 0, f.factor > 0, f.cancel} {
		if is {
			asked++
		}
	}
	if asked != 1 {
		return cli.Usagef("say one of --to BROKERS, --factor N and --cancel")
	}
	var numbers []int32
	if f.partitions != "" {
		var err error
		if numbers, err = cli.ParsePartitions(f.partitions); err != nil {
			return err
		}
	}
	wanted := func(p *placed) bool {
		return p.topic == topic && (numbers == nil || slices.Contains(numbers, p.number))
	}
	if f.cancel {
		return cancelled(ctx, app, f.execution, topic, wanted)
	}
	return planned(ctx, app, f.execution, nil, func(m kadm.Metadata, l *layout) error {
		if !m.Topics.Has(topic) {
			return cli.NotFoundf("barnabas topic list shows what exists", "topic %q does not exist", topic)
		}
		for _, p := range l.partitions {
			if !wanted(p) {
				continue
			}
			if f.factor > 0 && !l.resize(p, f.factor) {
				return cli.Failedf("there are not enough brokers for %s", cli.Plural(int64(f.factor), "replica"))
			}
			if len(f.to) > 0 {
				p.replicas = nil
				for _, id := range f.to {
					p.replicas = append(p.replicas, int32(id))
				}
			}
		}
		return nil
	})
}

// planned shows, and perhaps carries out, what plan makes of the cluster as it is.
func planned(ctx context.Context, app *cli.App, e execution, without []int32, plan func(kadm.Metadata, *layout) error) error {
	session, m, err := look(ctx, app)
	if err != nil {
		return err
	}
	defer session.Close()
	l := newLayout(m, without...)
	if err := plan(m, l); err != nil {
		return err
	}
	return carryOut(ctx, app, session, e, l.moves())
}

func look(ctx context.Context, app *cli.App) (*cli.Session, kadm.Metadata, error) {
	ctx, cancel := app.Deadline(ctx)
	defer cancel()
	session, err := app.Connect(ctx)
	if err != nil {
		return nil, kadm.Metadata{}, err
	}
	m, err := session.Admin.Metadata(ctx)
	if err != nil {
		session.Close()
		return nil, kadm.Metadata{}, fmt.Errorf("ask for the cluster's metadata: %w", err)
	}
	return session, m, nil
}

// cancelled cancels what is under way.
func cancelled(ctx context.Context, app *cli.App, e execution, topic string, wanted func(*placed) bool) error {
	session, m, err := look(ctx, app)
	if err != nil {
		return err
	}
	defer session.Close()
	moving, err := reassignments(ctx, app, session, m)
	if err != nil {
		return err
	}
	moves := []move{}
	for _, r := range moving[topic] {
		if wanted(&placed{topic: topic, number: r.Partition}) {
			moves = append(moves, move{Topic: topic, Partition: r.Partition, From: r.Replicas})
		}
	}
	slices.SortFunc(moves, func(a, b move) int { return int(a.Partition - b.Partition) })
	return carryOut(ctx, app, session, e, moves)
}

// reassignments are the moves under way.
func reassignments(ctx context.Context, app *cli.App, session *cli.Session, m kadm.Metadata) (kadm.ListPartitionReassignmentsResponses, error) {
	ctx, cancel := app.Deadline(ctx)
	defer cancel()
	listed, err := session.Admin.ListPartitionReassignments(ctx, m.Topics.TopicsSet())
	if err != nil {
		return nil, fmt.Errorf("ask which partitions are on their way: %w", err)
	}
	return listed, nil
}
