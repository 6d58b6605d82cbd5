package broker

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/barnabas-log/barnabas/consumergroup"
	httpadmin "github.com/barnabas-log/barnabas/internal/admin"
	"github.com/barnabas-log/barnabas/internal/metrics"
	"github.com/barnabas-log/barnabas/log"
	"github.com/barnabas-log/barnabas/partition"
	"go.uber.org/zap"
)

// httpCloseLimit bounds how long the end of the node waits for HTTP requests in hand; a profile may take half a minute.
const httpCloseLimit = 100 * time.Millisecond

// observed is what of the node shows to operators: its HTTP listener, and the figures behind it.
type observed struct {
	listener  net.Listener      // nil: no HTTP
	registry  *metrics.Registry // nil: nobody reads any
	log       *log.Metrics
	partition *partition.Metrics
	server    *httpadmin.Server // nil before it was opened
}

// observe binds the HTTP listener and makes the figures. A port that is taken is an error only when somebody asked for it: the default must not keep a second node from starting.
func (b *Broker) observe() error {
	o := &b.observed
	if b.config.HTTP != "" {
		l, err := net.Listen("tcp", b.config.HTTP)
		switch {
		case err == nil:
			o.listener, o.registry = l, metrics.New()
		case b.config.HTTPAsked:
			return fmt.Errorf("listen for HTTP (barnabas.http.listener): %w", err)
		default:
			b.logger.Warn("no health checks and no metrics over HTTP: the default address cannot be had; set barnabas.http.listener to another one, or to nothing", zap.Error(err))
		}
	}
	o.log, o.partition = log.NewMetrics(o.registry), partition.NewMetrics(o.registry)
	return nil
}

// openHTTP begins to answer. Whatever is looked at is there by now, though the node need not serve yet.
func (b *Broker) openHTTP(level *zap.AtomicLevel) {
	o := &b.observed
	if o.listener == nil {
		return
	}
	b.publish()
	o.server = httpadmin.Open(httpadmin.Options{Listener: o.listener, Status: b, Metrics: o.registry, Level: level, Logger: b.logger})
	b.logger.Info("listening", zap.String("listener", "HTTP"), zap.Stringer("address", o.listener.Addr()))
}

func (o *observed) close() error {
	switch {
	case o.server != nil:
		ctx, cancel := context.WithTimeout(context.Background(), httpCloseLimit)
		defer cancel()
		return o.server.Close(ctx)
	case o.listener != nil:
		return o.listener.Close()
	}
	return nil
}

// HTTPAddr is where HTTP is served, "" when it is not.
func (b *Broker) HTTPAddr() string {
	if b.observed.listener == nil {
		return ""
	}
	return b.observed.listener.Addr().String()
}

// surveyTime and surveyLimit bound what a scrape asks of the groups; lagLimit is how many series it may give.
const (
	surveyTime  = time.Second
	surveyLimit = 20_000
	lagLimit    = 1000
	topicLimit  = 1000
)

// What is looked up when someone scrapes.
var (
	ready          = metrics.Gauge("ready", "1 while the node serves all that it should, as /readyz says.")
	replicasHere   = metrics.Gauge("replicas", "Replicas of partitions that are open on this node.")
	replicasLed    = metrics.Gauge("replicas_leading", "Partitions that this node leads.")
	offline        = metrics.Gauge("replicas_offline", "Replicas of this node that could not be opened, or stopped because the disk failed.")
	underReplica   = metrics.Gauge("partitions_under_replicated", "Partitions led here of which a replica is not in sync.")
	underMinimum   = metrics.Gauge("partitions_under_min_insync", "Partitions led here with fewer replicas in sync than min.insync.replicas: acks=all is refused.")
	leaderless     = metrics.Gauge("partitions_leaderless", "Partitions of the whole cluster without a leader that this node knows of.")
	lagSum         = metrics.Gauge("replication_lag_records", "Records in the logs of this node that are not applied yet (log end less high watermark), over all its replicas.")
	lagMost        = metrics.Gauge("replication_lag_max_records", "The same, of the replica that is furthest behind.")
	topicBytes     = metrics.Gauge("topic_bytes", "Bytes of the segments on this node, by topic; beyond 1000 topics together as \"other\".", "topic")
	diskTotal      = metrics.Gauge("data_directory_size_bytes", "Size of the file system that holds a data directory.", "directory")
	diskUsable     = metrics.Gauge("data_directory_free_bytes", "Bytes of it that this node may still use.", "directory")
	diskOffline    = metrics.Gauge("data_directory_offline", "1 while a data directory is out of service: it is gone, read-only, or could not be locked.", "directory")
	diskFull       = metrics.Gauge("data_directory_full", "1 while produces are refused because the disk has reached its reserve.", "directory")
	controller     = metrics.Gauge("controller_active", "1 on the node that leads the metadata group: over a cluster, the sum is 1.")
	imageIndex     = metrics.Gauge("metadata_applied_index", "Index of the metadata log up to which this node knows the cluster's state.")
	brokers        = metrics.Gauge("cluster_brokers", "Brokers that are registered, by whether they are heard of.", "state")
	topics         = metrics.Gauge("cluster_topics", "Topics of the cluster.")
	partitions     = metrics.Gauge("cluster_partitions", "Partitions of the cluster.")
	groupsByState  = metrics.Gauge("groups", "Consumer groups whose coordinator is this node, by state.", "state")
	groupMembers   = metrics.Gauge("group_members", "Members of these groups.")
	groupLag       = metrics.Gauge("group_lag_records", "How far the committed offsets of a group are behind the high watermark, over the partitions of a topic that have a replica here. At most 1000 series.", "group", "topic")
	groupLagLeftBy = metrics.Gauge("group_lag_omitted", "Committed offsets that are not in the figure before, because there are too many or no replica is here.")
)

