package record

import (
	"context"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/barnabas-log/barnabas/cmd/barnabas/cli"
)

type consumeFlags struct {
	from       string
	to         string
	partitions string
	count      int64
	follow     bool
	group      string
	keys       bool
	headers    bool
	separator  string
	null       string
	format     string
	isolation  string
	quiet      bool
}

// ConsumeCommand is `barnabas consume`.
func ConsumeCommand(app *cli.App) *cobra.Command {
	var f consumeFlags
	cmd := &cobra.Command{
		Use:   "consume TOPIC...",
		Short: "Read records from topics",
		Long: `Print the records of topics, from any position, and stop at what was the end when the command started; with
--follow wait for more. With --group the partitions are shared with the other members of the group, reading continues where the group
committed, and what was printed is committed.

` + cli.PositionHelp + `

` + formatHelp,
		Example: `  barnabas consume orders
  barnabas consume orders --from -10 --follow
  barnabas consume orders --from 2026-01-01T00:00:00Z --to 2026-01-02 --json
  barnabas consume orders --from @1700000000000 -n 100 --keys
  barnabas consume orders -p 0,3 --from 1500 --format '%p/%o %T %k=%v\n'
  barnabas consume orders payments --group billing --follow`,
		Args:              cli.Args(1, -1),
		ValidArgsFunction: cli.CompleteTopics(app, -1),
		RunE:              func(cmd *cobra.Command, topics []string) error { return consume(cmd.Context(), app, f, topics) },
	}
	fs := cmd.Flags()
	fs.StringVar(&f.from, "from", "start", "`position` to start from; with --group only where nothing is committed")
	fs.StringVar(&f.to, "to", "", "`position` to stop before (default the end as it is now)")
	fs.StringVarP(&f.partitions, "partition", "p", "", "only these `partitions`: 0 or 0,3,5-7")
	fs.Int64VarP(&f.count, "count", "n", 0, "stop after so many records in all; 0 for no limit")
	fs.BoolVar(&f.follow, "follow", false, "wait for new records at the end")
	fs.StringVarP(&f.group, "group", "g", "", "consume as a member of this `group`, and commit")
	fs.BoolVarP(&f.keys, "keys", "k", false, "print the key before the value")
	fs.BoolVarP(&f.headers, "headers", "H", false, "print the headers before key and value")
	fs.StringVar(&f.separator, "separator", `\t`, "between headers, key and value")
	fs.StringVar(&f.null, "null", "", "what stands for a null key or value")
	fs.StringVar(&f.format, "format", "", "print each record by this template")
	fs.StringVar(&f.isolation, "isolation", "read_uncommitted", "read_committed leaves out what open and aborted transactions wrote")
	fs.BoolVarP(&f.quiet, "quiet", "q", false, "no summary at the end")
	return cmd
}

// request is what the flags of one run come to.
type request struct {
	from, to  cli.Position
	toSet     bool
	committed bool
	print     printer
}

func (f consumeFlags) request(app *cli.App) (request, error) {
	var r request
	var err error
	if r.from, err = cli.ParsePosition(f.from, app.Now()); err != nil {
		return r, err
	}
	if f.to != "" {
		r.toSet = true
		if r.to, err = cli.ParsePosition(f.to, app.Now()); err != nil {
			return r, err
		}
	}
	switch f.isolation {
	case "read_uncommitted":
	case "read_committed":
		r.committed = true
	default:
		return r, cli.Usagef("--isolation %q is none of read_uncommitted, read_committed", f.isolation)
	}
	_, timed := r.from.Milliseconds()
	switch {
	case f.count < 0:
		return r, cli.Usagef("--count %d: must not be negative", f.count)
	case r.toSet && f.follow:
		return r, cli.Usagef("--to and --follow exclude each other")
	case f.group != "" && f.partitions != "":
		return r, cli.Usagef("--group and --partition exclude each other: the group decides who reads which partition")
	case f.group != "" && r.toSet:
		return r, cli.Usagef("--group and --to exclude each other: use -n, or read without a group")
	case f.group != "" && !r.from.IsStart() && !r.from.IsEnd() && !timed:
		return r, cli.Usagef("--group with --from %s: start, end or a time; barnabas group seek moves a group to an offset", f.from)
	}
	r.print, err = f.printer(app)
	return r, err
}

func consume(ctx context.Context, app *cli.App, f consumeFlags, topics []string) error {
	req, err := f.request(app)
	if err != nil {
		return err
	}
	if f.group != "" {
		return consumeAsMember(ctx, app, f, req, topics)
	}
	session, err := app.Connect(ctx)
	if err != nil {
		return err
	}
	defer session.Close()
	cursors, err := planRun(ctx, app, session, f, req, topics)
	if err != nil {
		return err
	}
	c := newConsumer(app, f, req, session, cursors)
	if c.finished() {
		return c.end(ctx, nil)
	}
	reader, err := app.Connect(ctx, append(c.options(), kgo.ConsumePartitions(offsets(cursors)), kgo.ConsumeResetOffset(kgo.NoResetOffset()))...)
	if err != nil {
		return err
	}
	defer reader.Close()
	c.client = reader.Client
	return c.end(ctx, c.run(ctx))
}

// planRun says for each partition where to start and where to stop.
func planRun(ctx context.Context, app *cli.App, session *cli.Session, f consumeFlags, req request, topics []string) (cursors, error) {
	ctx, cancel := app.Deadline(ctx)
	defer cancel()
	details, err := session.Topics(ctx, topics...)
	if err != nil {
		return nil, err
	}
	ranges, err := session.ListRanges(ctx, req.committed, topics...)
	if err != nil {
		return nil, err
	}
	if err := cli.OnlyPartitions(f.partitions, details, ranges); err != nil {
		return nil, err
	}
	starts, err := req.from.Resolve(ctx, session, ranges)
	if err != nil {
		return nil, err
	}
	var stops map[string]map[int32]int64
	if req.toSet {
		if stops, err = req.to.Resolve(ctx, session, ranges); err != nil {
			return nil, err
		}
	}
	out := cursors{}
	for topic, partitions := range ranges {
		for partition, r := range partitions {
			c := &cursor{next: starts[topic][partition], stop: r.End}
			switch {
			case f.follow:
				c.stop = never
			case req.toSet:
				c.stop = stops[topic][partition]
			}
			out[place{topic, partition}] = c
		}
	}
	return out, nil
}

// fetchWait is how long a broker may hold a fetch that has nothing to say. It is short where the end of a partition must be noticed.
func fetchWait(follow bool) time.Duration {
	if follow {
		return 5 * time.Second
	}
	return 250 * time.Millisecond
}
