package config

import "strings"

// Kafka's two replica selectors.
const (
	leaderSelector    = "org.apache.kafka.common.replica.LeaderSelector"
	rackAwareSelector = "org.apache.kafka.common.replica.RackAwareReplicaSelector"
)

// serverTable has every broker configuration that this server knows, in the order of the documentation. The server-wide sides of topic-level configurations
// (log.retention.ms and the like) are added from the topic table by inheritedTable.
var serverTable = append([]*Definition{
	{section: "Node", Name: "node.id", Type: Int, Default: "1", check: atLeast(0), Doc: "This node's number; no two nodes of a cluster have the same.",
		Note: "Kafka requires it."},
	{section: "Node", Name: "broker.id", Type: Int, NoValue: true, check: atLeast(-1), Doc: "The older name of node.id."},
	{section: "Node", Name: "process.roles", Type: List, Default: "broker,controller", check: someOf("broker", "controller"),
		Doc: "What this node does: hosts partitions (broker), votes on the cluster's metadata (controller), or both.", Note: "Kafka requires it."},
	{section: "Node", Name: "cluster.id", Type: String, NoValue: true,
		Doc: "The cluster's id. Without it, a new cluster makes one up. Also read from the environment as `CLUSTER_ID`.", Note: "Our own name."},
	{section: "Node", Name: "broker.rack", Type: String, NoValue: true, Doc: "Where this node is; replicas are spread over racks."},
	{section: "Node", Name: "log.dir", Type: List, Default: "./data", check: notEmpty(), Doc: "Where data is kept, unless log.dirs says.", Note: "Kafka: /tmp/kafka-logs."},
	{section: "Node", Name: "log.dirs", Type: List, NoValue: true, check: notEmpty(), Doc: "Where data is kept: one directory or several, separated by commas. A new replica goes to the one that holds the fewest. One that fails takes its replicas offline, not the node."},
	{section: "Node", Name: "metadata.log.dir", Type: String, NoValue: true,
		Doc: "Where the cluster's metadata and this node's votes are kept. Without it: the directory of log.dirs that holds them, else the first. A node cannot start without it."},

	{section: "Listeners", Name: "listeners", Type: List, Default: "PLAINTEXT://127.0.0.1:9092", check: notEmpty(),
		Doc:  "Where to listen: NAME://host:port, separated by commas. An empty host means all interfaces; port 0 takes a free one.",
		Note: "Kafka: PLAINTEXT://:9092."},
	{section: "Listeners", Name: "advertised.listeners", Type: List, NoValue: true, Doc: "Where clients are told to connect. Without it: listeners."},
	{section: "Listeners", Name: "listener.security.protocol.map", Type: List,
		Default: "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT",
		Doc:     "The security protocol of each listener name. Controller listeners are PLAINTEXT unless it says otherwise."},
	{section: "Listeners", Name: "controller.listener.names", Type: List, NoValue: true, Doc: "Which listeners nodes use among themselves for replication and metadata."},
	{section: "Listeners", Name: "inter.broker.listener.name", Type: String, NoValue: true, Effect: Later,
		Doc: "The listener that brokers forward requests to each other on. Without it: the first that is not a controller's."},
	{section: "Listeners", Name: "security.inter.broker.protocol", Type: String, Default: "PLAINTEXT", check: oneOf("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"),
		Effect: Later, Doc: "The security protocol between brokers, where no listener is named."},
	{section: "Listeners", Name: "controller.quorum.voters", Type: List, NoValue: true, Doc: "The nodes that vote on the cluster's metadata: id@host:port, separated by commas."},
	{section: "Listeners", Name: "controller.quorum.bootstrap.servers", Type: List, NoValue: true, Effect: Later, Doc: "Where to find the cluster's controllers: host:port, separated by commas."},

	{section: "Topics", Name: "num.partitions", Type: Int, Default: "1", check: atLeast(1), Doc: "How many partitions a topic has when nobody says."},
	{section: "Topics", Name: "default.replication.factor", Type: Int, Default: "1", check: atLeast(1), Doc: "How many replicas a partition has when nobody says."},
	{section: "Topics", Name: "auto.create.topics.enable", Type: Boolean, Default: "true", Doc: "Whether a topic that a client asks for is created."},
	{section: "Topics", Name: "delete.topic.enable", Type: Boolean, Default: "true", Doc: "Whether topics can be deleted."},
	{section: "Topics", Name: "auto.leader.rebalance.enable", Type: Boolean, Default: "true", Effect: Later, Doc: "Whether leadership returns to the preferred replicas."},
	{section: "Topics", Name: "leader.imbalance.check.interval.seconds", Type: Long, Default: "300", check: atLeast(1), Effect: Later,
		Doc: "How often leadership is looked at."},
	{section: "Topics", Name: "leader.imbalance.per.broker.percentage", Type: Int, Default: "10", Effect: Later, Doc: "How much imbalance is left alone."},
	{section: "Topics", Name: "max.request.partition.size.limit", Type: Int, Default: "2000", check: atLeast(1), Effect: Later,
		Doc: "The most partitions in one answer of DescribeTopicPartitions."},

	{section: "Limits", Name: "socket.request.max.bytes", Type: Int, Default: "104857600", check: atLeast(1), Doc: "The largest request; a larger one closes its connection."},
	{section: "Limits", Name: "queued.max.request.bytes", Type: Long, Default: "268435456",
		Doc:  "How many bytes of requests are held at once, over all connections; beyond that, connections wait to be read.",
		Note: "Kafka: -1, which is without bound. Here memory is always bounded, and -1 means the default."},
	{section: "Limits", Name: "max.connections", Type: Int, Default: "2147483647", check: atLeast(1), Doc: "The most connections at a time."},
	{section: "Limits", Name: "max.connections.per.ip", Type: Int, Default: "2147483647", check: atLeast(1), Doc: "The most connections from one address."},
	{section: "Limits", Name: "max.connections.per.ip.overrides", Type: String, Default: "", Effect: Later, Doc: "Exceptions to max.connections.per.ip: host:count, separated by commas."},
	{section: "Limits", Name: "max.connection.creation.rate", Type: Int, Default: "2147483647", check: atLeast(0), Effect: Later, Doc: "The most new connections a second."},
	{section: "Limits", Name: "connections.max.idle.ms", Type: Long, Default: "600000", Doc: "How long a silent connection stays open."},
	{section: "Limits", Name: "connections.max.reauth.ms", Type: Long, Default: "0", Effect: Later, Doc: "How long a SASL session is valid; 0 is for ever."},
	{section: "Limits", Name: "fetch.max.bytes", Type: Int, Default: "57671680", check: atLeast(1024), Doc: "The most bytes in one answer to a fetch."},
	{section: "Limits", Name: "max.incremental.fetch.session.cache.slots", Type: Int, Default: "1000", check: atLeast(0), Doc: "How many fetch sessions are remembered."},
	{section: "Limits", Name: "controlled.shutdown.enable", Type: Boolean, Default: "true", Effect: Later, Doc: "Whether leadership is handed over before stopping."},
	{section: "Limits", Name: "request.timeout.ms", Type: Int, Default: "30000", check: atLeast(1), Effect: Later, Doc: "How long a broker waits for another."},

	{section: "Durability", Name: "barnabas.fsync", Type: String, Default: "acknowledge", check: oneOf("acknowledge", "flush"),
		Doc: "When records go to stable storage. `acknowledge`: before they are acknowledged, on a majority of the replicas; no crash or power cut of a minority loses one. " +
			"`flush`: as Kafka does, when flush.messages or flush.ms says or the operating system likes; an acknowledged record is in the memory of a majority, " +
			"and is lost if that majority loses power at the same time.",
		Note: "Our own name."},

	{section: "Durability", Name: "barnabas.journal.bytes", Type: Long, Default: "536870912", check: atLeast(0),
		Doc: "How large the journal of a data directory may become, in which small appends of many partitions become durable together, with one fsync for all that wait. It begins with 32 MiB and grows where " +
			"it is written fast. 0: no journal, every partition syncs its own file. Only with `barnabas.fsync=acknowledge`.",
		Note: "Our own name."},
	{section: "Durability", Name: "barnabas.scrub.bytes.per.second", Type: Long, Default: "4194304", check: atLeast(0),
		Doc:  "How fast a node reads its segments again in the background, to find what has changed on the disk since it was written. What is damaged is fetched anew from another replica. 0 reads nothing.",
		Note: "Our own name."},
	{section: "Durability", Name: "barnabas.scrub.interval.ms", Type: Long, Default: "604800000", check: atLeast(1),
		Doc:  "How long after the beginning of one round of that the next one begins, if the first has ended by then.",
		Note: "Our own name."},
	{section: "Durability", Name: "barnabas.disk.reserve.bytes", Type: Long, Default: "268435456", check: atLeast(0),
		Doc: "How much of each file system that holds data is kept free of records, at most a twentieth of it. With less free, produces are refused with KAFKA_STORAGE_ERROR, which clients try again, " +
			"reads go on, and there is room for what must still be written: votes, metadata, checkpoints, and the trims and compactions that free room. 0 reserves nothing.",
		Note: "Our own name."},

	{section: "Operation", Name: "barnabas.http.listener", Type: String, Default: "127.0.0.1:9644", check: addressOrNothing(),
		Doc: "Where /healthz, /readyz, /partitions, /metrics, /log/level and /debug/pprof are served: host:port, an empty host for all interfaces, port 0 for a free one; empty for nowhere. " +
			"The last two are answered on the loopback interface only, whatever is set here.",
		Note: "Our own name. When nobody has set it and the port is taken (by another node on the machine), the node says so and starts without."},

	{section: "Retention", Name: "log.retention.check.interval.ms", Type: Long, Default: "300000", check: atLeast(1), Doc: "How often segments are looked at for deletion."},
	{section: "Retention", Name: "log.cleaner.enable", Type: Boolean, Default: "true", Doc: "Whether compacted topics are compacted."},
	{section: "Retention", Name: "log.cleaner.threads", Type: Int, Default: "1", check: atLeast(0), Effect: Later, Dynamic: true, Doc: "How many logs are compacted at a time.", Note: "One is."},
	{section: "Retention", Name: "log.cleaner.backoff.ms", Type: Long, Default: "15000", check: atLeast(0), Doc: "How long compaction sleeps when there is nothing to do."},
	{section: "Retention", Name: "log.cleaner.dedupe.buffer.size", Type: Long, Default: "134217728", check: atLeast(1), Doc: "The most memory that compaction takes to remember keys. It takes what it needs; more keys take more passes."},
	{section: "Retention", Name: "log.cleaner.io.max.bytes.per.second", Type: Double, Default: "1.7976931348623157E308", check: atLeast(1), Doc: "How much compaction may read and write in a second, together."},

	{section: "Replication", Name: "replica.lag.time.max.ms", Type: Long, Default: "30000", Effect: Later, Doc: "How long a replica may be behind and still count as in sync."},
	{section: "Replication", Name: "replica.selector.class", Type: String, NoValue: true, check: oneOf(leaderSelector, rackAwareSelector),
		Doc: "Where consumers read that say where they are (`client.rack`): `" + rackAwareSelector + "` sends them to an in-sync replica in their rack (`broker.rack`). " +
			"Otherwise, and where there is none, they read from the leader.",
		Note: "No other class is known."},
	{section: "Replication", Name: "broker.heartbeat.interval.ms", Type: Int, Default: "2000", check: atLeast(1), Doc: "How often a broker says that it lives."},
	{section: "Replication", Name: "broker.session.timeout.ms", Type: Int, Default: "9000", check: atLeast(1), Doc: "How long a silent broker counts as alive."},
	{section: "Replication", Name: "controller.quorum.election.timeout.ms", Type: Int, Default: "1000", check: atLeast(1), Effect: Later, Doc: "How long controllers wait for a leader."},
	{section: "Replication", Name: "controller.quorum.fetch.timeout.ms", Type: Int, Default: "2000", check: atLeast(1), Effect: Later, Doc: "How long a controller waits to hear from the leader."},

	{section: "Groups", Name: "offsets.topic.num.partitions", Type: Int, Default: "50", check: atLeast(1), Doc: "How many partitions __consumer_offsets has."},
	{section: "Groups", Name: "offsets.topic.replication.factor", Type: Short, Default: "3", check: atLeast(1), Doc: "How many replicas __consumer_offsets has.", Note: aloneNote},
	{section: "Groups", Name: "offsets.topic.segment.bytes", Type: Int, Default: "104857600", check: atLeast(1), Doc: "The segment size of __consumer_offsets."},
	{section: "Groups", Name: "offsets.topic.compression.codec", Type: Int, Default: "0", check: between(0, 4), Effect: Later, Doc: "The codec of __consumer_offsets; 0 is none."},
	{section: "Groups", Name: "offsets.retention.minutes", Type: Int, Default: "10080", check: atLeast(1), Doc: "How long the offsets of a group without members are kept."},
	{section: "Groups", Name: "offsets.retention.check.interval.ms", Type: Long, Default: "600000", check: atLeast(1), Doc: "How often expired offsets are looked for."},
	{section: "Groups", Name: "offset.metadata.max.bytes", Type: Int, Default: "4096", check: atLeast(0), Doc: "The longest text that may go with a committed offset."},
	{section: "Groups", Name: "group.min.session.timeout.ms", Type: Int, Default: "6000", Doc: "The shortest session timeout that a member may ask for."},
	{section: "Groups", Name: "group.max.session.timeout.ms", Type: Int, Default: "1800000", Doc: "The longest session timeout that a member may ask for."},
	{section: "Groups", Name: "group.initial.rebalance.delay.ms", Type: Int, Default: "3000", check: atLeast(0), Doc: "How long a new group waits for more members before its first assignment."},
	{section: "Groups", Name: "group.max.size", Type: Int, Default: "2147483647", check: atLeast(1), Doc: "The most members of a group."},
	{section: "Groups", Name: "group.coordinator.rebalance.protocols", Type: List, Default: "classic", check: someOf("classic", "consumer", "share", "streams"), Effect: Later,
		Doc: "The group protocols that are served.", Note: "Only classic is."},
	{section: "Groups", Name: "group.consumer.session.timeout.ms", Type: Int, Default: "45000", check: atLeast(1), Effect: Later, Doc: "Session timeout of the next-generation protocol."},
	{section: "Groups", Name: "group.consumer.min.session.timeout.ms", Type: Int, Default: "45000", check: atLeast(1), Effect: Later, Doc: "The least that a group may set."},
	{section: "Groups", Name: "group.consumer.max.session.timeout.ms", Type: Int, Default: "60000", check: atLeast(1), Effect: Later, Doc: "The most that a group may set."},
	{section: "Groups", Name: "group.consumer.heartbeat.interval.ms", Type: Int, Default: "5000", check: atLeast(1), Effect: Later, Doc: "Heartbeat interval of the next-generation protocol."},
	{section: "Groups", Name: "group.consumer.min.heartbeat.interval.ms", Type: Int, Default: "5000", check: atLeast(1), Effect: Later, Doc: "The least that a group may set."},
	{section: "Groups", Name: "group.consumer.max.heartbeat.interval.ms", Type: Int, Default: "15000", check: atLeast(1), Effect: Later, Doc: "The most that a group may set."},
	{section: "Groups", Name: "group.consumer.max.size", Type: Int, Default: "2147483647", check: atLeast(1), Effect: Later, Doc: "The most members of a next-generation group."},
	{section: "Groups", Name: "group.consumer.assignors", Type: List, Default: "uniform,range", Effect: Later, Doc: "The assignors of the next-generation protocol; the first is the default."},
	{section: "Groups", Name: "group.consumer.migration.policy", Type: String, Default: "bidirectional", check: oneOf("bidirectional", "upgrade", "downgrade", "disabled"), Effect: Later,
		Doc: "Which conversions between the classic and the next-generation protocol are allowed."},
	{section: "Groups", Name: "group.share.session.timeout.ms", Type: Int, Default: "45000", check: atLeast(1), Effect: Later, Doc: "Session timeout of share groups."},
	{section: "Groups", Name: "group.share.heartbeat.interval.ms", Type: Int, Default: "5000", check: atLeast(1), Effect: Later, Doc: "Heartbeat interval of share groups."},
	{section: "Groups", Name: "group.share.max.size", Type: Int, Default: "200", check: between(1, 1000), Effect: Later, Doc: "The most members of a share group."},
	{section: "Groups", Name: "group.share.delivery.count.limit", Type: Int, Default: "5", check: between(2, 10), Effect: Later, Doc: "How often a record is delivered before it is given up."},
	{section: "Groups", Name: "group.share.record.lock.duration.ms", Type: Int, Default: "30000", check: between(1000, 3600000), Effect: Later, Doc: "How long a share consumer has for a record."},
	{section: "Groups", Name: "group.share.partition.max.record.locks", Type: Int, Default: "2000", check: between(100, 10000), Effect: Later, Doc: "The most records of a partition in the hands of consumers."},
	{section: "Groups", Name: "share.coordinator.state.topic.replication.factor", Type: Short, Default: "3", check: atLeast(1), Effect: Later, Doc: "How many replicas __share_group_state has.", Note: aloneNote},
	{section: "Groups", Name: "share.coordinator.state.topic.min.isr", Type: Short, Default: "2", check: atLeast(1), Effect: Later, Doc: "min.insync.replicas of __share_group_state.", Note: aloneNote},
	{section: "Groups", Name: "share.coordinator.state.topic.num.partitions", Type: Int, Default: "50", check: atLeast(1), Effect: Later, Doc: "How many partitions __share_group_state has."},

	{section: "Producers and transactions", Name: "producer.id.expiration.ms", Type: Int, Default: "86400000", check: atLeast(1), Dynamic: true,
		Doc: "How long a partition remembers a silent idempotent producer."},
	{section: "Producers and transactions", Name: "transaction.max.timeout.ms", Type: Int, Default: "900000", check: atLeast(1), Effect: Later, Doc: "The longest transaction timeout that a producer may ask for."},
	{section: "Producers and transactions", Name: "transactional.id.expiration.ms", Type: Int, Default: "604800000", check: atLeast(1), Effect: Later, Doc: "How long an unused transactional id is remembered."},
	{section: "Producers and transactions", Name: "transaction.state.log.num.partitions", Type: Int, Default: "50", check: atLeast(1), Effect: Later, Doc: "How many partitions __transaction_state has."},
	{section: "Producers and transactions", Name: "transaction.state.log.replication.factor", Type: Short, Default: "3", check: atLeast(1), Effect: Later, Doc: "How many replicas __transaction_state has.", Note: aloneNote},
	{section: "Producers and transactions", Name: "transaction.state.log.min.isr", Type: Int, Default: "2", check: atLeast(1), Effect: Later, Doc: "min.insync.replicas of __transaction_state.", Note: aloneNote},
	{section: "Producers and transactions", Name: "transaction.state.log.segment.bytes", Type: Int, Default: "104857600", check: atLeast(1), Effect: Later, Doc: "The segment size of __transaction_state."},
	{section: "Producers and transactions", Name: "transaction.abort.timed.out.transaction.cleanup.interval.ms", Type: Int, Default: "10000", check: atLeast(1), Effect: Later, Doc: "How often transactions that timed out are looked for."},
	{section: "Producers and transactions", Name: "transaction.remove.expired.transaction.cleanup.interval.ms", Type: Int, Default: "3600000", check: atLeast(1), Effect: Later, Doc: "How often expired transactional ids are looked for."},
	{section: "Producers and transactions", Name: "transaction.two.phase.commit.enable", Type: Boolean, Default: "false", Effect: Later, Doc: "Whether external transaction managers may take part."},

	{section: "Described for tools", Name: "inter.broker.protocol.version", Type: String, Default: "4.4", Effect: Meaningless, Doc: "The version of Kafka whose protocol is spoken; some consoles show it."},
	{section: "Described for tools", Name: "sasl.enabled.mechanisms", Type: List, Default: "GSSAPI", Effect: Later, Doc: "The SASL mechanisms that are offered."},
	{section: "Described for tools", Name: "quota.window.num", Type: Int, Default: "11", check: atLeast(1), Effect: Later, Doc: "How many windows a quota looks at."},
	{section: "Described for tools", Name: "quota.window.size.seconds", Type: Int, Default: "1", check: atLeast(1), Effect: Later, Doc: "How long such a window is."},
	{section: "Described for tools", Name: "num.io.threads", Type: Int, Default: "8", check: atLeast(1), Effect: Meaningless, Dynamic: true, Doc: "Threads that serve requests in Kafka."},
	{section: "Described for tools", Name: "num.network.threads", Type: Int, Default: "3", check: atLeast(1), Effect: Meaningless, Dynamic: true, Doc: "Threads that read and write sockets in Kafka."},
	{section: "Described for tools", Name: "num.replica.fetchers", Type: Int, Default: "1", check: atLeast(1), Effect: Meaningless, Dynamic: true, Doc: "Threads that fetch from each leader in Kafka."},
	{section: "Described for tools", Name: "num.recovery.threads.per.data.dir", Type: Int, Default: "2", check: atLeast(1), Effect: Meaningless, Dynamic: true, Doc: "Threads that recover logs in Kafka."},
	{section: "Described for tools", Name: "background.threads", Type: Int, Default: "10", check: atLeast(1), Effect: Meaningless, Dynamic: true, Doc: "Threads for background work in Kafka."},
}, inheritedTable()...)

