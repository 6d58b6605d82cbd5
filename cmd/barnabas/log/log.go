package log

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"sort"

	"github.com/spf13/cobra"

	"github.com/barnabas-log/barnabas/cmd/barnabas/cli"
)

// Command is the noun with its verbs.
func Command(app *cli.App) *cobra.Command {
	return cli.Noun("log", "Look into segment files and replicas, repair and import them", newDump(app), newCheck(app), newRepair(app), newImport(app), newStatus(app))
}

// pathHelp says what the arguments of each verb are.
const pathHelp = `A path is a segment file (....log), a partition's directory, or any directory above: the data directory, say.
Nothing is changed, and a broker that has the files open is not disturbed; what it is writing at the moment may look torn. The segments
of other servers that write Kafka's v2 format are read as well.`

// source is one thing to read: a directory with a log of ours, or a single segment file.
type source struct {
	path string
	ours bool // a directory with a manifest
}

var segmentName = regexp.MustCompile(`^[0-9]{20}\.log$`)

// find lists the sources at and below the paths, in order of their names.
func find(paths []string) ([]source, error) {
	var out []source
	for _, path := range paths {
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil, cli.NotFoundf("", "%s does not exist", path)
		case err != nil:
			return nil, err
		case !info.IsDir() && filepath.Ext(path) != ".log":
			return nil, cli.Usagef("%s is not a segment file: its name does not end in .log", path)
		case !info.IsDir():
			out = append(out, source{path: path})
			continue
		}
		found, err := below(path)
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, cli.NotFoundf("segment files are called 00000000000000000000.log; the data directory of a node is log.dirs, ./data by default", "there is no segment file in %s or below", path)
		}
		out = append(out, found...)
	}
	return out, nil
}

func below(root string) ([]source, error) {
	var out []source
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("look for segment files: %w", err)
		}
		if entry.IsDir() {
			if isOurs(path) {
				out = append(out, source{path, true})
				return fs.SkipDir
			}
			return nil
		}
		if segmentName.MatchString(entry.Name()) {
			out = append(out, source{path: path})
		}
		return nil
	})
	sort.SliceStable(out, func(i, j int) bool { return out[i].path < out[j].path })
	return out, err
}

// isOurs says that a directory holds a log of ours: a segment or a ctl, and the manifest that says which segments count.
func isOurs(dir string) bool {
	if _, err := os.Stat(filepath.Join(dir, "ctl")); err != nil {
		if segments, err := filepath.Glob(filepath.Join(dir, "*.log")); err != nil || len(segments) == 0 {
			return false
		}
	}
	_, err := os.Stat(filepath.Join(dir, "manifest"))
	return err == nil
}
