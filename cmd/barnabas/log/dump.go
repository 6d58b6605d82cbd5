package log

import (
	"bufio"
	"context"
	"fmt"
	"math"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/barnabas-log/barnabas/cmd/barnabas/cli"
	segments "github.com/barnabas-log/barnabas/log"
)

type dumpFlags struct {
	records bool
	control bool
	from    int64
	to      int64
}

func newDump(app *cli.App) *cobra.Command {
	var f dumpFlags
	cmd := &cobra.Command{
		Use:   "dump PATH...",
		Short: "Print the batches and records of segment files",
		Long: `Print every batch of segment files, in the words of Kafka's own dump tool, and with --records every record. Times are in
milliseconds since 1970. Damage ends the dump of that log and the exit code is 1; barnabas log check says more.

` + pathHelp,
		Example: `  barnabas log dump data/topics/orders
  barnabas log dump 00000000000000000000.log --records
  barnabas log dump data/topics/orders --from 1500 --to 1600 --records --json
  barnabas log dump data/topics/orders --control`,
		Args: cli.Args(1, -1),
		RunE: func(cmd *cobra.Command, paths []string) error { return dump(cmd.Context(), app, f, paths) },
	}
	cmd.Flags().BoolVar(&f.records, "records", false, "print every record, not only batches")
	cmd.Flags().BoolVar(&f.control, "control", false, "print the entries that are not batches, too: no-ops and configurations, from ctl")
	cmd.Flags().Int64Var(&f.from, "from", 0, "leave out batches before this `offset`")
	cmd.Flags().Int64Var(&f.to, "to", math.MaxInt64, "leave out batches from this `offset` on")
	return cmd
}

// dumper prints what is found, in order.
type dumper struct {
	app   *cli.App
	flags dumpFlags
	out   *bufio.Writer
	dir   string // of the log at hand
	file  string // whose heading was printed last
}

func dump(ctx context.Context, app *cli.App, f dumpFlags, paths []string) error {
	sources, err := find(paths)
	if err != nil {
		return err
	}
	d := &dumper{app: app, flags: f, out: bufio.NewWriterSize(app.Out, 64<<10)}
	damaged := int64(0)
	for _, s := range sources {
		findings, err := d.source(ctx, s)
		if flushErr := d.out.Flush(); err == nil {
			err = flushErr
		}
		if err != nil {
			return err
		}
		for _, finding := range findings {
			if finding.Rebuildable {
				continue
			}
			app.Notef("%s", describe(d.dir, finding))
			if !finding.Torn {
				damaged++
			}
		}
	}
	if damaged > 0 {
		return cli.Failedf("found damage in %s", cli.Plural(damaged, "place"))
	}
	return nil
}

// source dumps one log and gives what is wrong with it.
func (d *dumper) source(ctx context.Context, s source) ([]segments.Finding, error) {
	onBatch := func(b segments.InspectedBatch) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return d.batch(b)
	}
	if !s.ours {
		d.dir = filepath.Dir(s.path)
		report, err := scan(s.path, d.flags.records, onBatch)
		if report == nil {
			return nil, err
		}
		return report.findings, err
	}
	d.dir = s.path
	options := segments.InspectOptions{OnBatch: onBatch, Records: d.flags.records}
	if d.flags.control {
		options.OnControl = d.entry
	}
	report, err := segments.Inspect(s.path, options)
	return report.Findings, err
}

func (d *dumper) batch(b segments.InspectedBatch) error {
	h := b.Header()
	if int64(h.LastOffset()) < d.flags.from || int64(h.BaseOffset()) >= d.flags.to {
		return nil
	}
	if d.app.JSON() {
		return d.batchJSON(b)
	}
	d.heading(filepath.Join(d.dir, b.File))
	if err := writeBatch(d.out, b); err != nil || !d.flags.records {
		return err
	}
	return writeRecords(d.out, b)
}

// heading names the file, once.
func (d *dumper) heading(file string) {
	if d.file != file {
		d.file = file
		fmt.Fprintf(d.out, "Dumping %s\nLog starting offset: %d\n", file, baseOf(file))
	}
}

var kinds = map[segments.Kind]string{
	segments.KindNoop: "noop", segments.KindBarrier: "barrier", segments.KindConfiguration: "configuration", segments.KindCommand: "command",
}

// entry prints an entry of ctl between the batches it lies between.
func (d *dumper) entry(c segments.InspectedControl) error {
	if int64(c.NextOffset) < d.flags.from || int64(c.NextOffset) > d.flags.to {
		return nil
	}
	kind := kinds[c.Kind]
	if kind == "" {
		kind = fmt.Sprintf("kind %d", c.Kind)
	}
	if d.app.JSON() {
		return encode(d.out, entryJSON{Directory: d.dir, File: "ctl", Position: c.Position, Kind: kind, Index: uint64(c.Index), Term: uint64(c.Term), NextOffset: int64(c.NextOffset), Size: len(c.Data)})
	}
	_, err := fmt.Fprintf(d.out, "ctl kind: %s index: %d term: %d nextOffset: %d position: %d size: %d\n", kind, c.Index, c.Term, c.NextOffset, c.Position, len(c.Data))
	return err
}

// describe is a finding as a line: file:position: kind: reason.
func describe(dir string, f segments.Finding) string {
	return fmt.Sprintf("%s:%d: %s: %s", filepath.Join(dir, f.File), f.Position, severity(f), f.Reason)
}

func severity(f segments.Finding) string {
	switch {
	case f.Rebuildable:
		return "rebuilt on open"
	case f.Torn:
		return "torn, cut off on open"
	}
	return "damaged"
}
