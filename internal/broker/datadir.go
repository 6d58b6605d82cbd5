package broker

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/barnabas-log/barnabas/internal/config"
	"github.com/barnabas-log/barnabas/internal/vfs"
	"github.com/barnabas-log/barnabas/log/journal"
	"golang.org/x/sys/unix"
)

// dataDir is one of the directories that hold data: of log.dirs, or that of the metadata. It is in service, or it is not and err says why; what lies in it is then of no use for
// writing, and nothing new goes there.
type dataDir struct {
	path string // absolute
	node int32
	room room

	mu      sync.Mutex // guards following
	lock    *directoryLock
	id      string // directory.id; "" until it was in service for the first time
	failed  error
	journal *journal.Journal // nil: not opened, or there shall be none
	unread  error            // why the journal was not opened: nobody may look at partitions then; nil once it was
}

// errUnread is why partitions are not opened before the journal was.
var errUnread = errors.New("what its journal holds has not been put back yet")

func newDataDir(path string, node int32, reserve int64, measure func(string) (volume, error)) (*dataDir, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("data directory %s: %w", path, err)
	}
	return &dataDir{path: absolute, node: node, unread: errUnread, room: room{path: absolute, reserve: reserve, measure: measure}}, nil
}

// topics is where the directories of topics lie.
func (d *dataDir) topics() string { return filepath.Join(d.path, "topics") }

// replicaDir is where the files of a partition lie. The topic's id is part of the name, so that a topic created again never meets the files of its predecessor.
func (d *dataDir) replicaDir(topic string, p place) string {
	return filepath.Join(d.topics(), topic, fmt.Sprintf("%d.%s", p.number, p.topic))
}

// err is why the directory is out of service, or nil.
func (d *dataDir) err() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failed != nil {
		return d.failed
	}
	return d.unread
}

// identity is the directory's id, "" when it was never in service since the node started.
func (d *dataDir) identity() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.id
}

// enter puts the directory into service: makes it if it is not there, locks it, and reads or makes up its id.
func (d *dataDir) enter() (err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.enterLocked()
}

// reenter puts it back into service, if it is the one that it was. An empty directory at its place is a disk that is not mounted, and gets neither files nor an id.
func (d *dataDir) reenter() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.id == "" {
		return d.enterLocked()
	}
	id, err := readIdentity(filepath.Join(d.path, identityName), d.node)
	switch {
	case err != nil:
		return err
	case id != d.id:
		return fmt.Errorf("data directory %s was %s and is %s now: the node has to be started anew", d.path, d.id, id)
	}
	return d.enterLocked()
}

func (d *dataDir) enterLocked() (err error) {
	if d.lock != nil {
		_ = d.lock.release()
		d.lock = nil
	}
	defer func() { d.failed = err }()
	lock, err := lockDirectory(d.path, d.node)
	if err != nil {
		return err
	}
	id, err := identify(d.path, d.node)
	if err == nil {
		if err = os.MkdirAll(d.topics(), 0o755); err != nil {
			err = fmt.Errorf("make data directory: %w", err)
		}
	}
	if err != nil {
		return errors.Join(err, lock.release())
	}
	d.lock, d.id = lock, id
	return nil
}

// check says whether the directory still is the one that was locked, and can be written.
func (d *dataDir) check() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.lock == nil {
		return d.failed
	}
	if d.failed = d.lock.check(d.path); d.failed == nil {
		d.failed = d.room.look()
	}
	if d.failed != nil {
		return d.failed
	}
	return d.unread
}

func (d *dataDir) leave() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.lock == nil {
		return nil
	}
	lock, journal := d.lock, d.journal
	d.lock, d.journal, d.unread = nil, nil, errUnread
	if journal == nil {
		return lock.release()
	}
	return errors.Join(journal.Close(), lock.release())
}

// identityName is the file with a directory's id, in the form that Kafka gives it.
const identityName = "meta.properties"

// identify reads the id of a directory, or gives one to a directory that has none: another disk at the same place is then not taken for the one that was there.
func identify(dir string, node int32) (string, error) {
	name := filepath.Join(dir, identityName)
	id, err := readIdentity(name, node)
	if errors.Is(err, fs.ErrNotExist) {
		random := make([]byte, 16)
		_, _ = rand.Read(random) // never fails
		id = base64.RawURLEncoding.EncodeToString(random)
		err = vfs.ReplaceFile(vfs.OS{}, name, fmt.Appendf(nil, "version=1\nnode.id=%d\ndirectory.id=%s\n", node, id))
	}
	return id, err
}

// readProperties reads the file with a directory's id.
func readProperties(name string) (map[string]string, error) {
	content, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read the directory's id: %w", err)
	}
	set := map[string]string{}
	for line := range strings.Lines(string(content)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		set[strings.TrimSpace(key)] = strings.TrimSpace(value)
	}
	return set, nil
}

