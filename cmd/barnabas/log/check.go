package log

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/barnabas-log/barnabas/cmd/barnabas/cli"
	segments "github.com/barnabas-log/barnabas/log"
)

// checked is one line of JSON output: one log of ours, or one segment file.
type checked struct {
	Path     string    `json:"path"`
	Sound    bool      `json:"sound"`
	Segments int       `json:"segments"`
	Batches  int64     `json:"batches"`
	Records  int64     `json:"records"`
	Start    int64     `json:"start"`
	End      int64     `json:"end"`
	Bytes    int64     `json:"bytes"`
	Findings []finding `json:"findings"`

	dir  string
	raw  []segments.Finding
	torn bool
}

type finding struct {
	File     string `json:"file"`
	Position int64  `json:"position"`
	Severity string `json:"severity"`
	Reason   string `json:"reason"`
}

func newCheck(app *cli.App) *cobra.Command {
	var quick bool
	cmd := &cobra.Command{
		Use:   "check PATH...",
		Short: "Verify segment files: every checksum, every record, every index",
		Long: `Verify segment files and, in a partition's directory, everything beside them: checksums, offsets, records, indexes, the
manifest and the entries that are not batches. What a node would repair by itself when it starts (a torn tail after a crash, an index) is shown but is
no failure. Damage makes the exit code 1, and is shown with file and position.

` + pathHelp,
		Example: `  barnabas log check data
  barnabas log check data/topics/orders --quick
  barnabas log check data --json | jq 'select(.sound | not)'`,
		Args: cli.Args(1, -1),
		RunE: func(cmd *cobra.Command, paths []string) error { return check(cmd.Context(), app, quick, paths) },
	}
	cmd.Flags().BoolVar(&quick, "quick", false, "verify batches, but do not decompress and decode the records in them")
	return cmd
}

func check(ctx context.Context, app *cli.App, quick bool, paths []string) error {
	sources, err := find(paths)
	if err != nil {
		return err
	}
	progress, records, bytes := app.NewProgress(), int64(0), int64(0)
	onBatch := func(b segments.InspectedBatch) error {
		records += int64(b.Header().Count())
		bytes += int64(len(b.Data))
		progress.Show(records, bytes)
		return ctx.Err()
	}
	table := cli.NewTable("LOG", "SEGMENTS#", "BATCHES#", "RECORDS#", "START#", "END#", "SIZE#", "STATE")
	damaged := int64(0)
	for _, s := range sources {
		c, err := verify(s, !quick, onBatch)
		progress.Clear()
		if err != nil {
			return err
		}
		if !c.Sound {
			damaged++
		}
		if err := report(app, c, table); err != nil {
			return err
		}
	}
	if !app.JSON() {
		if err := table.Write(app.Out); err != nil {
			return err
		}
	}
	if damaged > 0 {
		return cli.Failedf("%s of %s damaged", cli.Count(damaged), cli.Plural(int64(len(sources)), "log"))
	}
	return nil
}

// report prints the findings, and adds the line of the table.
func report(app *cli.App, c checked, table *cli.Table) error {
	if app.JSON() {
		return app.Object(c)
	}
	for _, f := range c.raw {
		if _, err := fmt.Fprintln(app.Out, describe(c.dir, f)); err != nil {
			return err
		}
	}
	state := "sound"
	switch {
	case !c.Sound:
		state = "DAMAGED"
	case c.torn:
		state = "torn tail"
	}
	table.Row(c.Path, c.Segments, c.Batches, c.Records, c.Start, c.End, cli.Bytes(c.Bytes), state)
	return nil
}

// verify checks one log.
func verify(s source, withRecords bool, onBatch func(segments.InspectedBatch) error) (checked, error) {
	c := checked{Path: s.path, Sound: true, Findings: []finding{}}
	if s.ours {
		r, err := segments.Inspect(s.path, segments.InspectOptions{OnBatch: onBatch, Records: withRecords})
		if err != nil {
			return c, err
		}
		c.dir, c.raw, c.Sound = s.path, r.Findings, r.Sound()
		c.Segments, c.Batches, c.Records = len(r.Segments), r.Batches, r.Records
		c.Start, c.End = int64(r.Floor.Start), int64(r.EndOffset)
		for _, segment := range r.Segments {
			c.Bytes += segment.Bytes
		}
	} else {
		r, err := scan(s.path, withRecords, onBatch)
		if err != nil {
			return c, err
		}
		c.dir, c.raw, c.Sound = filepath.Dir(s.path), r.findings, len(r.findings) == 0
		c.Segments, c.Batches, c.Records, c.Bytes = 1, r.batches, r.records, r.bytes
		c.Start, c.End = int64(r.first), int64(r.next)
	}
	for _, f := range c.raw {
		c.torn = c.torn || f.Torn
		c.Findings = append(c.Findings, finding{f.File, f.Position, severity(f), f.Reason})
	}
	return c, nil
}
