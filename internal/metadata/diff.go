package metadata

import (
	"maps"
	"slices"
)

// Changes is how one image differs from an older one. Topics that were deleted and created again under the same name are in Deleted (the old id) and Created.
type Changes struct {
	Created []*Topic
	Deleted []*Topic
	Grown   []*Topic // as they are now; they have more partitions, or other replicas or targets than before
	Config  []*Topic // as they are now; their configuration changed
	Brokers bool     // a broker came, went or changed
	// DynamicConfig says that a broker's dynamic configuration or the cluster-wide default changed, which topics may inherit.
	DynamicConfig bool
}

// Diff compares two images; old may be nil (nothing was there). Lists are ordered by topic name.
func Diff(old, next *Image) Changes {
	if old == nil {
		old = NewImage()
	}
	var c Changes
	for _, name := range sortedKeys(old.Topics) {
		before := old.Topics[name]
		if next.ByID[before.ID] == nil {
			c.Deleted = append(c.Deleted, before)
		}
	}
	for _, name := range sortedKeys(next.Topics) {
		now := next.Topics[name]
		before := old.ByID[now.ID]
		switch {
		case before == now:
		case before == nil:
			c.Created = append(c.Created, now)
		default:
			if !samePartitions(before.Partitions, now.Partitions) {
				c.Grown = append(c.Grown, now)
			}
			if !maps.Equal(before.Config, now.Config) {
				c.Config = append(c.Config, now)
			}
		}
	}
	c.Brokers = !maps.EqualFunc(old.Brokers, next.Brokers, sameBroker)
	c.DynamicConfig = !maps.EqualFunc(old.BrokerConfig, next.BrokerConfig, maps.Equal[map[string]string, map[string]string])
	return c
}

func samePartitions(a, b []Partition) bool {
	return slices.EqualFunc(a, b, func(x, y Partition) bool {
		return slices.Equal(x.Replicas, y.Replicas) && slices.Equal(x.Target, y.Target)
	})
}

func sameBroker(a, b *Broker) bool {
	return a == b || a.ID == b.ID && a.Rack == b.Rack && a.Fenced == b.Fenced && a.Epoch == b.Epoch && a.Directory == b.Directory && slices.Equal(a.Listeners, b.Listeners)
}
