package log

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/barnabas-log/barnabas/cmd/barnabas/cli"
	"github.com/barnabas-log/barnabas/internal/broker"
	segments "github.com/barnabas-log/barnabas/log"
)

type repairFlags struct {
	write   bool
	offline bool
	alone   bool
	data    string
}

// runningHelp says when a partition's files may be replaced.
const runningHelp = `The node must be stopped, unless it says that the partition is offline: then --offline goes on, and the node opens what it finds
afterwards by itself.`

func newRepair(app *cli.App) *cobra.Command {
	var f repairFlags
	cmd := &cobra.Command{
		Use:   "repair DIRECTORY|TOPIC-PARTITION",
		Short: "Save what can be saved of a damaged partition that has no other replica",
		Long: `Read all segments of a partition and say what is sound: every batch with a right checksum, whatever has become of the
manifest, ctl, the checkpoint and the indexes, which are made anew. Every record keeps its offset; where records are lost, an empty batch takes their place.
Nothing is changed without --write. With it, the old directory is kept beside the new one, under a name that ends in .before-repair-<time>.

This is for a partition with one replica. A damaged replica of several is fetched anew by the node itself.

` + runningHelp,
		Example: `  barnabas log repair data/topics/orders/0.*
  barnabas log repair orders-0 --data /var/lib/barnabas --write`,
		Args: cli.Args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error { return repair(cmd.Context(), app, f, args[0]) },
	}
	cmd.Flags().BoolVar(&f.write, "write", false, "write what is kept, and put it in the place of the partition's directory")
	cmd.Flags().BoolVar(&f.alone, "alone", false, "no other node has a replica: where the log cannot tell any more who votes, it is this node alone")
	addPlaceFlags(cmd, &f.offline, &f.data)
	return cmd
}

func addPlaceFlags(cmd *cobra.Command, offline *bool, data *string) {
	cmd.Flags().BoolVar(offline, "offline", false, "the node runs, and says that the partition is offline")
	cmd.Flags().StringVar(data, "data", "data", "`directory` of the node's data, to find TOPIC-PARTITION in")
}

// salvageJSON is what repair and import print with --json.
type salvageJSON struct {
	Directory string     `json:"directory"`
	Start     int64      `json:"start"`
	End       int64      `json:"end"`
	Batches   int64      `json:"batches"`
	Records   int64      `json:"records"`
	Bytes     int64      `json:"bytes"`
	Lost      int64      `json:"lost_offsets"`
	Holes     []holeJSON `json:"holes"`
	Written   bool       `json:"written"`
	Kept      string     `json:"kept,omitempty"`
}

type holeJSON struct {
	From     int64  `json:"from"`
	To       int64  `json:"to"`
	File     string `json:"file"`
	Position int64  `json:"position"`
	Bytes    int64  `json:"bytes"`
	Reason   string `json:"reason"`
}

func repair(_ context.Context, app *cli.App, f repairFlags, where string) error {
	dir, err := partitionDir(where, f.data)
	if err != nil {
		return err
	}
	unlock := func() {}
	if f.write {
		if unlock, err = stopped(dir, f.offline); err != nil {
			return err
		}
	}
	defer unlock()
	s, err := segments.PlanRepair(nil, dir)
	if err != nil {
		return err
	}
	if len(s.Configuration) == 0 {
		if !f.alone {
			return cli.Failedf("%s: who votes in the partition's group cannot be read any more, neither from manifest nor from ctl: if no other node has a replica, add --alone", dir)
		}
		if s.Configuration, err = broker.LoneConfiguration(filepath.Join(dir, "..", "..", "..")); err != nil {
			return err
		}
	}
	kept := ""
	if f.write {
		if kept, err = s.Apply(dir, s.Configuration, nil); err != nil {
			return err
		}
	}
	return salvaged(app, s, dir, kept, f.write)
}

// salvaged says what was found, and done.
func salvaged(app *cli.App, s *segments.Salvage, dir, kept string, written bool) error {
	if app.JSON() {
		j := salvageJSON{Directory: dir, Start: int64(s.Start), End: int64(s.End), Batches: s.Batches, Records: s.Records, Bytes: s.Bytes, Lost: s.Lost(), Holes: []holeJSON{}, Written: written, Kept: kept}
		for _, h := range s.Holes {
			j.Holes = append(j.Holes, holeJSON{int64(h.From), int64(h.To), h.File, h.Position, h.Bytes, h.Reason})
		}
		return app.Object(j)
	}
	for _, h := range s.Holes {
		if h.From == h.To {
			fmt.Fprintf(app.Out, "%s:%d: %s at the end are lost, and nothing says how many offsets: %s\n", filepath.Join(s.Dir(), h.File), h.Position, cli.Bytes(h.Bytes), h.Reason)
			continue
		}
		fmt.Fprintf(app.Out, "%s:%d: offsets %d to %d are lost, %s: %s\n", filepath.Join(s.Dir(), h.File), h.Position, h.From, h.To-1, cli.Bytes(h.Bytes), h.Reason)
	}
	fmt.Fprintf(app.Out, "%s: offsets %d to %d: %s in %s batches, %s; %s lost\n", dir, s.Start, s.End, cli.Plural(s.Records, "record"), cli.Count(s.Batches), cli.Bytes(s.Bytes), cli.Plural(s.Lost(), "offset"))
	switch {
	case !written:
		fmt.Fprintln(app.Out, "nothing was changed; --write does it")
	case kept != "":
		fmt.Fprintf(app.Out, "written; what was there before is in %s\n", kept)
	}
	return nil
}

// partitionDir is a directory as it was given, or that of TOPIC-PARTITION in a node's data.
func partitionDir(where, data string) (string, error) {
	if info, err := os.Stat(where); err == nil && info.IsDir() {
		return filepath.Clean(where), nil
	}
	at := strings.LastIndex(where, "-")
	if at <= 0 {
		return "", cli.NotFoundf("", "%s is neither a directory nor TOPIC-PARTITION", where)
	}
	return hostedDir(data, where[:at], where[at+1:])
}

func hostedDir(data, topic, number string) (string, error) {
	found, err := filepath.Glob(filepath.Join(data, "topics", topic, number+".*"))
	if err != nil {
		return "", err
	}
	var dirs []string
	for _, dir := range found {
		if strings.Count(filepath.Base(dir), ".") == 1 && !strings.Contains(filepath.Base(dir), "-repair-") {
			dirs = append(dirs, dir)
		}
	}
	switch len(dirs) {
	case 0:
		return "", cli.NotFoundf("--data says where a node has its data", "there is no partition %s of %s in %s", number, topic, data)
	case 1:
		return dirs[0], nil
	}
	return "", cli.Usagef("there are several: %s", strings.Join(dirs, ", "))
}

// stopped makes sure that no node has the directory open, and keeps one from starting meanwhile. What the journal of a node that did not end well holds is put where it belongs.
func stopped(dir string, offline bool) (unlock func(), err error) {
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	root := filepath.Join(absolute, "..", "..", "..")
	name := filepath.Join(root, "node.lock")
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return func() {}, nil // not in a node's data
	}
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		_ = f.Close()
		if offline {
			return func() {}, nil
		}
		return nil, cli.Failedf("the node runs: stop it first, or add --offline if it says that this partition is offline")
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	j, err := segments.OpenJournal(root, segments.JournalOptions{})
	if err == nil {
		err = j.Close()
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return func() { _ = f.Close() }, nil
}
