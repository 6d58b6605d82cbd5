package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// disks gives every node a file system of its own, in a file below the directory of the run, which can be filled up and freed again, and slowed down by a control group of
// version 1.
type disks struct {
	nodes []*member
	root  string // of the control groups; "": nothing can be slowed down
}

// diskSize is how large a node's file system is. The file is sparse: it takes what the node writes.
const diskSize = 8 << 30

// newDisks makes and mounts the file systems of nodes that have not been started, and the control groups. It fails where this machine, or this user, cannot have them.
func newDisks(nodes []*member) (*disks, error) {
	d := &disks{nodes: nodes}
	for _, m := range nodes {
		if err := d.mount(m); err != nil {
			return nil, errors.Join(err, d.remove())
		}
	}
	d.root = fmt.Sprintf("/sys/fs/cgroup/blkio/barnabas-chaos-%d", os.Getpid())
	for _, m := range nodes {
		if err := errors.Join(os.MkdirAll(d.group(m), 0o755), d.limit(m, 0)); err != nil {
			d.removeGroups()
			d.root = ""
			break
		}
	}
	return d, nil
}

func image(m *member) string   { return m.dir + ".disk" }
func ballast(m *member) string { return filepath.Join(m.volume(), "ballast") }

func (d *disks) mount(m *member) error {
	f, err := os.Create(image(m))
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(diskSize), f.Close()); err != nil {
		return err
	}
	if err := os.MkdirAll(m.volume(), 0o755); err != nil {
		return err
	}
	if err := run("mkfs.ext4", "-q", "-m", "0", "-E", "lazy_itable_init=1,lazy_journal_init=1", image(m)); err != nil {
		return err
	}
	return run("mount", "-o", "loop", image(m), m.volume())
}

// fill leaves no room on a node's disk, until free.
func (d *disks) fill(m *member) error {
	f, err := os.OpenFile(ballast(m), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	// The node writes meanwhile, and some of what is free is not: take whatever can be had, in ever smaller pieces.
	at := int64(0)
	for piece := int64(1 << 30); piece >= 4096; {
		switch err := allocate(f, at, piece); {
		case err == nil:
			at += piece
		case errors.Is(err, syscall.ENOSPC):
			piece /= 2
		case !errors.Is(err, syscall.EINTR):
			return fmt.Errorf("fill the disk of node %d: %w", m.number, err)
		}
	}
	return nil
}

func (d *disks) free(m *member) error { return os.Remove(ballast(m)) }

func (d *disks) canSlow() bool { return d != nil && d.root != "" }

func (d *disks) group(m *member) string { return filepath.Join(d.root, strconv.Itoa(m.number)) }

// add puts a process into its node's control group.
func (d *disks) add(m *member, pid int) {
	if d.canSlow() {
		_ = os.WriteFile(filepath.Join(d.group(m), "cgroup.procs"), []byte(strconv.Itoa(pid)), 0)
	}
}

// limit allows so many writes a second, 0 for any number.
func (d *disks) limit(m *member, writes int) error {
	var s syscall.Stat_t
	if err := syscall.Stat(m.volume(), &s); err != nil {
		return err
	}
	device := fmt.Sprintf("%d:%d", s.Dev>>8&0xfff, s.Dev&0xff|s.Dev>>12&^0xff)
	return os.WriteFile(filepath.Join(d.group(m), "blkio.throttle.write_iops_device"), fmt.Appendf(nil, "%s %d", device, writes), 0)
}

func (d *disks) removeGroups() {
	for _, m := range d.nodes {
		_ = os.Remove(d.group(m))
	}
	_ = os.Remove(d.root)
}

// remove takes the control groups and the file systems away, with all that is on them. Nothing runs on them any more.
func (d *disks) remove() error {
	if d.root != "" {
		d.removeGroups()
	}
	var all error
	for _, m := range d.nodes {
		var s, above syscall.Stat_t
		if syscall.Stat(m.volume(), &s) != nil || syscall.Stat(m.dir, &above) != nil || s.Dev == above.Dev {
			continue // not mounted
		}
		all = errors.Join(all, run("umount", m.volume()))
	}
	return all
}
