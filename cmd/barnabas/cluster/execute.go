package cluster

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/barnabas-log/barnabas/cmd/barnabas/cli"
)

// execution is what becomes of a plan.
type execution struct {
	execute, background bool
}

func (e *execution) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&e.execute, "execute", false, "carry the plan out; without it, it is only shown")
	cmd.Flags().BoolVar(&e.background, "background", false, "do not wait until the partitions have arrived")
}

// pollEvery is how often the cluster is asked which partitions are still on their way.
const pollEvery = 500 * time.Millisecond

// carryOut shows the moves and, when the operator said so, makes the cluster begin and waits.
func carryOut(ctx context.Context, app *cli.App, session *cli.Session, e execution, moves []move) error {
	if err := printMoves(app, moves); err != nil {
		return err
	}
	if len(moves) == 0 {
		app.Notef("nothing to move")
		return nil
	}
	if !e.execute {
		app.Notef("%s would move; --execute carries it out", cli.Plural(int64(len(moves)), "partition"))
		return nil
	}
	if err := begin(ctx, app, session, moves); err != nil || e.background {
		return err
	}
	return await(ctx, app, session, moves)
}

func printMoves(app *cli.App, moves []move) error {
	if app.JSON() {
		return app.Object(moves)
	}
	if len(moves) == 0 {
		return nil
	}
	t := cli.NewTable("TOPIC", "PARTITION#", "FROM", "TO")
	for _, m := range moves {
		to := cli.IDs(m.To)
		if m.To == nil {
			to = "cancel"
		}
		t.Row(m.Topic, m.Partition, cli.IDs(m.From), to)
	}
	return t.Write(app.Out)
}

// begin asks for the moves. kadm takes no replicas at all for a cancellation.
func begin(ctx context.Context, app *cli.App, session *cli.Session, moves []move) error {
	ctx, cancel := app.Deadline(ctx)
	defer cancel()
	var request kadm.AlterPartitionAssignmentsReq
	for _, m := range moves {
		if m.To == nil {
			request.CancelAssign(m.Topic, m.Partition)
		} else {
			request.Assign(m.Topic, m.Partition, m.To)
		}
	}
	responses, err := session.Admin.AlterPartitionAssignments(ctx, request)
	if err != nil {
		return fmt.Errorf("ask for partitions to be moved: %w", err)
	}
	for _, r := range responses.Sorted() {
		if r.Err != nil {
			return fmt.Errorf("move %s-%d: %w", r.Topic, r.Partition, cli.Refused(r.Err, r.ErrMessage))
		}
	}
	return nil
}

// await waits until none of the partitions is on its way, for as long as the operator has patience: they arrive all the same.
func await(ctx context.Context, app *cli.App, session *cli.Session, moves []move) error {
	left := -1
	for {
		under, err := underWay(ctx, app, session, moves)
		if err != nil {
			return err
		}
		if under == 0 {
			app.Notef("%s moved", cli.Plural(int64(len(moves)), "partition"))
			return nil
		}
		if under != left {
			left = under
			app.Notef("%s on the way", cli.Plural(int64(left), "partition"))
		}
		select {
		case <-time.After(pollEvery):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func underWay(ctx context.Context, app *cli.App, session *cli.Session, moves []move) (count int, err error) {
	ctx, cancel := app.Deadline(ctx)
	defer cancel()
	var set kadm.TopicsSet
	for _, m := range moves {
		set.Add(m.Topic, m.Partition)
	}
	listed, err := session.Admin.ListPartitionReassignments(ctx, set)
	if err != nil {
		return 0, fmt.Errorf("ask which partitions are on their way: %w", err)
	}
	return len(listed.Sorted()), nil
}
