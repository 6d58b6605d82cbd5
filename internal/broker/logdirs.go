package broker

import (
	"cmp"
	"path/filepath"
	"slices"

	"github.com/barnabas-log/barnabas/protocol"
	"golang.org/x/sys/unix"
)

// LogDirs implements protocol.Backend.
func (b *Broker) LogDirs() []protocol.LogDir {
	dir := protocol.LogDir{Path: b.config.LogDir, TotalBytes: -1, UsableBytes: -1}
	if absolute, err := filepath.Abs(dir.Path); err == nil {
		dir.Path = absolute
	}
	var volume unix.Statfs_t
	if dir.Err = unix.Statfs(b.config.LogDir, &volume); dir.Err == nil {
		dir.TotalBytes = int64(volume.Blocks) * int64(volume.Bsize)
		dir.UsableBytes = int64(volume.Bavail) * int64(volume.Bsize)
	}
	b.hosting.each(func(r *replica) {
		dir.Replicas = append(dir.Replicas, protocol.LogDirReplica{Topic: r.topic.Name, Partition: r.number, Bytes: r.part.Size()})
	})
	slices.SortFunc(dir.Replicas, func(x, y protocol.LogDirReplica) int {
		return cmp.Or(cmp.Compare(x.Topic, y.Topic), cmp.Compare(x.Partition, y.Partition))
	})
	return []protocol.LogDir{dir}
}