// publish adds the figures of the broker itself.
func (b *Broker) publish() {
	r := b.observed.registry
	r.Sample(b.lookReplicas, ready, replicasHere, replicasLed, offline, underReplica, underMinimum, lagSum, lagMost, topicBytes, diskTotal, diskUsable, diskOffline, diskFull)
	r.Sample(b.lookCluster, leaderless, controller, imageIndex, brokers, topics, partitions)
	r.Sample(b.lookGroups, groupsByState, groupMembers, groupLag, groupLagLeftBy)
}

func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// lookReplicas reports what is on this node.
func (b *Broker) lookReplicas(emit metrics.Emit) {
	var here, led, under, minimum int
	var sum, most int64
	bytes := map[string]int64{}
	b.hosting.each(func(r *replica) {
		here++
		lag := r.part.Lag()
		sum, most = sum+lag, max(most, lag)
		topic := r.topic.Name
		if _, known := bytes[topic]; !known && len(bytes) >= topicLimit {
			topic = "other"
		}
		bytes[topic] += r.part.Size()
		if _, _, leading := r.part.Leader(); !leading {
			return
		}
		led++
		if in := r.group.InSync(); in != nil {
			under += int(truth(len(in) < len(r.replicas(b.Image()))))
			minimum += int(truth(len(in) < r.part.MinInsyncReplicas()))
		}
	})
	emit(ready, truth(len(b.Unready()) == 0))
	emit(replicasHere, float64(here))
	emit(replicasLed, float64(led))
	emit(offline, float64(b.hosting.offline()))
	emit(underReplica, float64(under))
	emit(underMinimum, float64(minimum))
	emit(lagSum, float64(sum))
	emit(lagMost, float64(most))
	for topic, n := range bytes {
		emit(topicBytes, float64(n), topic)
	}
	b.lookDisks(emit)
}

// lookCluster reports what this node knows of the cluster.
func (b *Broker) lookCluster(emit metrics.Emit) {
	image := b.Image()
	count, unled := 0, 0
	for id, t := range image.ByID {
		for number := range t.Partitions {
			count++
			if node, _ := b.Leader(id, int32(number)); node < 0 {
				unled++
			}
		}
	}
	fenced := 0
	for _, each := range image.Brokers {
		fenced += int(truth(each.Fenced))
	}
	emit(leaderless, float64(unled))
	leader, _ := b.meta.Leader()
	emit(controller, truth(leader == b.nodeID))
	emit(imageIndex, float64(image.Index))
	emit(brokers, float64(len(image.Brokers)-fenced), "active")
	emit(brokers, float64(fenced), "fenced")
	emit(topics, float64(len(image.ByID)))
	emit(partitions, float64(count))
}

// lookGroups reports the groups that are coordinated here.
func (b *Broker) lookGroups(emit metrics.Emit) {
	ctx, cancel := context.WithTimeout(context.Background(), surveyTime)
	defer cancel()
	v := b.groups.Survey(ctx, surveyLimit)
	for state, n := range v.States {
		emit(groupsByState, float64(n), state)
	}
	emit(groupMembers, float64(v.Members))
	lag, omitted := b.groupLag(v.Committed)
	for at, n := range lag {
		emit(groupLag, float64(n), at.group, at.topic)
	}
	emit(groupLagLeftBy, float64(omitted+v.Omitted))
}

// consumed is a topic that a group reads.
type consumed struct{ group, topic string }

// groupLag adds up how far committed offsets are behind, for the first groups and topics.
func (b *Broker) groupLag(committed []consumergroup.Committed) (lag map[consumed]int64, omitted int) {
	image := b.Image()
	lag = map[consumed]int64{}
	for _, c := range committed {
		at := consumed{c.Group, c.Topic}
		_, known := lag[at]
		var p *partition.Partition
		if t := image.Topics[c.Topic]; t != nil && (known || len(lag) < lagLimit) {
			p = b.Partition(t.ID, c.Partition)
		}
		if p == nil || c.Offset < 0 {
			omitted++
			continue
		}
		lag[at] += max(0, int64(p.HighWatermark())-max(c.Offset, int64(p.LogStart())))
	}
	return lag, omitted
}
