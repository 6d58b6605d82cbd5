package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/barnabas-log/barnabas/internal/history"
	"github.com/barnabas-log/barnabas/log"
)

// damage is one way in which a file of a partition goes bad.
type damage struct {
	name   string
	suffix string // of the file
	active bool   // the active segment's, else a sealed one's; of no meaning for files that are there once
	do     func(path string, r *rand.Rand, from, to int64) (said string, err error)
	// rebuilt: the file can be made anew from the others, whether or not there are other replicas.
	rebuilt bool
	// live: a running node comes across it, if only by its scrub. The others are read by a start.
	live bool
	// hides are rules that it breaks for a node that is alone, at offsets of the damaged bytes, and nobody can help it.
	hides []history.Rule
}

// damages are all of them.
var damages = []damage{
	{name: "flip-sealed", suffix: ".log", do: flip, live: true},
	{name: "flip-active", suffix: ".log", active: true, do: flip, live: true},
	{name: "cut-sealed", suffix: ".log", do: cutThird, live: true},
	// The end of the file of a node that is killed then looks like a write that was under way: it is cut off, and its offsets are given again.
	{name: "cut-active", suffix: ".log", active: true, do: cutThird, live: true, hides: []history.Rule{history.Divergent, history.Forgotten, history.Backdated}},
	{name: "flip-index", suffix: ".index", do: flip, rebuilt: true, live: true},
	{name: "flip-timeindex", suffix: ".timeindex", do: flip, rebuilt: true, live: true},
	{name: "flip-raftindex", suffix: ".raftindex", do: flip, rebuilt: true, live: true},
	{name: "remove-index", suffix: ".index", do: removeFile, rebuilt: true, live: true},
	{name: "remove-timeindex", suffix: ".timeindex", do: removeFile, rebuilt: true, live: true},
	{name: "remove-raftindex", suffix: ".raftindex", do: removeFile, rebuilt: true, live: true},
	{name: "flip-ctl", suffix: "ctl", do: flip},
	{name: "flip-manifest", suffix: "manifest", do: flip},
	{name: "flip-checkpoint", suffix: "checkpoint", do: flip, rebuilt: true},
}

// damagesNamed gives the kinds with these names: no names mean all, "none" means none.
func damagesNamed(names []string) (kinds []damage, err error) {
	if len(names) == 0 {
		return damages, nil
	}
	for _, name := range names {
		if name == "none" {
			continue
		}
		at := slices.IndexFunc(damages, func(d damage) bool { return d.name == name })
		if at < 0 {
			return nil, fmt.Errorf("there is no damage of the kind %q", name)
		}
		kinds = append(kinds, damages[at])
	}
	return kinds, nil
}

// flip changes a random bit between two positions.
func flip(path string, r *rand.Rand, from, to int64) (string, error) {
	if to <= from {
		return "", fmt.Errorf("%s: there is nothing to change between %d and %d", path, from, to)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	at, bit := from+r.Int64N(to-from), r.IntN(8)
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, at); err != nil {
		return "", err
	}
	b[0] ^= 1 << bit
	_, err = f.WriteAt(b, at)
	return fmt.Sprintf("bit %d of byte %d of %d", bit, at, to), err
}

// cutThird removes the last third of a file.
func cutThird(path string, _ *rand.Rand, _, _ int64) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("cut from %d to %d bytes", info.Size(), info.Size()*2/3), os.Truncate(path, info.Size()*2/3)
}

func removeFile(path string, _ *rand.Rand, _, _ int64) (string, error) {
	return "removed", os.Remove(path)
}

// stretch is a range of offsets, the last one not included.
type stretch struct{ from, to int64 }

func within(spared []stretch, from, to int64) bool {
	for ; from < to; from++ {
		if !slices.ContainsFunc(spared, func(s stretch) bool { return s.from <= from && from < s.to }) {
			return false
		}
	}
	return true
}

// wound is a damage that was done.
type wound struct {
	path string
	said string
	lost stretch // records that the damaged bytes held
}

// inflictOn damages a file of the partition in dir.
func (d *damage) inflictOn(dir string, r *rand.Rand) (wound, error) {
	w := wound{path: filepath.Join(dir, d.suffix)}
	from, to := int64(0), int64(0)
	var held []log.InspectedBatch
	if strings.HasPrefix(d.suffix, ".") {
		segments, err := filepath.Glob(filepath.Join(dir, "*.log"))
		if err != nil || len(segments) < 2 {
			return w, errors.Join(fmt.Errorf("%s has %d segments", dir, len(segments)), err)
		}
		chosen := segments[r.IntN(len(segments)-1)]
		if d.active {
			chosen = segments[len(segments)-1]
		}
		w.path = strings.TrimSuffix(chosen, ".log") + d.suffix
		if d.suffix == ".log" {
			if held, err = batchesOf(dir, filepath.Base(chosen)); err != nil {
				return w, err
			}
		}
	}
	info, err := os.Stat(w.path)
	if err != nil {
		return w, err
	}
	to = info.Size()
	if len(held) > 0 {
		last := held[len(held)-1]
		to = last.Position + int64(last.Header().Size())
	}
	if d.suffix == ".log" && len(held) == 0 {
		return w, fmt.Errorf("%s holds no batches", w.path)
	}
	if w.said, err = d.do(w.path, r, from, to); err != nil {
		return w, fmt.Errorf("damage %s: %w", w.path, err)
	}
	w.lost, err = lostOf(w.path, held)
	return w, err
}

// batchesOf lists the batches of a segment, headers only.
func batchesOf(dir, file string) (held []log.InspectedBatch, err error) {
	_, err = log.Inspect(dir, log.InspectOptions{OnBatch: func(b log.InspectedBatch) error {
		if b.File == file {
			b.Data = slices.Clone(b.Data)
			held = append(held, b)
		}
		return nil
	}})
	if errors.Is(err, fs.ErrNotExist) { // replaced while it was read
		err = nil
	}
	return held, err
}

// lostOf compares a segment with the batches that it held: what is not there byte by byte is lost.
func lostOf(path string, held []log.InspectedBatch) (lost stretch, err error) {
	if len(held) == 0 {
		return lost, nil
	}
	now, err := os.ReadFile(path)
	if err != nil {
		return lost, err
	}
	for _, b := range held {
		at := int(b.Position)
		if at+len(b.Data) <= len(now) && string(now[at:at+len(b.Data)]) == string(b.Data) {
			continue
		}
		if lost.to == 0 {
			lost.from = int64(b.Header().BaseOffset())
		}
		lost.to = int64(b.Header().LastOffset()) + 1
	}
	return lost, nil
}

// damageAll lets each kind of damage happen, on a cluster of its own, and prints one table.
func (o *faultsOptions) damageAll(ctx context.Context, dir string, kinds []damage) error {
	var rows []row
	var all error
	for i, d := range kinds {
		if ctx.Err() != nil {
			break
		}
		s := &suffering{options: o, damage: d, random: rand.New(rand.NewPCG(o.seed, 100+uint64(i)))}
		err := s.run(ctx, filepath.Join(dir, d.name))
		if err != nil {
			fmt.Printf("PROBLEM %s: %v\n", d.name, err)
			all = errors.Join(all, fmt.Errorf("%s: %w", d.name, err))
		}
		for _, r := range s.rows {
			fmt.Println(r)
		}
		rows = append(rows, s.rows...)
	}
	fmt.Printf("\nDamage on %d nodes\n", o.nodes)
	printRows(rows)
	return all
}