const aloneNote = "1 when this node is alone."

// inheritedTable has the server-wide sides of the topic-level configurations: same type, bounds and effect. Only the first synonym is dynamic, as in Kafka.
func inheritedTable() []*Definition {
	var table []*Definition
	for _, d := range topicTable {
		for i, s := range d.Synonyms {
			inherited := &Definition{
				section: "Defaults of topics", Name: s.Name, Type: d.Type, Default: d.Default, check: d.check, Effect: d.Effect, Note: d.Note,
				Doc: "The default of the topic configuration " + d.Name + ".", Dynamic: i == 0,
			}
			if i > 0 {
				inherited.Doc = "The same in another unit; " + d.Synonyms[i-1].Name + " goes before it."
			}
			adaptUnit(inherited, s, len(d.Synonyms) > 1 && i < len(d.Synonyms)-1)
			table = append(table, inherited)
		}
	}
	return table
}

// adaptUnit gives coarser synonyms their own numbers. Where there are several synonyms, only the last has a default.
func adaptUnit(d *Definition, s Synonym, overshadowing bool) {
	if overshadowing {
		d.Default, d.NoValue = "", true
	}
	if s.Unit == 1 {
		return
	}
	d.Type = Int
	if !d.NoValue {
		d.Default = map[string]string{"log.retention.hours": "168", "log.roll.hours": "168", "log.roll.jitter.hours": "0"}[d.Name]
	}
}

