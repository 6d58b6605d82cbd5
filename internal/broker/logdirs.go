package broker

import (
	"github.com/barnabas-log/barnabas/protocol"
	"golang.org/x/sys/unix"
)

// LogDirs implements protocol.Backend.
func (b *Broker) LogDirs() []protocol.LogDir {
	dir := protocol.LogDir{Path: b.config.LogDir, TotalBytes: -1, UsableBytes: -1}
	var volume unix.Statfs_t
	if dir.Err = unix.Statfs(b.config.LogDir, &volume); dir.Err == nil {
		dir.TotalBytes = int64(volume.Blocks) * int64(volume.Bsize)
		dir.UsableBytes = int64(volume.Bavail) * int64(volume.Bsize)
	}
	b.hosting.each(func(r *replica) {
		dir.Replicas = append(dir.Replicas, protocol.LogDirReplica{Topic: r.topic.Name, Partition: r.number, Bytes: r.part.Size()})
	})
	return []protocol.LogDir{dir}
}
