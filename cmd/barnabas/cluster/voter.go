package cluster

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/barnabas-log/barnabas/cmd/barnabas/cli"
)

func newVoter(app *cli.App) *cobra.Command {
	return cli.Noun("voter", "Show and change which nodes decide on the cluster's metadata", newVoterList(app), newVoterAdd(app), newVoterRemove(app))
}

// elector is a node that follows the metadata, as the JSON output has it.
type elector struct {
	Node        int32  `json:"node"`
	Voter       bool   `json:"voter"`
	Leads       bool   `json:"leads"`
	Behind      int64  `json:"behind"` // entries of the metadata log that it has not confirmed
	DirectoryID string `json:"directoryId"`

	directory [16]byte
}

func newVoterList(app *cli.App) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "Show who votes on the metadata, and who follows them",
		Example: `  barnabas cluster voter list
  barnabas cluster voter list --json`,
		Args: cli.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return listVoters(cmd.Context(), app) },
	}
}

func listVoters(ctx context.Context, app *cli.App) error {
	ctx, session, end, err := app.Begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	electors, err := quorum(ctx, session)
	if err != nil {
		return err
	}
	if app.JSON() {
		return app.Object(electors)
	}
	t := cli.NewTable("NODE#", "VOTES", "BEHIND#", "DIRECTORY ID", "NOTE")
	for _, e := range electors {
		votes, note := "no", ""
		if e.Voter {
			votes = "yes"
		}
		if e.Leads {
			note = "controller"
		}
		t.Row(e.Node, votes, e.Behind, e.DirectoryID, note)
	}
	return t.Write(app.Out)
}

// quorum asks who votes and who follows, by number.
func quorum(ctx context.Context, session *cli.Session) ([]elector, error) {
	req := kmsg.NewPtrDescribeQuorumRequest()
	req.Topics = []kmsg.DescribeQuorumRequestTopic{{Topic: "__cluster_metadata", Partitions: []kmsg.DescribeQuorumRequestTopicPartition{{Partition: 0}}}}
	resp, err := req.RequestWith(ctx, session.Client)
	if err != nil {
		return nil, fmt.Errorf("ask who votes: %w", err)
	}
	if resp.ErrorCode != 0 || len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return nil, fmt.Errorf("ask who votes: %w", refused(resp.ErrorCode, resp.ErrorMessage))
	}
	p := resp.Topics[0].Partitions[0]
	if err := refused(p.ErrorCode, p.ErrorMessage); err != nil {
		return nil, fmt.Errorf("ask who votes: %w", err)
	}
	electors := []elector{}
	add := func(states []kmsg.DescribeQuorumResponseTopicPartitionReplicaState, voter bool) {
		for _, s := range states {
			electors = append(electors, elector{Node: s.ReplicaID, Voter: voter, Leads: s.ReplicaID == p.LeaderID, Behind: max(0, p.HighWatermark-s.LogEndOffset),
				DirectoryID: base64.RawURLEncoding.EncodeToString(s.ReplicaDirectoryID[:]), directory: s.ReplicaDirectoryID})
		}
	}
	add(p.CurrentVoters, true)
	add(p.Observers, false)
	slices.SortFunc(electors, func(a, b elector) int { return int(a.Node) - int(b.Node) })
	return electors, nil
}

// refused is the error for a code with its message, nil for none.
func refused(code int16, text *string) error {
	err := kerr.ErrorForCode(code)
	if err == nil {
		return nil
	}
	message := ""
	if text != nil {
		message = *text
	}
	return cli.Refused(err, message)
}

func newVoterAdd(app *cli.App) *cobra.Command {
	return &cobra.Command{
		Use:   "add BROKER",
		Short: "Give a broker a vote on the metadata",
		Long: `Give a broker that runs a vote on the cluster's metadata. It catches up first. The nodes' configuration need not be
changed: controller.quorum.voters is where a node that starts finds the others, who votes is stored. An odd number of
voters is best; one at a time.`,
		Example: `  barnabas cluster voter add 4`,
		Args:    cli.Args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return changeVoter(cmd.Context(), app, args[0], addVoter)
		},
	}
}

