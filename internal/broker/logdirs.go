package broker

import (
	"cmp"
	"slices"

	"github.com/barnabas-log/barnabas/internal/metrics"
	"github.com/barnabas-log/barnabas/protocol"
)

// LogDirs implements protocol.Backend.
func (b *Broker) LogDirs() []protocol.LogDir {
	all := make([]protocol.LogDir, len(b.dirs.data))
	for i, d := range b.dirs.data {
		dir := protocol.LogDir{Path: d.path, TotalBytes: -1, UsableBytes: -1, Err: d.err()}
		if v, err := d.room.measure(d.path); err == nil {
			dir.TotalBytes, dir.UsableBytes = v.total, v.usable
		}
		b.hosting.each(func(r *replica) {
			if r.home == d {
				dir.Replicas = append(dir.Replicas, protocol.LogDirReplica{Topic: r.topic.Name, Partition: r.number, Bytes: r.part.Size(), Lag: r.part.Lag()})
			}
		})
		for _, m := range b.relocating.under(d) {
			if r := b.hosting.find(m.place.topic, m.place.number); r != nil && r.err == nil {
				dir.Replicas = append(dir.Replicas, protocol.LogDirReplica{Topic: r.topic.Name, Partition: r.number, Bytes: m.copied.Load(), Lag: m.lag(r.part), Future: true})
			}
		}
		slices.SortFunc(dir.Replicas, func(x, y protocol.LogDirReplica) int {
			return cmp.Or(cmp.Compare(x.Topic, y.Topic), cmp.Compare(x.Partition, y.Partition))
		})
		all[i] = dir
	}
	return all
}

// lookDisks reports the data directories.
func (b *Broker) lookDisks(emit metrics.Emit) {
	for _, d := range b.dirs.all() {
		emit(diskOffline, truth(d.err() != nil), d.path)
		emit(diskFull, truth(d.room.full.Load()), d.path)
		if v, err := d.room.measure(d.path); err == nil {
			emit(diskTotal, float64(v.total), d.path)
			emit(diskUsable, float64(v.usable), d.path)
		}
	}
}