func readIdentity(name string, node int32) (string, error) {
	set, err := readProperties(name)
	if err != nil {
		return "", err
	}
	switch id := set["directory.id"]; {
	case set["version"] != "1":
		return "", fmt.Errorf("%s has version %q, this program knows 1", name, set["version"])
	case set["node.id"] != strconv.Itoa(int(node)):
		return "", fmt.Errorf("data directory %s belongs to node %s, and this is node %d (node.id)", filepath.Dir(name), set["node.id"], node)
	case id == "" || strings.ContainsAny(id, " \t"):
		return "", fmt.Errorf("%s has no directory.id", name)
	default:
		return id, nil
	}
}

// dataDirs are all of them.
type dataDirs struct {
	data []*dataDir // as log.dirs has them
	meta *dataDir   // one of data, or one of its own
}

// openDataDirs puts them into service. A node cannot do without the metadata's; one that fails otherwise is left for later.
func openDataDirs(c *config.Server, measure func(string) (volume, error), logger warner) (*dataDirs, error) {
	dirs := &dataDirs{}
	for _, path := range c.LogDirs {
		d, err := newDataDir(path, c.NodeID, c.DiskReserveBytes, measure)
		if err != nil {
			return nil, err
		}
		dirs.data = append(dirs.data, d)
	}
	if err := dirs.chooseMeta(c, measure); err != nil {
		return nil, err
	}
	for _, d := range dirs.all() {
		err := d.enter()
		if err == nil {
			err = dirs.twin(d)
		}
		switch {
		case err == nil:
		case d == dirs.meta:
			return nil, errors.Join(err, dirs.close())
		default:
			logger(d, err)
		}
	}
	return dirs, nil
}

// warner is told of a directory that is out of service.
type warner func(d *dataDir, err error)

// chooseMeta finds the directory of the metadata: where it is, else where it shall be.
func (dirs *dataDirs) chooseMeta(c *config.Server, measure func(string) (volume, error)) error {
	var holder *dataDir
	for _, d := range dirs.data {
		if _, err := os.Stat(filepath.Join(d.path, raftName)); err == nil {
			if holder != nil {
				return fmt.Errorf("both %s and %s hold metadata and votes; metadata.log.dir must say which is right", holder.path, d.path)
			}
			holder = d
		}
	}
	if c.MetadataDir == "" {
		if dirs.meta = holder; holder == nil {
			dirs.meta = dirs.data[0]
		}
		return nil
	}
	meta, err := newDataDir(c.MetadataDir, c.NodeID, c.DiskReserveBytes, measure)
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(dirs.data, func(d *dataDir) bool { return d.path == meta.path }); i >= 0 {
		meta = dirs.data[i]
	}
	if _, err := os.Stat(filepath.Join(meta.path, raftName)); err != nil && holder != nil {
		return fmt.Errorf("metadata.log.dir is %s, but metadata and votes are in %s: move its directory %s there, or name that one", meta.path, holder.path, raftName)
	}
	dirs.meta = meta
	return nil
}

// raftName is where metadata and votes are, below the directory of the metadata.
const raftName = "raft"

// twin refuses a directory whose id another one has as well: a copy.
func (dirs *dataDirs) twin(d *dataDir) error {
	for _, other := range dirs.all() {
		if other != d && other.identity() == d.identity() {
			err := fmt.Errorf("data directory %s has the id of %s", d.path, other.path)
			_ = d.leave()
			d.mu.Lock()
			d.id, d.failed = "", err
			d.mu.Unlock()
			return err
		}
	}
	return nil
}

// all are the directories of data, and that of the metadata.
func (dirs *dataDirs) all() []*dataDir {
	if slices.Contains(dirs.data, dirs.meta) {
		return dirs.data
	}
	return append([]*dataDir{dirs.meta}, dirs.data...)
}

// withID is the directory of data with that id; nil when none that was in service has it. unseen says whether there are some that were not.
func (dirs *dataDirs) withID(id string) (found *dataDir, unseen bool) {
	for _, d := range dirs.data {
		switch d.identity() {
		case id:
			return d, false
		case "":
			unseen = true
		}
	}
	return nil, unseen
}

// at is the directory of data with that path.
func (dirs *dataDirs) at(path string) *dataDir {
	for _, d := range dirs.data {
		if d.path == filepath.Clean(path) {
			return d
		}
	}
	return nil
}

func (dirs *dataDirs) close() error {
	var errs []error
	for _, d := range dirs.all() {
		errs = append(errs, d.leave())
	}
	return errors.Join(errs...)
}

// volume is what the system says of a file system.
type volume struct {
	total, usable int64 // bytes
	readOnly      bool
}

func measure(path string) (volume, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return volume{}, fmt.Errorf("look at the file system of %s: %w", path, err)
	}
	return volume{total: int64(s.Blocks) * int64(s.Bsize), usable: int64(s.Bavail) * int64(s.Bsize), readOnly: readOnly(&s)}, nil
}