func newVoterRemove(app *cli.App) *cobra.Command {
	return &cobra.Command{
		Use:   "remove NODE",
		Short: "Take a node's vote on the metadata away",
		Long: `Take a node's vote on the cluster's metadata away, before it is taken out of service, or when it is gone for good.
A broker goes on to serve and to follow the metadata. The last vote cannot be taken.`,
		Example: `  barnabas cluster voter remove 3`,
		Args:    cli.Args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return changeVoter(cmd.Context(), app, args[0], removeVoter)
		},
	}
}

type voterChange func(ctx context.Context, app *cli.App, session *cli.Session, node int32, electors []elector) error

func changeVoter(ctx context.Context, app *cli.App, text string, change voterChange) error {
	id, err := strconv.ParseInt(text, 10, 32)
	if err != nil || id < 0 {
		return cli.Usagef("%q is no node's number", text)
	}
	ctx, session, end, err := app.Begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	electors, err := quorum(ctx, session)
	if err != nil {
		return err
	}
	return change(ctx, app, session, int32(id), electors)
}

func find(electors []elector, node int32) (elector, bool) {
	at := slices.IndexFunc(electors, func(e elector) bool { return e.Node == node })
	if at < 0 {
		return elector{}, false
	}
	return electors[at], true
}

func addVoter(ctx context.Context, app *cli.App, session *cli.Session, node int32, electors []elector) error {
	e, ok := find(electors, node)
	if !ok {
		return cli.NotFoundf("barnabas cluster voter list shows who follows the metadata", "node %d does not follow the metadata", node)
	}
	req := kmsg.NewPtrAddRaftVoterRequest()
	req.VoterID, req.VoterDirectoryID = node, e.directory
	if deadline, ok := ctx.Deadline(); ok {
		req.TimeoutMillis = int32(min(time.Until(deadline).Milliseconds(), math.MaxInt32))
	}
	resp, err := req.RequestWith(ctx, session.Client)
	if err == nil {
		err = refused(resp.ErrorCode, resp.ErrorMessage)
	}
	if errors.Is(err, kerr.DuplicateVoter) {
		app.Notef("node %d votes already", node)
		return nil
	}
	if err != nil {
		return fmt.Errorf("give node %d a vote: %w", node, err)
	}
	app.Notef("node %d votes", node)
	return nil
}

func removeVoter(ctx context.Context, app *cli.App, session *cli.Session, node int32, electors []elector) error {
	e, ok := find(electors, node)
	if !ok || !e.Voter {
		return cli.NotFoundf("barnabas cluster voter list shows who votes", "node %d does not vote", node)
	}
	req := kmsg.NewPtrRemoveRaftVoterRequest()
	req.VoterID, req.VoterDirectoryID = node, e.directory
	resp, err := req.RequestWith(ctx, session.Client)
	if err == nil {
		err = refused(resp.ErrorCode, resp.ErrorMessage)
	}
	if err != nil {
		return fmt.Errorf("take the vote of node %d away: %w", node, err)
	}
	app.Notef("node %d does not vote any more", node)
	return nil
}

// noteVote says what to do about the vote of a broker that is emptied. Servers that know of no voters are left alone.
func noteVote(ctx context.Context, app *cli.App, node int32) {
	ctx, session, end, err := app.Begin(ctx)
	if err != nil {
		return
	}
	defer end()
	electors, err := quorum(ctx, session)
	if err != nil {
		return
	}
	if e, ok := find(electors, node); ok && e.Voter {
		app.Notef("broker %d votes on the metadata: before it goes for good, barnabas cluster voter remove %d (and voter add another)", node, node)
	}
}
