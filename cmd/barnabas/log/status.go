package log

import (
	"context"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/barnabas-log/barnabas/cmd/barnabas/cli"
	"github.com/barnabas-log/barnabas/internal/admin"
)

// held is one line of JSON output: a replica, and the node that has it; nil for the files of a node that does not run.
type held struct {
	Node *int32 `json:"node,omitempty"`
	admin.Replica
}

func newStatus(app *cli.App) *cobra.Command {
	var addresses string
	cmd := &cobra.Command{
		Use:   "status [TOPIC[:PARTITIONS]...|DIRECTORY...]",
		Short: "Show the replicas of running nodes, or of a stopped one: size, compaction, scrub, what is wrong",
		Long: `Show for every replica its state, segments, size and offsets, how far compaction and scrub have come, and what is wrong
with it. Topics may be patterns (* and ?); partitions are a list such as 0,3,5-7.

Nodes are asked over HTTP (/partitions at barnabas.http.listener). The brokers say where that is; one that listens on the loopback interface only
is asked on its own machine. --http names the addresses instead.

An argument that is a directory is the data of a stopped node, or a part of it; its files tell sizes, offsets and what was compacted. They are not
verified: log check does that.

The exit code is 1 when a replica is damaged or failed, or a node could not be asked.`,
		Example: `  barnabas log status
  barnabas log status orders:0-3 '__*' --json
  barnabas log status --http 127.0.0.1:9644
  barnabas log status /var/lib/barnabas`,
		Args: cli.Args(0, -1),
		RunE: func(cmd *cobra.Command, args []string) error { return status(cmd.Context(), app, addresses, args) },
	}
	cmd.Flags().StringVar(&addresses, "http", "", "comma-separated host:port of the nodes' HTTP `listeners`")
	return cmd
}

func status(ctx context.Context, app *cli.App, addresses string, args []string) error {
	var all []held
	var unasked int
	var err error
	if directories(args) {
		all, err = fromFiles(args)
	} else {
		var wanted selection
		if wanted, err = parseSelection(args); err != nil {
			return err
		}
		all, unasked, err = fromNodes(ctx, app, addresses, wanted)
	}
	if err != nil {
		return err
	}
	if err := showHeld(app, all); err != nil {
		return err
	}
	wrong := 0
	for _, h := range all {
		if h.State == admin.Damaged || h.State == admin.Failed {
			wrong++
		}
	}
	switch {
	case unasked > 0:
		return cli.Failedf("%s could not be asked", cli.Plural(int64(unasked), "node"))
	case wrong > 0:
		return cli.Failedf("%s damaged or failed", cli.Plural(int64(wrong), "replica"))
	}
	return nil
}

// directories says whether files are meant: one argument that is a directory makes it so.
func directories(args []string) bool {
	return slices.ContainsFunc(args, func(arg string) bool {
		info, err := os.Stat(arg)
		return err == nil && info.IsDir()
	})
}

// selection is which partitions are meant; none at all stands for everything.
type selection []struct {
	topic      string
	partitions []int32 // nil: all
}

func parseSelection(args []string) (selection, error) {
	all := make(selection, len(args))
	for k, arg := range args {
		topic, list, some := strings.Cut(arg, ":")
		if err := (cli.Patterns{topic}).Check(); err != nil {
			return nil, err
		}
		all[k].topic = topic
		if some {
			var err error
			if all[k].partitions, err = cli.ParsePartitions(list); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

func (s selection) match(r admin.Replica) bool {
	for _, each := range s {
		if is, _ := path.Match(each.topic, r.Topic); is && (each.partitions == nil || slices.Contains(each.partitions, r.Partition)) {
			return true
		}
	}
	return len(s) == 0
}

func showHeld(app *cli.App, all []held) error {
	if app.JSON() {
		for _, h := range all {
			if err := app.Object(h); err != nil {
				return err
			}
		}
		return nil
	}
	table := cli.NewTable("TOPIC", "PARTITION#", "NODE#", "STATE", "SEGMENTS#", "SIZE#", "START#", "END#", "COMPACTED TO#", "DIRTY#", "LAST", "SCRUBBED TO#", "LAST")
	for _, h := range all {
		table.Row(h.cells(app.Now())...)
	}
	if err := table.Write(app.Out); err != nil {
		return err
	}
	for _, h := range all {
		if err := h.complain(app); err != nil {
			return err
		}
	}
	return nil
}

func (h held) cells(now time.Time) []any {
	cells := []any{h.Topic, h.Partition, "", h.State, h.Segments, cli.Bytes(h.Bytes), h.Start, h.End, "", "", "", "", ""}
	if h.Node != nil {
		cells[2] = *h.Node
	}
	if c := h.Compaction; c != nil {
		cells[8], cells[9] = c.To, fmt.Sprintf("%s %.0f%%", cli.Bytes(c.DirtyBytes), 100*c.DirtyRatio)
		if c.Last != nil {
			cells[10] = ago(now, *c.Last)
		}
	}
	if s := h.Scrub; s != nil {
		cells[11], cells[12] = s.To, ago(now, s.Last)
	}
	return cells
}

// complain says what is wrong, a line each.
func (h held) complain(app *cli.App) error {
	where := fmt.Sprintf("%s-%d", h.Topic, h.Partition)
	if h.Node != nil {
		where += fmt.Sprintf(" on node %d", *h.Node)
	}
	var lines []string
	if h.Problem != "" {
		since := ""
		if h.Since != nil {
			since = " since " + h.Since.UTC().Format(time.RFC3339)
		}
		lines = append(lines, h.State+since+": "+h.Problem)
	}
	if c := h.Compaction; c != nil && c.Problem != "" {
		how := "compaction failed"
		if c.Refused {
			how = "not compacted any more until it is opened anew"
		}
		lines = append(lines, how+": "+c.Problem)
	}
	if s := h.Scrub; s != nil && s.Problem != "" {
		lines = append(lines, "scrub: "+s.Problem)
	}
	for _, line := range lines {
		if _, err := fmt.Fprintf(app.Out, "%s: %s\n", where, line); err != nil {
			return err
		}
	}
	return nil
}

func ago(now, at time.Time) string {
	return cli.Elapsed(max(0, now.Sub(at).Round(time.Second))) + " ago"
}
