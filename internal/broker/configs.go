package broker

import (
	"strings"

	"github.com/barnabas-log/barnabas/consumergroup"
	"github.com/barnabas-log/barnabas/internal/config"
	"github.com/barnabas-log/barnabas/internal/metadata"
	"github.com/barnabas-log/barnabas/log"
	"github.com/barnabas-log/barnabas/partition"
	"github.com/barnabas-log/barnabas/protocol"
)

// layers are the places below a topic where configurations come from.
func (b *Broker) layers(image *metadata.Image) config.Layers {
	return b.config.Layers(image.BrokerConfig[metadata.DefaultBroker], image.BrokerConfig[b.nodeID])
}

// partitionConfig is what the partitions of a topic act on.
func (b *Broker) partitionConfig(t *metadata.Topic, image *metadata.Image) partition.Config {
	c := config.NewTopicConfig(t.Config, b.layers(image))
	return partition.Config{
		MaxMessageBytes:   c.MaxMessageBytes,
		Compacted:         c.Compact,
		DeletePolicy:      c.Delete,
		RetentionTime:     c.RetentionTime,
		RetentionBytes:    c.RetentionBytes,
		CompressionType:   c.CompressionType,
		CompressionLevel:  c.CompressionLevel,
		LogAppendTime:     c.LogAppendTime,
		TimestampBefore:   c.TimestampBefore,
		TimestampAfter:    c.TimestampAfter,
		MinInsyncReplicas: c.MinInsyncReplicas,
		MinDirtyRatio:     c.MinDirtyRatio,
		MinCompactionLag:  c.MinCompactionLag,
		MaxCompactionLag:  c.MaxCompactionLag,
		DeleteRetention:   c.DeleteRetention,
		ProducerIDExpiry:  c.ProducerIDExpiry,
		Log: log.Config{
			SegmentBytes:       c.SegmentBytes,
			SegmentAge:         c.SegmentAge,
			SegmentJitter:      c.SegmentJitter,
			SegmentIndexBytes:  c.SegmentIndexBytes,
			IndexIntervalBytes: c.IndexIntervalBytes,
			FlushMessages:      c.FlushMessages,
			FlushAge:           c.FlushAge,
			DeleteDelay:        c.FileDeleteDelay,
			SyncOnAppend:       b.config.Fsync == config.FsyncAcknowledge,
		},
	}
}

// TopicConfig implements protocol.Backend.
func (b *Broker) TopicConfig(t *metadata.Topic) []protocol.ConfigEntry {
	return entries(config.Resolve(t.Config, b.layers(b.Image())))
}

// BrokerConfig implements protocol.Backend. For the cluster-wide default, only what was set on it is described, as in Kafka.
func (b *Broker) BrokerConfig(node int32) []protocol.ConfigEntry {
	image := b.Image()
	if node != metadata.DefaultBroker {
		return entries(b.config.BrokerRows(image.BrokerConfig[metadata.DefaultBroker], image.BrokerConfig[node]))
	}
	set := image.BrokerConfig[metadata.DefaultBroker]
	var rows []config.Row
	for _, row := range b.config.BrokerRows(set, nil) {
		if _, isSet := set[row.Name]; isSet {
			rows = append(rows, row)
		}
	}
	return entries(rows)
}

// entries converts rows for the wire.
func entries(rows []config.Row) []protocol.ConfigEntry {
	out := make([]protocol.ConfigEntry, len(rows))
	for i, r := range rows {
		out[i] = protocol.ConfigEntry{Name: r.Name, Value: r.Value, Source: int8(r.Source), Type: int8(r.Type), ReadOnly: r.ReadOnly,
			Sensitive: r.Sensitive, Doc: r.Doc}
		for _, s := range r.Synonyms {
			out[i].Synonyms = append(out[i].Synonyms, protocol.ConfigSynonym{Name: s.Name, Value: s.Value, Source: int8(s.Source)})
		}
	}
	return out
}

// controllerOptions say how the controller validates and what it assumes.
func (b *Broker) controllerOptions() metadata.Options {
	return metadata.Options{
		NodeID:                   b.nodeID,
		DefaultPartitions:        b.config.NumPartitions,
		DefaultReplicationFactor: b.config.DefaultReplicationFactor,
		ValidateConfig:           validateConfig,
		ListConfig:               listConfig,
		Logger:                   b.logger,
	}
}

func validateConfig(kind metadata.ConfigType, values map[string]string, changed []string) error {
	switch kind {
	case metadata.TopicConfig:
		return config.ValidateTopic(values)
	case metadata.BrokerConfig:
		return config.ValidateBroker(values, changed)
	}
	return &config.RequestError{Reason: "resources of type " + strings.ToLower(kind.String()) + " cannot be configured here"}
}

func listConfig(kind metadata.ConfigType, name string) (fallback string, list bool) {
	switch kind {
	case metadata.TopicConfig:
		return config.TopicList(name)
	case metadata.BrokerConfig:
		return config.BrokerList(name)
	}
	return "", false
}

func (b *Broker) groupOptions() consumergroup.Options {
	delay := b.config.GroupInitialRebalanceDelay
	if delay == 0 {
		delay = -1 // none; 0 would be the default
	}
	return consumergroup.Options{
		CountPartitions:        b.offsetsPartitions,
		InitialRebalanceDelay:  delay,
		MinSessionTimeout:      b.config.GroupMinSessionTimeout,
		MaxSessionTimeout:      b.config.GroupMaxSessionTimeout,
		MaxSize:                b.config.GroupMaxSize,
		MaxMetadataSize:        b.config.OffsetMetadataMaxBytes,
		OffsetRetention:        b.config.OffsetsRetention,
		RetentionCheckInterval: b.config.OffsetsRetentionCheckInterval,
		Logger:                 b.logger,
	}
}

func (b *Broker) serverOptions() protocol.Options {
	return protocol.Options{
		MaxRequestBytes:   b.config.RequestMaxBytes,
		MaxConnections:    b.config.MaxConnections,
		MaxPerIP:          b.config.MaxConnectionsPerIP,
		MaxIdleMs:         b.config.ConnectionsMaxIdle.Milliseconds(),
		InFlightBytes:     max(0, b.config.QueuedMaxRequestBytes),
		FetchMaxBytes:     b.config.FetchMaxBytes,
		MaxFetchSessions:  b.config.MaxFetchSessions,
		AutoCreate:        b.config.AutoCreateTopics,
		DeleteTopicEnable: b.config.DeleteTopics,
		RackAware:         b.config.RackAware,
		Metrics:           protocol.NewMetrics(b.observed.registry),
		Logger:            b.logger,
	}
}