var serverIndex = index(serverTable)

// Servers are the definitions of all broker configurations, in the order of the documentation. They must not be changed.
func Servers() []*Definition { return serverTable }

// synonymsOf are the names that stand for the same setting as the broker configuration name, in order of precedence.
func synonymsOf(name string) []Synonym {
	for _, d := range topicTable {
		for _, s := range d.Synonyms {
			if s.Name == name && len(d.Synonyms) > 1 {
				return d.Synonyms
			}
		}
	}
	if name == "node.id" || name == "broker.id" {
		return []Synonym{{"node.id", 1}, {"broker.id", 1}}
	}
	return same(name)
}

// ignoredNames are configurations of Kafka that nothing here could follow, and why. A name that ends in * is a prefix.
var ignoredNames = []struct{ names, reason string }{
	{"zookeeper.*", "there is no ZooKeeper"},
	{"queued.max.requests replica.fetch.* replica.socket.* replica.high.watermark.checkpoint.interval.ms " +
		"fetch.purgatory.purge.interval.requests producer.purgatory.purge.interval.requests delete.records.purgatory.purge.interval.requests " +
		"num.replica.alter.log.dirs.threads controller.socket.timeout.ms controlled.shutdown.max.retries controlled.shutdown.retry.backoff.ms " +
		"log.cleaner.io.buffer.size log.cleaner.io.buffer.load.factor " +
		"log.flush.offset.checkpoint.interval.ms log.flush.start.offset.checkpoint.interval.ms log.message.format.version " +
		"log.message.timestamp.difference.max.ms log.dir.failure.timeout.ms log.initial.task.delay.ms " +
		"group.coordinator.threads group.coordinator.append.linger.ms group.coordinator.new.enable share.coordinator.* group.streams.* group.share.* group.consumer.* " +
		"offsets.load.buffer.size offsets.commit.timeout.ms offsets.commit.required.acks transaction.state.log.load.buffer.size " +
		"transaction.partition.verification.enable producer.id.expiration.check.interval.ms",
		"it tunes a mechanism that this design does not have"},
	{"socket.send.buffer.bytes socket.receive.buffer.bytes socket.listen.backlog.size socket.connection.setup.timeout.ms socket.connection.setup.timeout.max.ms " +
		"connection.failed.authentication.delay.ms",
		"the operating system's defaults are used"},
	{"controller.quorum.* controller.performance.* metadata.log.* metadata.max.* server.max.startup.time.ms initial.broker.registration.timeout.ms " +
		"early.start.listeners eligible.leader.replicas.enable unstable.*", "the metadata group is tuned by itself"},
	{"metric.reporters metrics.* auto.include.jmx.reporter kafka.metrics.* confluent.* telemetry.* client.telemetry.*", "metrics are served over HTTP"},
	{"ssl.* sasl.* listener.name.* security.providers password.encoder.* principal.builder.class delegation.token.*",
		"TLS and SASL are not served yet (a listener that asks for them is an error)"},
	{"super.users allow.everyone.if.no.acl.found", "access control is not served yet"},
	{"quota.* replication.quota.* alter.log.dirs.replication.quota.* controller.quota.* client.quota.callback.class", "quotas are not served yet"},
	{"remote.* rlm.* rsm.* log.local.* log.remote.*", "tiered storage is not served yet"},
	{"create.topic.policy.class.name alter.config.policy.class.name", "Java classes cannot be loaded"},
	{"reserved.broker.max.id broker.id.generation.enable host.name port advertised.host.name advertised.port port.map", "Kafka itself dropped it"},
	{"config.providers config.providers.*", "configuration providers are not supported"},
}

// refusedNames would promise protection that is not there; a server that ignored them would be open where its owner believes that it is closed.
var refusedNames = map[string]string{
	"authorizer.class.name": "access control is not served by this version; remove it to run without",
}

// ignoredReason says why a name is accepted without effect; empty when it is not one of those.
func ignoredReason(name string) string {
	for _, group := range ignoredNames {
		for pattern := range strings.FieldsSeq(group.names) {
			prefix, isPrefix := strings.CutSuffix(pattern, "*")
			if name == pattern || isPrefix && strings.HasPrefix(name, prefix) {
				return group.reason
			}
		}
	}
	return ""
}
