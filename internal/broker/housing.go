package broker

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/barnabas-log/barnabas/internal/metadata"
	"github.com/barnabas-log/barnabas/internal/vfs"
	"github.com/barnabas-log/barnabas/log"
	"go.uber.org/zap"
)

// errLost says that a replica has lived here and its files are gone: another disk is where its own was, or somebody removed them. It must not begin anew as if it had never
// promised anything.
var errLost = errors.New("the replica's files are gone")

// files is the file system that partitions live on.
func (b *Broker) files() vfs.FS {
	if b.opts.FS != nil {
		return b.opts.FS
	}
	return vfs.OS{}
}

// house finds the directory in which a replica lives, or chooses one for a replica that is to be entered once its files are there (fresh).
func (h *hosting) house(r *replica) (fresh bool, err error) {
	if err := h.homes.certain(); err != nil {
		return false, err
	}
	id := h.homes.of(r.place())
	home, unseen := h.b.dirs.withID(id)
	switch {
	case id != "" && home == nil && unseen:
		return false, fmt.Errorf("its data directory (directory.id %s) is out of service", id)
	case home == nil:
		if home = h.homes.choose(r.place(), h.b.dirs.inService()); home == nil {
			return false, errors.New("no data directory is in service")
		}
		fresh = true
	}
	r.settle(home)
	if err := home.err(); err != nil {
		return false, err
	}
	gone := id != "" && r.anew == nil && (fresh || !log.Exists(h.b.opts.FS, r.dir))
	if err := h.b.refetcher.mayOpen(r); errors.Is(err, errAside) || err != nil && !gone {
		return false, err
	}
	if gone {
		return false, h.lost(r, id)
	}
	if fresh {
		if err := h.b.files().MkdirAll(filepath.Dir(r.dir)); err != nil {
			return false, fmt.Errorf("make topic directory: %w", err)
		}
	}
	return fresh, nil
}

// lost says that the replica's files are gone. A replica that others have as well is fetched anew from them; the directory is made so that it can be set aside.
func (h *hosting) lost(r *replica, id string) error {
	if len(h.b.refetcher.others(r)) > 0 {
		if err := h.b.files().MkdirAll(r.dir); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w (%w): they were in %s, in the data directory with directory.id %s", errLost, log.ErrCorrupt, filepath.Base(filepath.Dir(r.dir))+"/"+filepath.Base(r.dir), id)
}

func (r *replica) settle(home *dataDir) {
	r.home, r.dir = home, home.replicaDir(r.topic.Name, r.place())
}

// room says whether the replica's disk takes so many bytes more.
func (r *replica) room(bytes int) error { return r.home.room.take(bytes, r.topic.Internal) }

// inService are the directories of data that a new replica may go to: those with room, if there are any.
func (dirs *dataDirs) inService() []*dataDir {
	working := slices.DeleteFunc(slices.Clone(dirs.data), func(d *dataDir) bool { return d.err() != nil })
	if roomy := slices.DeleteFunc(slices.Clone(working), func(d *dataDir) bool { return d.room.full.Load() }); len(roomy) > 0 {
		return roomy
	}
	return working
}

// sweep goes through the directories that are in service, before the first converge and when the image is known to be current.
func (h *hosting) sweep(image *metadata.Image) error {
	for _, d := range h.b.dirs.data {
		if d.err() != nil {
			if !h.homes.found && len(h.b.dirs.data) > 1 {
				return fmt.Errorf("nothing says yet which replicas are where, so that every data directory is needed this once: %w", d.err())
			}
			continue
		}
		if err := h.sweepDir(d, image); err != nil {
			return err
		}
	}
	return nil
}

// sweepDir removes what deletions and moves left behind when the node stopped in their middle: partitions that the image does not know or gives to others, and copies that were
// not finished or are not needed any more. It takes note of the others.
func (h *hosting) sweepDir(d *dataDir, image *metadata.Image) error {
	topics, err := os.ReadDir(d.topics())
	if err != nil {
		return fmt.Errorf("read data directory: %w", err)
	}
	var here []place
	for _, topic := range topics {
		dir := filepath.Join(d.topics(), topic.Name())
		if err := log.Sweep(h.b.opts.FS, dir, h.remover, func() { h.vacate(dir) }); err != nil {
			return err
		}
		partitions, err := os.ReadDir(dir)
		if err != nil {
			return fmt.Errorf("read topic directory: %w", err)
		}
		for _, each := range partitions {
			p, stays, err := h.judge(d, topic.Name(), each.Name(), image)
			switch {
			case err != nil:
				return err
			case stays && h.homes.of(p) == "":
				here = append(here, p)
			}
		}
		_ = os.Remove(dir) // stays when it is not empty
	}
	if len(here) == 0 && h.homes.found {
		return nil
	}
	return h.homes.enter(d.identity(), here...)
}

// judge says whether a directory below that of a topic is the home of one of this node's replicas, and has it removed if it is the remains of one.
func (h *hosting) judge(d *dataDir, topic, name string, image *metadata.Image) (p place, stays bool, err error) {
	whole, future := strings.CutSuffix(name, futureSuffix)
	whole, wasAside := withoutAside(whole)
	number, text, _ := strings.Cut(whole, ".")
	id, err := metadata.ParseTopicID(text)
	n, notNumber := strconv.ParseInt(number, 10, 32)
	if err != nil || notNumber != nil {
		return p, false, nil // being removed, or not ours to judge
	}
	p = place{id, int32(n)}
	dir := filepath.Join(d.topics(), topic, name)
	t := image.Topics[topic]
	assigned := t != nil && t.ID == id && h.assigned(t, number)
	home := h.homes.of(p)
	switch {
	case wasAside && assigned:
		return p, false, nil // until the replica has been fetched anew
	case !future && assigned && home == "" && h.homes.found && !log.Exists(h.b.opts.FS, dir):
		h.b.logger.Info("removing what was begun of a partition when the node stopped", zap.String("directory", dir))
	case !future && assigned && (home == "" || home == d.identity()):
		return p, true, nil
	case !future && !assigned:
		if err := errors.Join(h.b.node.Forget(groupID(id, p.number)), h.homes.leave(p)); err != nil {
			return p, false, err
		}
		h.b.logger.Info("removing the files of a partition that was deleted or has moved away", zap.String("directory", dir))
	default:
		h.b.logger.Info("removing a copy of a partition that lives in another directory", zap.String("directory", dir))
	}
	return p, false, h.discard(dir)
}
