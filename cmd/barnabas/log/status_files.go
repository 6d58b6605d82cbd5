package log

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/barnabas-log/barnabas/cmd/barnabas/cli"
	"github.com/barnabas-log/barnabas/internal/admin"
	segments "github.com/barnabas-log/barnabas/log"
)

// States of replicas of which only the files are there.
const (
	onDisk = "on disk"
	// setAside is a directory that was damaged and is not used any more: the replica is fetched anew, or was repaired.
	setAside = "set aside"
)

// fromFiles looks at the partitions' directories at and below the paths.
func fromFiles(paths []string) (all []held, err error) {
	sources, err := find(paths)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, s := range sources {
		dir := s.path
		if !s.ours { // a segment without a manifest beside it
			dir = filepath.Dir(s.path)
		}
		if seen[dir] || !s.ours && !lostManifest(dir) {
			continue
		}
		seen[dir] = true
		h, err := fromDir(dir)
		if err != nil {
			return nil, err
		}
		all = append(all, h)
	}
	if len(all) == 0 {
		return nil, cli.NotFoundf("log check and log dump read segments of other servers", "there is no partition of a node in %s", strings.Join(paths, ", "))
	}
	slices.SortStableFunc(all, inOrder)
	return all, nil
}

// lostManifest says whether a directory with segments was one of ours: other servers have no ctl.
func lostManifest(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "ctl"))
	return err == nil
}

// fromDir looks at one partition's directory, topics/TOPIC/NUMBER.ID in a node's data.
func fromDir(dir string) (h held, err error) {
	if absolute, err := filepath.Abs(dir); err == nil {
		h.Topic = filepath.Base(filepath.Dir(absolute))
	}
	name := filepath.Base(dir)
	number, _, _ := strings.Cut(name, ".")
	if n, err := strconv.ParseInt(number, 10, 32); err == nil {
		h.Partition = int32(n)
	}
	h.State, h.Leader, h.Directory = onDisk, -1, dir
	o, err := segments.ReadOutline(nil, dir)
	switch {
	case strings.Count(name, ".") > 1 || strings.Contains(name, "-repair-"):
		h.State = setAside
	case errors.Is(err, segments.ErrCorrupt), errors.Is(err, segments.ErrUnsupported):
		h.State = admin.Damaged
	}
	if errors.Is(err, segments.ErrCorrupt) || errors.Is(err, segments.ErrUnsupported) {
		h.Problem, err = err.Error(), nil
	}
	h.Segments, h.Bytes, h.Start, h.End, h.HighWatermark = o.Segments, o.Bytes, int64(o.Start), int64(o.End), int64(o.HighWatermark)
	if o.CompactedTo > o.Start {
		h.Compaction = &admin.Compaction{To: int64(o.CompactedTo), CleanBytes: o.Bytes - o.DirtyBytes, DirtyBytes: o.DirtyBytes, DirtyRatio: float64(o.DirtyBytes) / float64(max(1, o.Bytes))}
	}
	return h, err
}
