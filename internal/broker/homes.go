package broker

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/barnabas-log/barnabas/internal/metadata"
	"github.com/barnabas-log/barnabas/internal/vfs"
)

// homes remembers, durably, in which data directory each replica of this node lives. Without it, a replica whose directory is away would be taken for a new one: it would vote
// with an empty log, and acknowledged records could be lost. It is a text file beside the metadata:
//
//	version=1
//	<directory id> <topic id> <partition>
//
// A replica is entered when its files are there and before its group starts, and taken out before its files go. docs/decisions/0012 has the argument.
type homes struct {
	files vfs.FS
	name  string
	found bool // the file was there

	mu      sync.Mutex // guards following
	at      map[place]string
	opening map[place]string // chosen, and not entered yet
	wanted  int              // changes of at
	written int              // of which so many are on disk
	writing bool
	failed  bool // the last write
	wrote   *sync.Cond
}

const homesName = "replicas"

func openHomes(files vfs.FS, dir string) (*homes, error) {
	h := &homes{files: files, name: filepath.Join(dir, homesName), at: map[place]string{}, opening: map[place]string{}}
	h.wrote = sync.NewCond(&h.mu)
	content, err := vfs.ReadFile(files, h.name)
	if errors.Is(err, fs.ErrNotExist) {
		return h, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read where replicas are: %w", err)
	}
	h.found = true
	lines := bufio.NewScanner(bytes.NewReader(content))
	if !lines.Scan() || lines.Text() != "version=1" {
		return nil, fmt.Errorf("read where replicas are: %s has version %q, this program knows version=1", h.name, lines.Text())
	}
	for n := 2; lines.Scan(); n++ {
		id, p, err := parseHome(lines.Text())
		if err != nil {
			return nil, fmt.Errorf("read where replicas are: %s, line %d: %w", h.name, n, err)
		}
		h.at[p] = id
	}
	return h, lines.Err()
}

func parseHome(line string) (id string, p place, err error) {
	fields := strings.Fields(line)
	if len(fields) != 3 {
		return "", place{}, fmt.Errorf("%d fields, not 3", len(fields))
	}
	topic, err := metadata.ParseTopicID(fields[1])
	if err != nil {
		return "", place{}, err
	}
	number, err := strconv.ParseInt(fields[2], 10, 32)
	return fields[0], place{topic, int32(number)}, err
}

func (h *homes) encodeLocked() []byte {
	b := bytes.NewBufferString("version=1\n")
	for p, id := range h.at {
		fmt.Fprintf(b, "%s %s %d\n", id, p.topic, p.number)
	}
	return b.Bytes()
}

// of is the id of the directory in which a replica lives, "" when it is a new one.
func (h *homes) of(p place) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.at[p]
}

// choose picks the directory for a new replica: the one with the fewest replicas, the first of those. nil when dirs is empty.
func (h *homes) choose(p place, dirs []*dataDir) *dataDir {
	h.mu.Lock()
	defer h.mu.Unlock()
	count := map[string]int{}
	if len(dirs) > 1 {
		for _, id := range h.at {
			count[id]++
		}
		for _, id := range h.opening {
			count[id]++
		}
	}
	var best *dataDir
	for _, d := range dirs {
		if h.opening[p] == d.identity() {
			return d // an earlier attempt may have left files there
		}
		if best == nil || count[d.identity()] < count[best.identity()] {
			best = d
		}
	}
	if best != nil {
		h.opening[p] = best.identity()
	}
	return best
}

// enter notes where replicas live. Durable on return; many at the same time share one write. After an error nothing has changed here, and may have on disk: see certain.
func (h *homes) enter(id string, places ...place) error {
	before := map[place]string{}
	return h.change(func() {
		for _, p := range places {
			before[p] = h.at[p]
			h.at[p] = id
			delete(h.opening, p)
		}
	}, func() {
		for p, id := range before {
			h.putLocked(p, id)
		}
	})
}

// leave forgets a replica that is to be removed.
func (h *homes) leave(p place) error {
	h.mu.Lock()
	delete(h.opening, p)
	before, known := h.at[p]
	h.mu.Unlock()
	if !known {
		return nil
	}
	return h.change(func() { delete(h.at, p) }, func() { h.putLocked(p, before) })
}

func (h *homes) putLocked(p place, id string) {
	if id == "" {
		delete(h.at, p)
	} else {
		h.at[p] = id
	}
}

// certain makes sure that what is on disk is what is known here. After a write that failed it may be either, and no replica may be opened before that is settled: after a crash it
// might be looked for elsewhere.
func (h *homes) certain() error {
	h.mu.Lock()
	failed := h.failed
	h.mu.Unlock()
	if !failed {
		return nil
	}
	return h.change(func() {}, func() {})
}

// change makes a change and waits until it is on disk; when that fails it undoes it. Both are called with mu held.
func (h *homes) change(change, undo func()) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	change()
	h.wanted++
	for mine := h.wanted; h.written < mine; {
		if h.writing {
			h.wrote.Wait()
			continue
		}
		h.writing = true
		target, content := h.wanted, h.encodeLocked()
		h.mu.Unlock()
		err := vfs.ReplaceFile(h.files, h.name, content)
		h.mu.Lock()
		h.writing = false
		h.wrote.Broadcast()
		if h.failed = err != nil; h.failed {
			undo()
			return fmt.Errorf("note where replicas are: %w", err)
		}
		h.written = target
	}
	return nil
}
